"""The vocabulary every platform shares: a job, its record on disk, its state, and what a platform owes.

Rules:
- The record is written before the job is submitted; its uid is the job's name everywhere.
- The platform is the truth for "running", the job's own exit record for "finished". A job that neither knows is
  `lost`, which is not `failed`.
- Secrets are passed by the name of an environment variable, never in a record.
"""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, ValidationError

from tao_skill_bank.bank.home import CATEGORIES
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.clock import LOG_FORMAT, SystemClock, log_time
from tao_skill_bank.core.consent import How
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.models import Strict
from tao_skill_bank.core.process import is_alive
from tao_skill_bank.platforms.machine import Complaint, Machine
from tao_skill_bank.platforms.settings import PlatformSettings
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.platforms.worker import beside, is_held

JobState = Literal["pending", "running", "complete", "failed", "canceled", "lost"]
ENDED: frozenset[str] = frozenset({"complete", "failed", "canceled", "lost"})


class JobRecord(Strict):
    """One submitted command line.

    Attributes:
        uid: The job's identity, on every platform.
        key: What the job is within its run (`iter1.train.train.1`); the same key is the same work.
        platform: Which platform runs it.
        command: The TAO command line (`visual_changenet train -e …`).
        argv: What the platform really starts.
        env: Variables set for it; no secrets (those are inherited by name).
        outputs: Folders only this job writes.
        cwd: Its working folder.
        results_dir: The run folder.
        image: The container image, where there is one.
        image_digest: What that reference was when the job was submitted, where the engine says it.
        host: The machine of the engine that runs its container; where there is none, the job's claim says it.
        mounts: Host folders it sees, at the same path inside.
        secrets: Names of environment variables whose values it was handed.
        submitted_at: UTC.
        approved: How the word of a person arrived for a single action; a run's approval is in its state.
    """

    uid: str
    key: str
    platform: str
    command: list[str]
    argv: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    outputs: list[str]
    cwd: str
    results_dir: str
    image: str | None = None
    image_digest: str | None = None
    host: str | None = None
    mounts: list[str] = Field(default_factory=list)
    secrets: list[str] = Field(default_factory=list)
    submitted_at: str
    approved: How | None = None

    @property
    def path(self) -> Path:
        """The record's own file."""
        return jobs_dir(Path(self.results_dir)) / f"{self.uid}.json"

    @property
    def age_sec(self) -> float:
        """Seconds since it was made."""
        made = datetime.strptime(self.submitted_at, LOG_FORMAT).replace(tzinfo=UTC)
        return (datetime.now(UTC) - made).total_seconds()


class ExitRecord(BaseModel):
    """How a job's command ended."""

    exit_code: int
    started_at: str
    ended_at: str
    canceled: bool = False
    error: str | None = None


class PlatformCheck(BaseModel):
    """One pre-flight check of a platform: `ok`, `warn` (shown, does not stop) or `skip` (does not apply)."""

    name: str
    status: Literal["ok", "warn", "skip"]
    text: str


class Platform(ABC):
    """What runs command lines. The defaults are those of a platform that runs the bank's own, one at a time.

    Attributes:
        name: As `--platform` and job records name it.
        aliases: Other names that people write.
        text: What it is, in one line.
        Settings: Its settings, below its name.
        concurrent: Whether jobs may run side by side.
        detached: Whether its jobs run in detached workers of this machine, so that the disk alone tells their state.
        asks: Whether a person approves a single action on it, because it costs somebody's machine or runs what a
            setting names.
        shards: Whether it takes a command in parts, as job arrays.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    text: ClassVar[str] = ""
    Settings: ClassVar[type[BaseModel]] = PlatformSettings
    concurrent: bool = False
    detached: ClassVar[bool] = False
    asks: ClassVar[bool] = True
    shards: ClassVar[bool] = False

    # -- before anything runs ----------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def of(cls, config: Work) -> Self:
        """The platform for what it is to serve.

        Raises:
            InputError: A setting it needs is missing or wrong.
        """

    @classmethod
    def reach(cls) -> str:
        """What of it can be reached from here, in one line; changes nothing."""
        return cls.text or "installed by another package"

    def checks(self, config: Work, only: str | None = None) -> list[PlatformCheck]:
        """What can be checked of the platform before a run, without changing anything.

        Args:
            config: What it is to serve.
            only: The first word of the one command line that is to run; None for a run.

        Raises:
            BankError: Something is missing; the run must not begin.
        """
        return [PlatformCheck(name="platform", status="ok", text=self.reach())]

    def can_run(self, command: str) -> bool:
        """Whether a command line that begins with `command` can run here."""
        return command in CATEGORIES

    def tao_own(self, command: str) -> bool:
        """Whether NVIDIA's own implementation runs `command`, and not the bank's."""
        return False

    def plan(self, record: JobRecord) -> object:
        """What would be started for a job. Changes nothing.

        Raises:
            InputError: The job cannot run here.
        """
        return None

    @classmethod
    def explained(cls, found: Complaint, machine: Machine, source: str) -> Complaint:
        """What the doctor says of the platform, with the command that is right on this machine."""
        return replace(found, fix=cls.remedy(found.text, machine, source) or found.fix)

    @classmethod
    def remedy(cls, text: str, machine: Machine, source: str) -> str:
        """The command for a complaint; empty where the platform's own fix is the best there is."""
        return ""

    # -- jobs --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def submit(self, record: JobRecord) -> JobRecord:
        """Write the record, then start the job; returns the record as written."""

    @abstractmethod
    def status(self, record: JobRecord) -> JobState:
        """The job's state now; a job that nobody began and nobody will is settled as lost."""

    def peek(self, record: JobRecord) -> JobState:
        """The job's state, looked at without deciding anything."""
        return job_state(record) if self.detached else self.status(record)

    def logs(self, record: JobRecord, tail: int = 200) -> str:
        """The last `tail` lines of the job's output."""
        return tail_of(beside(record.path, "log"), tail)

    @abstractmethod
    def cancel(self, record: JobRecord) -> None:
        """End the job; a job that has ended is left as it is."""

    def end_left(self, record: JobRecord) -> bool:
        """End what a lost job has left behind; whether there was anything. Where nothing can be left, there is not."""
        return False

    def wait(self, record: JobRecord, seconds: float) -> bool:
        """Wait at most `seconds` for a job; false, at once, where the platform cannot wait for it."""
        return False


def new_record(
    *, key: str, platform: str, command: Sequence[str], outputs: Sequence[Path], cwd: Path, results_dir: Path
) -> JobRecord:
    """A record with a fresh uid, not yet on disk."""
    return JobRecord(
        uid=f"{_uid_start(key)}-{uuid.uuid4().hex[:12]}",
        key=key,
        platform=platform,
        command=list(command),
        outputs=[str(p) for p in outputs],
        cwd=str(cwd),
        results_dir=str(results_dir),
        submitted_at=log_time(SystemClock().now()),
    )


def _uid_start(key: str) -> str:
    """How the uids of a key, and so the names of its files, begin."""
    return key.replace(".", "-")


def jobs_dir(results_dir: Path) -> Path:
    """Where a run keeps its job records."""
    return results_dir / "jobs"


def write_record(record: JobRecord) -> None:
    """Put the record on disk, durably, before anything is submitted."""
    fsio.write_json(record.path, record.model_dump())


def read_records(results_dir: Path, key: str | None = None, prefix: str = "") -> list[JobRecord]:
    """The job records of a run, oldest first; those of one `key`, or of keys with a `prefix`, if given.

    A record that is moved away while they are read is left out. Files of other keys are not opened: their names tell.

    Raises:
        InputError: A record cannot be read.
    """
    found: list[JobRecord] = []
    start = _uid_start(f"{key}." if key is not None else prefix)
    try:
        names = guard.names(jobs_dir(results_dir))
    except FileNotFoundError:
        names = []
    for name in names:
        if not name.endswith(".json") or not name.startswith(start) or name[0] == "." or name.count(".") > 1:
            continue
        path = jobs_dir(results_dir) / name
        try:
            record = JobRecord.model_validate_json(guard.read_bytes(path, "job record"))
        except FileNotFoundError:
            continue
        except ValidationError as error:
            raise InputError(
                f"job record cannot be read: {error.errors()[0]['msg']}", where=path, fix="move the file aside"
            ) from None
        if record.key.startswith(prefix) and key in (None, record.key):
            found.append(record)
    return sorted(found, key=lambda r: (r.submitted_at, r.uid))


def read_exit(record: JobRecord) -> ExitRecord | None:
    """The job's exit record, or None while there is none.

    Raises:
        InputError: It is there and cannot be read; it was written whole, so somebody has changed it.
    """
    path = beside(record.path, "exit.json")
    try:
        return ExitRecord.model_validate_json(guard.read_bytes(path, "exit record"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(
            f"exit record cannot be read: {error.errors()[0]['msg']}", where=path, fix="restore it, or move it aside"
        ) from None


def job_state(record: JobRecord) -> JobState:
    """The state of a job that runs in a detached worker, looked at without deciding anything.

    `pending` while no worker has claimed it; whether one ever will is for the platform that runs it to settle.
    """
    ended = ended_state(record)
    if ended is not None:
        return ended
    claimed = read_process(beside(record.path, "claim.json"))
    if claimed is None:
        # Without its record the job was moved aside, and nobody runs it.
        return "pending" if guard.is_file(record.path) else "lost"
    if claimed[0] == 0:
        # Nobody runs it: the claim only keeps a late worker away.
        return "canceled" if guard.is_file(beside(record.path, "cancel")) else "lost"
    if is_held(record.path):
        return "running"
    child = read_process(beside(record.path, "child.json"))
    if any(who is not None and is_alive(*who) for who in (claimed, child)):
        return "running"
    # The exit record may have been written between the first look and now.
    return ended_state(record) or ("canceled" if guard.is_file(beside(record.path, "cancel")) else "lost")


def ended_state(record: JobRecord) -> JobState | None:
    """The state that the job's exit record tells, None while there is none."""
    ended = read_exit(record)
    if ended is None:
        return None
    if ended.canceled or (ended.exit_code != 0 and guard.is_file(beside(record.path, "cancel"))):
        return "canceled"
    return "complete" if ended.exit_code == 0 else "failed"


def tail_of(path: Path, lines: int) -> str:
    """The last `lines` lines of a text file, read from its end; empty if there is none."""
    try:
        with guard.open_read(path, "log") as handle:
            end = handle.seek(0, 2)
            handle.seek(max(0, end - 65536))
            data = handle.read()
    except FileNotFoundError:
        return ""
    # Of bytes: a text may hold other signs, such as U+2028, that end no line of a file.
    return b"\n".join(data.splitlines()[-lines:]).decode("utf-8", "replace")


def read_process(path: Path) -> tuple[int, str | None] | None:
    """(pid, identity) out of a claim or child file, None if it is not there.

    A container makes its claim in two steps, so one that cannot be read is somebody's all the same: (-1, None).
    """
    try:
        value = json.loads(guard.read_bytes(path))
        return int(value["pid"]), value.get("identity")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return -1, None
