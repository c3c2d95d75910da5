"""The state of a DEFT run: what its iterations hold, how they are measured, and the flat keys that others read.

Under `iterations.<label>` the results of an iteration also stand flat, under the names of the published loop
(`far_pct`, `threshold`, `best_ckpt_path` …). They are written with the results and never read back, with one exception:
a baseline that another program trained (`stage_completed` is `train`, and `best_ckpt_path` names a checkpoint).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from tao_skill_bank.loop import run as loop_run
from tao_skill_bank.loop import stage as loop_stage
from tao_skill_bank.loop import state as loop_state
from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.metric import Grammar
from tao_skill_bank.loop.state import FORMAT, VERSION, Of, Result
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.metric import FAR, GRAMMAR
from tao_skill_bank.tasks.changenet.results import (
    AnomalygenResult,
    EvaluateResult,
    Evaluation,
    MergeResult,
    MiningResult,
    RcaResult,
    RoutingResult,
    TrainResult,
)

RESULTS: Mapping[str, type[Result]] = {
    "train": TrainResult,
    "evaluate": EvaluateResult,
    "rca": RcaResult,
    "routing": RoutingResult,
    "anomalygen": AnomalygenResult,
    "data_mining": MiningResult,
    "data_merge": MergeResult,
}
# What every run of version 3 went through, whatever the order is today.
ORDER = {
    "baseline": ["train", "evaluate"],
    "iteration": ["routing", "anomalygen", "data_mining", "data_merge", "train", "evaluate"],
    "between": ["rca"],
    "ending": "loop_stop",
}
ENDING = "loop_stop"
_OF_THE_END = ("acceptance", "stop_reason", "best_iteration")


class Iteration(loop_state.Iteration):
    """The baseline or one iteration; `given_checkpoint` is a checkpoint that another program trained."""

    projected: ClassVar[frozenset[str]] = frozenset(name for kind in RESULTS.values() for name in kind.model_fields)

    given_checkpoint: str | None = None

    @classmethod
    def read(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """The flat keys are not read, but for the checkpoint of a baseline that another program trained."""
        own = {key: value for key, value in raw.items() if key not in cls.projected}
        if raw.get("stage_completed") == "train" and not raw.get("results") and not raw.get("given_checkpoint"):
            own["given_checkpoint"] = raw.get("best_ckpt_path")
        return own

    @model_serializer(mode="wrap")
    def _with_the_flat_keys(self, own: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = own(self)
        flat: dict[str, Any] = dict.fromkeys(sorted(self.projected))
        flat["best_ckpt_path"] = self.given_checkpoint
        for found in self.results.values():
            values = found.model_dump(mode="json")
            flat.update({key: value for key, value in values.items() if key in self.projected})
        return {**written, **flat}

    def given_stages(self, exists: Callable[[str], bool]) -> frozenset[str]:
        """The training, where another program left its checkpoint; one that was evaluated is not asked for again."""
        given = self.given_checkpoint
        here = given is not None and (self.result(EvaluateResult) is not None or exists(given))
        return frozenset({"train"}) if here else frozenset()

    def figures(self) -> dict[str, float | int | str | None]:
        """FAR, threshold, rows."""
        return {
            "far_pct": self.far_pct,
            "threshold": self.threshold,
            "training_rows": self.training_rows,
            "mined": self.mining_mined_count,
            "synthetic": self.anomalygen_count,
        }

    def columns(self) -> dict[str, str]:
        """Training rows, and those that were added."""
        added = {"real": self.mining_mined_count, "synthetic": self.anomalygen_count}
        return {"rows": str(self.training_rows or ""), **{k: f"+{n}" if n else "" for k, n in added.items()}}

    def interval(self, measure: str) -> Interval | None:
        """A measure of the chosen checkpoint."""
        return None if self.evaluation is None else self.evaluation.measured(measure)

    # -- results, by name --------------------------------------------------------------------------------------------

    @property
    def best_ckpt_path(self) -> str | None:
        """The chosen checkpoint, or one that another program left."""
        found = self.result(EvaluateResult)
        return self.given_checkpoint if found is None else found.best_ckpt_path

    @property
    def trained(self) -> Trained:
        """Who trained the model, as far as it is recorded."""
        found = self.result(EvaluateResult) or self.result(TrainResult)
        return Trained() if found is None else found.trained

    @property
    def evaluations(self) -> list[Evaluation]:
        """Every checkpoint on the KPI set."""
        found = self.result(EvaluateResult)
        return [] if found is None else found.evaluations

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation of the chosen checkpoint; told by its file, since a pre-seeded checkpoint keeps its kind."""
        return next((e for e in self.evaluations if e.inference_csv == self.inference_csv), None)

    @property
    def anomalygen_count(self) -> int | None:
        """Synthetic rows that were added; before the leakage check, those that were made."""
        found = self.result(MiningResult) or self.result(AnomalygenResult)
        return None if found is None else found.anomalygen_count

    @property
    def anomalygen_by_label(self) -> dict[str, int] | None:
        """The same by label."""
        found = self.result(MiningResult) or self.result(AnomalygenResult)
        return None if found is None else found.anomalygen_by_label

    best_ckpt_kind: ClassVar = Of(EvaluateResult, lambda found: found.best_ckpt_kind)
    """`best_val`, `latest` or `pre_seeded`."""
    far_pct: ClassVar = Of(EvaluateResult, lambda found: found.far_pct)
    """FAR at the target's recall, in percent."""
    threshold: ClassVar = Of(EvaluateResult, lambda found: found.threshold)
    """The frozen threshold."""
    val_loss: ClassVar = Of(EvaluateResult, lambda found: found.val_loss)
    """Validation loss of the chosen checkpoint."""
    inference_csv: ClassVar = Of(EvaluateResult, lambda found: found.inference_csv)
    """The chosen checkpoint's inference on the KPI set."""
    training_spec: ClassVar = Of(TrainResult, lambda found: found.training_spec)
    """The spec of the training."""
    training_rows: ClassVar = Of(TrainResult, lambda found: found.training_rows)
    """Rows of the training set."""
    rca_gaps_parquet: ClassVar = Of(RcaResult, lambda found: found.rca_gaps_parquet)
    """The weakest samples."""
    routing_verdicts: ClassVar = Of(RoutingResult, lambda found: found.routing_verdicts)
    """A verdict for each weak label."""
    mining_mined_parquet: ClassVar = Of(MiningResult, lambda found: found.mining_mined_parquet)
    """The mined images."""
    mining_mined_count: ClassVar = Of(MiningResult, lambda found: found.mining_mined_count)
    """Pool rows that were added."""
    mining_by_label: ClassVar = Of(MiningResult, lambda found: found.mining_by_label)
    """The same by label."""
    mining_encoder: ClassVar = Of(MiningResult, lambda found: found.mining_encoder)
    """The encoder that compared images."""
    leakage: ClassVar = Of(MiningResult, lambda found: found.leakage)
    """What the leakage check counted."""
    combined_training_csv: ClassVar = Of(MergeResult, lambda found: found.combined_training_csv)
    """The grown training set."""
    provenance_csv: ClassVar = Of(MergeResult, lambda found: found.provenance_csv)
    """Where each of its rows comes from."""
    provenance_counts: ClassVar = Of(MergeResult, lambda found: found.provenance_counts)
    """Its rows by where they come from."""


class State(loop_state.DeftState[RunConfig, Iteration]):
    """The state of a DEFT run."""

    iteration_type: ClassVar[type[Any]] = Iteration
    grammar: ClassVar[Grammar] = GRAMMAR

    def value(self, iteration: Iteration) -> float | None:
        """What the target limits, on the KPI set."""
        name = self.measure
        if name == FAR.name:
            return iteration.far_pct
        found = iteration.evaluation
        return None if found is None or found.measured(name) is None else found.value_pct(name)


Run = loop_run.Run[State]
Stage = loop_stage.Stage[State]


def upcast(raw: dict[str, Any], task: str) -> dict[str, Any]:
    """A state of version 3 as JSON of today's; `raw` is not changed."""
    iterations = {
        label: _iteration(iteration, raw) if isinstance(iteration, dict) else iteration
        for label, iteration in (raw.get("iterations") or {}).items()
    }
    state = {**raw, "format": FORMAT, "version": VERSION, "task": task, "order": ORDER, "iterations": iterations}
    state.pop("acceptance", None)
    return state


def results_of(flat: Mapping[str, Any], done: Collection[str]) -> dict[str, dict[str, Any]]:
    """The results of the stages that are done, out of the flat keys of an iteration."""
    return {
        stage: {key: flat[key] for key in kind.model_fields if flat.get(key) is not None}
        for stage, kind in RESULTS.items()
        if stage in done
    }


def _iteration(raw: dict[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    records = [record for record in raw.get("stages") or () if isinstance(record, dict)]
    done = {str(record.get("stage")) for record in records if record.get("status") == "ok"}
    results = results_of(raw, done)
    if ENDING in done:
        results[ENDING] = {key: state.get(key) for key in _OF_THE_END}
    if raw.get("best_ckpt_kind") == "pre_seeded":
        return {**raw, "results": results, "given_checkpoint": raw.get("best_ckpt_path")}
    return {**raw, "results": results}
