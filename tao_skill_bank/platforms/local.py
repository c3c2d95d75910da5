"""The local platform: the bank's own CPU implementation of the TAO command lines, each in a detached worker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Literal, Self

from tao_skill_bank.bank.home import CATEGORIES
from tao_skill_bank.core import roots
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.process import has_open, having, is_alive, tell
from tao_skill_bank.core.threads import SINGLE_THREAD
from tao_skill_bank.data.releases.facts import RELEASE_VARIABLE
from tao_skill_bank.platforms.base import (
    ENDED,
    JobRecord,
    JobState,
    Platform,
    PlatformCheck,
    job_state,
    read_process,
    write_record,
)
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.platforms.worker import (
    LEFT_GRACE_SEC,
    TERMINATE_GRACE_SEC,
    ask_to_cancel,
    beside,
    claim_for_nobody,
)


def own_argv(command: Sequence[str]) -> list[str]:
    """The bank's own implementation of a TAO command line, as an argument vector for this interpreter."""
    if command[0] not in CATEGORIES:
        fix = did_you_mean(command[0], CATEGORIES)
        raise InputError(f"no CPU implementation of {command[0]!r}", where="local platform", fix=fix)
    return [sys.executable, "-P", "-m", "tao_skill_bank.actions", *command]


class LocalPlatform(Platform):
    """Runs a command line as a subprocess that outlives the caller."""

    name = "local"
    concurrent = True
    detached = True
    asks = False

    def __init__(self) -> None:
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._config: Work | None = None

    @classmethod
    def of(cls, config: Work) -> Self:
        """It has no settings; its jobs read a spec as the release that the plan was checked as."""
        made = cls()
        made._config = config
        return made

    @classmethod
    def reach(cls) -> str:
        """It is this machine."""
        return "always there"

    def checks(self, config: Work, only: str | None = None) -> list[PlatformCheck]:
        """It is always there."""
        text = "this machine's CPU; a rehearsal: the local network's figures are not TAO's"
        return [PlatformCheck(name="platform", status="ok", text=text)]

    def argv(self, command: Sequence[str]) -> list[str]:
        """What starts `command` here."""
        return own_argv(command)

    def _release(self) -> dict[str, str]:
        from tao_skill_bank.platforms.releases import release_that_runs

        return {} if self._config is None else {RELEASE_VARIABLE: release_that_runs(self._config).release}

    def submit(self, record: JobRecord) -> JobRecord:
        """Write the record, then start the job's worker in a session of its own."""
        env = {**SINGLE_THREAD, **self._release()}
        full = record.model_copy(update={"argv": self.argv(record.command), "env": env})
        write_record(full)
        with tempfile.TemporaryFile() as record_as_submitted:
            record_as_submitted.write(full.model_dump_json().encode())
            record_as_submitted.seek(0)
            self._workers[full.uid] = subprocess.Popen(
                [sys.executable, "-P", "-m", "tao_skill_bank.platforms.worker", str(full.path)],
                stdin=record_as_submitted,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **roots.environment()},
                start_new_session=True,
            )
        return full

    def status(self, record: JobRecord) -> JobState:
        """The job's state; one that nobody began and nobody of ours is about to begin is settled as lost."""
        state = job_state(record)
        own = self._workers.get(record.uid)
        if state == "pending" and (own is None or own.poll() is not None):
            # No worker of ours is about to start it; another's may be: whoever claims first decides.
            claim_for_nobody(record.path)
            state = job_state(record)
        if state in ENDED:
            self._reap(record)
        return state

    def cancel(self, record: JobRecord) -> None:
        """Ask the worker to end the command; it writes the exit record. What a killed worker has left is ended here.

        Only a process that has the job's `alive` file open, or began with its mark, is ended: a record that names
        another is not believed.
        """
        if ask_to_cancel(record.path):
            return
        if (worker := _living(record, "claim.json")) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGTERM)
            return
        end_what_is_left(record)

    def end_left(self, record: JobRecord) -> bool:
        """End processes of the job that have outlived its worker and its command, in sessions of their own."""
        if not having(beside(record.path, "alive")):
            return False
        end_what_is_left(record)
        return True

    def wait(self, record: JobRecord, seconds: float) -> bool:
        """Wait at most `seconds` for a job started by this object; false, at once, for any other."""
        own = self._workers.get(record.uid)
        if own is None or own.poll() is not None:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            own.wait(timeout=seconds)
        return True

    def _reap(self, record: JobRecord) -> None:
        """A worker that wrote its exit record is about to end: leave no zombie behind."""
        own = self._workers.pop(record.uid, None)
        if own is not None:
            own.wait()


def _living(record: JobRecord, kind: Literal["claim.json", "child.json"]) -> int | None:
    """The process that a file of a job names, if it lives and is the job's."""
    who = read_process(beside(record.path, kind))
    return who[0] if who is not None and is_alive(*who) and has_open(who[0], beside(record.path, "alive")) else None


def end_what_is_left(record: JobRecord) -> None:
    """End what a job's killed worker has left; it has the same time for that as under a living worker."""
    alive, asked, killed = beside(record.path, "alive"), time.monotonic(), None
    tell(having(alive), _living(record, "child.json"), signal.SIGTERM)
    while left := having(alive):
        now = time.monotonic()
        if now - asked > TERMINATE_GRACE_SEC:
            killed = killed or now
            # The group is asked for anew: its number may be another's by now.
            tell(left, _living(record, "child.json"), signal.SIGKILL)
            if now - killed > LEFT_GRACE_SEC:
                return
        time.sleep(0.05)
