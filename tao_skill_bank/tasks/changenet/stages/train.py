"""train: the model's train line, on the base CSV or the combined one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import GateError, StageFailedError
from tao_skill_bank.core.overrides import get, setting
from tao_skill_bank.data.changenet.sample_book import TRAINING, VALIDATION
from tao_skill_bank.data.changenet.spec import classify_spec
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.tasks.changenet import sets, specs
from tao_skill_bank.tasks.changenet.looks import require_sound
from tao_skill_bank.tasks.changenet.results import MergeResult, TrainResult
from tao_skill_bank.tasks.changenet.scores import epoch_and_step
from tao_skill_bank.tasks.changenet.state import Run, Stage
from tao_skill_bank.tasks.changenet.trained import trained_by


def checkpoints(train_dir: Path) -> list[Path]:
    """The checkpoints of a training, by epoch and step."""
    found = [
        (at, p)
        for p in guard.matching(train_dir, "*.pth")
        if (at := epoch_and_step(p)) is not None and guard.is_file(p)
    ]
    return [p for _, p in sorted(found)]


def last_promised_epoch(spec: Mapping[str, Any]) -> int | None:
    """The epoch, counted from 0, of the last checkpoint that a training by this spec must leave.

    None where the spec does not say: an interval in steps counts batches, which depend on how TAO draws its rows.
    """
    train = classify_spec(spec, "train spec")
    every = train.checkpoint_interval
    if every < 1 or get(train.raw, "train.checkpoint_interval_unit") == "step":
        return None
    return train.num_epochs // every * every - 1


class Train(Stage):
    """Trains in a folder of its own; iteration N starts from the best checkpoint so far."""

    name = "train"
    Result = TrainResult

    def folders(self, run: Run, label: str) -> list[Path]:
        """`<iter>/train` and its spec."""
        return [run.folder(label) / "train", self._spec_path(run, label)]

    def needs(self, run: Run, label: str) -> list[Path]:
        """The training CSV."""
        return [self._training_csv(run, label)]

    def work(self, run: Run, label: str) -> Outcome:
        """Write the spec, run the train line, find the checkpoints."""
        config = run.state.config
        naming = specs.naming_of(config)
        training = self._training_csv(run, label)
        validation = sets.csv_of(run, VALIDATION)
        require_sound(config, training, validation)
        root = run.workspace if label != BASELINE else specs.image_root(config, training, naming)
        spec = specs.train_spec(config, training, root, validation, specs.image_root(config, validation, naming))
        spec_path = self._spec_path(run, label)
        specs.write_spec(spec_path, spec)
        command = ["visual_changenet", "train", "-e", str(spec_path), setting("results_dir", run.folder(label))]
        if label != BASELINE:
            best = run.state.best()
            if best is None or best[1].best_ckpt_path is None:
                raise StageFailedError("no checkpoint to train on from", where=label, fix="evaluate the baseline first")
            command.append(setting("train.pretrained_model_path", best[1].best_ckpt_path))
        train_dir = run.folder(label) / "train"
        run.job(label, self.name, "train", command, [train_dir])
        found = checkpoints(train_dir)
        if not found:
            raise GateError(
                "no-new-checkpoint",
                "training ended without a new checkpoint",
                where=train_dir,
                fix="see the job's log; checkpoint_interval must be at most num_epochs",
            )
        promised, reached = last_promised_epoch(spec), epoch_and_step(found[-1])
        if promised is not None and reached is not None and reached[0] < promised:
            raise StageFailedError(
                f"training ended after epoch {reached[0]}, and its spec promises a checkpoint of epoch {promised}",
                where=train_dir,
                fix="see the job's log, then run again",
            )
        rows = len(read_pairs(training))
        records = run.stage_records(label, self.name)
        trained = trained_by(found[-1], spec, run.platform, records[-1] if records else None)
        return Outcome(
            summary=f"{len(found)} checkpoints from {rows} rows",
            result=TrainResult(
                training_spec=str(spec_path),
                training_csv=str(training),
                training_rows=rows,
                trained=trained,
            ),
            promised=[found[-1], spec_path],
        )

    def _training_csv(self, run: Run, label: str) -> Path:
        if label == BASELINE:
            return sets.csv_of(run, TRAINING)
        merged = run.need(label, MergeResult, "no combined training CSV", "run data_merge first")
        return Path(merged.combined_training_csv)

    def _spec_path(self, run: Run, label: str) -> Path:
        return run.folder(label) / "train_spec.yaml"
