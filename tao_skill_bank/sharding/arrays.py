"""Many small pieces of work: on this machine a few at a time, on SLURM as one job array.

A piece knows by itself whether it is done (its output is content-addressed and written whole), so running one again is
harmless; still, before a new array is submitted the one that an earlier process started is waited for. An array takes
one task a piece, and several where there are more pieces than the cluster allows tasks.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.core import foreground, fsio, guard, roots
from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError
from tao_skill_bank.core.threads import SINGLE_THREAD, ThreadPool
from tao_skill_bank.platforms.base import ENDED, JobRecord, new_record, read_records, write_record
from tao_skill_bank.platforms.slurm.script import sbatch_argv, script_path
from tao_skill_bank.platforms.worker import beside, now, write_whole

if TYPE_CHECKING:
    from tao_skill_bank.platforms.slurm.platform import SlurmPlatform

DEFAULT_MAX_TASKS = 1001
_POLL_FIRST_SEC = 0.1
_POLL_MOST_SEC = 5.0
_LOOK_SEC = 0.2
_STOPPING = "stopping: the parts at work are asked to end, what is done is kept; once more ends them at once"
_AT_ONCE = "ended at once: what is done is kept, an annotation's calls in flight count as billed. Run again to go on"


@dataclass(frozen=True)
class Piece:
    """A piece of work: its name, and the command line that does it."""

    name: str
    argv: tuple[str, ...]


def run_here(
    pieces: Sequence[Piece],
    log: Path,
    *,
    workers: int | None = None,
    secrets: Mapping[str, str] | None = None,
    progress: Callable[[], None] = lambda: None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Run pieces as processes of this machine; returns how many failed. Their output goes to `log`.

    `progress` is called in this thread whenever one has ended. They are sessions of their own: what a terminal or
    anybody else asks this process for is passed on to them, once. No further one is begun once it is `stopped`; those
    at work are asked by whoever asked for that.

    Raises:
        BankError: This process was asked to stop; they have ended, and no further one was begun.
    """
    env = {**os.environ, **roots.environment(), **SINGLE_THREAD, **(secrets or {})}
    guard.make_folder(log.parent)
    running: set[subprocess.Popen[bytes]] = set()

    def at_once() -> str:
        for process in list(running):
            with contextlib.suppress(OSError):
                process.terminate()
        return _AT_ONCE

    with (
        guard.open_write(log, "ab") as out,
        foreground.stops(_STOPPING, at_once),
        ThreadPool(max_workers=workers or os.cpu_count() or 1) as pool,
    ):

        def one(piece: Piece) -> int:
            if foreground.asked() is not None or stopped():
                return 1
            process = subprocess.Popen(
                list(piece.argv), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True
            )
            running.add(process)
            try:
                return process.wait()
            finally:
                running.discard(process)

        waits = [pool.submit(one, piece) for piece in pieces]
        failed, told = 0, set[int]()
        while waits:
            done, left = wait(waits, timeout=_LOOK_SEC, return_when=FIRST_COMPLETED)
            waits = list(left)
            for ended in done:
                failed += ended.result() != 0
                progress()
            if foreground.asked() is not None:
                for process in [p for p in list(running) if p.pid not in told]:
                    told.add(process.pid)
                    with contextlib.suppress(OSError):
                        process.terminate()
        if (asked := foreground.asked()) is not None and failed:
            raise asked.of(BankError(f"stopped by {asked.by}", fix="run again to go on: what is done is kept"))
        return failed


def tasks_of(pieces: Sequence[Piece], most: int) -> list[list[Piece]]:
    """Pieces dealt to at most `most` tasks, in order: task t gets piece t and every `tasks`-th after it."""
    count = min(len(pieces), most)
    return [list(pieces[t::count]) for t in range(count)]


def max_tasks(platform: SlurmPlatform) -> int:
    """The most tasks an array of this cluster may have (`MaxArraySize`; indices from 0 stay below it)."""
    shown = platform.client.ask(["scontrol", "show", "config"])
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown, re.MULTILINE)
    return int(match[1]) if match else DEFAULT_MAX_TASKS


def earlier_array(platform: SlurmPlatform, folder: Path, key: str) -> JobRecord | None:
    """An array of that key which an earlier process started and which has not ended."""
    for record in reversed(read_records(folder, key)):
        if platform.status(record) not in ENDED:
            return record
    return None


def submit_array(
    platform: SlurmPlatform,
    pieces: Sequence[Piece],
    *,
    folder: Path,
    key: str,
    secrets: Mapping[str, str] | None = None,
) -> JobRecord:
    """Submit pieces as one array; its record lies in `folder/jobs`, a task's output in `<uid>.<task>.log`.

    Args:
        platform: Where to.
        pieces: What to run; the command lines must mean the same on a node.
        folder: The results folder, which nodes share.
        key: What the array is; see `earlier_array`.
        secrets: Variables of the tasks beside those that the platform passes: named in the record, with no value.

    Raises:
        InputError: The platform runs containers: pieces are the bank's own.
        BankError: The cluster refuses it, or does not answer.
    """
    if platform.settings.given.container != "none":
        raise InputError(
            "sharded work runs the bank itself", where="slurm.container", fix="leave slurm.container=none for it"
        )
    tasks = tasks_of(pieces, max_tasks(platform))
    command = [piece.name for piece in pieces[:1]] + [f"{len(pieces)} pieces"]
    record = new_record(key=key, platform="slurm", command=command, outputs=[], cwd=folder, results_dir=folder)
    names = [*platform.settings.request.pass_env, *(secrets or {})]
    record = record.model_copy(update={"argv": list(pieces[0].argv), "env": platform.arithmetic(), "secrets": names})
    write_record(record)
    fsio.write_text(script_path(record), array_script(record, tasks))
    request = replace(platform.settings.request, gpus=0)
    platform.hand_over(record, sbatch_argv(record, request, len(tasks)), secrets)
    return record


def wait_for_array(platform: SlurmPlatform, record: JobRecord, progress: Callable[[], None] = lambda: None) -> None:
    """Wait until every task has ended, or the array is unknown.

    Which pieces are done is not read from the states of tasks: their outputs say it.

    Raises:
        EngineUnreachableError: The controller has not answered for as long as the platform's patience.
    """
    pause = _POLL_FIRST_SEC
    silent = 0.0
    while True:
        try:
            job = platform.client.jobs_named([record.uid]).get(record.uid)
            silent = 0.0
        except EngineUnreachableError:
            silent += pause
            if silent >= platform.settings.given.patience_sec:
                raise
        else:
            if job is None or platform.is_over(job):
                return
        progress()
        time.sleep(pause)
        pause = min(_POLL_MOST_SEC, pause * 1.3)


def close_array(record: JobRecord, failed: int) -> None:
    """Write the array's exit record: 0 if every piece has valid output."""
    if not guard.exists(beside(record.path, "exit.json")):
        ended = {"exit_code": 1 if failed else 0, "started_at": record.submitted_at, "ended_at": now()}
        error = f"{failed} pieces have no valid output" if failed else None
        write_whole(beside(record.path, "exit.json"), {**ended, "canceled": False, "error": error})


def array_script(record: JobRecord, tasks: Sequence[Sequence[Piece]]) -> str:
    """The script of an array: a case for each task, its pieces one after the other, each tried."""
    jobs = shlex.quote(str(record.path.parent))
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in record.env.items())
    cases = "".join(
        f"{number})\n" + "".join(f"    {shlex.join(piece.argv)} || failed=1\n" for piece in task) + "    ;;\n"
        for number, task in enumerate(tasks)
    )
    return f"""\
#!/bin/sh
# {record.uid}
# Pieces of sharded work, written by tao-skills. A piece that has its output does nothing.
stem={jobs}/{record.uid}
if [ ! -e "$stem.json" ] || [ -e "$stem.claim.json" ]; then
    echo "given up; not run" >&2
    exit 0
fi
cd {shlex.quote(record.cwd)} || exit 66
{exports}failed=0
case "$SLURM_ARRAY_TASK_ID" in
{cases}*) failed=64 ;;
esac
exit "$failed"
"""


def own_python(platform: SlurmPlatform | None) -> str:
    """The interpreter that pieces begin with: the nodes', or this one."""
    return sys.executable if platform is None else platform.settings.python
