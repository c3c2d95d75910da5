"""The metrics of the neighbour search: how each screens a block by one product, and how it scores a pair for good.

A screen gives an approximate nearness together with a bound of its error that holds whatever order the product
sums in: `d` roundings, each of at most 2^-24 of the sum of magnitudes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Scores = NDArray[np.float32]
Doubles = NDArray[np.float64]

UNIT: Final = 2.0**-24
_SHORTEST_SQUARE: Final = 1e-25
_CHUNK: Final = 4096


class Prepared(NamedTuple):
    """A block ready for the screening product: `matrix` [b, d'] float32 and its longest row."""

    matrix: Scores
    longest: float


class Screen(Protocol):
    """How one metric finds the pairs that are worth an exact look."""

    def prepare(self, block: Scores) -> Prepared:
        """Do once a block what does not depend on the targets."""
        ...

    def products(self, at: Indices | slice, prepared: Prepared) -> tuple[Scores, Doubles]:
        """Approximate nearness [t, b], larger is nearer, and for each target a bound of its error [t]."""
        ...

    def floor(self, at: Indices | slice, worst: Scores, slack: Doubles) -> Scores:
        """The least approximate nearness [t] of a pair whose exact score may reach `worst` [t]."""
        ...

    def exact(self, left: Doubles, right: Doubles) -> Scores:
        """The score of each pair of rows, from the two rows alone."""
        ...


class _Cosine:
    """Screening by the product of unit vectors; the slack bounds its error by `d` roundings of each part."""

    def __init__(self, target: Scores) -> None:
        self._unit = _unit_rows(target)
        # Dot product: d roundings of sums of |a_i b_i| <= 1; norms: d/2 more a side; the score's own rounding.
        self._slack = (2 * target.shape[1] + 16) * UNIT

    def prepare(self, block: Scores) -> Prepared:
        return Prepared(_unit_rows(block), 1.0)

    def products(self, at: Indices | slice, prepared: Prepared) -> tuple[Scores, Doubles]:
        product = self._unit[at] @ prepared.matrix.T
        return product, np.full(len(product), self._slack)

    def floor(self, at: Indices | slice, worst: Scores, slack: Doubles) -> Scores:
        return down(worst.astype(np.float64) - slack)

    def exact(self, left: Doubles, right: Doubles) -> Scores:
        return pair_cosine(left, right)


class _Euclidean:
    """Screening by `a.b - b.b/2`, which orders the source rows of one target like the negated distance."""

    def __init__(self, target: Scores) -> None:
        self._target = np.column_stack([target, np.ones(len(target), dtype=np.float32)])
        self._squares = _squares(target)

    def prepare(self, block: Scores) -> Prepared:
        squares = _squares(block)
        halves = (-0.5 * squares).astype(np.float32)
        return Prepared(np.column_stack([block, halves]), float(np.sqrt(squares.max(initial=0.0))))

    def products(self, at: Indices | slice, prepared: Prepared) -> tuple[Scores, Doubles]:
        product = self._target[at] @ prepared.matrix.T
        length = np.sqrt(self._squares[at])
        reach = length**2 + length * prepared.longest + prepared.longest**2
        width = self._target.shape[1]
        # Relative roundings of every term, and what underflow of tiny terms can lose.
        return product, (2 * width + 32) * UNIT * reach + width * 1e-37

    def floor(self, at: Indices | slice, worst: Scores, slack: Doubles) -> Scores:
        # `worst` was rounded to float32: widen it by more than that rounding before it is squared.
        distance = -worst.astype(np.float64) * (1 + 4 * UNIT)
        return down(0.5 * (self._squares[at] - distance**2) - slack)

    def exact(self, left: Doubles, right: Doubles) -> Scores:
        gap = left - right
        return _rounded(-np.sqrt(np.add.reduce(gap * gap, axis=1)))


_IN_CACHE: Final = 1 << 17
"""Numbers that are read for one target after the other while they are near: a megabyte."""


class _Manhattan:
    """No product can screen this metric: every pair is measured in float64. Slow, and exact all the same."""

    def __init__(self, target: Scores) -> None:
        self._target = target

    def prepare(self, block: Scores) -> Prepared:
        return Prepared(block, 0.0)

    def products(self, at: Indices | slice, prepared: Prepared) -> tuple[Scores, Doubles]:
        target, matrix = self._target[at].astype(np.float64), prepared.matrix
        distance = np.empty((len(target), len(matrix)), dtype=np.float64)
        step = max(1, _IN_CACHE // max(1, matrix.shape[1]))
        for start in range(0, len(matrix), step):
            part = matrix[start : start + step].astype(np.float64)
            gap = np.empty_like(part)
            for row, one in enumerate(target):
                np.abs(np.subtract(part, one, out=gap), out=gap)
                np.add.reduce(gap, axis=1, out=distance[row, start : start + step])
        # The float64 sums agree to far below one float32 rounding, which is the only error that counts.
        return (-distance).astype(np.float32), 4 * UNIT * distance.max(axis=1, initial=0.0)

    def floor(self, at: Indices | slice, worst: Scores, slack: Doubles) -> Scores:
        return down(worst.astype(np.float64) * (1 + 4 * UNIT))

    def exact(self, left: Doubles, right: Doubles) -> Scores:
        return _rounded(-np.add.reduce(np.abs(left - right), axis=1))


SCREENS: Final[dict[str, Callable[[Scores], Screen]]] = {
    "cosine": _Cosine,
    "euclidean": _Euclidean,
    "manhattan": _Manhattan,
}


def pair_cosine(left: Doubles, right: Doubles) -> Scores:
    """Cosine of row i of `left` with row i of `right`, [n] float32, in -1..1; 0 where a vector is zero.

    Computed in float64 row by row, so it depends on the two vectors alone.
    """
    dot = np.add.reduce(left * right, axis=1)
    size = np.sqrt(np.add.reduce(left * left, axis=1)) * np.sqrt(np.add.reduce(right * right, axis=1))
    cosine = np.divide(dot, size, out=np.zeros_like(dot), where=size > 0)
    return _rounded(np.clip(cosine, -1.0, 1.0))


def _squares(rows: Scores) -> Doubles:
    out = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK].astype(np.float64)
        out[start : start + _CHUNK] = np.einsum("ij,ij->i", part, part)
    return out


def _unit_rows(rows: Scores) -> Scores:
    """Rows divided by their length in float32; rows too short to be squared there are scaled in float64."""
    squares = np.einsum("ij,ij->i", rows, rows)
    short = np.flatnonzero(squares < _SHORTEST_SQUARE)
    squares[short] = 1.0
    unit: Scores = rows / np.sqrt(squares)[:, None]
    if len(short):
        wide = rows[short].astype(np.float64)
        length = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        unit[short] = (wide / np.where(length > 0, length, 1.0)[:, None]).astype(np.float32)
    return unit


def down(values: Doubles) -> Scores:
    """Float64 as float32, never larger than it was."""
    with np.errstate(over="ignore"):
        nearest = _rounded(values)
    above = nearest > values
    nearest[above] = np.nextafter(nearest[above], np.float32(-np.inf))
    return nearest


def _rounded(values: Doubles) -> Scores:
    rounded: Scores = values.astype(np.float32)
    return rounded
