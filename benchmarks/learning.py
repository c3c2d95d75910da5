"""Does the loop learn? FAR on the acceptance set, on which nothing was chosen, for five seeds.

    python benchmarks/learning.py WORKSPACE [--seeds 5] [--max-iterations 3]

For each seed, through the real engine on this machine's CPU: the baseline; the loop's best model; the same number of
pool rows, trainings and selections with the rows drawn at random; the whole pool in one training. Prints FAR at 99 %
and 100 % recall of each, and the ratios. The workspace is not written to: the runs lie in a temporary copy of its CSVs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tao_skill_bank.deft.scores import read_scores
from tao_skill_bank.metrics import far_at_recall

TARGET = "FAR < 1% at recall=99%"
NEVER = "FAR <= 0% at recall=99%"
LEAST = 1e-4  # a FAR of zero counts as this in a ratio


def copied(workspace: Path, folder: Path) -> Path:
    """The workspace with its CSVs and pairs copied and its images linked."""
    folder.mkdir()
    for path in workspace.iterdir():
        if path.name == "results":
            continue
        if path.name == "images":
            os.symlink(path.resolve(), folder / "images")
        elif path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            shutil.copy(path, folder / path.name)
    return folder


def run(workspace: Path, name: str, seed: int, target: str, iterations: int, strategy: str | None) -> Path:
    """One run of the loop; returns its folder."""
    folder = workspace / "results" / f"{name}_{seed}"
    command = [sys.executable, "-m", "tao_skill_bank.cli", "deft", "run", "--workspace", str(workspace)]
    command += ["--kpi-target", target, "--max-iterations", str(iterations), "--results-dir", str(folder), "--yes"]
    command += ["--set", f"seed={seed}", "--json"]
    if strategy is not None:
        command += ["--set", f"mining.strategy={strategy}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name} seed {seed}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return folder


def far(csv: Path, recall: float) -> float:
    """FAR (a share) at a recall."""
    scores = read_scores(csv)
    point = far_at_recall(scores.score, scores.is_pass, recall)
    return 1.0 if point is None else point.far


def best_csv(folder: Path) -> Path:
    """The acceptance inference of a run's best model; the baseline's where nothing was better."""
    best = folder / "acceptance" / "best" / "inference.csv"
    return best if best.exists() else folder / "acceptance" / "baseline" / "inference.csv"


def main() -> int:
    """Run all arms, print figures and ratios; exit status 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-iterations", type=int, default=3)
    parser.add_argument("--target", default=TARGET)
    parser.add_argument("--quick", action="store_true", help="nothing without a workspace: it takes minutes a seed")
    args = parser.parse_args()
    if args.workspace is None:
        print("learning.py needs a workspace with an acceptance set: python benchmarks/learning.py WORKSPACE")
        return 0 if args.quick else 2
    figures: dict[str, list[tuple[float, float]]] = {"baseline": [], "loop": [], "random": [], "whole pool": []}
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        workspace = copied(args.workspace.resolve(), Path(name) / "w")
        for seed in range(1, args.seeds + 1):
            began = time.monotonic()
            loop = run(workspace, "loop", seed, args.target, args.max_iterations, None)
            took = time.monotonic() - began
            state = json.loads((loop / "deft_state.json").read_text())
            iterations = max(1, len(state["iterations"]) - 1)
            # The same number of trainings and selections: the random arm may not stop earlier.
            drawn = run(workspace, "random", seed, NEVER, iterations, "random")
            whole = run(workspace, "all", seed, NEVER, 1, "all")
            added = [it["mining_mined_count"] for it in state["iterations"].values() if it.get("mining_mined_count")]
            arms = {
                "baseline": loop / "acceptance" / "baseline" / "inference.csv",
                "loop": best_csv(loop),
                "random": best_csv(drawn),
                "whole pool": whole / "acceptance" / "best" / "inference.csv",
            }
            if not arms["whole pool"].exists():
                arms["whole pool"] = best_csv(whole)
            for arm, csv in arms.items():
                figures[arm].append((far(csv, 0.99), far(csv, 1.0)))
            shown = "  ".join(f"{arm} {figures[arm][-1][0]:.4f} / {figures[arm][-1][1]:.4f}" for arm in arms)
            rows.append(f"seed {seed}: {shown}  ({iterations} iterations, rows {added}, loop {took:.0f} s)")
            print(rows[-1], flush=True)
    at99 = {arm: [max(LEAST, pair[0]) for pair in pairs] for arm, pairs in figures.items()}
    to_base = [a / b for a, b in zip(at99["loop"], at99["baseline"], strict=True)]
    to_random = [a / b for a, b in zip(at99["loop"], at99["random"], strict=True)]
    wins = sum(a < b for a, b in zip(at99["loop"], at99["random"], strict=True))
    print("\nFAR on the acceptance set, median: at 99 % recall / at 100 % recall")
    for arm, pairs in figures.items():
        print(
            f"  {arm:<11} {statistics.median(p[0] for p in pairs):.4f} / {statistics.median(p[1] for p in pairs):.4f}"
        )
    base, rand = statistics.median(to_base), statistics.median(to_random)
    print(f"loop / baseline at 99 %: median ratio {base:.2f} (goal at most 0.5)")
    print(
        f"loop / random   at 99 %: median paired ratio {rand:.2f} (goal at most 0.85), below in {wins} of {args.seeds}"
    )
    return 0 if base <= 0.5 and rand <= 0.85 and wins >= 0.8 * args.seeds else 1


if __name__ == "__main__":
    sys.exit(main())
