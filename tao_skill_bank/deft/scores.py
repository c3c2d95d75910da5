"""What an `inference.csv` says: labels and scores, checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tao_skill_bank.changenet.kpi import read_scored
from tao_skill_bank.changenet.tables import read_pairs
from tao_skill_bank.deft.state import Evaluation, Interval
from tao_skill_bank.errors import GateError, InputErrors
from tao_skill_bank.metrics import Threshold, clopper_pearson, confusion_at, far_at_recall


@dataclass(frozen=True)
class Scores:
    """Scores of one inference.

    Attributes:
        labels: As written, shape [n].
        is_pass: bool [n].
        score: float64 [n], the probability of NO_PASS.
    """

    labels: list[str]
    is_pass: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float64]


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
    return Scores(scored.table.label, scored.is_pass, scored.scores)


def share(successes: int, trials: int) -> Interval:
    """A share in percent with its 95 % Clopper-Pearson interval."""
    low, high = clopper_pearson(successes, trials)
    return Interval(
        value_pct=100.0 * successes / trials if trials else 0.0,
        low_pct=100.0 * low,
        high_pct=100.0 * high,
        successes=successes,
        trials=trials,
    )


def recall_interval(point: Threshold) -> Interval:
    """Recall of NO_PASS with its interval."""
    return share(point.tp, point.tp + point.fn)


def far_interval(point: Threshold) -> Interval:
    """FAR with its interval."""
    return share(point.fp, point.fp + point.tn)


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
        far=far_interval(at_target),
        recall=recall_interval(at_target),
    )


def at_threshold(csv: Path, threshold: float) -> Threshold:
    """Confusion of an inference at a frozen threshold."""
    scores = read_scores(csv)
    return confusion_at(scores.score, scores.is_pass, threshold)


def validation_losses(status_json: Path) -> list[float]:
    """`val_loss` of every validation line of a training's `status.json`, in order; empty if there is none."""
    losses: list[float] = []
    try:
        lines = status_json.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        kpi = value.get("kpi") if isinstance(value, dict) else None
        loss = kpi.get("val_loss") if isinstance(kpi, dict) else None
        if isinstance(loss, (int, float)) and not isinstance(loss, bool) and np.isfinite(loss):
            losses.append(float(loss))
    return losses


def best_by_validation(checkpoints: list[Path], losses: list[float]) -> tuple[Path, float] | None:
    """The checkpoint with the lowest validation loss, and that loss; None without validation figures.

    The k-th validation belongs to the k-th checkpoint where there are as many of both; else to the last
    checkpoint that was there by then, counted in equal steps.
    """
    if not checkpoints or not losses:
        return None
    best = int(np.argmin(losses))
    if len(losses) == len(checkpoints):
        return checkpoints[best], losses[best]
    index = max(0, (best + 1) * len(checkpoints) // len(losses) - 1)
    return checkpoints[min(index, len(checkpoints) - 1)], losses[best]
