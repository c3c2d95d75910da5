#!/usr/bin/env python3
"""Does the loop learn, and does choosing rows beat drawing them? Real runs of the loop, measured on the acceptance set.

For every seed the loop runs once an arm on a copy of the workspace: with the strategy it uses by default, and with the
same number of pool rows drawn at random; trainings, checkpoints and selection by the KPI set are the same. What counts
is FAR at 99 % recall on the acceptance set, which neither arm looks at before its end. The target is out of reach, so
that every arm uses all its iterations.

The exit status is 1 unless the loop at least halves the baseline's FAR (median over seeds), needs at most 0.85 times
the random arm's (median of the paired ratios), and is below it in four of five seeds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tao_skill_bank import runs
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.loop.request import Request
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.tasks.changenet import leaks, specs
from tao_skill_bank.tasks.changenet.config import RunConfig

TARGET = "FAR < 0.0001% at recall=99%"
ARMS = ("random", "nearest", "blend", "all")
LEAST_FAR = 0.05
MOST_OF_BASELINE, MOST_OF_RANDOM, LEAST_WINS = 0.5, 0.85, 0.8


@dataclass(frozen=True)
class Result:
    """One run: FAR in percent at 99 % recall on the acceptance set, pool rows added, seconds."""

    baseline: float
    best: float
    kpi: list[float]
    added: list[int]
    seconds: float
    config: RunConfig


def main() -> int:
    """Run every arm, print a line a run and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", nargs="?", type=Path, help="a workspace with pool and acceptance set [the demo]")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--strategy", default=None, help="the loop's mining.strategy [its default]")
    parser.add_argument("--against", nargs="*", choices=ARMS, default=["random"], help="the other arms [random]")
    parser.add_argument("--quick", action="store_true", help="one seed, one iteration")
    args = parser.parse_args()
    seeds, iterations = (1, 1) if args.quick else (args.seeds, args.iterations)
    for name in ("OMP", "OPENBLAS"):
        os.environ.setdefault(f"{name}_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="learning-") as folder:
        workspace = Path(folder).resolve() / "workspace"
        if args.workspace is None:
            from tao_skill_bank.demo import make_demo_workspace

            make_demo_workspace(workspace)
        else:
            shutil.copytree(args.workspace, workspace, ignore=shutil.ignore_patterns("results"))
        ours: list[Result] = []
        others: dict[str, list[Result]] = {arm: [] for arm in args.against}
        for seed in range(1, seeds + 1):
            settings = [] if args.strategy is None else [f"mining.strategy={args.strategy}"]
            ours.append(run(workspace, "loop", seed, iterations, settings))
            for arm, results in others.items():
                # `all` has nothing left to add after its first iteration.
                rounds = 1 if arm == "all" else iterations
                budget = [f"mining.budget={as_many(ours[-1])}"] if arm == "random" else []
                results.append(run(workspace, arm, seed, rounds, [f"mining.strategy={arm}", *budget]))
        return verdict(ours, others, quick=args.quick)


def as_many(loop: Result) -> int:
    """Rows to draw at random so that as many are added as by the loop.

    The loop drops new rows whose bytes an evaluation set holds elsewhere. Blank crops are like that, and a random draw
    has many of them, so it draws more.
    """
    config = loop.config
    if config.mining_pool_csv is None:
        sys.exit("the workspace has no mining pool")
    pool = read_pairs(Path(config.mining_pool_csv))
    naming = specs.naming_of(config)
    equal = leaks.equal_rows(pool, specs.image_root(config, pool.path, naming), config, naming)
    return max(1, round(statistics.mean(loop.added) * len(pool) / (len(pool) - len(equal))))


def run(workspace: Path, arm: str, seed: int, iterations: int, settings: list[str]) -> Result:
    """One run of the loop in a folder of its own; prints its line."""
    begun = time.monotonic()
    request = Request(
        workspace=workspace,
        kpi_target=TARGET,
        max_iterations=iterations,
        settings=[f"seed={seed}", *settings],
        results_dir=workspace / "results" / f"run_{arm}_{seed}",
    )
    folder = runs.open_run(request, approve=runs.plan_run(request).digest, how="flag")
    state = runs.run_loop(folder).state
    acceptance = state.acceptance
    if acceptance is None:
        sys.exit(f"{workspace}: has no kpi/acceptance_set.csv to measure on")
    labels = [BASELINE, *(f"iter{n}" for n in range(1, iterations + 1))]
    done = [state.iterations[label] for label in labels if label in state.iterations]
    result = Result(
        baseline=acceptance["far_at_recall"]["baseline_pct"],
        best=acceptance["far_at_recall"]["best_pct"],
        kpi=[float(x.far_pct) for x in done if x.far_pct is not None],
        added=[x.mining_mined_count or 0 for x in done[1:]],
        seconds=time.monotonic() - begun,
        config=state.config,
    )
    kpi = " ".join(f"{x:.2f}" for x in result.kpi)
    print(
        f"seed {seed} {arm:8s} acceptance FAR@99% {result.baseline:6.2f} -> {result.best:5.2f} %   KPI {kpi}   "
        f"pool rows {'+'.join(map(str, result.added))}   {result.seconds:.0f} s",
        flush=True,
    )
    return result


def verdict(ours: list[Result], others: dict[str, list[Result]], *, quick: bool) -> int:
    """Print the ratios; 1 if a promise is broken (one quick seed proves nothing and breaks none)."""
    of_baseline = statistics.median(r.best / max(r.baseline, LEAST_FAR) for r in ours)
    print(f"loop / baseline: median {of_baseline:.2f} (at most {MOST_OF_BASELINE})")
    kept = of_baseline <= MOST_OF_BASELINE
    for arm, results in others.items():
        ratios = [a.best / max(b.best, LEAST_FAR) for a, b in zip(ours, results, strict=True)]
        wins = sum(a.best < b.best for a, b in zip(ours, results, strict=True))
        ratio = statistics.median(ratios)
        of_baseline = statistics.median(r.best / max(r.baseline, LEAST_FAR) for r in results)
        print(f"{arm} / baseline: median {of_baseline:.2f}")
        print(f"loop / {arm}: median {ratio:.2f}, below it in {wins} of {len(ratios)} seeds")
        if arm == "random":
            kept = kept and ratio <= MOST_OF_RANDOM and wins >= LEAST_WINS * len(ratios)
    return 0 if kept or quick else 1


if __name__ == "__main__":
    sys.exit(main())
