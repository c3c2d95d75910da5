"""The state of a run over yes/no answers: what its iterations hold, how they are measured, which is better."""

from __future__ import annotations

from typing import Any, ClassVar

from tao_skill_bank.loop import run as loop_run
from tao_skill_bank.loop import stage as loop_stage
from tao_skill_bank.loop import state as loop_state
from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.metric import Grammar, figure_key
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig
from tao_skill_bank.tasks.vlm_bcq.metric import GRAMMAR
from tao_skill_bank.tasks.vlm_bcq.results import (
    AnnotateResult,
    EvaluateResult,
    Evaluation,
    MergeResult,
    MiningResult,
)


class Iteration(loop_state.Iteration):
    """The baseline or one iteration."""

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation of the chosen checkpoint."""
        found = self.result(EvaluateResult)
        if found is None:
            return None
        return next(e for e in found.evaluations if e.answers_jsonl == found.answers_jsonl)

    @property
    def trained(self) -> Trained:
        """Who trained the model."""
        found = self.result(EvaluateResult)
        return Trained() if found is None else found.trained

    def figures(self) -> dict[str, float | int | str | None]:
        """Rates, rows, unreadable answers."""
        found, merged, mined = self.evaluation, self.result(MergeResult), self.result(MiningResult)
        kept = self.result(AnnotateResult)
        out: dict[str, float | int | str | None] = {}
        if found is not None:
            out = {figure_key(name): round(i.value_pct, 2) for name, i in found.measures.items()}
            out |= {"unreadable": found.unreadable, "threshold": found.threshold}
        out["training_rows"] = None if merged is None else merged.rows.get("total")
        out["mined"] = None if mined is None else mined.mined_count
        out["annotated"] = None if kept is None else kept.kept
        return out

    def columns(self) -> dict[str, str]:
        """Training rows, and those that were added."""
        merged, mined, kept = self.result(MergeResult), self.result(MiningResult), self.result(AnnotateResult)
        added = {"mined": 0 if mined is None else mined.mined_count, "annotated": 0 if kept is None else kept.kept}
        rows = "" if merged is None else str(merged.rows.get("total", ""))
        return {"rows": rows, **{k: f"+{n}" if n else "" for k, n in added.items()}}

    def interval(self, measure: str) -> Interval | None:
        """A measure of the chosen checkpoint."""
        return None if self.evaluation is None else self.evaluation.measures.get(measure)


class State(loop_state.DeftState[VlmConfig, Iteration]):
    """A run over yes/no answers."""

    iteration_type: ClassVar[type[Any]] = Iteration
    grammar: ClassVar[Grammar] = GRAMMAR

    def measured(self, iteration: Iteration) -> Interval | None:
        """The figure that the target limits."""
        return iteration.interval(self.measure)

    def value(self, iteration: Iteration) -> float | None:
        """In percent."""
        found = self.measured(iteration)
        return None if found is None else found.value_pct

    def better(self, iteration: Iteration, other: Iteration) -> bool:
        """The better measure, then fewer unreadable answers, then the later."""
        one, two = self.value(iteration), self.value(other)
        if one is None or two is None:
            return two is None
        if one != two:
            return self.beats(one, two)
        mine, theirs = iteration.evaluation, other.evaluation
        return mine is None or theirs is None or mine.unreadable <= theirs.unreadable


Run = loop_run.Run[State]
Stage = loop_stage.Stage[State]
