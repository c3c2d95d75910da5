"""Yes/no answers against the truth: counts, rates with intervals, the threshold of a score. Arrays in, numbers out.

An answer is 1 (yes), 0 (no) or -1 (unreadable). Unreadable is wrong, whatever the truth, and counted apart.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.metrics import clopper_pearson
from tao_skill_bank.metrics.evidence import CONFIDENCE, Bounds, exact_bounds, percentile_bounds, wider
from tao_skill_bank.metrics.paired import resampled_sums

UNREADABLE = -1
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """Counts of answers.

    Attributes:
        P: Rows whose truth is yes; N: whose truth is no.
        TP, TN, FP, FN: Of the readable ones.
        unreadable_yes, unreadable_no: By the truth.
    """

    P: int
    N: int
    TP: int
    TN: int
    FP: int
    FN: int
    unreadable_yes: int
    unreadable_no: int

    @property
    def fn_rate(self) -> float | None:
        """(FN + unreadable with truth yes) / P; None without such rows."""
        return (self.FN + self.unreadable_yes) / self.P if self.P else None

    @property
    def fp_rate(self) -> float | None:
        """(FP + unreadable with truth no) / N; None without such rows."""
        return (self.FP + self.unreadable_no) / self.N if self.N else None

    @property
    def accuracy(self) -> float | None:
        """(TP + TN) / (P + N); None without rows."""
        return (self.TP + self.TN) / (self.P + self.N) if self.P + self.N else None

    @property
    def balanced_accuracy(self) -> float | None:
        """1 - (FN rate + FP rate) / 2; None where a class is missing."""
        if self.fn_rate is None or self.fp_rate is None:
            return None
        return 1.0 - (self.fn_rate + self.fp_rate) / 2

    @property
    def unreadable(self) -> int:
        """Rows without an answer."""
        return self.unreadable_yes + self.unreadable_no

    def plain(self) -> dict[str, Any]:
        """As `metrics.json` has it; rates at 4 digits."""
        rates = {
            "fn_rate": self.fn_rate,
            "fp_rate": self.fp_rate,
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
        }
        return {**asdict(self), **{k: None if v is None else round(v, 4) for k, v in rates.items()}}


@dataclass(frozen=True)
class Estimate:
    """A share with its two-sided 95 % interval and the one-sided 95 % bounds, all in 0..1."""

    value: float
    low: float
    high: float
    least: float
    most: float
    right: int
    trials: int


def table(truth: npt.ArrayLike, answer: npt.ArrayLike) -> Table:
    """Count.

    Args:
        truth: Bool [n], whether yes is right.
        answer: Int [n]: 1, 0 or -1.
    """
    yes, said = np.asarray(truth, dtype=np.bool_), np.asarray(answer, dtype=np.int64)

    def count(mask: npt.NDArray[np.bool_]) -> int:
        return int(np.count_nonzero(mask))

    return Table(
        P=count(yes),
        N=count(~yes),
        TP=count(yes & (said == 1)),
        TN=count(~yes & (said == 0)),
        FP=count(~yes & (said == 1)),
        FN=count(yes & (said == 0)),
        unreadable_yes=count(yes & (said == UNREADABLE)),
        unreadable_no=count(~yes & (said == UNREADABLE)),
    )


def share(wins: int, trials: int, groups: IntArray | None = None) -> Estimate:
    """A share: Clopper-Pearson, and where groups repeat the percentile interval over resampled ones; the wider counts.

    Args:
        wins: 0..trials.
        trials: 1 or more.
        groups: Int [g, 2], (wins, trials) of each group; None where every row is its own.
    """
    drawn = None if groups is None else _drawn(groups, lambda s: s[:, 0] / s[:, 1])
    return _estimate(wins / trials, wider(exact_bounds(wins, trials), drawn), wins, trials)


def balanced(wins: tuple[int, int], trials: tuple[int, int], groups: IntArray | None = None) -> Estimate:
    """Balanced accuracy: the mean of the ends of the two classes' 97.5 % intervals, which covers at least 95 %.

    Args:
        wins: Right rows of truth yes and of truth no.
        trials: Rows of each; 1 or more.
        groups: Int [g, 4], right and all rows of yes, right and all of no, of each group.
    """
    # The ends of both hold together with at least 1 - 2 * 2.5 %.
    wide = [clopper_pearson(w, t, (1 + CONFIDENCE) / 2) for w, t in zip(wins, trials, strict=True)]
    bounds = [clopper_pearson(w, t, CONFIDENCE) for w, t in zip(wins, trials, strict=True)]
    low, high = ((wide[0][i] + wide[1][i]) / 2 for i in (0, 1))
    least, most = ((bounds[0][i] + bounds[1][i]) / 2 for i in (0, 1))
    value = (wins[0] / trials[0] + wins[1] / trials[1]) / 2
    drawn = None if groups is None else _drawn(groups, lambda s: (s[:, 0] / s[:, 1] + s[:, 2] / s[:, 3]) / 2)
    return _estimate(value, wider(Bounds(low, high, least, most), drawn), sum(wins), sum(trials))


def worst(parts: list[Estimate]) -> Estimate:
    """The least of several shares; each bound is the least of theirs, because the claim is one about all of them."""
    least = min(parts, key=lambda part: part.value)
    return Estimate(
        least.value,
        min(part.low for part in parts),
        min(part.high for part in parts),
        min(part.least for part in parts),
        min(part.most for part in parts),
        least.right,
        least.trials,
    )


@dataclass(frozen=True)
class Operating:
    """A threshold (yes iff score >= threshold, +inf: never) and both rates at it."""

    threshold: float
    fn_rate: float
    fp_rate: float


def best_threshold(scores: npt.ArrayLike, truth: npt.ArrayLike, limit: float, *, hold_fp: bool) -> Operating | None:
    """The threshold with the least rate of one kind while the other is held; of equal ones the greatest threshold.

    Args:
        scores: Float [n], finite.
        truth: Bool [n].
        limit: What the held rate may be at most.
        hold_fp: Whether the FP rate is held and the FN rate made least; else the other way round.

    Returns:
        The operating point among every unique score and +inf; None where a class is missing.
    """
    values, yes = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.bool_)
    positives = int(np.count_nonzero(yes))
    negatives = len(yes) - positives
    if not positives or not negatives:
        return None
    unique = np.unique(values)
    at_least_yes = positives - np.searchsorted(np.sort(values[yes]), unique, side="left")
    at_least_no = negatives - np.searchsorted(np.sort(values[~yes]), unique, side="left")
    thresholds = np.append(unique, np.inf)
    fn = np.append(positives - at_least_yes, positives) / positives
    fp = np.append(at_least_no, 0) / negatives
    held, least = (fp, fn) if hold_fp else (fn, fp)
    within = held <= limit + 1e-12
    if not within.any():
        return None
    candidates = np.flatnonzero(within & (least == least[within].min()))
    chosen = candidates[-1]
    return Operating(float(thresholds[chosen]), float(fn[chosen]), float(fp[chosen]))


def at_threshold(scores: npt.ArrayLike, threshold: float) -> IntArray:
    """Answers of scores: 1 where the score is at least the threshold, else 0."""
    found: IntArray = (np.asarray(scores, dtype=np.float64) >= threshold).astype(np.int64)
    return found


def fisher_exact(a: int, b: int, c: int, d: int) -> float:
    """Fisher's exact two-sided p-value of the table [[a, b], [c, d]]: all tables no more likely than this one."""
    from math import lgamma

    row, column, total = a + b, a + c, a + b + c + d

    def log_choose(n: int, k: int) -> float:
        return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

    least, most = max(0, row + column - total), min(row, column)
    counts = range(least, most + 1)
    ways = [log_choose(column, k) + log_choose(total - column, row - k) for k in counts]
    logs = np.array(ways) - log_choose(total, row)
    chances = np.exp(logs)
    return float(min(1.0, chances[chances <= chances[a - least] * (1 + 1e-7)].sum()))


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjustment, in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    out, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        out[index] = highest
    return out


def grouped_counts(group: npt.ArrayLike, columns: npt.ArrayLike) -> IntArray | None:
    """Sums of int columns [n, k] over the groups of [n] labels; None where every group is one row."""
    names, place = np.unique(np.asarray(group), return_inverse=True)
    if len(names) == len(place) or len(names) < 2:
        return None
    values = np.asarray(columns, dtype=np.int64)
    sums = np.zeros((len(names), values.shape[1]), dtype=np.int64)
    np.add.at(sums, place, values)
    return sums


def _drawn(groups: IntArray, statistic: Any) -> Bounds | None:
    held = groups[groups[:, 1::2].sum(axis=1) > 0]
    if len(held) < 2:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        values = statistic(resampled_sums(held))
    values = values[np.isfinite(values)]
    return percentile_bounds(values, CONFIDENCE) if len(values) else None


def _estimate(value: float, bounds: Bounds, right: int, trials: int) -> Estimate:
    return Estimate(value, bounds.low, bounds.high, bounds.least, bounds.most, right, trials)
