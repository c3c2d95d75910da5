"""Jobs by themselves: start a command line, look at it, end it, from any process and at any time later."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import EngineUnreachableError, InputError
from tao_skill_bank.platforms import base, names, platform_class
from tao_skill_bank.platforms.base import ENDED, JobRecord, JobState, Platform, jobs_dir, new_record
from tao_skill_bank.platforms.local import LocalPlatform, end_what_is_left
from tao_skill_bank.platforms.work import Work

__all__ = ["cancel", "job_logs", "job_state", "platform_of", "read_job", "submit"]

_UID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_STATE = "deft_state.json"
ACTION = "action.json"
"""Beside the job of a single action: its `config`, for whoever looks at the job later."""


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
    guard.make_folder(folder)
    record = new_record(key=key, platform="local", command=command, outputs=[output], cwd=folder, results_dir=folder)
    return _local().submit(record)


def read_job(folder: Path, uid: str) -> JobRecord:
    """The record of a job.

    Raises:
        InputError: No such job in this folder, or its record cannot be read.
    """
    path = jobs_dir(folder) / f"{uid}.json"
    missing = InputError(f"no job {uid!r}", where=jobs_dir(folder), fix="list the folder's jobs")
    if not _UID.fullmatch(uid):
        raise missing
    try:
        return JobRecord.model_validate_json(guard.read_bytes(path, "job record"))
    except FileNotFoundError:
        raise missing from None
    except ValidationError as error:
        raise InputError(f"not a job record: {error.errors()[0]['msg']}", where=path, fix="move it aside") from None


def job_state(record: JobRecord) -> JobState:
    """The state of a job, looked at without deciding anything, on whatever platform it runs.

    Raises:
        EngineUnreachableError: The platform has to be asked and does not answer.
    """
    if _detached(record):
        return base.job_state(record)
    return base.ended_state(record) or platform_of(record).peek(record)


def may_run(folder: Path) -> list[str]:
    """The jobs of a folder that were not seen to end, by key: a look at the disk alone, which asks no cluster."""
    going = ("running", "pending")
    open_jobs = [r for r in base.read_records(folder) if base.read_exit(r) is None]
    return [r.key for r in open_jobs if not _detached(r) or base.job_state(r) in going]


def job_logs(record: JobRecord, tail: int) -> str:
    """The last `tail` lines of the job's output."""
    return (_local() if _detached(record) else platform_of(record)).logs(record, tail)


def cancel(record: JobRecord) -> JobState:
    """Ask a job to end; one that has ended is left as it is, but for what a killed worker left. Returns its state."""
    try:
        state = job_state(record)
    except EngineUnreachableError:
        # One that nobody began is kept from beginning all the same; for any other the platform says that it is away.
        state = "running"
    if state == "lost" and _detached(record):
        end_what_is_left(record)
    elif state not in ENDED:
        (_local() if _detached(record) else platform_of(record)).cancel(record)
    return job_state(record)


def platform_of(record: JobRecord) -> Platform:
    """The platform that runs a job, with the settings of its run where its folder holds one.

    Raises:
        InputError: The platform is not known, or its settings cannot be read.
    """
    return _platform(record.platform, record.results_dir)


@cache
def _platform(name: str, results_dir: str) -> Platform:
    path = Path(results_dir) / _STATE
    if not guard.is_file(path):
        path = Path(results_dir) / ACTION
    config: Any = {}
    try:
        config = json.loads(guard.read_bytes(path))["config"]
    except FileNotFoundError:
        pass
    except (ValueError, TypeError, LookupError, RecursionError):
        raise InputError("the run's state cannot be read", where=path, fix="restore it") from None
    try:
        found: Platform = platform_class(name).of(Work.looking(config, name))
    except (ValidationError, TypeError):
        raise InputError(f"the settings of {name} are not there", where=path, fix="name the run's own folder") from None
    return found


def _detached(record: JobRecord) -> bool:
    """Whether a worker of this machine runs it, so that the disk alone tells its state."""
    return record.platform in names() and bool(platform_class(record.platform).detached)


@cache
def _local() -> LocalPlatform:
    """One for the process: it reaps the workers it started."""
    return LocalPlatform()
