"""The ablation's tables and pictures from what ``run.py`` has finished so far.

    python measure/ablation/collect.py outputs/ablation --output docs/results

writes, for each variant of the digits model that was run, ``digits_VARIANT.json`` (every figure of every arm and
seed), ``digits_VARIANT.md`` (means over seeds with 95 % intervals, and differences to SPARK on the same seeds) and
two pictures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from arms import ARMS
from pictures import draw, draw_curves
from results import FIGURES, Results, read_results, reference_arm, smooth, summarize


def _cell(mean: float, half: float | None, unit: str) -> str:
    scale, digits = (100.0, 1) if unit == "%" else (1.0, 0 if unit == "tokens" else 3)
    width = "" if half is None else f" ± {scale * half:.{digits}f}"
    return f"{scale * mean:.{digits}f}{width}"


def tables(results: Results, summary: dict[str, dict[str, Any]], variant: str) -> str:
    """The Markdown page of a variant. Arms are columns: there are more figures than fit beside each other."""
    arms, reference = list(summary), reference_arm(results)
    lines = [f"# Ablation on the digits task, variant `{variant}`", ""]
    lines += [
        f"Made by `bash run_scripts/ablate.sh --variant {variant}` (`--arms` and `--seeds` choose what is listed here)"
        " and `measure/ablation/collect.py`.",
        "",
    ]
    lines += [f"- **{arm}**: {ARMS[arm].about}; seeds {', '.join(map(str, sorted(results[arm])))}" for arm in arms]
    lines += [
        "",
        "Accuracies and rates in %, mean ± half of Student's 95 % interval over seeds (none for one seed). The policy"
        " after 20 and 30 steps and over training is measured on training questions, each seen for the first time; all"
        " else on held-out ones.",
    ]
    for title, prefix in (("Figures", ""), (f"{reference} minus the arm, on the same seeds", "reference_minus_this")):
        shown = [arm for arm in arms if not prefix or arm != reference]
        rows = []
        for name, (unit, _, _) in FIGURES.items():
            cells = []
            for arm in shown:
                entry = summary[arm].get(name, {})
                mean, half = entry.get(prefix or "mean"), entry.get(f"{prefix}_half_width" if prefix else "half_width")
                cells.append("–" if mean is None else _cell(mean, half, unit))
            if set(cells) != {"–"}:
                rows.append(f"| {name} | " + " | ".join(cells) + " |")
        if rows:
            lines += ["", f"## {title}", "", "| | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|", *rows]
    lines += half_right_table(results)
    lines += ["", "## Cost of training", "", "Means over seeds.", ""]
    lines += ["| | steps | sequences | of them with an advantage | tokens | seconds |", "|---" * 6 + "|"]
    for arm, seeds in results.items():
        costs = [result["cost"] for result in seeds.values() if result["cost"]]
        if costs:
            mean = {key: np.mean([cost[key] for cost in costs]) for key in ("steps", "sequences", "tokens", "seconds")}
            shares = [cost["learning"] for cost in costs if cost["learning"] is not None]
            learning = f"{np.mean(shares):.0%}" if shares else "–"
            lines.append(
                f"| {arm} | {mean['steps']:.0f} | {mean['sequences']:,.0f} | {learning} | {mean['tokens']:,.0f} |"
                f" {mean['seconds']:.0f} |"
            )
    return "\n".join(lines) + "\n"


def half_right(curve: dict[int, float]) -> str:
    """The first step at which half of the training answers are right (mean of three steps), or "> last step"."""
    found = next((step for step, share in smooth(curve).items() if share >= 0.5), None)
    return f"> {max(curve)}" if found is None else str(found)


def half_right_table(results: Results) -> list[str]:
    """Markdown lines: :func:`half_right` of every arm and seed; none where no curve is known."""
    curves = {
        arm: {seed: result["policy_curve"] for seed, result in seeds.items() if result.get("policy_curve")}
        for arm, seeds in results.items()
    }
    seeds = sorted({seed for by_seed in curves.values() for seed in by_seed})
    if not seeds:
        return []
    rows = [
        f"| {arm} | " + " | ".join(half_right(by_seed[seed]) if seed in by_seed else "–" for seed in seeds) + " |"
        for arm, by_seed in curves.items()
        if by_seed
    ]
    title = "First step at which half of the training answers are right (mean of three steps), by seed."
    head = ["| seed | " + " | ".join(map(str, seeds)) + " |", "|---" * (len(seeds) + 1) + "|"]
    return ["", "## How soon", "", title, "", *head, *rows]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="the folder that run.py wrote")
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    variants = {folder.name: read_results(folder) for folder in sorted(arguments.results.glob("*")) if folder.is_dir()}
    variants = {name: results for name, results in variants.items() if results}
    if not variants:
        raise SystemExit(f"no finished run in {arguments.results}: */seed_*/*/result.json")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for variant, results in variants.items():
        summary = summarize(results)
        costs = {arm: {seed: result["cost"] for seed, result in seeds.items()} for arm, seeds in results.items()}
        page, stem = tables(results, summary, variant), arguments.output / f"digits_{variant}"
        curves = {
            arm: {seed: result.get("policy_curve") for seed, result in seeds.items()} for arm, seeds in results.items()
        }
        figures = json.dumps({"variant": variant, "figures": summary, "cost": costs, "policy": curves}, indent=1)
        stem.with_suffix(".json").write_text(figures + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(
            f"{page}\n![figures]({stem.name}.png)\n\n![curves]({stem.name}_curves.png)\n", encoding="utf-8"
        )
        draw(summary, stem.with_suffix(".png"))
        draw_curves(results, stem.with_name(f"{stem.name}_curves.png"))
        print(page)


if __name__ == "__main__":
    main()
