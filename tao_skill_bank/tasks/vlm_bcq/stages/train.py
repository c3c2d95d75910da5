"""train: cosmos-rl's train line on the merged set; or the data and the line alone, where somebody else trains."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.core.text import plural
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.tasks.vlm_bcq import specs, training
from tao_skill_bank.tasks.vlm_bcq.evaluators import HOOK, TRAIN
from tao_skill_bank.tasks.vlm_bcq.results import EvaluateResult, MergeResult, TrainResult
from tao_skill_bank.tasks.vlm_bcq.stages.merge import read_rows
from tao_skill_bank.tasks.vlm_bcq.state import Run, Stage


class Train(Stage):
    """Trains in a folder of its own."""

    name = "train"
    Result = TrainResult
    home = "train"

    def needs(self, run: Run, label: str) -> list[Path]:
        """The merged set."""
        return [Path(self._merged(run, label).train_annotations)]

    def work(self, run: Run, label: str) -> Outcome:
        """Write the spec, run the line, find the checkpoints."""
        config = run.state.config
        merged = self._merged(run, label)
        out = self.folder(run, label)
        annotations = Path(merged.train_annotations)
        validation = None if merged.val_annotations is None else Path(merged.val_annotations)
        rows = len(read_rows(annotations))
        start = self.start(run)
        spec = specs.train_spec(config, folder=out, start=start, annotations=annotations, validation=validation)
        if config.train.by != "standin":
            specs.check_train_spec(spec, rows, config.train_spec or "train spec")
        path = specs.write(out / "train.toml", spec)
        command = [TRAIN, "--config", str(path), HOOK]
        if config.train.by == "external":
            return self._external(run, label, path, command, rows)
        run.job(label, self.name, "train", command, [out / "output"])
        found = training.candidates(out / "output", out / "output" / "status.json")
        trained = training.trained_by(found["last"], config.platform)
        return Outcome(
            summary=f"{plural(len(found), 'checkpoint')} from {rows} rows",
            result=TrainResult(train_spec=str(path), checkpoints=found, trained=trained),
            promised=[path],
        )

    def _external(self, run: Run, label: str, path: Path, command: list[str], rows: int) -> Outcome:
        """Wait for a model that somebody else trains and serves.

        Raises:
            GateError: Gate `awaiting_training`: none is named yet.
        """
        line = " ".join(command)
        fsio.write_text(path.parent / "command.txt", line + "\n")
        served = run.state.config.train.served.get(label)
        if not served and label not in run.state.config.evaluation_files():
            raise GateError(
                "awaiting_training",
                f"{rows} rows wait to be trained on: {line}",
                where=path,
                fix=f"train, serve it, then: tao-skills deft run --results-dir {run.root} --yes "
                f"--set train.served.{label}=MODEL",
            )
        return Outcome(
            summary=f"{served or 'a model known by its answers'}, trained elsewhere on {rows} rows",
            result=TrainResult(train_spec=str(path), served_model=served, trained=Trained()),
            promised=[path],
        )

    def start(self, run: Run) -> str:
        """What training begins with: the base model, or the best one so far."""
        config = run.state.config
        if config.train.start == "previous":
            best = run.state.best()
            if (
                best is not None
                and best[1].evaluation is not None
                and guard.is_folder(Path(best[1].evaluation.checkpoint))
            ):
                return best[1].evaluation.checkpoint
        if config.train.by == "standin":
            first = run.state.iteration(BASELINE).result(EvaluateResult)
            return "none" if first is None else first.best_ckpt_path
        return config.model or "none"

    def _merged(self, run: Run, label: str) -> MergeResult:
        return run.need(label, MergeResult, "there is no training set", "run data_merge first")
