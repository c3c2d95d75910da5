"""What an `inference.csv` says (labels and scores, checked), and which checkpoint a training's validations prefer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import GateError, InputError, InputErrors
from tao_skill_bank.core.text import is_number, json_objects
from tao_skill_bank.data.changenet.kpi import Scored, read_scored
from tao_skill_bank.data.changenet.labels import is_pass
from tao_skill_bank.data.changenet.tables import boards_of, read_pairs
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.metrics import Threshold, confusion_at, far_at_recall
from tao_skill_bank.metrics.evidence import CONFIDENCE
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.metric import ACCURACY, ESCAPE, FAR, PRECISION, RECALL, best_point
from tao_skill_bank.tasks.changenet.results import Evaluation, Uncorrected
from tao_skill_bank.tasks.changenet.sets import labels_as_written

_VALIDATED = "Eval metrics generated"
IN_PROGRESS = re.compile(r"Training loop in progress, epoch (\d+)")
_CHECKPOINT = re.compile(r"model_epoch_(\d+)_step_(\d+)\.pth")


def read_scores(csv: Path) -> Scored:
    """Read `label` and `siamese_score`.

    Raises:
        GateError: No score at all is there (`all-scores-missing`).
        InputErrors: Scores that are not finite numbers; their rows are named.
    """
    try:
        return read_scored(csv)
    except InputErrors as error:
        if len(error.faults) >= len(read_pairs(csv, required=())):
            raise GateError(
                "all-scores-missing", "no row has a usable score", where=csv, fix="see the inference log"
            ) from None
        raise


def figures_at(scores: Scored, point: Threshold, target: Target) -> dict[str, Interval]:
    """FAR, recall and what a target limits, by name, at an operating point; by board where the boards are known.

    F1 is no share of samples: its ends follow from those of recall and precision, each at 97.5 %, so that both hold
    together at 95 %.
    """
    flagged = scores.scores > point.threshold
    defect = ~scores.is_pass
    boards = boards_of(scores.table)
    board = None if boards is None else np.unique(np.asarray(boards), return_inverse=True)[1]

    def share(won: npt.NDArray[np.bool_], tried: npt.NDArray[np.bool_], confidence: float = CONFIDENCE) -> Interval:
        by_board = None
        if board is not None:
            tries = np.bincount(board[tried], minlength=board.max(initial=-1) + 1)
            wins = np.bincount(board[tried & won], minlength=len(tries))
            by_board = [(int(w), int(t)) for w, t in zip(wins, tries, strict=True)]
        return Interval.of(int(np.count_nonzero(won & tried)), int(np.count_nonzero(tried)), by_board, confidence)

    found = {FAR.name: share(flagged, scores.is_pass), RECALL.name: share(flagged, defect)}
    for name in {limit.name for limit in target.limits} - found.keys():
        if name == ESCAPE.name:
            found[name] = found[RECALL.name].complement()
        elif name == PRECISION.name:
            found[name] = share(defect, flagged)
        elif name == ACCURACY.name:
            found[name] = share(flagged == defect, np.ones(len(flagged), dtype=np.bool_))
        else:
            both = 1 - (1 - CONFIDENCE) / 2
            found[name] = _f1(share(flagged, defect, both), share(defect, flagged, both))
    return found


def _f1(recall: Interval, precision: Interval) -> Interval:
    def mean(a: float | None, b: float | None) -> float:
        return 2 * a * b / (a + b) if a and b else 0.0

    won, tried = 2 * recall.successes, recall.trials + precision.trials
    return Interval(
        value_pct=100.0 * won / tried if tried else 0.0,
        low_pct=mean(recall.low_pct, precision.low_pct),
        high_pct=mean(recall.high_pct, precision.high_pct),
        successes=won,
        trials=tried,
        least_pct=mean(recall.least_pct, precision.least_pct),
        most_pct=mean(recall.most_pct, precision.most_pct),
        groups=recall.groups,
    )


def evaluate(kind: str, checkpoint: Path, csv: Path, target: Target, threshold: float | None = None) -> Evaluation:
    """The KPI of one checkpoint at a threshold; None: at the one that serves the target best.

    Raises:
        GateError: The set has no NO_PASS or no PASS row, or no threshold keeps what the target constrains.
    """
    scores = read_scores(csv)
    at_full = far_at_recall(scores.scores, scores.is_pass, 1.0)
    if at_full is None:
        raise GateError("no-no-pass-row", "the KPI set has no NO_PASS row", where=csv, fix="add defects to the KPI set")
    if at_full.fp + at_full.tn == 0:
        raise GateError("no-pass-row", "the KPI set has no PASS row", where=csv, fix="add PASS samples to the KPI set")
    point = _point(scores, threshold, target)
    if point is None:
        raise GateError("no-threshold", f"no threshold allows {target.text()}", where=csv, fix="ask for less")
    figures = figures_at(scores, point, target)
    return Evaluation(
        kind=kind,
        checkpoint=str(checkpoint),
        inference_csv=str(csv),
        threshold=point.threshold,
        far_pct=100.0 * point.far,
        far_pct_recall_100=100.0 * at_full.far,
        recall_pct=100.0 * point.recall,
        precision_pct=100.0 * point.precision,
        tp=point.tp,
        fp=point.fp,
        tn=point.tn,
        fn=point.fn,
        far=figures[FAR.name],
        recall=figures[RECALL.name],
        others={name: found for name, found in figures.items() if name not in (FAR.name, RECALL.name)},
    )


def _point(scores: Scored, threshold: float | None, target: Target) -> Threshold | None:
    """The operating point at a threshold; None: at the one that serves the target best, if there is one."""
    if threshold is None:
        return best_point(scores.scores, scores.is_pass, target)
    return confusion_at(scores.scores, scores.is_pass, threshold)


def uncorrected(config: RunConfig, name: str, found: Scored, at: float | None, target: Target) -> Uncorrected | None:
    """What the same scores come to by the labels of the customer's CSV; None where no label of the set was corrected.

    `at`: a frozen threshold; None: the one that the target asks for by these labels.
    """
    written = labels_as_written(config, name, found.table)
    if written is None:
        return None
    labels, relabelled, dropped = written
    before = replace(found, is_pass=np.array([is_pass(label) for label in labels], dtype=np.bool_))
    if before.is_pass.all() or not before.is_pass.any():
        return None
    point = _point(before, at, target)
    if point is None:
        return None
    figures = figures_at(before, point, target)
    return Uncorrected(
        relabelled=relabelled,
        dropped=dropped,
        threshold=point.threshold,
        far=figures[FAR.name],
        recall=figures[RECALL.name],
    )


@dataclass(frozen=True)
class Validation:
    """One validation of a training.

    Attributes:
        loss: `val_loss`, finite.
        epoch: The epoch it came after, counted from 0 as in checkpoint names; None where nothing says it.
        far: `val_far`, percent at 100 % recall, where the release writes it.
    """

    loss: float
    epoch: int | None = None
    far: float | None = None


def validation_losses(status_json: Path) -> list[Validation]:
    """Every validation of a training, in order; empty if there is none.

    TAO writes a line "Eval metrics generated." and, behind it, the line that ends the epoch, with its number in
    `epoch` (and the same figures again, so only the message tells a validation). The local trainer says the epoch in
    words before the validation. Where neither is there, validations are as many epochs apart as the `experiment.yaml`
    beside it says.

    Args:
        status_json: The training's `status.json` (JSON lines).
    """
    try:
        text = guard.read_text(status_json, errors="replace")
    except FileNotFoundError:
        return []
    losses: list[tuple[object, object]] = []
    epochs: list[int | None] = []
    named: int | None = None
    for value in json_objects(text):
        message, epoch = str(value.get("message", "")), value.get("epoch")
        if isinstance(epoch, bool) or not isinstance(epoch, int):
            epoch = None
        if message.startswith(_VALIDATED):
            kpi = value.get("kpi")
            losses.append((kpi.get("val_loss"), kpi.get("val_far")) if isinstance(kpi, dict) else (None, None))
            epochs.append(named if epoch is None else epoch)
        elif epoch is not None:
            if epochs and epochs[-1] is None:
                epochs[-1] = epoch
        elif said := IN_PROGRESS.match(message):
            named = int(said[1])
    if all(epoch is None for epoch in epochs):
        every = trained_with(status_json.parent, "validation_interval")
        epochs = [None if every is None else (k + 1) * every - 1 for k in range(len(epochs))]
    return [
        Validation(loss, epoch, _number(far))
        for (given, far), epoch in zip(losses, epochs, strict=True)
        if (loss := _number(given)) is not None
    ]


def _number(value: object) -> float | None:
    """A finite number of a status line, None for anything else."""
    return float(value) if is_number(value) else None


def best_by_far(checkpoints: Sequence[Path], validations: Sequence[Validation]) -> tuple[Path, float] | None:
    """The checkpoint with the lowest validation FAR, and that FAR; None where the release writes none.

    TAO writes 100 where the validation set lacks one of the classes: figures that are all the same choose nothing.
    """
    told = [Validation(v.far, v.epoch) for v in validations if v.far is not None]
    if len({v.loss for v in told}) < 2 or len(told) < len(validations):
        return None
    return best_by_validation(checkpoints, told)


def trained_with(folder: Path, key: str) -> int | None:
    """A number above 0, `train.<key>`, of a training's resolved spec; None where it does not say."""
    from tao_skill_bank.core.overrides import load_yaml_mapping

    try:
        train = load_yaml_mapping(folder / "experiment.yaml").get("train")
    except InputError:
        return None
    value = train.get(key) if isinstance(train, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else None


def epoch_and_step(checkpoint: Path) -> tuple[int, int] | None:
    """Epoch (counted from 0) and step in a checkpoint's name; None for other files."""
    named = _CHECKPOINT.fullmatch(checkpoint.name)
    return None if named is None else (int(named[1]), int(named[2]))


def best_by_validation(checkpoints: Sequence[Path], validations: Sequence[Validation]) -> tuple[Path, float] | None:
    """The checkpoint with the lowest validation loss, and that loss; None without validation figures.

    A validation speaks for the last checkpoint whose epoch is not after its own; one before the first checkpoint
    speaks for none. Of equal losses the earliest counts.

    Args:
        checkpoints: `model_epoch_<epoch>_step_<step>.pth`, in any order; other names are left out.
        validations: In order. Where they have no epochs, the k-th belongs to the k-th checkpoint if there are as many
            of both, else there was one an epoch (TAO's default).
    """
    found = sorted((at, path) for path in checkpoints if (at := epoch_and_step(path)) is not None)
    agree = len(validations) == len(found)
    best: tuple[Path, float] | None = None
    for k, validation in enumerate(validations):
        epoch = validation.epoch
        if epoch is None:
            epoch = found[k][0][0] if agree else k
        there = [path for (at, _), path in found if at <= epoch]
        if there and (best is None or validation.loss < best[1]):
            best = there[-1], validation.loss
    return best
