"""Numbers of a one-score classifier: thresholds, recall, false-accept rate (FAR), their intervals.

Everything here is a function of arrays; nothing reads or writes. `scores` are float, shape [n], higher meaning
"more like a defect"; `is_pass` is bool, shape [n]. NO_PASS is the positive class, and a sample is called NO_PASS if
and only if its score lies strictly above the threshold. FAR is FP / (FP + TN), the share of PASS samples flagged.

Candidate thresholds are every unique score and one value just below the lowest (`nextafter(min, -inf)`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

RECALL_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Threshold:
    """An operating point: the threshold, its confusion counts, and the rates they give.

    A rate without a denominator (precision when nothing is flagged, recall without NO_PASS rows, FAR without PASS
    rows) is 0.0.
    """

    threshold: float
    precision: float
    recall: float
    f1: float
    far: float
    accuracy: float
    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def escape_rate(self) -> float:
        """FN / (TP + FN), the share of NO_PASS samples that are missed; 0 without NO_PASS rows."""
        return self.fn / (self.tp + self.fn) if self.tp + self.fn else 0.0


@dataclass(frozen=True)
class Curve:
    """Every candidate threshold, ascending, and its confusion counts; all arrays have the same length [m]."""

    thresholds: FloatArray
    tp: IntArray
    fp: IntArray
    tn: IntArray
    fn: IntArray

    def __len__(self) -> int:
        return len(self.thresholds)

    def columns(self) -> dict[str, FloatArray | IntArray]:
        """Thresholds, counts and rates (shares, not percent) by the names and in the order of their files."""
        return {
            "threshold": self.thresholds,
            "tp": self.tp,
            "fp": self.fp,
            "tn": self.tn,
            "fn": self.fn,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "accuracy": self.accuracy,
            "far": self.far,
        }

    @property
    def precision(self) -> FloatArray:
        """TP / (TP + FP), 0 where nothing is flagged."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> FloatArray:
        """TP / (TP + FN), 0 without NO_PASS rows."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def escape_rate(self) -> FloatArray:
        """FN / (TP + FN), 0 without NO_PASS rows."""
        return _ratio(self.fn, self.tp + self.fn)

    @property
    def f1(self) -> FloatArray:
        """2 P R / (P + R) of precision and recall, 0 where both are 0."""
        precision, recall = self.precision, self.recall
        return _ratio(2.0 * precision * recall, precision + recall)

    @property
    def far(self) -> FloatArray:
        """FP / (FP + TN), 0 without PASS rows."""
        return _ratio(self.fp, self.fp + self.tn)

    @property
    def accuracy(self) -> FloatArray:
        """(TP + TN) / n."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn)

    def recall_over_far(self) -> tuple[FloatArray, FloatArray]:
        """FAR and recall of every candidate, 0..1 each, from the strictest threshold to the loosest: neither falls."""
        return self.far[::-1], self.recall[::-1]

    def at(self, index: int) -> Threshold:
        """The operating point at a position of the curve."""
        return _point(
            float(self.thresholds[index]),
            int(self.tp[index]),
            int(self.fp[index]),
            positives=int(self.tp[index] + self.fn[index]),
            negatives=int(self.fp[index] + self.tn[index]),
        )


def confusion_at(scores: npt.ArrayLike, is_pass: npt.ArrayLike, threshold: float) -> Threshold:
    """The operating point of one threshold: NO_PASS is predicted if and only if `score > threshold`.

    Raises:
        InputError: No rows, shapes that differ, NaN or infinite scores, a NaN threshold.
    """
    values, passes = _checked(scores, is_pass)
    if math.isnan(threshold):
        raise InputError("threshold is not a number", fix="give a finite threshold")
    flagged = values > threshold
    fp = int(np.count_nonzero(flagged & passes))
    negatives = int(np.count_nonzero(passes))
    return _point(
        float(threshold),
        int(np.count_nonzero(flagged)) - fp,
        fp,
        positives=len(values) - negatives,
        negatives=negatives,
    )


def optimal_threshold(scores: npt.ArrayLike, is_pass: npt.ArrayLike, min_recall: float = 1.0) -> Threshold | None:
    """The candidate with the greatest (F1, precision, threshold) among those of recall >= `min_recall` - 1e-12.

    F1 is 2 P R / (P + R) of the rounded precision and recall, as in NVIDIA TAO data services: where two candidates
    have the same exact F1, the rounding decides between them there and here alike.

    Args:
        scores: Float [n].
        is_pass: Bool [n].
        min_recall: In 0..1.

    Returns:
        The operating point, or None without NO_PASS rows: recall is then undefined and no floor can be met.

    Raises:
        InputError: No rows, shapes that differ, NaN or infinite scores, `min_recall` outside 0..1.
    """
    values, passes = _checked(scores, is_pass)
    _check_share("min_recall", min_recall)
    positives, negatives = values[~passes], values[passes]
    total_p, total_n = len(positives), len(negatives)
    if total_p == 0:
        return None

    # Between two NO_PASS scores TP does not change and every further PASS row passed raises F1, so only the highest
    # candidate below each distinct NO_PASS score can win; at the top score TP and so F1 are 0, less than any of them.
    # Of the NO_PASS rows only those that the recall floor allows to be missed, and one more, need to be in order, and
    # of the PASS rows only those below them.
    missable = min(total_p - _needed_true_positives(total_p, min_recall), total_p - 1)
    low = np.partition(positives, missable)[: missable + 1]
    low.sort()
    below = negatives[negatives < low[-1]]
    below.sort()
    starts = np.flatnonzero(np.concatenate(([True], low[1:] != low[:-1])))
    steps = low[starts]
    tp = total_p - starts
    fp = (total_n - np.searchsorted(below, steps, side="left")).astype(np.int64)
    best = _argbest(tp, fp, total_p)
    return _point(_below(values, float(steps[best])), int(tp[best]), int(fp[best]), total_p, total_n)


def far_at_recall(scores: npt.ArrayLike, is_pass: npt.ArrayLike, recall: float) -> Threshold | None:
    """The highest candidate threshold whose NO_PASS recall is at least `recall` - 1e-12: where FAR is read off.

    At recall 1 its FAR is the share of PASS rows whose score is at least the lowest NO_PASS score.

    Returns:
        The operating point, or None without NO_PASS rows: recall is then undefined.

    Raises:
        InputError: No rows, shapes that differ, NaN or infinite scores, `recall` outside 0..1.
    """
    values, passes = _checked(scores, is_pass)
    _check_share("recall", recall)
    positives, negatives = values[~passes], values[passes]
    total = len(positives)
    if total == 0:
        return None
    needed = _needed_true_positives(total, recall)
    if needed == 0:
        return _point(float(values.max()), 0, 0, total, len(negatives))
    step = float(np.partition(positives, total - needed)[total - needed])
    tp = int(np.count_nonzero(positives >= step))
    fp = int(np.count_nonzero(negatives >= step))
    return _point(_below(values, step), tp, fp, total, len(negatives))


def far_without_weakest(
    scores: npt.ArrayLike, is_pass: npt.ArrayLike, recall: float, count: int
) -> tuple[Threshold, Threshold] | None:
    """FAR at a recall without the `count` lowest-scoring NO_PASS rows, and without any other choice of as many.

    Below full recall some rows may be missed, and leaving out any of them moves the quota: then both are the same,
    and nothing is said of these rows that would not hold for others.

    Returns:
        The operating point without the lowest, and the one of lowest FAR among all other choices of `count` NO_PASS
        rows; None where fewer than two NO_PASS rows would be left to choose from.

    Raises:
        InputError: No rows, shapes that differ, NaN or infinite scores, `recall` outside 0..1.
    """
    values, passes = _checked(scores, is_pass)
    defects = np.flatnonzero(~passes)
    if count < 1 or len(defects) < count + 1:
        return None
    order = defects[np.argsort(values[defects], kind="stable")]

    def without(rows: IntArray) -> Threshold | None:
        keep = np.ones(len(values), dtype=np.bool_)
        keep[rows] = False
        return far_at_recall(values[keep], passes[keep], recall)

    lowest = without(order[:count])
    # No other choice does better than the one that keeps the highest of these and takes the next one instead.
    other = without(np.concatenate([order[: count - 1], order[count : count + 1]]))
    return None if lowest is None or other is None else (lowest, other)


def parting_scores(scores: npt.ArrayLike, is_pass: npt.ArrayLike) -> FloatArray:
    """For each row, the score at which the classes of all other rows part best: recall and 1 - FAR add up to most.

    That is Youden's index: it depends on no recall target and, by shares, not on how rare defects are. The row itself
    is left out, so that it cannot move the point to its own side. Halfway between the candidate, the lowest of
    equals, and the next score of the others, so that it stands in the gap where there is one.

    Returns:
        Float64 [n]; NaN where a class would be missing or the scores part nothing.

    Raises:
        InputError: No rows, shapes that differ, NaN or infinite scores.
    """
    values, passes = _checked(scores, is_pass)
    curve = operating_curve(values, passes)
    m = len(curve)
    places = np.searchsorted(curve.thresholds, values)
    alone = np.bincount(places, minlength=m)[places] == 1
    index = np.arange(m)
    result = np.full(len(values), np.nan)
    for side in (False, True):
        rows = np.flatnonzero(passes == side)
        positives, negatives = int(curve.tp[0]) - (not side), int(curve.fp[0]) - side
        if not len(rows) or positives < 1 or negatives < 1:
            continue
        # Youden's index times both counts, in whole numbers; below its own score a row adds to tp or to fp.
        parted = curve.tp * negatives - curve.fp * positives
        own = positives if side else -negatives
        best_below = np.maximum.accumulate(np.where(parted > _before(parted), index, 0))
        turned = parted[::-1]
        best_above = m - 1 - np.maximum.accumulate(np.where(turned >= _before(turned), index, 0))[::-1]
        at = places[rows]
        below, above = best_below[at - 1], best_above[at]
        low = np.where(parted[below] + own >= parted[above], below, above)
        known = np.where(low < at, parted[low] + own, parted[low]) > 0
        # Where nobody else has its score, a row's own score is no end of the gap.
        high = np.minimum(low + 1 + (alone[rows] & (low + 1 == at)), m - 1)
        low = low - (alone[rows] & (low == at))
        ends = curve.thresholds[low], curve.thresholds[high]
        middle = ends[0] + (ends[1] - ends[0]) / 2
        result[rows] = np.where(known, np.where(middle < ends[1], middle, ends[0]), np.nan)
    return result


def _before(values: IntArray) -> IntArray:
    """The highest value before each place; less than any at the first."""
    highest = np.maximum.accumulate(values)
    return np.concatenate((values[:1] - 1, highest[:-1]))


def operating_curve(scores: npt.ArrayLike, is_pass: npt.ArrayLike) -> Curve:
    """Every candidate threshold, ascending: one just below the lowest score, then each unique score.

    Raises:
        InputError: No rows, shapes that differ, NaN or infinite scores.
    """
    values, passes = _checked(scores, is_pass)
    positives, negatives = np.sort(values[~passes]), np.sort(values[passes])
    unique = _distinct(np.sort(values))
    thresholds = np.concatenate(([np.nextafter(unique[0], -np.inf)], unique))
    fn = np.searchsorted(positives, thresholds, side="right").astype(np.int64)
    tn = np.searchsorted(negatives, thresholds, side="right").astype(np.int64)
    return Curve(thresholds, len(positives) - fn, len(negatives) - tn, tn, fn)


def thinned_curve(
    scores: npt.ArrayLike, is_pass: npt.ArrayLike, keep: Sequence[float] = (), limit: int = 1000
) -> Curve:
    """The operating curve in at most `limit` points, for tables and plots; whole where it has no more.

    Kept are both ends, the highest threshold of full recall, the lowest without a false accept, every candidate of
    `keep`, and between them points spaced evenly in recall and in FAR.

    Args:
        scores: Float [n].
        is_pass: Bool [n].
        keep: Thresholds that must appear, such as the chosen one; they need not be candidates.
        limit: At least 10 more than `keep` has.

    Raises:
        InputError: No rows, shapes that differ, NaN or infinite scores.
    """
    values, passes = _checked(scores, is_pass)
    positives, negatives = np.sort(values[~passes]), np.sort(values[passes])
    corners = [np.nextafter(values.min(), -np.inf), values.max(), *keep]
    if len(positives):
        corners.append(_below(values, float(positives[0])))
    # Each class gets half of the points, and what the smaller one has no use for goes to the other.
    room = limit - len(corners)
    distinct = [_distinct(positives), _distinct(negatives)]
    # Counted together: a value that both classes and the corners share takes one place.
    if len(_distinct(np.sort(np.concatenate([*distinct, np.asarray(corners, dtype=np.float64)])))) <= limit:
        picks = distinct
    else:
        share = min(len(positives), max(room // 2, room - len(negatives)))
        picks = [_spread(positives, share), _spread(negatives, room - share)]
    thresholds = _distinct(np.sort(np.concatenate([*picks, np.asarray(corners, dtype=np.float64)])))
    fn = np.searchsorted(positives, thresholds, side="right").astype(np.int64)
    tn = np.searchsorted(negatives, thresholds, side="right").astype(np.int64)
    return Curve(thresholds, len(positives) - fn, len(negatives) - tn, tn, fn)


def _distinct(ordered: FloatArray) -> FloatArray:
    """The distinct values of a sorted array; `np.unique` would import numpy's masked arrays to find out the same."""
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))] if len(ordered) else ordered


def _spread(ordered: FloatArray, count: int) -> FloatArray:
    """At most `count` values at even ranks of a sorted array, its first and last among them."""
    if len(ordered) <= count:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, count).round().astype(np.int64)]


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided binomial interval of a share, as (low, high) in 0..1.

    Args:
        successes: 0..trials.
        trials: 0 or more; without trials nothing is known, and the interval is (0, 1).
        confidence: Between 0 and 1.

    Raises:
        InputError: Counts that cannot be, a confidence outside (0, 1).
    """
    if not 0 <= successes <= trials:
        raise InputError(f"{successes} successes of {trials} trials", fix="give 0 <= successes <= trials")
    _check_confidence(confidence)
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _beta_quantile(successes, trials - successes + 1, tail)
    high = 1.0 if successes == trials else 1.0 - _beta_quantile(trials - successes, successes + 1, tail)
    return low, high


def samples_needed(recall: float, confidence: float = 0.95) -> int:
    """How many defect samples, none missed, put the lower Clopper-Pearson bound of recall at `recall` or above.

    With none of n missed the two-sided bound is ((1 - confidence) / 2) ** (1 / n).

    Raises:
        InputError: `recall` not in (0, 1) (certainty needs infinitely many), a confidence outside (0, 1).
    """
    if not 0 < recall < 1:
        raise InputError(f"recall {recall} cannot be assured by samples", fix="give a recall between 0 and 1")
    _check_confidence(confidence)
    tail = (1 - confidence) / 2
    n = max(1, math.ceil(math.log(tail) / math.log(recall)))
    while n > 1 and tail ** (1 / (n - 1)) >= recall:
        n -= 1
    while tail ** (1 / n) < recall:
        n += 1
    return n


def _checked(scores: npt.ArrayLike, is_pass: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
    values: FloatArray = np.asarray(scores, dtype=np.float64)
    passes: Any = np.asarray(is_pass)
    if values.ndim != 1 or values.shape != passes.shape:
        raise InputError(
            f"scores of shape {values.shape} and PASS flags of shape {passes.shape}", fix="give one flag per score"
        )
    if len(values) == 0:
        raise InputError("no scores", fix="give at least one row")
    if passes.dtype != np.bool_:
        passes = passes.astype(np.bool_)
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argmin(finite))
        raise InputError(f"score is not finite: {values[row]}", where=f"row {row}", fix="fix or drop the row")
    return values, passes


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{name} must lie in 0..1, not {value}", fix=f"give {name} as a share, such as 0.99")


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, not {confidence}", fix="give for example 0.95")


def _needed_true_positives(total: int, recall: float) -> int:
    """The smallest count whose recall, rounded as a quotient of floats is, meets `recall` less the tolerance."""
    floor = recall - RECALL_TOLERANCE
    count = min(total, max(0, math.ceil(floor * total)))
    while count > 0 and (count - 1) / total >= floor:
        count -= 1
    while count / total < floor:
        count += 1
    return count


def _argbest(tp: IntArray, fp: IntArray, total: int) -> int:
    """The index of the greatest (F1, precision, index); `tp` > 0 throughout, thresholds ascend with the index."""
    precision, recall = tp / (tp + fp), tp / total
    f1 = 2.0 * precision * recall / (precision + recall)
    ties = np.flatnonzero(f1 == f1.max())
    ties = ties[precision[ties] == precision[ties].max()]
    return int(ties[-1])


def _below(values: FloatArray, step: float) -> float:
    """The highest candidate strictly below `step`, a score of `values`."""
    lower = values[values < step]
    return float(lower.max()) if len(lower) else float(np.nextafter(step, -np.inf))


def _point(threshold: float, tp: int, fp: int, positives: int, negatives: int) -> Threshold:
    fn, tn = positives - tp, negatives - fp
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / positives if positives else 0.0
    return Threshold(
        threshold=threshold,
        precision=precision,
        recall=recall,
        f1=2.0 * precision * recall / (precision + recall) if tp else 0.0,
        far=fp / negatives if negatives else 0.0,
        accuracy=(tp + tn) / (positives + negatives),
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
    )


def _ratio(numerator: npt.NDArray[Any], denominator: npt.NDArray[Any]) -> FloatArray:
    out = np.zeros(len(numerator), dtype=np.float64)
    np.divide(numerator, denominator, out=out, where=denominator != 0)
    return out


def _beta_quantile(a: int, b: int, tail: float) -> float:
    """The x whose regularised incomplete beta I_x(a, b) is `tail`: Newton's steps, kept inside a bracket by halving.

    Written out because importing scipy.special costs more than a whole analysis of a thousand rows.
    """
    low, high = 0.0, 1.0
    log_norm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    x = a / (a + b)
    for _ in range(200):
        value = _beta_share(a, b, x, log_norm)
        low, high = (x, high) if value < tail else (low, x)
        log_density = log_norm + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)
        step = (value - tail) / math.exp(log_density) if log_density > -700 else math.inf
        following = x - step if low < x - step < high else (low + high) / 2
        if abs(following - x) <= 1e-15 * x:
            break
        x = following
    return x


def beta_share(a: float, b: float, x: float) -> float:
    """The share of a Beta(a, b) distribution at or below `x`; `a` and `b` above 0, `x` in (0, 1)."""
    return _beta_share(a, b, x, math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b))


def _beta_share(a: float, b: float, x: float, log_norm: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (modified Lentz)."""
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_share(b, a, 1.0 - x, log_norm)
    front = math.exp(log_norm + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1.0 / max(1.0 - (a + b) * x / (a + 1), tiny)
    total = d
    for m in range(1, 100_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / c
            c = c if abs(c) > tiny else tiny
            total *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * total
