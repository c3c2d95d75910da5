"""What a stage is: a name, what it needs, what it writes, its work, what it promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import StageFailedError
from tao_skill_bank.loop.run import AnyRun, Run
from tao_skill_bank.loop.state import AnyState, Attempt, Result

S = TypeVar("S", bound=AnyState)


@dataclass
class Outcome:
    """What a stage hands back to be committed.

    Attributes:
        summary: One line for the log; the same for the same inputs (no times, no ids).
        result: What later stages, the report and other programs read of it.
        promised: Files that must be there, and not empty, before the commit.
        warnings: Lines for the report.
    """

    summary: str
    result: Result = field(default_factory=Result)
    promised: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Stage(ABC, Generic[S]):
    """One stage of a loop. To add one: write a subclass in a file of its own and name it in the task's list.

    Attributes:
        name: As state and log name it.
        Result: The model of what it finds.
        home: Its own folder's name in that of an iteration, where it has one.
    """

    name: ClassVar[str]
    Result: ClassVar[type[Result]] = Result
    home: ClassVar[str]

    def folders(self, run: Run[S], label: str) -> list[Path]:
        """The files and folders this stage writes: what is moved aside if an attempt is given up."""
        return [self.folder(run, label)]

    def folder(self, run: Run[S], label: str) -> Path:
        """Its own folder in the iteration's."""
        return run.folder(label) / self.home

    def needs(self, run: Run[S], label: str) -> list[Path]:
        """Files that must be there before it starts."""
        return []

    @abstractmethod
    def work(self, run: Run[S], label: str) -> Outcome:
        """Do it. Raises `GateError` where a rule stops the run, `StageFailedError` where the work failed."""

    def check_needs(self, run: Run[S], label: str) -> None:
        """Refuse to start without its inputs."""
        for path in self.needs(run, label):
            if not guard.exists(path):
                raise StageFailedError(
                    "an input of this stage is missing", where=path, fix="restore the file, then run again"
                )

    def check_promises(self, label: str, outcome: Outcome) -> None:
        """Refuse to commit without its outputs."""
        for path in outcome.promised:
            if not guard.is_file(path) or not guard.holds_bytes(path):
                raise StageFailedError(
                    f"{self.name} ended without writing what it must write", where=path, fix="see the job's log"
                )


def timestamp(run: AnyRun, label: str) -> str:
    """The folder name fixed for this attempt before it began."""
    attempt: Attempt | None = run.state.iteration(label).attempt
    if attempt is None:
        raise RuntimeError(f"no attempt is open in {label}")
    return attempt.timestamp


AnyStage = Stage[Any]
