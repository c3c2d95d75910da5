"""`deft_state.json`: the snapshot that, with `loop_log.jsonl`, is all that a run is.

The models here are the file's format; the JSON Schema that ships (`schemas/deft_state.schema.json`) is generated
from them, and every read is checked against them. Replacing the file atomically is the commit point of a stage.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.clock import LOG_FORMAT
from tao_skill_bank.core.consent import How
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.order import TODAY, StageOrder
from tao_skill_bank.loop.upcast import FORMAT, VERSION, upcast
from tao_skill_bank.metrics.evidence import exact_bounds, group_bounds, spread_factor, wider
from tao_skill_bank.tasks.changenet.config import RunConfig

STATE_FILE = "deft_state.json"
BASELINE = "baseline"

StageName = Literal[
    "evaluate",
    "rca",
    "routing",
    "anomalygen_finetune",
    "anomalygen",
    "data_mining",
    "data_merge",
    "train",
    "loop_stop",
]
STAGE_NAMES: tuple[str, ...] = get_args(StageName)
RunStatus = Literal["planned", "running", "complete", "stopped", "failed"]
IterationStatus = Literal["pending", "in_progress", "complete", "failed"]
# An earlier format's records have no numbers and its plan no digest: what they prove cannot be checked.
_OTHER_VERSION = "it is left as it is; start a new run in another folder, or use the version that wrote it"
_LABEL = re.compile(r"baseline|iter[1-9][0-9]*")


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class StageRecord(_Model):
    """One ended stage: the source of its line in `loop_log.jsonl`."""

    seq: int = Field(ge=1)
    ts: str
    stage: StageName
    status: Literal["ok", "error"]
    summary: str
    duration_sec: int = Field(ge=0)

    @field_validator("ts")
    @classmethod
    def _time(cls, value: str) -> str:
        datetime.strptime(value, LOG_FORMAT)  # noqa: DTZ007 - only the form is checked; the Z says UTC
        return value


class Attempt(_Model):
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


class Interval(_Model):
    """A share with its 95 % interval: Clopper-Pearson, or by resampling groups where that is the wider; in percent.

    `least_pct` and `most_pct` are the one-sided 95 % bounds. `groups` is how many groups (boards) were resampled, None
    where the groups are not known; `factor` how many samples of these groups tell as much as one independent sample.
    A record without them is an earlier one, of which no more is known than its counts.
    """

    value_pct: float
    low_pct: float
    high_pct: float
    successes: int
    trials: int
    least_pct: float | None = None
    most_pct: float | None = None
    groups: int | None = None
    factor: float = 1.0

    @classmethod
    def of(cls, successes: int, trials: int, groups: Sequence[tuple[int, int]] | None = None) -> Interval:
        """The share of `successes` in `trials`; `groups` are (successes, trials) of each board, where they are known.

        One group alone says nothing of how groups differ; it is recorded, and only the exact bounds are there.
        """
        exact = exact_bounds(successes, trials)
        known = None if groups is None else [(won, tried) for won, tried in groups if tried]
        grouped = group_bounds([won for won, _ in known], [tried for _, tried in known]) if known else None
        used = wider(exact, grouped)
        return cls(
            value_pct=100.0 * successes / trials if trials else 0.0,
            low_pct=100.0 * used.low,
            high_pct=100.0 * used.high,
            successes=successes,
            trials=trials,
            least_pct=100.0 * used.least,
            most_pct=100.0 * used.most,
            groups=None if known is None else len(known),
            factor=spread_factor(successes, trials, exact, used),
        )

    def bound_pct(self, *, at_most: bool) -> float:
        """The one-sided 95 % bound on the side that a claim must hold on: of an earlier record, from its counts."""
        found = self.most_pct if at_most else self.least_pct
        if found is not None:
            return found
        exact = exact_bounds(self.successes, self.trials)
        return 100.0 * (exact.most if at_most else exact.least)


class Evaluation(_Model):
    """One checkpoint on the KPI set."""

    kind: Literal["best_val", "latest"]
    checkpoint: str
    inference_csv: str
    threshold: float
    far_pct: float
    far_pct_recall_100: float
    recall_pct: float
    precision_pct: float
    tp: int
    fp: int
    tn: int
    fn: int
    far: Interval
    recall: Interval


class Trained(_Model):
    """Who trained a model, and on what it was really trained. What is not recorded is unknown, never a yes.

    Attributes:
        by: `tao`: NVIDIA's own Visual ChangeNet; `stand-in`: the bank's own small network, so that the run is a
            rehearsal; `unknown`: nothing on disk says it.
        network: The network that was trained, in words.
        image: The container image that trained it, where there was one.
        image_digest: That image's content digest.
        release: The TAO release, as far as it is known.
        image_size: Width and height the network saw, pixels.
        host: Name of the machine that trained it, as its job says.
        submitted_from: Name of the machine that submitted the job.
        software: Version of this package.
        checkpoint_sha256: Content digest of the checkpoint that was chosen.
    """

    by: Literal["tao", "stand-in", "unknown"] = "unknown"
    network: str | None = None
    image: str | None = None
    image_digest: str | None = None
    release: str | None = None
    image_size: tuple[int, int] | None = None
    host: str | None = None
    submitted_from: str | None = None
    software: str | None = None
    checkpoint_sha256: str | None = None


class Iteration(_Model):
    """Everything about the baseline or one iteration. Paths are absolute."""

    status: IterationStatus = "pending"
    stage_completed: StageName | None = None
    stages: list[StageRecord] = Field(default_factory=list)
    attempt: Attempt | None = None

    best_ckpt_path: str | None = None
    best_ckpt_kind: Literal["best_val", "latest", "pre_seeded"] | None = None
    far_pct: float | None = None
    far_pct_recall_100: float | None = None
    threshold: float | None = None
    val_loss: float | None = None
    evaluations: list[Evaluation] = Field(default_factory=list)
    inference_csv: str | None = None

    training_spec: str | None = None
    training_csv: str | None = None
    training_rows: int | None = None
    trained: Trained = Field(default_factory=Trained)

    rca_results_dir: str | None = None
    rca_gaps_parquet: str | None = None
    rca_threshold: float | None = None
    rca_target_defects: list[str] | None = None

    routing_results_dir: str | None = None
    routing_mining_parquet: str | None = None
    routing_anomalygen_parquet: str | None = None
    routing_verdicts: dict[str, str] | None = None

    anomalygen_rows_csv: str | None = None
    anomalygen_count: int | None = None
    anomalygen_by_label: dict[str, int] | None = None
    anomalygen_used: list[str] | None = None

    mining_mined_parquet: str | None = None
    mining_pool_csv: str | None = None
    mining_mined_count: int | None = None
    mining_by_label: dict[str, int] | None = None
    mining_used: list[str] | None = None
    mining_encoder: str | None = None
    leakage: dict[str, Any] | None = None

    combined_training_csv: str | None = None
    provenance_csv: str | None = None
    provenance_counts: dict[str, int] | None = None
    warnings: list[str] = Field(default_factory=list)

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation of the chosen checkpoint; told by its file, since a pre-seeded checkpoint keeps its kind."""
        return next((e for e in self.evaluations if e.inference_csv == self.inference_csv), None)


class Approval(_Model):
    """The one gate: which plan was approved, when, how the approval arrived, and the seal that shows who wrote it.

    `by` is the user and the machine on which the bank took the approval; an earlier record does not say.
    """

    digest: str
    approved_at: str
    how: How
    by: str | None = None
    seal: str = ""


class DeftState(_Model):
    """The whole snapshot."""

    format: Literal["tao-skill-bank"] = "tao-skill-bank"
    version: Literal[4] = 4
    started_at: str
    kpi_target: str
    results_dir: str
    max_iterations: int = Field(ge=1)
    current_iteration: int = Field(default=0, ge=0)
    status: RunStatus = "planned"
    stop_reason: str | None = None
    order: StageOrder = TODAY
    config: RunConfig
    approval: Approval | None = None
    checked: list[Check] = Field(default_factory=list)
    plan_digests: dict[str, str] = Field(default_factory=dict)
    iterations: dict[str, Iteration] = Field(default_factory=dict)
    acceptance: dict[str, Any] | None = None
    best_iteration: str | None = None

    @field_validator("iterations")
    @classmethod
    def _labels(cls, value: dict[str, Iteration]) -> dict[str, Iteration]:
        for label in value:
            if not is_iteration_label(label):
                raise ValueError(f"{label!r} is neither 'baseline' nor 'iter<N>'")
        return value

    @property
    def current_label(self) -> str:
        """`baseline`, or `iter<N>` of the iteration being worked on."""
        return iteration_label(self.current_iteration)

    def iteration(self, label: str) -> Iteration:
        """The record of `label`, made empty if it is not there yet."""
        if label not in self.iterations:
            self.iterations[label] = Iteration()
        return self.iterations[label]

    def best(self, *, complete_only: bool = False) -> tuple[str, Iteration] | None:
        """The evaluated iteration with the lowest FAR (on a tie the later one, which has seen more data), or None.

        Where the run has ended and named its best, that one.
        """
        named = self.iterations.get(self.best_iteration or "")
        ended = self.status == "complete" and named is not None and named.far_pct is not None
        if named is not None and ended and (named.status == "complete" or not complete_only):
            return str(self.best_iteration), named
        found: tuple[str, Iteration] | None = None
        for label in sorted(self.iterations, key=iteration_number):
            iteration = self.iterations[label]
            if iteration.far_pct is None or iteration.best_ckpt_path is None:
                continue
            if complete_only and iteration.status != "complete":
                continue
            if found is None or found[1].far_pct is None or iteration.far_pct <= found[1].far_pct:
                found = (label, iteration)
        return found

    def records(self) -> list[StageRecord]:
        """Every stage record of the run, by `seq`."""
        return [record for _, record in self.labelled_records()]

    def labelled_records(self) -> list[tuple[str, StageRecord]]:
        """(iteration label, record) of every ended stage, by `seq`."""
        pairs = [(label, r) for label, it in self.iterations.items() for r in it.stages]
        return sorted(pairs, key=lambda pair: pair[1].seq)


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


def load_state(results_dir: Path) -> DeftState:
    """Read and check a run's state.

    Raises:
        InputError: There is no state, it is not JSON, or it does not fit the schema (the first fault is named).
    """
    path = state_path(results_dir)
    try:
        raw = json.loads(guard.read_text(path, "state"))
    except FileNotFoundError:
        raise InputError("no run here", where=path, fix="name a run folder, or start one with deft run") from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"not readable as JSON: {error}", where=path, fix="restore the file from a backup") from None
    if isinstance(raw, dict):
        today = upcast(raw)
        if today is None:
            raise InputError(_foreign(raw), where=path, fix=_OTHER_VERSION)
        raw = today
    try:
        return DeftState.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{key}: {first['msg']}", where=path, fix="restore the file from a backup") from None


def _foreign(raw: dict[str, Any]) -> str:
    """Why a state is not read: its version, or who else has written it."""
    version, written_by = raw.get("version"), raw.get("format")
    if written_by == FORMAT or version not in (VERSION, 3):
        return f"state version {version!r} is not {VERSION}"
    return f"state version {version!r} without format {FORMAT!r} is another program's"


def load_own_state(results_dir: Path) -> DeftState:
    """The state of a run that is to be worked on: it must still lie in the folder it was made in.

    Raises:
        InputError: As `load_state`; or the folder was copied or moved, so that its paths point elsewhere.
    """
    state = load_state(results_dir)
    if Path(state.results_dir).resolve() != results_dir.resolve():
        raise InputError(
            f"this run was made in {state.results_dir}, and copied or moved since",
            where=results_dir,
            fix="work on it there; a copy can be read and reported, not continued",
        )
    return state


def keep_earlier(results_dir: Path) -> Path | None:
    """Copy a state that lacks keys of today's format to `deft_state.json.earlier-<n>`, before it is written anew.

    Returns:
        The copy; None where the state has every key, so that a run is copied once a format.
    """
    path = state_path(results_dir)
    data = guard.read_bytes(path, "state")
    if json.loads(data) == load_state(results_dir).model_dump(mode="json"):
        return None
    number = 1
    while guard.status(kept := path.with_name(f"{STATE_FILE}.earlier-{number}")) is not None:
        if guard.read_bytes(kept) == data:
            return kept
        number += 1
    fsio.write_bytes(kept, data)
    return kept


def save_state(state: DeftState) -> None:
    """Replace the run's state file atomically and durably: the commit point of whatever changed."""
    text = json.dumps(state.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    fsio.write_text(state_path(Path(state.results_dir)), text + "\n")
