"""What a loop improves: a task brings its configuration, its stages in order, its measure and its pre-flight.

The loop knows no task. Whoever calls it hands one in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.order import StageOrder
from tao_skill_bank.loop.request import PreFlight, ResolvedPlan
from tao_skill_bank.loop.run import Run
from tao_skill_bank.loop.settings import RunSettings
from tao_skill_bank.loop.stage import AnyStage
from tao_skill_bank.loop.state import AnyState, Result
from tao_skill_bank.loop.verdict import Verdict

S = TypeVar("S", bound=AnyState)


class Task(ABC, Generic[S]):
    """One task.

    Attributes:
        name: As states and `--task` name it.
        Config: What a person may set; it says which settings are files, and which of them belong to the digest.
        State: A run's state, with what the task's iterations hold.
        baseline: The stages of the baseline, in order.
        iteration: The stages of every iteration, in order.
        between: What follows a measured model if another iteration will.
        logged: Names beside those of the stages that a line of the log may have.
        commands: First words of the TAO command lines that its stages run.
    """

    name: ClassVar[str]
    Config: ClassVar[type[RunSettings]]
    State: ClassVar[type[AnyState]]
    baseline: ClassVar[Sequence[AnyStage]]
    iteration: ClassVar[Sequence[AnyStage]]
    between: ClassVar[Sequence[AnyStage]] = ()
    ending: ClassVar[AnyStage]
    logged: ClassVar[Sequence[str]] = ()
    commands: ClassVar[Sequence[str]] = ()

    # -- stages ----------------------------------------------------------------------------------------------------

    @cached_property
    def stages(self) -> dict[str, AnyStage]:
        """Name to stage."""
        return {stage.name: stage for stage in (*self.baseline, *self.iteration, *self.between, self.ending)}

    @cached_property
    def order(self) -> StageOrder:
        """The order that new runs are approved with."""
        return StageOrder(
            baseline=tuple(stage.name for stage in self.baseline),
            iteration=tuple(stage.name for stage in self.iteration),
            between=tuple(stage.name for stage in self.between),
            ending=self.ending.name,
        )

    @property
    def results(self) -> Mapping[str, type[Result]]:
        """Stage name to the model of its result."""
        return {name: stage.Result for name, stage in self.stages.items()}

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Every name that a line of the log may have."""
        return (*self.stages, *self.logged)

    def stage(self, name: str) -> AnyStage:
        """The stage of this name.

        Raises:
            InputError: There is none in this version; a run that was approved with it needs the version that has it.
        """
        if name not in self.stages:
            what = f"this version has no stage {name!r}, and the run was approved with it"
            raise InputError(what, where=f"task {self.name}", fix="use the version that the run was started with")
        return self.stages[name]

    # -- planning --------------------------------------------------------------------------------------------------

    def target(self, text: str) -> str:
        """The target in its canonical form: equal targets have equal text.

        Raises:
            InputError: It is not understood.
        """
        return self.State.grammar.parse(text).text()

    def comparable(self, before: str, after: str) -> bool:
        """Whether what was measured for one target can be judged by the other: thresholds were frozen for the first."""
        grammar = self.State.grammar
        return grammar.parse(before).same_point(grammar.parse(after))

    @abstractmethod
    def discover(self, workspace: Path) -> dict[str, Any]:
        """What the workspace's layout says of the settings."""

    def settled(self, config: Any) -> Any:
        """The configuration with nothing left open, such as what `auto` means here."""
        return config

    def contents(self, config: Any) -> dict[str, Path]:
        """Key to file, of every file whose bytes belong to the digest of the plan."""
        found: dict[str, Path] = config.contents()
        return found

    def seals(self, config: Any) -> dict[str, str]:
        """Name to digest, of what belongs to the digest of the plan beside whole files."""
        return {}

    @abstractmethod
    def minutes(self, config: Any) -> float:
        """The estimate an iteration is planned with."""

    @abstractmethod
    def pre_flight(self, plan: ResolvedPlan) -> PreFlight:
        """Run every check of a plan. Reads only.

        Raises:
            InputErrors: Something is missing that cannot be made; one line a fault.
        """

    # -- a run -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def verdict(self, state: S) -> Verdict:
        """The one verdict of a run as it stands."""

    def headline(self, state: S) -> dict[str, float | int | str | None]:
        """What a glance at a run shows of its best model, by name."""
        return {}

    def known_files(self, state: S) -> Sequence[tuple[str, Path, str]]:
        """Name, file and SHA-256 of what a run has measured and may go on with: its checkpoints."""
        return ()

    def live(self, state: S, stage: str) -> str | None:
        """How far the work of a stage is while it goes on, by its own files; None where nothing says it."""
        return None

    @abstractmethod
    def close(self, run: Run[S]) -> Sequence[Path] | None:
        """Write what the run hands on, any number of times with the same result; returns its files."""

    def upcast(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A state of version 3 as JSON of today's.

        Raises:
            InputError: There was none of this task.
        """
        raise InputError(f"no state of version {raw.get('version')!r} is of task {self.name}", fix="start a new run")


AnyTask = Task[Any]
