"""evaluate: inference with up to three checkpoints, the KPI of each; the best wins, its threshold is frozen here."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import StageFailedError
from tao_skill_bank.core.overrides import setting
from tao_skill_bank.core.text import score
from tao_skill_bank.data.changenet.kpi import analyze_kpi
from tao_skill_bank.data.changenet.sample_book import KPI
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.loop.run import JobPlan
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.tasks.changenet import scores, sets, specs
from tao_skill_bank.tasks.changenet.looks import require_sound
from tao_skill_bank.tasks.changenet.metric import FAR, RECALL
from tao_skill_bank.tasks.changenet.results import EvaluateResult, Evaluation
from tao_skill_bank.tasks.changenet.stages.train import checkpoints
from tao_skill_bank.tasks.changenet.state import Run, Stage
from tao_skill_bank.tasks.changenet.trained import found_trained, with_checkpoint

KINDS = ("best_val", "best_far", "latest")
"""What a candidate may be: of the lowest validation loss, of the lowest validation FAR, the latest."""


class Evaluate(Stage):
    """Runs the checkpoints of the lowest validation loss and validation FAR and the latest one on the KPI set."""

    name = "evaluate"
    Result = EvaluateResult

    def folders(self, run: Run, label: str) -> list[Path]:
        """`<iter>/inference` and its spec."""
        return [run.folder(label) / "inference", self._spec_path(run, label)]

    def needs(self, run: Run, label: str) -> list[Path]:
        """The KPI set."""
        return [Path(run.state.config.kpi_test_csv)]

    def work(self, run: Run, label: str) -> Outcome:
        """Infer, measure, choose."""
        config = run.state.config
        naming = specs.naming_of(config)
        kpi_csv = sets.csv_of(run, KPI)
        require_sound(config, kpi_csv)
        spec_path = self._spec_path(run, label)
        specs.write_spec(spec_path, specs.inference_spec(config, kpi_csv, specs.image_root(config, kpi_csv, naming)))
        candidates, losses = self._candidates(run, label)
        target = run.state.target
        evaluations: list[Evaluation] = []
        promised = [spec_path]
        outs = {kind: run.folder(label) / "inference" / kind for kind in candidates}
        infer_all(run, label, self.name, spec_path, candidates, outs)
        for kind, checkpoint in candidates.items():
            out = outs[kind]
            csv = out / "inference.csv"
            found = scores.evaluate(kind, checkpoint, csv, target)
            found.uncorrected = scores.uncorrected(config, KPI, scores.read_scores(csv), None, target)
            evaluations.append(found)
            promised += [csv, out / "kpi" / "threshold_metrics.csv"]
        best = best_of(evaluations, target)
        for evaluation in evaluations:
            csv = Path(evaluation.inference_csv)
            analyze_kpi(csv, csv.parent / "kpi", images=evaluation is best)
        seeded = "train" not in run.state.iteration(label).done()
        checkpoint = Path(best.checkpoint)
        trained = found_trained(checkpoint) if seeded else run.state.iteration(label).trained
        return Outcome(
            summary=(
                f"{_figures(best, target)} (target {target.text()}), threshold {score(best.threshold)}, "
                f"{best.kind}{apart(evaluations, best, target)}"
            ),
            result=EvaluateResult(
                evaluations=evaluations,
                best_ckpt_path=best.checkpoint,
                best_ckpt_kind="pre_seeded" if seeded else best.kind,
                far_pct=best.far_pct,
                far_pct_recall_100=best.far_pct_recall_100,
                threshold=best.threshold,
                val_loss=losses.get(best.kind),
                inference_csv=best.inference_csv,
                trained=with_checkpoint(trained, checkpoint),
            ),
            promised=promised,
        )

    def _candidates(self, run: Run, label: str) -> tuple[dict[str, Path], dict[str, float]]:
        """Kind → checkpoint, best-by-validation first; and the validation loss of those that have one."""
        iteration = run.state.iteration(label)
        found = checkpoints(run.folder(label) / "train")
        if "train" not in iteration.done():
            # A baseline that an earlier tool trained: its checkpoint, whatever lies in the folder.
            if iteration.best_ckpt_path is None:
                raise StageFailedError("there is no checkpoint", where=label, fix="run the train stage")
            return {"latest": Path(iteration.best_ckpt_path)}, {}
        validations = scores.validation_losses(run.folder(label) / "train" / "status.json")
        by_loss, by_far = scores.best_by_validation(found, validations), scores.best_by_far(found, validations)
        losses = {} if by_loss is None else {by_loss[0]: by_loss[1]}
        # The latest keeps its name where it is also the best by a figure; the others are run once each.
        kinds = {found[-1]: "latest"}
        for kind, best in (("best_val", by_loss), ("best_far", by_far)):
            if best is not None:
                kinds.setdefault(best[0], kind)
        order = sorted(kinds, key=lambda path: KINDS.index(kinds[path]))
        return {kinds[path]: path for path in order}, {kinds[p]: loss for p, loss in losses.items()}

    def _spec_path(self, run: Run, label: str) -> Path:
        return run.folder(label) / "inference_spec.yaml"


def best_of(evaluations: list[Evaluation], target: Target) -> Evaluation:
    """The checkpoint whose figure is best; of equals the one that was saved earlier."""
    sign = 1 if target.measure.at_most else -1

    def rank(evaluation: Evaluation) -> tuple[float, tuple[int, int], int]:
        saved = scores.epoch_and_step(Path(evaluation.checkpoint)) or (0, 0)
        return sign * evaluation.value_pct(target.measure.name), saved, KINDS.index(evaluation.kind)

    return min(evaluations, key=rank)


def apart(evaluations: list[Evaluation], best: Evaluation, target: Target) -> str:
    """How far the other candidates lay from the chosen one on the KPI set: `; latest +1.25 points`."""
    name = target.measure.name
    chosen = best.value_pct(name)
    others = [f"{e.kind} {e.value_pct(name) - chosen:+.4g}" for e in evaluations if e is not best]
    return f"; {', '.join(others)} points of {name}" if others else ""


def _figures(evaluation: Evaluation, target: Target) -> str:
    """`FAR 3.11% at recall 99.2%`: what the target limits, and at what; FAR and recall where it names neither."""
    names = [limit.name for limit in target.limits]
    shown = " at ".join(f"{name} {evaluation.value_pct(name):.4g}%" for name in names)
    rest = [name for name in (FAR.name, RECALL.name) if name not in names] if FAR.name not in names[:1] else []
    return shown + (f", {', '.join(f'{name} {evaluation.value_pct(name):.4g}%' for name in rest)}" if rest else "")


def infer_all(
    run: Run, label: str, stage: str, spec: Path, checkpoints_by_name: dict[str, Path], outs: dict[str, Path]
) -> None:
    """Run inference with several checkpoints, each into its own folder; each must leave `inference.csv` there."""
    plans = [
        JobPlan(
            name,
            [
                "visual_changenet",
                "inference",
                "-e",
                str(spec),
                setting("inference.checkpoint", checkpoint),
                setting("inference.results_dir", outs[name]),
            ],
            [outs[name]],
        )
        for name, checkpoint in checkpoints_by_name.items()
    ]
    run.jobs(label, stage, plans)
    for out in outs.values():
        if not guard.is_file(out / "inference.csv"):
            raise StageFailedError("inference ended without inference.csv", where=out, fix="see the job's log")
