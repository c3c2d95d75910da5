"""Sharded data work from end to end: what lacks its output is run, here or as an array, and then merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.platforms.arrays import (
    Piece,
    close_array,
    earlier_array,
    own_python,
    run_here,
    submit_array,
    wait_for_array,
)

if TYPE_CHECKING:
    from tao_skill_bank.actions.mining.neighbors import Mined
    from tao_skill_bank.actions.mining.shards import ErrorRow, MiningPlan
    from tao_skill_bank.platforms.slurm import SlurmPlatform

LOG_FILE = "shards.log"
Progress = Callable[[int, int], None]


def run_missing(
    missing: Callable[[], Sequence[Piece]],
    *,
    platform: SlurmPlatform | None,
    folder: Path,
    key: str,
    workers: int | None = None,
    at_once: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Run the pieces that `missing` names, once each; returns how many are missing still.

    Args:
        missing: Asked before and after; what it names is not done.
        platform: SLURM, or None for this machine.
        folder: The results folder; job records of arrays lie in `folder/jobs`.
        key: What the work is, so that an array which an earlier process started is found.
        workers: Processes at one time on this machine.
        at_once: Tasks at one time on SLURM.
        progress: Called now and then while an array runs.
    """
    if platform is None:
        pieces = missing()
        if pieces:
            run_here(pieces, folder / LOG_FILE, workers=workers)
        return len(missing())
    running = earlier_array(platform, folder, key)
    if running is not None:
        wait_for_array(platform, running, progress)
        close_array(running, len(missing()))
    pieces = missing()
    if pieces:
        record = submit_array(platform, pieces, folder=folder, key=key, at_once=at_once)
        wait_for_array(platform, record, progress)
        close_array(record, len(missing()))
    return len(missing())


def mine_sharded(
    output: Path,
    plan: MiningPlan,
    platform: SlurmPlatform | None = None,
    *,
    workers: int | None = None,
    at_once: int | None = None,
    progress: Progress = lambda _done, _all: None,
) -> tuple[Mined, list[ErrorRow]]:
    """Mine a pool by its plan; as `actions.mining.shards.merge_shards`.

    Raises:
        BankError: A shard has no valid output afterwards; its log says why. Running again does only what is missing.
    """
    from tao_skill_bank.actions.mining.shards import merge_shards, missing_shards, write_plan

    write_plan(output, plan)
    python = own_python(platform)

    def missing() -> list[Piece]:
        return [
            Piece(
                f"mine shard {n}",
                (python, "-P", "-m", "tao_skill_bank.actions.mining.shards", str(output.absolute()), str(n)),
            )
            for n in missing_shards(output, plan)
        ]

    run_missing(
        missing,
        platform=platform,
        folder=output.absolute(),
        key=f"mine.{plan.digest[:12]}",
        workers=workers,
        at_once=at_once,
        progress=lambda: progress(len(plan.shards) - len(missing_shards(output, plan)), len(plan.shards)),
    )
    return merge_shards(output)
