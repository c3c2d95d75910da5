"""What an `inference.csv` says (labels and scores, checked), and which checkpoint a training's validations prefer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import GateError, InputError, InputErrors
from tao_skill_bank.data.changenet.kpi import read_scored
from tao_skill_bank.data.changenet.tables import boards_of, read_pairs
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.metrics import Threshold, far_at_recall
from tao_skill_bank.tasks.changenet.results import Evaluation

_VALIDATED = "Eval metrics generated"
_IN_PROGRESS = re.compile(r"Training loop in progress, epoch (\d+)")
_CHECKPOINT = re.compile(r"model_epoch_(\d+)_step_(\d+)\.pth")


@dataclass(frozen=True)
class Scores:
    """Scores of one inference.

    Attributes:
        labels: As written, shape [n].
        is_pass: bool [n].
        score: float64 [n], the probability of NO_PASS.
        boards: The board of each row, where the CSV has such a column.
    """

    labels: list[str]
    is_pass: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float64]
    boards: list[str] | None = None


def read_scores(csv: Path) -> Scores:
    """Read `label` and `siamese_score`.

    Raises:
        GateError: No score at all is there (`all-scores-missing`).
        InputErrors: Scores that are not finite numbers; their rows are named.
    """
    try:
        scored = read_scored(csv)
    except InputErrors as error:
        if len(error.faults) >= len(read_pairs(csv, required=())):
            raise GateError(
                "all-scores-missing", "no row has a usable score", where=csv, fix="see the inference log"
            ) from None
        raise
    return Scores(scored.table.label, scored.is_pass, scored.scores, boards_of(scored.table))


def far_and_recall(scores: Scores, point: Threshold) -> tuple[Interval, Interval]:
    """FAR and recall of NO_PASS at an operating point, with their intervals; by board where the boards are known."""
    if scores.boards is None:
        return Interval.of(point.fp, point.fp + point.tn), Interval.of(point.tp, point.tp + point.fn)
    flagged = scores.score > point.threshold
    _, board = np.unique(np.asarray(scores.boards), return_inverse=True)

    def by_board(rows: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
        tried = np.bincount(board[rows], minlength=board.max(initial=-1) + 1)
        won = np.bincount(board[rows & flagged], minlength=len(tried))
        return [(int(w), int(t)) for w, t in zip(won, tried, strict=True)]

    return (
        Interval.of(point.fp, point.fp + point.tn, by_board(scores.is_pass)),
        Interval.of(point.tp, point.tp + point.fn, by_board(~scores.is_pass)),
    )


def evaluate(kind: str, checkpoint: Path, csv: Path, recall: float) -> Evaluation:
    """The KPI of one checkpoint: FAR at the highest threshold whose NO_PASS recall reaches `recall` (0..1).

    Raises:
        GateError: The set has no NO_PASS row, so no recall can be met.
    """
    scores = read_scores(csv)
    at_target = far_at_recall(scores.score, scores.is_pass, recall)
    at_full = far_at_recall(scores.score, scores.is_pass, 1.0)
    if at_target is None or at_full is None:
        raise GateError("no-no-pass-row", "the KPI set has no NO_PASS row", where=csv, fix="add defects to the KPI set")
    if at_target.fp + at_target.tn == 0:
        raise GateError("no-pass-row", "the KPI set has no PASS row", where=csv, fix="add PASS samples to the KPI set")
    far, recall_found = far_and_recall(scores, at_target)
    return Evaluation(
        kind=kind,
        checkpoint=str(checkpoint),
        inference_csv=str(csv),
        threshold=at_target.threshold,
        far_pct=100.0 * at_target.far,
        far_pct_recall_100=100.0 * at_full.far,
        recall_pct=100.0 * at_target.recall,
        precision_pct=100.0 * at_target.precision,
        tp=at_target.tp,
        fp=at_target.fp,
        tn=at_target.tn,
        fn=at_target.fn,
        far=far,
        recall=recall_found,
    )


@dataclass(frozen=True)
class Validation:
    """One validation of a training.

    Attributes:
        loss: `val_loss`, finite.
        epoch: The epoch it came after, counted from 0 as in checkpoint names; None where nothing says it.
    """

    loss: float
    epoch: int | None = None


def validation_losses(status_json: Path, interval: int | None = None) -> list[Validation]:
    """Every validation of a training, in order; empty if there is none.

    TAO writes a line "Eval metrics generated." and, behind it, the line that ends the epoch, with its number in
    `epoch` (and the same figures again, so only the message tells a validation). The local trainer says the epoch in
    words before the validation. Where neither is there, validations are `interval` epochs apart.

    Args:
        status_json: The training's `status.json` (JSON lines).
        interval: Epochs between validations; by default that of the `experiment.yaml` beside it.
    """
    try:
        lines = guard.read_text(status_json, errors="replace").split("\n")
    except FileNotFoundError:
        return []
    losses: list[object] = []
    epochs: list[int | None] = []
    named: int | None = None
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if not isinstance(value, dict):
            continue
        message, epoch = str(value.get("message", "")), value.get("epoch")
        if isinstance(epoch, bool) or not isinstance(epoch, int):
            epoch = None
        if message.startswith(_VALIDATED):
            kpi = value.get("kpi")
            losses.append(kpi.get("val_loss") if isinstance(kpi, dict) else None)
            epochs.append(named if epoch is None else epoch)
        elif epoch is not None:
            if epochs and epochs[-1] is None:
                epochs[-1] = epoch
        elif said := _IN_PROGRESS.match(message):
            named = int(said[1])
    if all(epoch is None for epoch in epochs):
        every = interval or _validation_interval(status_json.with_name("experiment.yaml"))
        epochs = [None if every is None else (k + 1) * every - 1 for k in range(len(epochs))]
    return [
        Validation(float(loss), epoch)
        for loss, epoch in zip(losses, epochs, strict=True)
        if isinstance(loss, (int, float)) and not isinstance(loss, bool) and np.isfinite(loss)
    ]


def _validation_interval(experiment: Path) -> int | None:
    """`train.validation_interval` of a training's resolved spec, None where it does not say."""
    from tao_skill_bank.core.overrides import load_yaml_mapping

    try:
        train = load_yaml_mapping(experiment).get("train")
    except InputError:
        return None
    every = train.get("validation_interval") if isinstance(train, dict) else None
    return every if isinstance(every, int) and not isinstance(every, bool) and every >= 1 else None


def epoch_and_step(checkpoint: Path) -> tuple[int, int] | None:
    """Epoch (counted from 0) and step in a checkpoint's name; None for other files."""
    named = _CHECKPOINT.fullmatch(checkpoint.name)
    return None if named is None else (int(named[1]), int(named[2]))


def best_by_validation(
    checkpoints: Sequence[Path], losses: Sequence[Validation | float], interval: int | None = None
) -> tuple[Path, float] | None:
    """The checkpoint with the lowest validation loss, and that loss; None without validation figures.

    A validation speaks for the last checkpoint whose epoch is not after its own; one before the first checkpoint
    speaks for none. Of equal losses the earliest counts.

    Args:
        checkpoints: `model_epoch_<epoch>_step_<step>.pth`, in any order; other names are left out.
        losses: The validations in order. Where they have no epochs: `interval` apart; without it the k-th belongs to
            the k-th checkpoint if there are as many of both, else there was one an epoch (TAO's default).
        interval: Epochs between validations.
    """
    found = sorted((at, path) for path in checkpoints if (at := epoch_and_step(path)) is not None)
    agree = interval is None and len(losses) == len(found)
    best: tuple[Path, float] | None = None
    for k, given in enumerate(losses):
        loss, epoch = (given.loss, given.epoch) if isinstance(given, Validation) else (float(given), None)
        if epoch is None:
            epoch = found[k][0][0] if agree else (k + 1) * (interval or 1) - 1
        there = [path for (at, _), path in found if at <= epoch]
        if there and (best is None or loss < best[1]):
            best = there[-1], loss
    return best
