"""One run while it is being worked on: its state, its folders, its jobs."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from tao_skill_bank.core import filesystem, foreground, fsio, guard
from tao_skill_bank.core.clock import Clock, SystemClock
from tao_skill_bank.core.errors import BankError, StageFailedError
from tao_skill_bank.loop.fence import Fence
from tao_skill_bank.loop.state import AnyState, Result, iteration_label, save_state, state_path
from tao_skill_bank.platforms.base import ENDED, JobRecord, Platform, new_record, read_exit, read_records
from tao_skill_bank.platforms.worker import beside

S = TypeVar("S", bound=AnyState)
R = TypeVar("R", bound=Result)
STOP_REQUEST = "stop_request.json"
_POLL_FIRST_SEC = 0.01
_POLL_MOST_SEC = 0.5


class StopRequestedError(BankError):
    """Somebody asked the run to stop; what runs was ended, and running again takes the stage up anew."""

    exit_code = 0


class Observer(Protocol):
    """Who watches a run. Every method may be called often and must return at once."""

    def stage_started(self, state: AnyState, label: str, stage: str) -> None:
        """A stage begins."""

    def stage_ended(self, state: AnyState, label: str, line: str) -> None:
        """A stage was committed; `line` is its status line."""

    def note(self, text: str) -> None:
        """A warning or a remark."""


class Silent:
    """An observer that looks away."""

    def stage_started(self, state: AnyState, label: str, stage: str) -> None:
        """Nothing."""

    def stage_ended(self, state: AnyState, label: str, line: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class JobPlan:
    """A command line to run.

    Attributes:
        name: The job's, within its stage.
        outputs: Folders, or files with a suffix, that only this job writes; folders are made before it starts.
    """

    name: str
    command: Sequence[str]
    outputs: Sequence[Path]


def _nothing(results_dir: Path) -> None:
    """No page is written."""


@dataclass
class Run(Generic[S]):
    """What a stage is handed.

    Attributes:
        state: The snapshot; a stage reads it and returns updates, only the engine writes it.
        render: Writes what people look at, from the run folder; given by the process that works on the run.
    """

    state: S
    platform: Platform
    observer: Observer
    clock: Clock
    render: Callable[[Path], None] = _nothing
    fence: Fence = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is held yet: the first commit takes the run."""
        self.fence = Fence(state_path(self.root))

    @classmethod
    def of(
        cls,
        state: S,
        platform: Platform,
        observer: Observer | None = None,
        render: Callable[[Path], None] | None = None,
    ) -> Run[S]:
        """A run with the system clock."""
        return cls(state, platform, observer or Silent(), SystemClock(), render or _nothing)

    @property
    def root(self) -> Path:
        """The run folder."""
        return Path(self.state.results_dir)

    @property
    def workspace(self) -> Path:
        """The workspace."""
        return Path(self.state.config.workspace)

    def folder(self, label: str) -> Path:
        """The folder of the baseline or an iteration."""
        return self.root / label

    def previous(self, label: str) -> str:
        """The label before `label`: the baseline for `iter1`."""
        number = int(label.removeprefix("iter"))
        return iteration_label(number - 1)

    def need(self, label: str, kind: type[R], what: str, fix: str) -> R:
        """What an earlier stage found.

        Raises:
            StageFailedError: It has not: `what` and `fix` say so.
        """
        found: R | None = self.state.iteration(label).result(kind)
        if found is None:
            raise StageFailedError(what, where=label, fix=fix)
        return found

    def take(self) -> None:
        """Make every earlier worker of the run find that it is another's now; before anything else is written."""
        if self.fence.version is None:
            self.save()

    def save(self) -> None:
        """Commit the state, unless somebody else has taken the run over."""
        save_state(self.state)
        self.fence.hold((self.state.started_at, self.state.generation))

    # -- jobs ----------------------------------------------------------------------------------------------------

    def job(self, label: str, stage: str, name: str, command: Sequence[str], outputs: Sequence[Path]) -> None:
        """Run one command line to its end; as `jobs`."""
        self.jobs(label, stage, [JobPlan(name, command, outputs)])

    def jobs(self, label: str, stage: str, plans: Sequence[JobPlan]) -> None:
        """Run command lines to their end, side by side where the platform can; what ended well is not run again.

        None of the plans needs what another writes.

        Raises:
            StageFailedError: A command failed, or its worker vanished without an exit record; the others were
                waited for.
            StopRequestedError: A stop was asked for while one ran; all were ended.
        """
        together = plans if self.platform.concurrent else ()
        started = [self._started(label, stage, plan) for plan in together]
        failures: list[StageFailedError] = []
        for index, plan in enumerate(plans):
            record = started[index] if started else self._started(label, stage, plan)
            try:
                self._finish(record, f"{label} {stage}")
            except StageFailedError as error:
                failures.append(error)
            except StopRequestedError:
                for other in started:
                    if self.platform.status(other) not in ENDED:
                        self.platform.cancel(other)
                        self._await_end(other)
                raise
            if failures and not started:
                break
        if failures:
            raise failures[0]

    def _started(self, label: str, stage: str, plan: JobPlan) -> JobRecord:
        key = f"{label}.{stage}.{plan.name}"
        record = self._finished(key, list(plan.command))
        if record is not None:
            return record
        self.check_stop()
        for path in plan.outputs:
            guard.make_folder(path.parent if path.suffix else path)
        return self.platform.submit(
            new_record(
                key=key,
                platform=self.platform.name,
                command=plan.command,
                outputs=plan.outputs,
                cwd=self.workspace,
                results_dir=self.root,
            )
        )

    def _finish(self, record: JobRecord, where: str) -> None:
        state = self._wait(record)
        if state == "complete":
            return
        ended = read_exit(record)
        said = [line for line in self.platform.logs(record, 30).splitlines() if line.strip()]
        how = f"exit status {ended.exit_code}" if state == "failed" and ended else state
        raise StageFailedError(
            f"`{' '.join(record.command[:2])}` ended {how}: {said[-1] if said else 'no output'}",
            where=where,
            fix=f"see {beside(record.path, 'log')}; fix the cause and run again",
        )

    def _finished(self, key: str, command: list[str]) -> JobRecord | None:
        for record in read_records(self.root, key):
            if record.command == command and self.platform.status(record) in ("complete", "running", "pending"):
                return record
        return None

    def _wait(self, record: JobRecord) -> str:
        pause = _POLL_FIRST_SEC
        while True:
            state = self.platform.status(record)
            if state in ENDED:
                return state
            self.fence.check()
            if (stop := self._stop(record.key)) is not None:
                self.platform.cancel(record)
                self._await_end(record)
                raise stop
            if not self.platform.wait(record, pause):
                self.clock.sleep(pause)
            pause = min(_POLL_MOST_SEC, pause * 1.5)

    def _await_end(self, record: JobRecord) -> None:
        limit = self.clock.monotonic() + 30.0
        while self.platform.status(record) not in ENDED and self.clock.monotonic() < limit:
            self.clock.sleep(_POLL_FIRST_SEC)

    def wait_for_orphans(self, label: str, stage: str) -> None:
        """Wait until no job of this stage runs any more: one started before a crash is never doubled.

        What a job has left whose worker and command are both dead is ended: nobody will write its exit record.
        """
        for record in self.stage_records(label, stage):
            job = self.platform.status(record)
            if job not in ENDED:
                self.observer.note(f"waiting for {record.key}, which an earlier process started")
                self._wait(record)
            elif job == "lost" and self.platform.end_left(record):
                self.observer.note(f"ended what {record.key} had left, which an earlier process started")

    def stage_records(self, label: str, stage: str) -> list[JobRecord]:
        """The job records of one stage, oldest first."""
        return read_records(self.root, prefix=f"{label}.{stage}.")

    def last_change(self, label: str, stage: str, folders: Sequence[Path]) -> float:
        """When a stage's files, or those of its jobs, were last written: POSIX seconds, 0 if there are none."""
        files = [p for folder in folders for p in (folder, *folder.rglob("*"))]
        files += [p for r in self.stage_records(label, stage) for p in guard.matching(r.path.parent, f"{r.uid}.*")]
        newest = 0.0
        for path in files:
            if (found := guard.entry(path)) is not None:
                newest = max(newest, found.st_mtime if stat.S_ISREG(found.st_mode) else 0.0)
        return newest

    # -- stopping ------------------------------------------------------------------------------------------------

    def _stop(self, where: str) -> StopRequestedError | None:
        """What to end with, if somebody asked this run to stop: by a word to the run, or by a signal to its process."""
        if (asked := foreground.asked()) is not None:
            return asked.of(StopRequestedError(f"stopped by {asked.by}", where=where))
        if guard.exists(self.root / STOP_REQUEST):
            return StopRequestedError("stopped on request", where=where)
        return None

    def check_stop(self) -> None:
        """Raise a `StopRequestedError` if somebody asked this run to stop."""
        if (stop := self._stop(str(self.root))) is not None:
            raise stop

    def check_room(self) -> None:
        """Raise a `StageFailedError` where a stage would fill the disk before it has begun well."""
        for short in filesystem.room(self.root, filesystem.LEAST_BYTES, filesystem.LEAST_FILES, "fail"):
            raise StageFailedError(short.text, where=self.root, fix=f"{short.fix}, then run again")

    def sweep_root(self) -> None:
        """Remove half-written files that killed processes left in the run folder; their whole versions are there."""
        for path in guard.matching(self.root, ".*"):
            if guard.is_file(path) and fsio.is_temporary(path.name) and not path.name.startswith(".loop_log"):
                fsio.sweep(path)

    def sweep_jobs(self) -> None:
        """Remove half-written files of jobs that have ended; those of a job that may still run are its own."""
        for record in read_records(self.root):
            if read_exit(record) is not None:
                for path in guard.matching(record.path.parent, f".{record.uid}.*"):
                    if fsio.is_temporary(path.name):
                        fsio.sweep(path)

    # -- leftovers -----------------------------------------------------------------------------------------------

    def abandon(self, label: str, stage: str, folders: Sequence[Path], *, keep_jobs: bool) -> None:
        """Move what an uncommitted attempt left behind to `<iter>/abandoned/<n>/`.

        With `keep_jobs` jobs that ended well stay with their outputs, to be taken over.
        """
        for path in guard.matching(self.folder(label), ".*"):
            # Beside the stage's own folders.
            if guard.is_file(path) and fsio.is_temporary(path.name):
                fsio.sweep(path)
        records = self.stage_records(label, stage)
        kept = [r for r in records if keep_jobs and self.platform.status(r) == "complete"]
        keep = {Path(p) for r in kept for p in r.outputs}
        kept_uids = {r.uid for r in kept}
        leftovers = [p for folder in folders for p in _outside(folder, keep)]
        leftovers += [p for k in sorted(keep) if guard.is_folder(k) for p in k.rglob(".*") if fsio.is_temporary(p.name)]
        drop = [r for r in records if r.uid not in kept_uids]
        if not leftovers and not drop:
            return
        base = self.folder(label) / "abandoned"
        number = 1
        while guard.exists(base / str(number)):
            number += 1
        target = base / str(number)
        for path in leftovers:
            guard.rename(path, target / path.relative_to(self.root))
        for record in drop:
            # The record moves last: while it is there, the job is known.
            files = sorted(guard.matching(record.path.parent, f"{record.uid}.*"), key=lambda p: p == record.path)
            for path in files:
                guard.rename(path, target / "jobs" / path.name)


def _outside(path: Path, keep: set[Path]) -> list[Path]:
    """`path`, or those parts of it that hold nothing to keep."""
    found = guard.entry(path)
    if found is None or path in keep:
        return []
    if stat.S_ISDIR(found.st_mode) and any(path in k.parents for k in keep):
        return [p for child in sorted(guard.children(path)) for p in _outside(child, keep)]
    return [path]


def request_stop(results_dir: Path, by: str) -> None:
    """Ask whoever works on the run to stop."""
    fsio.write_text(results_dir / STOP_REQUEST, json.dumps({"by": by}) + "\n")


def clear_stop(results_dir: Path) -> None:
    """Forget an earlier request to stop."""
    guard.remove(results_dir / STOP_REQUEST)


AnyRun = Run[Any]
