"""evaluate: every candidate checkpoint answers the KPI set; the better one is kept, and its threshold frozen."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.core.errors import StageFailedError
from tao_skill_bank.core.text import percent, score
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.tasks.vlm_bcq import specs, training
from tao_skill_bank.tasks.vlm_bcq.evaluators import (
    HOOK,
    TRAIN,
    Candidate,
    at_threshold,
    evaluate,
    write_annotations,
    write_metrics,
)
from tao_skill_bank.tasks.vlm_bcq.results import EvaluateResult, Evaluation, TrainResult
from tao_skill_bank.tasks.vlm_bcq.state import Run, Stage
from tao_skill_bank.tasks.vlm_bcq.workspace import need, read


class Evaluate(Stage):
    """Answers, predictions, figures."""

    name = "evaluate"
    Result = EvaluateResult

    def folders(self, run: Run, label: str) -> list[Path]:
        """`<iter>/evaluate`, and the stand-in's base model."""
        return [run.folder(label) / "evaluate", *([run.folder(label) / "base_model"] if label == BASELINE else [])]

    def needs(self, run: Run, label: str) -> list[Path]:
        """The KPI set."""
        return [Path(run.state.config.kpi)]

    def work(self, run: Run, label: str) -> Outcome:
        """Evaluate, measure, choose."""
        state = run.state
        records = need(state.config, "kpi")
        out = run.folder(label) / "evaluate"
        evaluations: list[Evaluation] = []
        for candidate in self._candidates(run, label):
            folder = out / candidate.kind
            found, rows = evaluate(run, label, self.name, candidate.kind, records, candidate, folder)
            evaluations.append(at_threshold(run, found, rows))
        chosen = evaluations[0]
        for other in evaluations[1:]:
            if self._better(run, other, chosen):
                chosen = other
        metrics = out / "metrics.json"
        write_metrics(metrics, chosen)
        figure = chosen.measures.get(state.measure)
        if figure is None:
            raise StageFailedError(f"{state.measure} cannot be measured", where=state.config.kpi, fix="add rows")
        tail = "" if chosen.threshold is None else f", threshold {score(chosen.threshold)}"
        lost = f", {chosen.unreadable} unreadable" if chosen.unreadable else ""
        trained = training.trained_by(chosen.checkpoint, state.config.platform)
        earlier = state.iteration(label).result(TrainResult)
        if earlier is not None and trained.by == "unknown":
            trained = earlier.trained
        return Outcome(
            summary=f"{state.measure} {percent(figure.value_pct)} (target {state.target.text()}){tail}{lost}",
            result=EvaluateResult(
                evaluations=evaluations,
                answers_jsonl=chosen.answers_jsonl,
                metrics=str(metrics),
                threshold=chosen.threshold,
                best_ckpt_path=chosen.checkpoint,
                best_ckpt_kind=chosen.kind,
                trained=trained,
            ),
            promised=[metrics, *(Path(p) for e in evaluations for p in (e.answers_jsonl, e.predictions_json))],
        )

    def _better(self, run: Run, one: Evaluation, other: Evaluation) -> bool:
        measure = run.state.measure
        mine, theirs = one.measures.get(measure), other.measures.get(measure)
        if mine is None or theirs is None or mine.value_pct == theirs.value_pct:
            return one.unreadable <= other.unreadable
        return run.state.beats(mine.value_pct, theirs.value_pct)

    def _candidates(self, run: Run, label: str) -> list[Candidate]:
        config = run.state.config
        given = config.evaluation_files().get(label)
        if given is not None:
            return [Candidate("file", str(given))]
        if label == BASELINE:
            if config.predictions is not None:
                return [Candidate("file", config.predictions)]
            return [self.base(run, label)]
        trained = run.need(label, TrainResult, "there is no model", "run the train stage")
        if trained.served_model is not None:
            return [Candidate("served", trained.served_model)]
        return [training.candidate(kind, path, config.model) for kind, path in trained.checkpoints.items()]

    def base(self, run: Run, label: str) -> Candidate:
        """The model that the loop begins with; the stand-in learns its own from the base set first."""
        config = run.state.config
        if config.evaluate.by == "endpoint":
            return Candidate("base", str(config.evaluate.endpoint.model_name))
        if config.evaluate.by == "cosmos_rl":
            return Candidate("base", str(config.model))
        folder = run.folder(label) / "base_model"
        records = read(config, "base")
        if records is None:
            # Nothing to learn from: a model that always says no.
            return Candidate("base", str(folder / "none"))
        annotations = write_annotations(folder / "annotations.json", records.records, run.workspace)
        spec = specs.train_spec(config, folder=folder, start="none", annotations=annotations, validation=None)
        path = specs.write(folder / "train.toml", spec)
        run.job(label, self.name, "base", [TRAIN, "--config", str(path), HOOK], [folder / "output"])
        found = training.candidates(folder / "output", folder / "output" / "status.json")
        return Candidate("base", found["last"])
