"""Jobs by themselves: start a command line, look at it, end it, from any process and at any time later."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tao_skill_bank.errors import InputError
from tao_skill_bank.platforms.base import ENDED, JobRecord, JobState, job_state, jobs_dir, new_record
from tao_skill_bank.platforms.local import LocalPlatform

__all__ = ["cancel", "job_logs", "job_state", "read_job", "submit"]

_UID = re.compile(r"[A-Za-z0-9_-]{1,200}")


def submit(key: str, command: Sequence[str], output: Path, folder: Path) -> JobRecord:
    """Start a TAO command line on this machine, in a process that outlives the caller.

    Args:
        key: What the job is (`manual.tmm.nearest_neighbors`).
        command: The TAO command line.
        output: The file or folder it writes.
        folder: Where its record lies (`folder/jobs/`), and the command's working folder.

    Raises:
        InputError: No such command.
    """
    from tao_skill_bank.platforms.local import own_argv

    own_argv(command)
    folder.mkdir(parents=True, exist_ok=True)
    record = new_record(key=key, platform="local", command=command, outputs=[output], cwd=folder, results_dir=folder)
    return _local().submit(record)


def read_job(folder: Path, uid: str) -> JobRecord:
    """The record of a job.

    Raises:
        InputError: No such job in this folder, or its record cannot be read.
    """
    from pydantic import ValidationError

    path = jobs_dir(folder) / f"{uid}.json"
    missing = InputError(f"no job {uid!r}", where=jobs_dir(folder), fix="list the folder's jobs")
    if not _UID.fullmatch(uid):
        raise missing
    try:
        return JobRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise missing from None
    except ValidationError as error:
        raise InputError(f"not a job record: {error.errors()[0]['msg']}", where=path, fix="move it aside") from None


def job_logs(record: JobRecord, tail: int) -> str:
    """The last `tail` lines of the job's output."""
    return _local().logs(record, tail)


def cancel(record: JobRecord) -> JobState:
    """Ask a job to end; one that has ended is left as it is. Returns its state now."""
    state = job_state(record)
    if state not in ENDED:
        _local().cancel(record)
    return job_state(record)


@cache
def _local() -> LocalPlatform:
    """One for the process: it reaps the workers it started."""
    return LocalPlatform()
