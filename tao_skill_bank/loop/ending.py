"""loop_stop: the acceptance set, used once; why the loop stopped; which model is the best."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, TypeVar

from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import StageFailedError
from tao_skill_bank.core.text import plural
from tao_skill_bank.loop.run import Run
from tao_skill_bank.loop.stage import Outcome, Stage
from tao_skill_bank.loop.state import AnyState, StopResult
from tao_skill_bank.loop.verdict import Verdict

S = TypeVar("S", bound=AnyState)


class LoopStop(Stage[S]):
    """Ends the loop when the target is met or the iterations are used up; a task says how its models are measured."""

    name = "loop_stop"
    Result = StopResult

    def folders(self, run: Run[S], label: str) -> list[Path]:
        """`acceptance`."""
        return [run.root / "acceptance"]

    def work(self, run: Run[S], label: str) -> Outcome:
        """Measure the baseline and the best model on the acceptance set, each at its frozen threshold."""
        # The iteration that ends the loop is complete: nothing of its own is left to do.
        state = run.state
        best = state.best()
        value = None if best is None else state.value(best[1])
        if best is None or value is None:
            raise StageFailedError("no iteration was evaluated", where=run.root, fix="see the log")
        reason = self.reached(state) if state.met(value) else f"{plural(state.max_iterations, 'iteration')} used up"
        acceptance = self.accept(run, label, best)
        after = state.model_copy(deep=True, update={"status": "complete", "best_iteration": best[0]})
        result = StopResult(stop_reason=reason, best_iteration=best[0], acceptance=acceptance)
        after.iteration(label).results[self.name] = result
        promised: list[Path] = []
        if acceptance is not None:
            promised.append(run.root / "acceptance" / "acceptance.json")
            fsio.write_json(promised[0], acceptance)
        return Outcome(summary=f"{reason}; {self.verdict(after).line}", result=result, promised=promised)

    @abstractmethod
    def accept(self, run: Run[S], label: str, best: tuple[str, Any]) -> dict[str, Any] | None:
        """What the acceptance set says of `baseline` and `best`; None where there is no such set."""

    @abstractmethod
    def verdict(self, state: S) -> Verdict:
        """The verdict on a run."""

    def reached(self, state: S) -> str:
        """Why the loop ends where the KPI set's figure is within the target. Whether it is met, the verdict says."""
        return "the KPI set is within the target"
