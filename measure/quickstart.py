"""How long each stage of the quickstart takes on this CPU.

    python measure/quickstart.py                      # as it is: the model is built (its cache is an empty folder)
    python measure/quickstart.py --avx2               # as on a CPU without AVX-512 and bfloat16
    python measure/quickstart.py --avx2 --busy 1      # with something else that keeps one core busy
    python measure/quickstart.py --fresh              # from a new clone of the committed state, environment included
    python measure/quickstart.py --cached             # the second time: the model comes from the cache

``--avx2`` asks torch, oneDNN and MKL for their AVX2 kernels (ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA,
MKL_ENABLE_INSTRUCTIONS); everything else of a newer CPU stays. ``--fresh`` takes packages from the package managers'
own caches where they have them. The table is printed, and written as JSON with ``--json``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
FEATURES = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16")
STAGE = re.compile(r"\[ *(\d+)s\] (\d)/5 ([^:\x1b]+)")


def cpu() -> dict[str, str]:
    """Name, cores and features of this machine's CPU, of those that matter to torch."""
    text = Path("/proc/cpuinfo").read_text()
    found = dict(re.findall(r"^(model name|flags)\s*:\s*(.*)$", text, re.MULTILINE))
    flags = set(found.get("flags", "").split())
    return {
        "cpu": found.get("model name", "?"),
        "cores": str(len(os.sched_getaffinity(0))),
        "features": " ".join(name for name in FEATURES if name in flags),
    }


def run(checkout: Path, output: Path, environment: dict[str, str], steps: int, log: Path) -> list[tuple[str, int]]:
    """Run the quickstart; returns when each stage began, in seconds, and when all had ended.

    Raises:
        RuntimeError: It failed; the log says why.
    """
    command = ["bash", "run_scripts/quickstart.sh"]
    variables = {**environment, "OUTPUT_DIR": str(output), "STEPS": str(steps)}
    begun: list[tuple[str, int]] = []
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, cwd=checkout, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in process.stdout:
            file.write(line)
            if found := STAGE.search(line):
                begun.append((found[3].strip(), int(found[1])))
                print(f"[{found[1]:>4}s] {found[3].strip()}", file=sys.stderr)
    if process.wait() != 0:
        raise RuntimeError(f"the quickstart failed, see {log}")
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    return [*begun, ("end", int(summary["wall_s"]))]


def table(begun: list[tuple[str, int]], summary: dict[str, float]) -> list[tuple[str, float]]:
    """Seconds of each stage; training falls apart into start-up, steps and the validation before them."""
    rows: list[tuple[str, float]] = []
    for (name, start), (_, end) in zip(begun, begun[1:], strict=False):
        if name.startswith("training"):
            rest = end - start - summary["startup_s"] - summary["train_s"]
            rows += [("start-up", summary["startup_s"]), ("steps", summary["train_s"]), ("validation before", rest)]
        else:
            rows.append((name, end - start))
    return [*rows, ("in all", begun[-1][1])]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--avx2", action="store_true", help="kernels for AVX2 only")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="N other processes that never pause")
    parser.add_argument("--fresh", action="store_true", help="in a new clone with a new environment")
    parser.add_argument("--cached", action="store_true", help="use the user's cache of warm-started models")
    parser.add_argument("--steps", type=int, default=40, help="training steps")
    parser.add_argument("--seed", type=int, default=1, help="of the quickstart")
    parser.add_argument("--json", type=Path, help="also write the table here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quickstart-") as name:
        folder = Path(name)
        environment = {**os.environ, "SEED": str(args.seed), **(AVX2 if args.avx2 else {})}
        if not args.cached:
            environment["SPARK_CACHE"] = str(folder / "cache")
        checkout = ROOT
        if args.fresh:
            checkout = folder / "checkout"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
            for variable in ("SPARK_PYTHON", "VIRTUAL_ENV", "PYTHONPATH"):
                environment.pop(variable, None)
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(args.busy)]
        try:
            begun = run(checkout, folder / "output", environment, args.steps, Path("quickstart_stages.log"))
        finally:
            for process in busy:
                process.kill()
        summary = json.loads((folder / "output" / "summary.json").read_text(encoding="utf-8"))
    rows = table(begun, summary)
    about = {**cpu(), "kernels": "AVX2" if args.avx2 else "the CPU's own", "busy neighbours": str(args.busy)}
    for key, value in about.items():
        print(f"{key:<18}{value}")
    for stage, seconds in rows:
        print(f"{stage:<40}{seconds:>7.0f} s")
    if args.json:
        record = {"about": about, "seconds": dict(rows), "summary": summary}
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
