"""Whether lots still look like the lots before them, looked at after every lot. Arrays in, numbers out.

A Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo 2024, "E-detectors: a nonparametric framework for sequential
change detection") over the rank likelihood of Lehmann alternatives (Savage 1956, "Contributions to the theory of rank
order statistics"). For a change that begins with lot s, the lots from s on have their hazard multiplied by a factor;
the likelihood ratio of the order of all lots is then in closed form and needs no distribution of the scores:

    n! * prod_i w(i) / (w(i) + w(i+1) + ... + w(n))        w = factor for lots from s on, 1 for those before

with the lots in ascending order. Under exchangeable lots each such ratio is a martingale that starts at 1, so their
sum over s has an expectation of at most the number of lots.

What it assumes: lots of one stratum are exchangeable while nothing changes (no trend, no season shorter than the
history), the number of their parts included: the spread of a quantile depends on it. When not to use it: lots that
depend on each other, such as a re-inspection of the same boards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

HAZARDS = (0.05, 0.2, 0.5, 2.0, 5.0, 20.0)
"""Factors of the hazard after a change, mixed in equal parts: below 1 the values rise, above 1 they fall."""
EVERY = 16
"""So many lots back every lot may have begun a change; further back every second, then every fourth, and so on."""


@dataclass(frozen=True)
class Evidence:
    """What a sequence of lots says.

    Attributes:
        log_evidence: Natural logarithm of the detector; -inf where there is nothing to test yet.
        start: The most likely first lot of a change, counted from 0; None where nothing is tested yet.
        rises: Whether the values after it lie higher.
    """

    log_evidence: float
    start: int | None
    rises: bool


def rank_evidence(values: npt.ArrayLike, tie_breaks: npt.ArrayLike, first: int) -> Evidence:
    """The e-detector after the last of the lots.

    Args:
        values: Float [n], one statistic a lot, in the order of the lots.
        tie_breaks: Float [n], drawn once a lot: equal values are ordered by them.
        first: The first lot that may begin a change; those before are the reference.
    """
    numbers, ties = np.asarray(values, dtype=np.float64), np.asarray(tie_breaks, dtype=np.float64)
    n = len(numbers)
    starts = _starts(first, n)
    if not len(starts):
        return Evidence(-math.inf, None, False)
    order = np.lexsort((ties, numbers))
    after = order[None, :] >= starts[:, None]
    counts = after.sum(axis=1)
    log_n = math.lgamma(n + 1)
    logs = np.empty((len(HAZARDS), len(starts)))
    for k, hazard in enumerate(HAZARDS):
        weights = np.where(after, hazard, 1.0)
        left = np.cumsum(weights[:, ::-1], axis=1)
        logs[k] = log_n + counts * math.log(hazard) - np.log(left).sum(axis=1)
    mixed = _log_sum(logs, axis=0) - math.log(len(HAZARDS))
    best = int(np.argmax(mixed))
    rising = _log_sum(logs[np.asarray(HAZARDS) < 1, best], axis=0) >= _log_sum(
        logs[np.asarray(HAZARDS) > 1, best], axis=0
    )
    return Evidence(float(_log_sum(mixed, axis=0)), int(starts[best]), bool(rising))


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


def _log_sum(logs: FloatArray, axis: int) -> FloatArray:
    top = np.max(logs, axis=axis)
    total: FloatArray = top + np.log(np.sum(np.exp(logs - np.expand_dims(top, axis)), axis=axis))
    return total
