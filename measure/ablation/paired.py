"""One seed's arms beside each other, question by question: what a difference is worth before there are more seeds.

    python measure/ablation/paired.py outputs/ablation/misled/seed_1 [--reference labelled_spark]

All arms of a seed are asked the same held-out questions. An arm's accuracy is that of all of ``majority``'s samples;
the interval of a difference is from a bootstrap over questions. It says nothing about another seed: training is chance,
too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from arms import ARMS

from spark_verl.evaluation.results import read_results
from spark_verl.statistics import bootstrap


def accuracies(arm: Path) -> dict[str, float]:
    """``{question: share of right samples}`` of an arm's folder."""
    _, records = read_results(arm / "evaluation_test" / "results.jsonl")
    return {
        record["id"]: sum(sample["correct"] for sample in record["samples"]) / len(record["samples"])
        for record in records
        if record["strategy"] == "majority"
    }


def compare(seed: Path, reference: str) -> list[str]:
    """Markdown: a row for each finished arm, the best first."""
    found = {name: accuracies(seed / name) for name in ARMS if (seed / name / "result.json").is_file()}
    if reference not in found:
        raise SystemExit(f"{seed}: {reference} has not been finished; --reference takes one of {', '.join(found)}")
    if lacking := [name for name, shares in found.items() if not shares]:
        remedy = "take their result.json and evaluation_test away, and run run.py again with it among --strategies"
        raise SystemExit(f"{seed}: {', '.join(lacking)} evaluated without majority: {remedy}")
    questions = sorted(found[reference])
    lines = [f"| | accuracy, % | minus {reference}, points |", "|---|---|---|"]
    for name, shares in sorted(found.items(), key=lambda item: -sum(item[1].values())):
        change = bootstrap([shares[question] - found[reference][question] for question in questions], questions)
        shown = f"{100 * change.value:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
        mean = sum(shares.values()) / len(shares)
        lines.append(f"| `{name}` | {100 * mean:.1f} | {'–' if name == reference else shown} |")
    return lines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", type=Path, help="a seed's folder that run.py wrote")
    parser.add_argument("--reference", default="labelled_spark", choices=list(ARMS), metavar="ARM")
    arguments = parser.parse_args()
    print("\n".join(compare(arguments.seed, arguments.reference)))


if __name__ == "__main__":
    main()
