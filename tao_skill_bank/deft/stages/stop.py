"""loop_stop: the acceptance set, used once; why the loop stopped; which model is the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill_bank import fsio
from tao_skill_bank.deft import scores, specs
from tao_skill_bank.deft.run import Run
from tao_skill_bank.deft.stages.base import Outcome, Stage
from tao_skill_bank.deft.stages.evaluate import infer
from tao_skill_bank.deft.state import BASELINE, Iteration
from tao_skill_bank.errors import StageFailedError
from tao_skill_bank.metrics import far_at_recall


class LoopStop(Stage):
    """Ends the loop when the target is met or the iterations are used up."""

    name = "loop_stop"

    def folders(self, run: Run, label: str) -> list[Path]:
        """`acceptance`."""
        return [run.root / "acceptance"]

    def work(self, run: Run, label: str) -> Outcome:
        """Measure the baseline and the best model on the acceptance set, each at its frozen threshold."""
        # The iteration that ends the loop is complete: nothing of its own is left to do.
        best = run.best_so_far()
        if best is None or best[1].far_pct is None:
            raise StageFailedError("no iteration was evaluated", where=run.root, fix="see the log")
        met = run.target.met(best[1].far_pct)
        reason = "target met" if met else f"{run.state.max_iterations} iterations used up"
        acceptance = self._acceptance(run, label, best)
        summary = f"{reason}; best {best[0]} with FAR {best[1].far_pct:.4g}% on the KPI set"
        promised: list[Path] = []
        if acceptance is not None:
            path = run.root / "acceptance" / "acceptance.json"
            fsio.write_json(path, acceptance)
            promised.append(path)
            summary += f", {acceptance['best']['far']['value_pct']:.4g}% on the acceptance set"
        return Outcome(
            summary=summary,
            promised=promised,
            run_updates={
                "status": "complete",
                "stop_reason": reason,
                "acceptance": acceptance,
                "best_iteration": best[0],
            },
        )

    def _acceptance(self, run: Run, label: str, best: tuple[str, Iteration]) -> dict[str, Any] | None:
        config = run.state.config
        if config.acceptance_csv is None:
            return None
        csv = Path(config.acceptance_csv)
        folder = run.root / "acceptance"
        spec_path = folder / "inference_spec.yaml"
        root = specs.image_root(config, csv, specs.naming_of(config))
        specs.write_spec(spec_path, specs.inference_spec(config, csv, root))
        baseline = run.iteration(BASELINE)
        measured = {"baseline": self._measure(run, label, "baseline", baseline, spec_path, folder)}
        if best[0] == BASELINE:
            measured["best"] = measured["baseline"]
        else:
            measured["best"] = self._measure(run, label, "best", best[1], spec_path, folder)
        point = measured["best"]
        met = bool(point["far"]["trials"] and point["recall"]["trials"]) and run.target.met(point["far"]["value_pct"])
        met = met and (point["recall"]["value_pct"] >= 100.0 * run.target.recall - 1e-9)
        return {
            "recall_target_pct": 100.0 * run.target.recall,
            "baseline": measured["baseline"],
            "best": {**point, "iteration": best[0]},
            "far_at_recall": {
                "baseline_pct": measured["baseline"]["far_at_recall_pct"],
                "best_pct": point["far_at_recall_pct"],
            },
            "met": met,
        }

    def _measure(
        self, run: Run, label: str, name: str, iteration: Iteration, spec_path: Path, folder: Path
    ) -> dict[str, Any]:
        if iteration.best_ckpt_path is None or iteration.threshold is None:
            raise StageFailedError("no checkpoint to accept", where=name, fix="see the log")
        out = folder / name
        infer(run, label, self.name, name, spec_path, Path(iteration.best_ckpt_path), out)
        csv = out / "inference.csv"
        frozen = scores.at_threshold(csv, iteration.threshold)
        read = scores.read_scores(csv)
        own = far_at_recall(read.score, read.is_pass, run.target.recall)
        return {
            "checkpoint": iteration.best_ckpt_path,
            "threshold": iteration.threshold,
            "recall": scores.recall_interval(frozen).model_dump(),
            "far": scores.far_interval(frozen).model_dump(),
            "tp": frozen.tp,
            "fp": frozen.fp,
            "tn": frozen.tn,
            "fn": frozen.fn,
            "far_at_recall_pct": None if own is None else 100.0 * own.far,
        }
