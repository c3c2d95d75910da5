"""loop_stop: the acceptance set, used once; why the loop stopped; which model is the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill_bank.core.errors import StageFailedError
from tao_skill_bank.data.changenet.sample_book import ACCEPTANCE
from tao_skill_bank.loop import ending
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.metrics import confusion_at
from tao_skill_bank.tasks.changenet import scores, sets, specs
from tao_skill_bank.tasks.changenet.looks import require_sound
from tao_skill_bank.tasks.changenet.measures import verdict_of
from tao_skill_bank.tasks.changenet.metric import FAR, RECALL, best_point, recall_floor
from tao_skill_bank.tasks.changenet.stages.evaluate import infer_all
from tao_skill_bank.tasks.changenet.state import Iteration, Run, State


def kpi_reached(measure: str) -> str:
    """Why the loop ended. Whether the target is met, the verdict says."""
    return f"the KPI set's {measure} is within the target"


class LoopStop(ending.LoopStop[State]):
    """Ends the loop when the target is met or the iterations are used up."""

    def verdict(self, state: State) -> Verdict:
        """The acceptance set decides where the run has one."""
        return verdict_of(state)

    def reached(self, state: State) -> str:
        """By the measure's name."""
        return kpi_reached(state.measure)

    def accept(self, run: Run, label: str, best: tuple[str, Iteration]) -> dict[str, Any] | None:
        """Scores at each frozen threshold."""
        config = run.state.config
        if config.acceptance_csv is None:
            return None
        csv = sets.csv_of(run, ACCEPTANCE)
        require_sound(config, csv)
        folder = run.root / "acceptance"
        spec_path = folder / "inference_spec.yaml"
        root = specs.image_root(config, csv, specs.naming_of(config))
        specs.write_spec(spec_path, specs.inference_spec(config, csv, root))
        baseline = run.state.iteration(BASELINE)
        models = {"baseline": baseline} if best[0] == BASELINE else {"baseline": baseline, "best": best[1]}
        wanted = {name: Path(it.best_ckpt_path) for name, it in models.items() if it.best_ckpt_path is not None}
        outs = {name: folder / name for name in wanted}
        infer_all(run, label, self.name, spec_path, wanted, outs)
        measured = {name: self._measure(run, models[name], outs[name] / "inference.csv") for name in outs}
        measured.setdefault("best", measured["baseline"])
        point = measured["best"]
        return {
            "recall_target_pct": 100.0 * recall_floor(run.state.target),
            "baseline": measured["baseline"],
            "best": {**point, "iteration": best[0]},
            "far_at_recall": {
                "baseline_pct": measured["baseline"]["far_at_recall_pct"],
                "best_pct": point["far_at_recall_pct"],
            },
        }

    def _measure(self, run: Run, iteration: Iteration, csv: Path) -> dict[str, Any]:
        if iteration.threshold is None:
            raise StageFailedError("no threshold to accept at", where=csv, fix="see the log")
        read = scores.read_scores(csv)
        frozen = confusion_at(read.scores, read.is_pass, iteration.threshold)
        figures = scores.figures_at(read, frozen, run.state.target)
        far, recall = figures.pop(FAR.name), figures.pop(RECALL.name)
        others = {"others": {name: found.model_dump() for name, found in figures.items()}} if figures else {}
        own = best_point(read.scores, read.is_pass, run.state.target)
        before = scores.uncorrected(run.state.config, ACCEPTANCE, read, iteration.threshold, run.state.target)
        return {
            **({} if before is None else {"uncorrected": before.model_dump()}),
            "checkpoint": iteration.best_ckpt_path,
            "threshold": iteration.threshold,
            "recall": recall.model_dump(),
            "far": far.model_dump(),
            **others,
            "tp": frozen.tp,
            "fp": frozen.fp,
            "tn": frozen.tn,
            "fn": frozen.fn,
            "far_at_recall_pct": None if own is None else 100.0 * own.far,
        }
