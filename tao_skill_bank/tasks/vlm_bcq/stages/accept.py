"""loop_stop: the acceptance set, used once; why the loop stopped; which model is the best."""

from __future__ import annotations

from typing import Any

from tao_skill_bank.data.bcq.answers import Answered, arrays
from tao_skill_bank.loop import ending
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.metrics.paired import mcnemar_exact
from tao_skill_bank.tasks.vlm_bcq import training
from tao_skill_bank.tasks.vlm_bcq.evaluators import Candidate, at_threshold, evaluate, write_metrics
from tao_skill_bank.tasks.vlm_bcq.measures import verdict_of
from tao_skill_bank.tasks.vlm_bcq.results import Evaluation
from tao_skill_bank.tasks.vlm_bcq.state import Iteration, Run, State
from tao_skill_bank.tasks.vlm_bcq.workspace import read


class LoopStop(ending.LoopStop[State]):
    """Ends the loop when the target is met or the iterations are used up."""

    def verdict(self, state: State) -> Verdict:
        """The acceptance set decides where the run has one."""
        return verdict_of(state)

    def accept(self, run: Run, label: str, best: tuple[str, Iteration]) -> dict[str, Any] | None:
        """Answers at each frozen threshold, and how the two differ."""
        records = read(run.state.config, "acceptance")
        if records is None:
            return None
        wanted = {"baseline": (BASELINE, run.state.iteration(BASELINE))}
        if best[0] != BASELINE:
            wanted["best"] = best
        made: dict[str, dict[str, Any]] = {}
        answered: dict[str, list[Answered]] = {}
        frozen: dict[str, float | None] = {}
        for name, (of, iteration) in wanted.items():
            candidate = self._candidate(run, name, iteration)
            if candidate is None:
                continue
            out = run.root / "acceptance" / name
            found, rows = evaluate(run, label, self.name, name, records, candidate, out)
            frozen[name] = None if iteration.evaluation is None else iteration.evaluation.threshold
            found = at_threshold(run, found, rows, frozen[name])
            write_metrics(out / "metrics.json", found)
            made[name] = {**_plain(found), "iteration": of}
            answered[name] = rows
        if best[0] == BASELINE and "baseline" in made:
            made["best"] = made["baseline"]
        if not made:
            return None
        if len(answered) == 2:
            one, two = (_right(answered[n], frozen[n]) for n in ("baseline", "best"))
            gained, lost = int((~one & two).sum()), int((one & ~two).sum())
            made["mcnemar"] = {"gained": gained, "lost": lost, "p": mcnemar_exact(lost, gained)}
        return made

    def _candidate(self, run: Run, name: str, iteration: Iteration) -> Candidate | None:
        """Who answers; a model that is known by a file alone answers this set by a file of its own, or not at all."""
        given = run.state.config.evaluation_files().get(f"acceptance_{name}")
        if given is not None:
            return Candidate("file", str(given))
        chosen = iteration.evaluation
        if chosen is None or chosen.kind == "file":
            return None
        if chosen.kind in ("base", "served"):
            return Candidate(chosen.kind, chosen.checkpoint)
        return training.candidate(chosen.kind, chosen.checkpoint, run.state.config.model)


def _plain(found: Evaluation) -> dict[str, Any]:
    return found.model_dump(mode="json", exclude={"predictions_json"})


def _right(rows: list[Answered], threshold: float | None) -> Any:
    truth, said = arrays(rows, threshold)
    return (said >= 0) & (truth == (said == 1))
