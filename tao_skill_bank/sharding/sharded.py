"""Sharded data work from end to end: what lacks its output is run, here or as an array, and then merged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.annotate.gate import RunHaltedError
from tao_skill_bank.annotate.layout import STATUS_FILE
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.sharding.arrays import (
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
    from tao_skill_bank.annotate.api import Request
    from tao_skill_bank.annotate.run import Outcome
    from tao_skill_bank.annotate.sealed import Sealed
    from tao_skill_bank.platforms.slurm.platform import SlurmPlatform

LOG_FILE = "shards.log"
_LAUNCH_FILE = "shard_launch.json"
Progress = Callable[[int, int], None]


def run_missing(
    missing: Callable[[], Sequence[Piece]],
    *,
    platform: SlurmPlatform | None,
    folder: Path,
    key: str,
    workers: int | None = None,
    progress: Callable[[], None] = lambda: None,
    secrets: Mapping[str, str] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Run the pieces that `missing` names, once each; returns how many are missing still.

    Args:
        missing: Asked before and after; what it names is not done.
        platform: SLURM, or None for this machine.
        folder: The results folder; job records of arrays lie in `folder/jobs`.
        key: What the work is, so that an array which an earlier process started is found.
        workers: Processes at one time on this machine.
        progress: Called when a piece of this machine has ended, and now and then while an array runs.
        secrets: Variables that pieces get beside those of the platform; their values are written nowhere.
        stopped: Whether somebody asked for an end: no further piece is begun.
    """
    if platform is None:
        pieces = missing()
        if pieces:
            run_here(pieces, folder / LOG_FILE, workers=workers, secrets=secrets, progress=progress, stopped=stopped)
        return len(missing())
    running = earlier_array(platform, folder, key)
    if running is not None:
        wait_for_array(platform, running, progress)
        close_array(running, len(missing()))
    pieces = [] if stopped() else missing()
    if pieces:
        record = submit_array(platform, pieces, folder=folder, key=key, secrets=secrets)
        wait_for_array(platform, record, progress)
        close_array(record, len(missing()))
    return len(missing())


def mine_sharded(
    output: Path,
    plan: MiningPlan,
    platform: SlurmPlatform | None = None,
    *,
    workers: int | None = None,
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
        progress=lambda: progress(len(plan.shards) - len(missing_shards(output, plan)), len(plan.shards)),
    )
    return merge_shards(output)


def annotate_sharded(
    request: Request,
    shards: int,
    platform: SlurmPlatform | None = None,
) -> Outcome:
    """Annotate in shards, each a run of its own, then bring the answers together and write the files.

    A shard that is complete, without failures and for the same request and videos, is not run again. Limits are
    divided: all shards together stay below them. Without a platform it is this machine.

    Raises:
        InputError: The request cannot be met.
        BankError: A shard did not end well; running again resumes those that did not.
    """
    from tao_skill_bank.annotate import api
    from tao_skill_bank.annotate.holder import folder_lock
    from tao_skill_bank.annotate.listing import in_shard
    from tao_skill_bank.annotate.run import stop_requested
    from tao_skill_bank.annotate.scope import Limits

    if request.shard is not None:
        raise InputError("both one shard and all of them are asked for", where="--shard", fix="give one of them")
    if shards < 1:
        raise InputError(f"not a number of shards: {shards}", where="--shards", fix="give at least 1")
    whole = api.seal_run(request)
    config, videos = whole.config, whole.listing.videos
    taken = [n for n in range(1, shards + 1) if not videos or any(in_shard(video, n, shards) for video in videos)]
    limits = Limits(
        max_calls=None if request.max_calls is None else request.max_calls // max(1, len(taken)),
        max_cost=None if request.max_cost is None else request.max_cost / max(1, len(taken)),
    )
    python = own_python(platform)
    launches: dict[int, tuple[Path, Path, str]] = {}
    secrets: dict[str, str] = {}

    def missing() -> list[Piece]:
        return [
            Piece(
                f"annotate shard {number}/{shards}",
                (python, "-P", "-m", "tao_skill_bank.annotate.worker", str(path), digest),
            )
            for number, (folder, path, digest) in launches.items()
            if not _is_annotated(folder)
        ]

    # Whoever asks the whole to stop finds this process, and two of one whole are not at work at a time: whoever comes
    # second changes nothing of what the shards of the first are asked.
    with folder_lock(config.results_dir, "annotate run --shards"):
        for number in taken:
            part = whole.part(number, shards, limits)
            path, keys = api.keep_request(part)
            folder = part.config.results_dir
            _note_launch(folder, part)
            launches[number] = (folder, path.absolute(), part.digest)
            secrets |= keys
        run_missing(
            missing,
            platform=platform,
            folder=config.results_dir.absolute(),
            key=f"{api.ARRAY_KEY}{shards}",
            secrets=secrets,
            stopped=lambda: stop_requested(config.results_dir),
        )
        # Also where every shard had ended by then: what follows may ask and pay, too.
        if stop_requested(config.results_dir):
            raise RunHaltedError("stopped as asked", where=config.results_dir, fix="run the command again to go on")
    halted = [folder for folder, _, _ in launches.values() if api.status(folder).status != "complete"]
    if halted:
        raise BankError(
            f"{len(halted)} of {len(launches)} shards did not end: {api.status(halted[0]).message or 'see its log'}",
            where=halted[0],
            fix="fix the cause and run the same command again; every answer is kept",
        )
    api.merge(config.results_dir)
    return api.run_here(request)


def _note_launch(folder: Path, part: Sealed) -> None:
    """Say what a shard is launched for, and how long its status file was then: what is added later is its own."""
    # Not the rows that are there: the shard's own run adds to them.
    wanted = replace(part, rows={}).digest
    path = folder / _LAUNCH_FILE
    if _launch(folder).get("digest") != wanted:
        fsio.write_json(path, {"digest": wanted, "status_bytes": _size(folder / STATUS_FILE)})


def _is_annotated(folder: Path) -> bool:
    from tao_skill_bank.annotate.api import status

    if _size(folder / STATUS_FILE) <= int(_launch(folder).get("status_bytes", 0)):
        return False
    view = status(folder)
    return view.status == "complete" and not view.failure_count


def _launch(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(guard.read_text(folder / _LAUNCH_FILE))
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
