"""Whether lots still look like the lots before them, looked at after every lot. Arrays in, numbers out.

A Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo 2024, "E-detectors: a nonparametric framework for sequential
change detection") over normal scores of sequential ranks (van der Waerden 1952, "Order tests for the two-sample
problem"; sequential ranks: Bhattacharya and Frierson 1981, "A nonparametric control chart for detecting small
disorders"). The rank of a lot among all
up to it is uniform and independent of the earlier ones while lots are exchangeable, whatever their distribution. Its
score z is the mean of a standard normal number within that rank, so that E exp(a z - a^2 / 2) is at most 1. Where the
lots from s on lie d standard deviations higher, s of the t lots that lot t is ranked among are those before the
change, so z is d s / t on average, and the bet on it is

    exp(sum over t > s of (a_t z_t - a_t^2 / 2))        a_t = d s / t

which needs two running sums and no more, however long the history is. Each such product is a supermartingale that
starts at 1, so their sum over s has an expectation of at most the number of lots.

What it assumes: lots of one stratum are exchangeable while nothing changes (no trend, no season shorter than the
history), the number of their parts included: the spread of a quantile depends on it. When not to use it: lots that
depend on each other, such as a re-inspection of the same boards. What no method of ranks can tell: a change by d after
n lots is worth no more than n d^2 / 2 of evidence on average (natural logarithm), however many lots follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SHIFTS = (0.25, 0.5, 1.0, 2.0)
"""Changes that are bet on, in standard deviations, either way, in equal parts."""
EVERY = 64
"""So many lots back every lot may have begun a change; further back every second, then every fourth, and so on."""
_ROUNDING = 0.01
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Evidence:
    """What sequences of lots say, each of shape [...].

    Attributes:
        log_evidence: Natural logarithm of the detector; -inf where there is nothing to test yet.
        start: The most likely first lot of a change, counted from 0; of no meaning where nothing is tested yet.
        rises: Whether the values after it lie higher.
    """

    log_evidence: FloatArray
    start: npt.NDArray[np.int64]
    rises: npt.NDArray[np.bool_]


def rank_score(values: npt.ArrayLike, tie_breaks: npt.ArrayLike) -> FloatArray:
    """The normal score of the last lot among all of them, float64 [...]; 0 on average while nothing changes.

    Args:
        values: Float [..., n], one statistic a lot, in the order of the lots.
        tie_breaks: Float [..., n], drawn once a lot: equal values are ordered by them.
    """
    numbers, ties = np.asarray(values, dtype=np.float64), np.asarray(tie_breaks, dtype=np.float64)
    last = numbers[..., -1:]
    below = (numbers < last) | ((numbers == last) & (ties < ties[..., -1:]))
    return _scores(below.sum(axis=-1), numbers.shape[-1])


def rank_scores(values: npt.ArrayLike, tie_breaks: npt.ArrayLike) -> FloatArray:
    """The normal score of each lot among those up to it, float64 [..., n]; arguments as `rank_score`."""
    numbers, ties = np.asarray(values, dtype=np.float64), np.asarray(tie_breaks, dtype=np.float64)
    places = np.lexsort((ties, numbers), axis=-1).argsort(axis=-1).astype(np.int32)
    found = np.zeros(numbers.shape)
    for n in range(numbers.shape[-1]):
        below = np.count_nonzero(places[..., :n] < places[..., n : n + 1], axis=-1)
        found[..., n] = _scores(np.asarray(below), n + 1)
    return found


def _scores(below: npt.NDArray[np.int64], n: int) -> FloatArray:
    """The normal scores of lots of which each has so many of the others of n below it, float64 [...]."""
    ranks, index = np.unique(below, return_inverse=True)
    scores = np.array([n * (_density(k / n) - _density((k + 1) / n)) for k in ranks.tolist()])
    found: FloatArray = scores[index].reshape(below.shape)
    return found


@lru_cache(maxsize=8192)
def _density(share: float) -> float:
    """The density of a normal number at the quantile of this share; 0 at both ends."""
    return _NORMAL.pdf(_NORMAL.inv_cdf(share)) if 0 < share < 1 else 0.0


def running_sums(scores: npt.ArrayLike) -> FloatArray:
    """What `evidence` reads: the sum of score / number of the lot over the first lots, float64 [..., n + 1]."""
    of_each = np.asarray(scores, dtype=np.float64)
    found = np.zeros((*of_each.shape[:-1], of_each.shape[-1] + 1))
    np.cumsum(of_each / np.arange(1, of_each.shape[-1] + 1), axis=-1, out=found[..., 1:])
    return found


def evidence(sums: FloatArray, first: int) -> Evidence:
    """The e-detector after the last of the lots.

    Args:
        sums: Float [..., n + 1], of the scores of each lot among those up to it (`running_sums`). Of float32, which is
            enough to simulate many lines, it computes in that.
        first: The first lot that may begin a change, counted from 0; those before are the reference.
    """
    starts, tilt, spread = _bets(sums, first)
    if not len(starts):
        shape = sums.shape[:-1]
        return Evidence(np.full(shape, -np.inf), np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.bool_))
    kind = sums.dtype
    shifts = np.array([sign * shift for sign in (1, -1) for shift in SHIFTS])
    logs = shifts.astype(kind)[:, None] * tilt[..., None, :]
    logs -= ((shifts**2)[:, None] * spread).astype(kind)
    top = logs.max(axis=(-2, -1), keepdims=True)
    logs -= top
    weights = np.exp(logs, out=logs).sum(axis=-2)
    best = weights.argmax(axis=-1)
    total = top[..., 0, 0] + np.log(weights.sum(axis=-1) / len(shifts))
    rises = np.take_along_axis(tilt, best[..., None], axis=-1)[..., 0] > 0
    return Evidence(total, starts[best], rises)


def _bets(sums: FloatArray, first: int) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
    """Starts, and of each the t and s by which the logarithm of a bet on a change by d is d t - d^2 s.

    Returns:
        Starts int64 [starts], t of the type of the sums [..., starts], s float64 [starts].
    """
    n = sums.shape[-1] - 1
    starts = _starts(first, n)
    before = starts.astype(np.float64)
    squares = np.concatenate([[0.0], np.cumsum(np.arange(1.0, n + 1) ** -2)])
    spread = before**2 * (squares[-1] - squares[starts]) / 2
    return starts, before.astype(sums.dtype) * (sums[..., -1:] - sums[..., starts]), spread


def first_alarms(sums: FloatArray, first: int, limit: float) -> FloatArray:
    """At which of its lots, counted from 1, each line is found to have changed, float64 [lines]; infinite: at none.

    Args:
        sums: Float [lines, n + 1], of whole lines; `evidence` is taken after each lot, as a monitor does.
        first: As in `evidence`.
        limit: Of the evidence.
    """
    found, quiet = np.full(len(sums), np.inf), np.arange(len(sums))
    for n in range(first + 1, sums.shape[-1]):
        so_far = sums[quiet, : n + 1]
        # No shift says more than d = t / 2 s does: where not even that reaches the limit, nothing else is reckoned.
        starts, tilt, spread = _bets(so_far, first)
        most = (tilt**2 / (4 * spread)).max(axis=-1) + np.log(len(starts))
        near = np.flatnonzero(most >= np.log(limit) - _ROUNDING)
        passed = near[evidence(so_far[near], first).log_evidence >= np.log(limit)]
        found[quiet[passed]] = n
        quiet = np.delete(quiet, passed)
    return found


def _starts(first: int, n: int) -> npt.NDArray[np.int64]:
    """Where a change may have begun. A start that was given up never comes back, so each one is tested once."""
    starts = np.arange(max(first, 1), n)
    steps = 2 ** np.ceil(np.log2(np.maximum(n - starts, EVERY) / EVERY)).astype(np.int64)
    kept: npt.NDArray[np.int64] = starts[starts % steps == 0]
    return kept


def limit_for(lots_to_false_alarm: float, statistics: int) -> float:
    """Where a detector alarms, so that the average number of lots to a false alarm is at least what is asked.

    A detector passes c within n of its lots with a probability of at most n / c (Doob). With several statistics, those
    of all strata counted, that is at most statistics * n / c by n lots, whatever depends on what; so the average run is
    at least c / (2 * statistics) lots, however many strata a lot has parts of.

    It holds as well where strata come in later and the limit grows with them: a detector whose limit never falls, and
    is known before the lot, passes it within n lots with a probability of at most the sum of 1 / c over these lots
    (Chow 1960, "A martingale inequality and the law of large numbers"), and a lot with s tested strata pays at most s
    times what the s or more known ones are allowed together. Assumed: which strata come in does not depend on scores.
    """
    return 2.0 * statistics * lots_to_false_alarm
