"""Bounds of a share that hold at every look, from samples drawn at known rates. Counts in, numbers out.

Testing by betting (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting") on
inverse-probability weighted samples: a part that was drawn at rate r counts 1/r, one that was not drawn counts nothing,
so the estimate is unbiased whatever the rates are. The wealth of a bet against "the share is p or more" is a
supermartingale if that is true, and by Ville's inequality it passes 20 at any time with a probability of at most 5 %.
The bets are a fixed mixture, so the wealth depends on the counts alone and the order of the parts does not matter. How
large a bet may be depends on the smallest rate at which any part would have been drawn, whether such a part was seen
or not: it has to be known beforehand. Where it falls, a new stretch begins, and the wealths of stretches multiply.

What it assumes: a part was drawn independently of its truth, at the rate that is given; its rate is never 0; the share
does not change (after a change the bounds are of a mixture, and may miss either share). When not to use it: labels of
parts that somebody picked because they looked wrong; labels of one side only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import InputError

FloatArray = npt.NDArray[np.float64]

_BETS = np.concatenate([np.geomspace(1e-4, 0.5, 24), 1 - np.geomspace(0.4, 1e-3, 8)])


@dataclass(frozen=True)
class Drawn:
    """Samples that count alike: all drawn at `rate` (0 < rate <= 1); `hits` of the `number` are what is counted.

    A `number` of 0 says that parts would have been drawn at this rate.
    """

    rate: float
    hits: int
    number: int


@dataclass(frozen=True)
class AnytimeBounds:
    """A share in 0..1: the weighted estimate (None without samples), and one-sided bounds, each at the confidence."""

    value: float | None
    least: float
    most: float


def anytime_bounds(*stretches: Sequence[Drawn], confidence: float = 0.95) -> AnytimeBounds:
    """The share of hits among all parts, those not drawn included.

    Args:
        *stretches: The samples. More than one stretch where the smallest rate of drawing fell: each has a sample, be it
            of no part, of the smallest rate that was known when it began.
        confidence: Of each bound, over all looks together.

    Raises:
        InputError: A rate outside (0, 1], counts that cannot be, a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence {confidence} is not between 0 and 1", fix="give for example 0.95")
    for sample in (sample for stretch in stretches for sample in stretch):
        if not 0 < sample.rate <= 1 or not 0 <= sample.hits <= sample.number:
            raise InputError(f"cannot be: {sample}", fix="give 0 < rate <= 1 and 0 <= hits <= number")
    counted = [
        (
            np.array([1 / sample.rate for sample in stretch]),
            np.array([sample.hits for sample in stretch], dtype=np.float64),
            np.array([sample.number - sample.hits for sample in stretch], dtype=np.float64),
        )
        for stretch in stretches
        if stretch
    ]
    weighted_hits = sum(float(weight @ hits) for weight, hits, _ in counted)
    weighted = sum(float(weight @ (hits + misses)) for weight, hits, misses in counted)
    if not weighted:
        return AnytimeBounds(None, 0.0, 1.0)
    mirrored = [(weight, misses, hits) for weight, hits, misses in counted]
    return AnytimeBounds(weighted_hits / weighted, 1 - _most(mirrored, confidence), _most(counted, confidence))


def _most(stretches: Sequence[tuple[FloatArray, FloatArray, FloatArray]], confidence: float) -> float:
    """The upper bound: from this share on every share is refuted (the wealth rises with the share)."""
    limit = math.log(1 / (1 - confidence))
    low, high = 0.0, 1.0
    while high - low > 1e-9 * max(high, 1e-3):
        middle = (low + high) / 2
        if sum(log_wealth(middle, *stretch) for stretch in stretches) < limit:
            low = middle
        else:
            high = middle
    return high


def log_wealth(share: float, weight: FloatArray, hits: FloatArray, misses: FloatArray) -> FloatArray:
    """Natural logarithm of the wealth of bets that the share is lower than `share`, [...]; refuted at log(1 / error).

    Args:
        share: In [0, 1).
        weight: 1 / rate of each kind of sample, [k]; no part would have been drawn at a smaller rate.
        hits: Samples of each kind that are counted, [..., k].
        misses: Those that are not, [..., k].
    """
    scaled = _BETS * (weight / weight.max())[:, None]
    logs = hits @ np.log1p(-scaled) + misses @ np.log1p(scaled * (share / (1 - share)))
    top = logs.max(axis=-1, keepdims=True)
    found: FloatArray = top[..., 0] + np.log(np.exp(logs - top).mean(axis=-1))
    return found
