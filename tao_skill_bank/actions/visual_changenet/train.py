"""`visual_changenet train`: the files of a training, around the pure `fitting`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.actions.visual_changenet import checkpoint, fitting
from tao_skill_bank.actions.visual_changenet.images import open_set, read_images
from tao_skill_bank.actions.visual_changenet.network import Architecture, Network, Pairs, logits, probabilities
from tao_skill_bank.actions.visual_changenet.options import Options, workers
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.clock import SystemClock
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import config_yaml
from tao_skill_bank.core.threads import ThreadPool, one_blas_thread

LATEST = "changenet_model_classify_latest.pth"
LOG_FILE = "train.log"
EXPERIMENT = "experiment.yaml"
VALIDATION_BLOCK = 64
STATUS_FILE = "status.json"


class Status:
    """Appends to `status.json` and to a log in `folder`, line by line, each flushed when it is written.

    Args:
        folder: Where to; it must exist.
        log_name: The log's file name.
    """

    def __init__(self, folder: Path, log_name: str) -> None:
        self.status_path = folder / STATUS_FILE
        self.log_path = folder / log_name

    def say(self, text: str) -> None:
        """A line for the log and the console."""
        with guard.open_write(self.log_path, "ab") as log:
            log.write(f"{text}\n".encode())
        print(text, flush=True)

    def status(self, message: str, *, status: str = "RUNNING", kpi: dict[str, float] | None = None) -> None:
        """A line of `status.json`."""
        now = SystemClock().now()
        line: dict[str, Any] = {
            "date": now.strftime("%m/%d/%Y"),
            "time": now.strftime("%H:%M:%S"),
            "status": status,
            "verbosity": "INFO",
            "message": message,
        }
        if kpi is not None:
            line["kpi"] = kpi
        with guard.open_write(self.status_path, "ab") as handle:
            handle.write(f"{json.dumps(line, allow_nan=False)}\n".encode())


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    folder: Path
    checkpoints: list[Path]
    rows: int
    seconds: float


def train(options: Options) -> TrainResult:
    """Train on the spec's sets and write checkpoints, `status.json`, `experiment.yaml` and `train.log`.

    Everything is read and checked before the first file is written. Equal inputs and seed give equal checkpoints.

    Raises:
        InputError: Bad rows or images; fewer rows than a batch; one class only; a folder that holds checkpoints; a
            checkpoint to go on from that does not fit.
    """
    clock = SystemClock()
    begun = clock.monotonic()
    spec = options.spec
    folder = options.results_dir("train")
    _refuse_used_folder(folder)
    naming = spec.naming
    train_csv, train_images = options.dataset("train_dataset")
    training = open_set(train_csv, train_images, naming)
    validation = open_set(*options.dataset("validation_dataset"), naming)
    _check_amounts(train_csv, training.is_defect, spec.batch_size)
    check_amount(validation.table.path, len(validation), spec.batch_size)
    start = _start(options)
    channels = None if start is None else start.architecture.channels
    pairs = read_images(training, channels, workers=workers())
    # Validation images are shown as the network sees them: colour is made grey where training had none.
    val_pairs = read_images(validation, pairs.shape[-1], workers=workers())
    architecture = Architecture(pairs.shape[-1]) if start is None else start.architecture
    settings = fitting.Settings(
        architecture,
        batch_size=spec.batch_size,
        epochs=spec.num_epochs,
        class_weights=(spec.cls_weight[0], spec.cls_weight[1]),
        seed=spec.seed,
    )
    guard.make_folder(folder)
    fsio.write_text(folder / EXPERIMENT, config_yaml(spec.raw))
    status = Status(folder, LOG_FILE)
    status.status("Starting Visual ChangeNet training (local CPU stand-in).", status="STARTED")
    for line in _opening(options, settings, len(pairs), int(training.is_defect.sum()), len(validation)):
        status.say(line)
    written = _run(options, settings, pairs, training.is_defect, val_pairs, validation.is_defect, start, folder, status)
    status.status("Train finished successfully.")
    seconds = clock.monotonic() - begun
    status.say(f"train finished: {len(written)} checkpoints in {folder}")
    return TrainResult(folder, written, len(pairs), seconds)


def _run(
    options: Options,
    settings: fitting.Settings,
    pairs: Pairs,
    is_defect: npt.NDArray[np.bool_],
    val_pairs: Pairs,
    val_defect: npt.NDArray[np.bool_],
    start: checkpoint.Checkpoint | None,
    folder: Path,
    status: Status,
) -> list[Path]:
    spec = options.spec
    every = _epochs_between(options, len(pairs))
    initial = None if start is None else start.network.state()
    written: list[Path] = []
    with one_blas_thread():
        for epoch in fitting.fit(pairs, is_defect, settings, initial):
            last = epoch.number + 1 == spec.num_epochs
            status.status(f"Training loop in progress, epoch {epoch.number}.", kpi={"train_loss": epoch.train_loss})
            text = f"epoch {epoch.number + 1}/{spec.num_epochs} step {epoch.step} loss {epoch.train_loss:.4f}"
            if (epoch.number + 1) % every == 0 or last:
                path = folder / f"model_epoch_{epoch.number:03d}_step_{epoch.step:05d}.pth"
                trained = checkpoint.Trained(
                    epoch=epoch.number + 1,
                    step=epoch.step,
                    rows=len(pairs),
                    seed=spec.seed,
                    batch_size=spec.batch_size,
                    continued_from=None if start is None else start.digest,
                )
                checkpoint.save(path, epoch.network, spec.lights, trained)
                _link(folder / LATEST, path.name)
                written.append(path)
            if (epoch.number + 1) % spec.validation_interval == 0:
                kpi = validate(epoch.network, val_pairs, val_defect, spec.cls_weight, spec.eval_margin)
                status.status("Eval metrics generated.", kpi=kpi)
                text += f" val_loss {kpi['val_loss']:.4f} val_acc {kpi['val_acc']:.2f} val_far {kpi['val_far']:.2f}"
            status.say(text)
    return written


def validate(
    network: Network,
    pairs: Pairs,
    is_defect: npt.NDArray[np.bool_],
    cls_weight: tuple[float, ...],
    margin: float,
) -> dict[str, float]:
    """`val_loss` (cross-entropy, classes weighted), and in percent: `val_acc`, `val_fpr` at the margin, `val_far`.

    `val_far` is the share of PASS rows that score no less than the lowest defect; 100 without both classes. One view
    a pair: the ranking of checkpoints does not need more.
    """
    starts = range(0, len(pairs), VALIDATION_BLOCK)
    with ThreadPool(workers()) as pool:
        parts = list(pool.map(lambda s: logits(network, pairs[s : s + VALIDATION_BLOCK], 1), starts))
    logit = np.concatenate(parts)
    weight = np.where(is_defect, cls_weight[1], cls_weight[0])
    loss = float(np.sum(weight * np.logaddexp(0.0, np.where(is_defect, -logit, logit))) / weight.sum())
    score = probabilities(logit)
    flagged = score > margin
    passes, defects = score[~is_defect], score[is_defect]
    far = 100.0 * float(np.mean(passes >= defects.min())) if len(passes) and len(defects) else 100.0
    return {
        "val_loss": loss,
        "val_acc": 100.0 * float(np.mean(flagged == is_defect)),
        "val_fpr": 100.0 * float(np.mean(flagged[~is_defect])) if len(passes) else 0.0,
        "val_far": far,
    }


def _opening(options: Options, settings: fitting.Settings, rows: int, defects: int, validation: int) -> list[str]:
    steps = fitting.steps_an_epoch(rows, settings.batch_size)
    passes = steps * settings.batch_size / rows
    ignored = options.ignored()
    lines = [
        "visual_changenet train: the bank's own small network on this CPU, a stand-in for TAO's (its FAR is its own)",
        f"{rows} training rows ({defects} defects), {validation} validation rows, "
        f"{max(1, len(options.spec.lights))} lighting(s), {settings.architecture.image_size} x "
        f"{settings.architecture.image_size} pixels, {'grey' if settings.architecture.channels == 1 else 'colour'}",
        f"{settings.epochs} epochs of {steps} steps of {settings.batch_size} pairs, half of them defects "
        f"({passes:.1f} times the number of rows an epoch), seed {settings.seed}",
    ]
    if options.value("train.pretrained_model_path"):
        lines.append(f"goes on from {options.value('train.pretrained_model_path')}")
    if ignored:
        lines.append(f"keys that belong to TAO's network and mean nothing here: {', '.join(ignored)}")
    return lines


def _start(options: Options) -> checkpoint.Checkpoint | None:
    path = options.value("train.pretrained_model_path")
    if not path:
        return None
    start = checkpoint.load(Path(str(path)))
    check_lights(start, options, Path(str(path)))
    return start


def check_lights(model: checkpoint.Checkpoint, options: Options, path: Path) -> None:
    """Refuse a checkpoint of other lightings than the spec's."""
    if model.lights != options.spec.lights:
        raise InputError(
            f"was trained with the lightings {list(model.lights)}, the spec has {list(options.spec.lights)}",
            where=path,
            fix="use the input_map it was trained with, in the same order",
        )


def _refuse_used_folder(folder: Path) -> None:
    found = guard.matching(folder, "*.pth")
    if found or guard.exists(folder / STATUS_FILE):
        raise InputError(
            f"holds an earlier training ({found[0].name if found else STATUS_FILE})",
            where=folder,
            fix="give every training a results_dir of its own",
        )


def _check_amounts(csv: Path, is_defect: npt.NDArray[np.bool_], batch_size: int) -> None:
    check_amount(csv, len(is_defect), batch_size)
    if is_defect.all() or not is_defect.any():
        only = "a defect" if is_defect.all() else "PASS"
        raise InputError(
            f"every row is {only}", where=csv, fix="training needs PASS rows and defects; add the other kind"
        )


def check_amount(csv: Path, rows: int, batch_size: int, more: str = "") -> None:
    """Refuse fewer rows than a batch, saying `more` of it."""
    if rows < batch_size:
        raise InputError(
            f"{rows} rows are fewer than batch_size {batch_size}",
            where=csv,
            fix=f"add rows or set dataset.classify.batch_size={rows}{more}",
        )


def _epochs_between(options: Options, rows: int) -> int:
    """Epochs between checkpoints; an interval in TAO's steps (rows / batch_size an epoch) becomes whole epochs."""
    interval = options.spec.checkpoint_interval
    if options.value("train.checkpoint_interval_unit") == "step":
        return max(1, round(interval / max(1, rows // options.spec.batch_size)))
    return interval


def _link(link: Path, name: str) -> None:
    """Point `link` at `name` beside it, in one step."""
    temp = f".{link.name}.{os.getpid()}"
    guard.remove(link.with_name(temp))
    with guard.place(link) as at:
        os.symlink(name, temp, dir_fd=at.fd)
        os.replace(temp, at.name, src_dir_fd=at.fd, dst_dir_fd=at.fd)
    fsio.fsync_dir(link.parent)
