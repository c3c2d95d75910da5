"""`deft_state.json`: the snapshot that, with `loop_log.jsonl`, is all that a run is.

The models here are the file's format; the JSON Schema that ships (`schemas/deft_state.schema.json`) is generated
from them, and every read is checked against them. Replacing the file atomically is the commit point of a stage.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SerializeAsAny,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.clock import LOG_FORMAT
from tao_skill_bank.core.consent import How
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.models import Kept, first_fault
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.fence import commit, version_on_disk
from tao_skill_bank.loop.foreign import ForeignStateError, foreign
from tao_skill_bank.loop.metric import Grammar, Measure, Target
from tao_skill_bank.loop.order import StageOrder
from tao_skill_bank.loop.settings import RunSettings

FORMAT = "tao-skill-bank"
VERSION = 4
STATE_FILE = "deft_state.json"
BASELINE = "baseline"

STAGE_PATTERN = "^[a-z][a-z0-9_]*$"
StageName = Annotated[str, StringConstraints(pattern=STAGE_PATTERN)]


def _log_time(value: str) -> str:
    datetime.strptime(value, LOG_FORMAT)  # noqa: DTZ007 - only the form is checked; the Z says UTC
    return value


LogTime = Annotated[str, AfterValidator(_log_time)]
RunStatus = Literal["planned", "running", "complete", "stopped", "failed"]
IterationStatus = Literal["pending", "in_progress", "complete", "failed"]
# An earlier format's records have no numbers and its plan no digest: what they prove cannot be checked.
_OTHER_VERSION = "it is left as it is; start a new run in another folder, or use the version that wrote it"
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R", bound="Result")
V = TypeVar("V")
C = TypeVar("C", bound=RunSettings)
It = TypeVar("It", bound="Iteration")
_LABEL = re.compile(r"baseline|iter[1-9][0-9]*")


class StageRecord(Kept):
    """One ended stage: the source of its line in `loop_log.jsonl`."""

    seq: int = Field(ge=1)
    ts: LogTime
    stage: StageName
    status: Literal["ok", "error"]
    summary: str
    duration_sec: int = Field(ge=0)


class Attempt(Kept):
    """The stage that is being worked on, fixed before its first side effect.

    `timestamp` names folders (`routing_results/<TS>`); a taken-up attempt uses it again. `worked_sec` is what processes
    that were killed spent on it, `taken_up_at` when the one that works on it now began.
    """

    stage: StageName
    n: int = Field(ge=1)
    timestamp: str
    started_at: str
    taken_up_at: str | None = None
    worked_sec: float = Field(default=0.0, ge=0.0)


class Result(Kept):
    """What a stage found, for later stages, the report and whoever reads the state; a stage has its own subclass.

    Its fields stand under `results.<stage>`. Paths are absolute texts.
    """


class Ending(Result):
    """The result of the stage that ends the loop.

    Attributes:
        stop_reason: Why it ended.
        best_iteration: Label of the best model.
    """

    stop_reason: str
    best_iteration: str | None


class StopResult(Ending):
    """loop_stop: why the loop ended, the best model, and what the acceptance set says of it."""

    acceptance: dict[str, Any] | None = None


class Iteration(Kept):
    """Everything about the baseline or one iteration.

    A task's own subclass may write more for other programs: a projection of the results, never read back.
    """

    status: IterationStatus = "pending"
    stage_completed: StageName | None = None
    stages: list[StageRecord] = Field(default_factory=list)
    attempt: Attempt | None = None
    results: dict[str, SerializeAsAny[Result]] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, raw: Any) -> Any:
        return cls.read(raw) if isinstance(raw, dict) else raw

    @field_validator("results", mode="before")
    @classmethod
    def _as_their_stages_say(cls, value: Any, info: ValidationInfo) -> Any:
        models: Mapping[str, type[Result]] = info.context or {}
        if not isinstance(value, dict):
            return value
        return {
            stage: found if isinstance(found, Result) else models.get(stage, Result).model_validate(found)
            for stage, found in value.items()
        }

    @classmethod
    def read(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """What of an iteration's JSON is read: not what a task writes for others alone. `raw` is unchanged."""
        return raw

    def result(self, kind: type[R]) -> R | None:
        """The result of the stage whose result is a `kind`; None before that stage."""
        return next((found for found in self.results.values() if isinstance(found, kind)), None)

    def done(self) -> set[str]:
        """The stages that ended ok."""
        return {record.stage for record in self.stages if record.status == "ok"}

    def given_stages(self, exists: Callable[[str], bool]) -> frozenset[str]:
        """Stages that need not run, because another program has left what they would make."""
        return frozenset()

    def figures(self) -> dict[str, float | int | str | None]:
        """What a glance at the run shows of this iteration, by name."""
        return {}

    def columns(self) -> dict[str, str]:
        """What a table at a terminal shows of this iteration beside the measure: heading and text."""
        return {}

    def interval(self, measure: str) -> Interval | None:
        """A measure of this iteration's model with its interval, where it is known."""
        return None


class Of(Generic[R, V]):
    """A field of a stage's result as an attribute of its iteration; None before that stage.

    Args:
        kind: The stage's result.
        field: What is read of it.
    """

    def __init__(self, kind: type[R], field: Callable[[R], V]) -> None:
        self._kind = kind
        self._field = field

    def __get__(self, iteration: Iteration, owner: object = None) -> V | None:
        found = iteration.result(self._kind)
        return None if found is None else self._field(found)


class Approval(Kept):
    """The one gate: which plan was approved, when, how the approval arrived, and the seal that shows who wrote it.

    `by` is the user and the machine on which the bank took the approval; an earlier record does not say. `words`: what
    the person accepted by a word of its own.
    """

    digest: str
    approved_at: str
    how: How
    by: str | None = None
    words: list[str] = Field(default_factory=list)
    seal: str = ""


class DeftState(Kept, ABC, Generic[C, It]):
    """The whole snapshot. A task's own subclass says what its iterations hold, and how they are measured."""

    iteration_type: ClassVar[type[Any]] = Iteration

    format: Literal["tao-skill-bank"] = "tao-skill-bank"
    version: Literal[4] = 4
    generation: int = Field(default=0, ge=0)
    task: str
    started_at: str
    kpi_target: str
    results_dir: str
    max_iterations: int = Field(ge=1)
    current_iteration: int = Field(default=0, ge=0)
    status: RunStatus = "planned"
    stop_reason: str | None = None
    order: StageOrder
    config: C
    approval: Approval | None = None
    checked: list[Check] = Field(default_factory=list)
    plan_digests: dict[str, str] = Field(default_factory=dict)
    iterations: dict[str, It] = Field(default_factory=dict)
    best_iteration: str | None = None

    @property
    def acceptance(self) -> dict[str, Any] | None:
        """What the acceptance set says, where the run has ended and has one."""
        found = next((r for it in self.iterations.values() if (r := it.result(StopResult)) is not None), None)
        return None if found is None else found.acceptance

    @field_validator("iterations")
    @classmethod
    def _labels(cls, value: dict[str, It]) -> dict[str, It]:
        for label in value:
            if not is_iteration_label(label):
                raise ValueError(f"{label!r} is neither 'baseline' nor 'iter<N>'")
        return value

    # -- what a task says ------------------------------------------------------------------------------------------

    grammar: ClassVar[Grammar]
    """The measures that a target of the task can name; figures are in percent."""

    @abstractmethod
    def value(self, iteration: It) -> float | None:
        """What the target limits, of an iteration's model on the set that the loop looks at; None if not measured."""

    @property
    def target(self) -> Target:
        """The contract that the run is to meet.

        Raises:
            InputError: It cannot be read.
        """
        return self.grammar.parse(self.kpi_target)

    @property
    def measure(self) -> str:
        """What the target limits, such as `FAR`."""
        return self._limited.name

    @property
    def _limited(self) -> Measure:
        """The target's measure; of one that cannot be read, the task's first."""
        try:
            return self.target.measure
        except InputError:
            return self.grammar.measures[0]

    @property
    def limit(self) -> str:
        """The target's limit, short: `<0.5%`."""
        try:
            return self.target.goal.short
        except InputError:
            return self.kpi_target

    @property
    def limit_value(self) -> float | None:
        """The limit in percent, None where the target cannot be read."""
        try:
            return self.target.goal.limit_pct
        except InputError:
            return None

    def met(self, value: float) -> bool:
        """Whether a value meets the target."""
        return self.target.met(value)

    def is_measured(self, iteration: It) -> bool:
        """Whether an iteration has a model that was measured."""
        return self.value(iteration) is not None

    def beats(self, value: float, other: float) -> bool:
        """Whether a later model with `value` is to be preferred to an earlier one; on a tie it has seen more data."""
        return value == other or self._limited.better(value, other)

    def better(self, iteration: It, other: It) -> bool:
        """Whether a later iteration's model is to be preferred to an earlier one's; both were measured."""
        value, before = self.value(iteration), self.value(other)
        return before is None or (value is not None and self.beats(value, before))

    def progress(self, number: int) -> str:
        """`FAR 6.34% → 3.11% (target <0.5%)`: of the last iterations up to `number`."""
        values = [self.value(it) for n in range(number + 1) if (it := self.iterations.get(iteration_label(n)))]
        known = [f"{value:.2f}%" for value in values if value is not None]
        shown = " → ".join(known[-2:]) if known else "not measured yet"
        return f"{self.measure} {shown} (target {self.limit})"

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def current_label(self) -> str:
        """`baseline`, or `iter<N>` of the iteration being worked on."""
        return iteration_label(self.current_iteration)

    def iteration(self, label: str) -> It:
        """The record of `label`, made empty if it is not there yet."""
        if label not in self.iterations:
            self.iterations[label] = self.iteration_type()
        return self.iterations[label]

    def before(self, label: str) -> list[It]:
        """The iterations before this one, oldest first, without the baseline."""
        return [self.iteration(iteration_label(number)) for number in range(1, iteration_number(label))]

    def best(self, *, complete_only: bool = False) -> tuple[str, It] | None:
        """The measured iteration that no other beats, or None.

        Where the run has ended and named its best, that one.
        """
        named = self.iterations.get(self.best_iteration or "")
        ended = self.status == "complete" and named is not None and self.is_measured(named)
        if named is not None and ended and (named.status == "complete" or not complete_only):
            return str(self.best_iteration), named
        found: tuple[str, It] | None = None
        for label in sorted(self.iterations, key=iteration_number):
            iteration = self.iterations[label]
            if not self.is_measured(iteration) or (complete_only and iteration.status != "complete"):
                continue
            if found is None or self.better(iteration, found[1]):
                found = (label, iteration)
        return found

    def records(self) -> list[StageRecord]:
        """Every stage record of the run, by `seq`."""
        return [record for _, record in self.labelled_records()]

    def labelled_records(self) -> list[tuple[str, StageRecord]]:
        """(iteration label, record) of every ended stage, by `seq`."""
        return labelled(self.iterations)


AnyState = DeftState[Any, Any]


class _Stages(BaseModel):
    stages: list[StageRecord] = Field(default_factory=list)


class Header(BaseModel):
    """What every state says, whatever its task: enough to know whose it is and what its log holds."""

    task: str | None = None
    started_at: str = ""
    status: str = ""
    results_dir: str = ""
    iterations: dict[str, _Stages] = Field(default_factory=dict)

    def labelled_records(self) -> list[tuple[str, StageRecord]]:
        """(iteration label, record) of every ended stage, by `seq`."""
        return labelled(self.iterations)


class StateReader(Protocol):
    """What a task says of its states.

    Attributes:
        State: Its own kind of state.
        results: Stage name to the model of its result.
    """

    @property
    def State(self) -> type[AnyState]:
        """Its own kind of state."""

    @property
    def results(self) -> Mapping[str, type[Result]]:
        """Stage name to the model of its result."""

    def upcast(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A state of version 3 as JSON of today's; `raw` is unchanged. Refused with an `InputError` where none was."""


def iteration_label(number: int) -> str:
    """`baseline` for 0, else `iter<number>`."""
    return BASELINE if number == 0 else f"iter{number}"


def iteration_number(label: str) -> int:
    """0 for `baseline`, else N of `iter<N>`."""
    return 0 if label == BASELINE else int(label.removeprefix("iter"))


def is_iteration_label(label: str) -> bool:
    """Whether `label` is `baseline` or `iter<N>` with N at least 1."""
    return _LABEL.fullmatch(label) is not None


def state_path(results_dir: Path) -> Path:
    """Where a run's state lies."""
    return results_dir / STATE_FILE


def labelled(iterations: Mapping[str, Iteration | _Stages]) -> list[tuple[str, StageRecord]]:
    """(iteration label, record) of every ended stage, by `seq`."""
    pairs = [(label, record) for label, iteration in iterations.items() for record in iteration.stages]
    return sorted(pairs, key=lambda pair: pair[1].seq)


def read_json(results_dir: Path) -> dict[str, Any]:
    """A run's state as JSON, of a format that can be read: today's, or version 3, which had no `format`.

    Others write states of the same name: a version 2, 4 or 5 without a format is theirs.

    Raises:
        InputError: There is no state, it is not JSON, or it is of another format.
    """
    path = state_path(results_dir)
    try:
        raw = json.loads(guard.read_text(path, "state"))
    except FileNotFoundError:
        raise InputError("no run here", where=path, fix="name a run folder, or start one with deft run") from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"not readable as JSON: {error}", where=path, fix="restore the file from a backup") from None
    if not isinstance(raw, dict):
        raise InputError("not a mapping of keys", where=path, fix="restore the file from a backup")
    version, written_by = raw.get("version"), raw.get("format")
    if isinstance(version, bool) or (written_by, version) not in ((FORMAT, VERSION), (None, 3)):
        what = f"state version {version!r} is not {VERSION}"
        if written_by != FORMAT and version == VERSION:
            what = f"state version {version!r} without format {FORMAT!r} is another program's"
        if written_by != FORMAT:
            fix = f"deft status tells what it says, deft import copies it to be reported and compared; {_OTHER_VERSION}"
            raise ForeignStateError(what, foreign(raw), where=path, fix=fix)
        raise InputError(what, where=path, fix=_OTHER_VERSION)
    return raw


def read_header(results_dir: Path) -> Header:
    """What every state says, whatever its task and version; as `read_json`."""
    return _checked(Header, read_json(results_dir), results_dir)


def load_state(results_dir: Path, reader: StateReader) -> AnyState:
    """Read and check a run's state.

    Raises:
        InputError: As `read_json`; or it does not fit the schema (the first fault is named).
    """
    raw = read_json(results_dir)
    if raw["version"] != VERSION:
        raw = reader.upcast(raw)
    return _checked(reader.State, raw, results_dir, reader.results)


def load_own_state(results_dir: Path, reader: StateReader) -> AnyState:
    """The state of a run that is to be worked on: it must still lie in the folder it was made in.

    Raises:
        InputError: As `load_state`; or the folder was copied or moved, so that its paths point elsewhere.
    """
    state = load_state(results_dir, reader)
    if (error := not_own(state, results_dir)) is not None:
        raise error
    return state


def not_own(state: AnyState | Header, results_dir: Path) -> InputError | None:
    """What to say of a run that does not lie where it was made: what happens there does not happen here."""
    if Path(state.results_dir).resolve() == results_dir.resolve():
        return None
    return InputError(
        f"this run was made in {state.results_dir}, and copied or moved since",
        where=results_dir,
        fix=f"if it was moved or renamed: tao-skills deft adopt {results_dir}; a copy can be read, not continued",
    )


def _checked(
    kind: type[M], raw: dict[str, Any], results_dir: Path, results: Mapping[str, type[Result]] | None = None
) -> M:
    try:
        return kind.model_validate(raw, context=results)
    except ValidationError as error:
        where = state_path(results_dir)
        raise InputError(first_fault(error), where=where, fix="restore the file from a backup") from None


def keep_earlier(results_dir: Path, today: AnyState) -> Path | None:
    """Copy a state that is not as today's version writes it to `deft_state.json.earlier-<n>`; to be called before.

    Returns:
        The copy; None where the state has every key, so that a run is copied once a format.
    """
    path = state_path(results_dir)
    data = guard.read_bytes(path, "state")
    if json.loads(data) == today.model_dump(mode="json"):
        return None
    number = 1
    while guard.status(kept := path.with_name(f"{STATE_FILE}.earlier-{number}")) is not None:
        if guard.read_bytes(kept) == data:
            return kept
        number += 1
    fsio.write_bytes(kept, data)
    return kept


def save_state(state: AnyState) -> None:
    """Replace the version of the run's state that `state` was read from, durably: the commit point of what changed.

    Its generation is then one higher.

    Raises:
        LostRunError: Somebody else has changed the file since; it is left as it is.
    """
    following = state.generation + 1
    read = (state.started_at, state.generation) if state.generation else None
    path = state_path(Path(state.results_dir))
    if read is None and (found := version_on_disk(path)) == (state.started_at, 0):
        read = found  # Of a version of this package that did not count.
    commit(path, {**state.model_dump(mode="json"), "generation": following}, read)
    state.generation = following
