"""Two models on the same parts, each at its frozen threshold: what one fixes and breaks, and whether it is worse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.settings import Frozen
from tao_skill_bank.data.score_files import ScoreFile, finite_threshold
from tao_skill_bank.metrics.paired import mcnemar_exact
from tao_skill_bank.metrics.two_models import area_difference, worse_by

KEYS = (("input_path", "object_name"), ("sample",), ("id",), ("image",))
"""Columns that name a part; the first of these that both files have."""


class Side(Frozen):
    """Good parts (FAR) or defects (misses) under both models; rates in 0..1.

    Attributes:
        rate: `FAR` or `miss rate`: lower is better.
        first, second: The share that is wrong; 0 where there is no part.
        broken: Parts that the first has right and the second wrong.
        fixed: The other way.
        p: Exact two-sided p-value of McNemar's test that they are wrong equally often.
        worse_by: second - first.
        worse_least, worse_most: One-sided bounds of it, each at least at 95 %.
    """

    rate: Literal["FAR", "miss rate"]
    first: float
    second: float
    broken: int
    fixed: int
    parts: int
    p: float
    worse_by: float
    worse_least: float
    worse_most: float

    @property
    def of(self) -> str:
        """What its parts are."""
        return "good part" if self.rate == "FAR" else "defect"

    def outcome(self, margin: float) -> Literal["worse", "not worse", "cannot be told", "not measured"]:
        """Against "no worse by more than `margin`" (0..1): what the figure says, and whether these parts show it."""
        if not self.parts:
            return "not measured"
        if self.worse_by > margin + 1e-12:
            return "worse"
        return "not worse" if self.worse_most <= margin else "cannot be told"


class Area(Frozen):
    """Areas under the curves of scores, and DeLong's interval of the difference; None where it cannot be had."""

    first: float
    second: float
    low: float | None
    high: float | None
    p: float | None


class TwoModels(Frozen):
    """Two models on the parts that both have seen."""

    first: str
    second: str
    first_threshold: float
    second_threshold: float
    parts: int
    only_first: int
    only_second: int
    far: Side
    misses: Side
    area: Area | None

    @property
    def sides(self) -> tuple[Side, Side]:
        """FAR and misses."""
        return self.far, self.misses

    def lines(self, margin: float | None = None) -> Iterator[str]:
        """For a terminal; with a margin the outcome of each side."""
        left = self.only_first + self.only_second
        yield f"{self.parts} parts in both" + (f"; {left} in one alone are left out" if left else "")
        for side in self.sides:
            if not side.parts:
                yield f"{side.rate} not measured: none of these parts is a {side.of}"
                continue
            rates = f"{side.rate} {100 * side.first:.4g} % to {100 * side.second:.4g} %"
            worse = f"{100 * side.worse_by:+.3g} pp ({100 * side.worse_least:+.3g} to {100 * side.worse_most:+.3g})"
            sides = f"{side.broken} broken, {side.fixed} fixed of {side.parts}"
            yield f"{rates}: {sides}; worse by {worse}, p {side.p:.3g}"
        if self.area is not None:
            interval = "" if self.area.low is None else f", difference {self.area.low:+.4f} to {self.area.high:+.4f}"
            yield f"area under the curve {self.area.first:.4f} to {self.area.second:.4f}{interval}"
        if margin is not None:
            yield from (f"{s.rate}, no worse by more than {100 * margin:g} pp: {s.outcome(margin)}" for s in self.sides)


def compare_models(first: ScoreFile, second: ScoreFile, first_threshold: float, second_threshold: float) -> TwoModels:
    """Set two models side by side.

    Raises:
        InputError: No column that names parts, a part twice, no part in both, a part with two labels.
    """
    rows, others = _matched(first, second)
    is_pass = first.is_pass[rows]
    differ = np.flatnonzero(is_pass != second.is_pass[others])
    if len(differ):
        raise InputError(
            f"{len(differ)} parts have another label in {first.path.name}",
            where=f"{second.path} row {int(others[differ[0]]) + 1}",
            fix="judge both models by the same labels",
        )
    scores = first.score[rows], second.score[others]
    wrong = [(s > t) == is_pass for s, t in zip(scores, (first_threshold, second_threshold), strict=True)]
    area = area_difference(*scores, is_pass)
    return TwoModels(
        first=str(first.path),
        second=str(second.path),
        first_threshold=first_threshold,
        second_threshold=second_threshold,
        parts=len(rows),
        only_first=len(first) - len(rows),
        only_second=len(second) - len(rows),
        far=_side("FAR", wrong[0][is_pass], wrong[1][is_pass]),
        misses=_side("miss rate", wrong[0][~is_pass], wrong[1][~is_pass]),
        area=None if area is None else Area(**asdict(area)),
    )


def _side(rate: Literal["FAR", "miss rate"], first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> Side:
    broken, fixed = int(np.count_nonzero(second & ~first)), int(np.count_nonzero(first & ~second))
    value, least, most = worse_by(broken, fixed, len(first))
    return Side(
        rate=rate,
        first=float(first.mean()) if len(first) else 0.0,
        second=float(second.mean()) if len(second) else 0.0,
        broken=broken,
        fixed=fixed,
        parts=len(first),
        p=mcnemar_exact(broken, fixed),
        worse_by=value,
        worse_least=least,
        worse_most=most,
    )


def _matched(first: ScoreFile, second: ScoreFile) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of both files that are the same part, in the order of the first."""
    key = next((k for k in KEYS if all(set(k) <= set(f.table.names) for f in (first, second))), None)
    if key is None:
        raise InputError(
            "no column that both files have names a part",
            where=second.path,
            fix=f"add {' or '.join('+'.join(k) for k in KEYS)}",
        )
    places = [_places(file, key) for file in (first, second)]
    both = [(row, places[1][name]) for name, row in places[0].items() if name in places[1]]
    if not both:
        raise InputError(f"no part of {first.path.name} is in it", where=second.path, fix="score the same parts twice")
    rows = np.asarray(both, dtype=np.int64)
    return rows[:, 0], rows[:, 1]


def _places(file: ScoreFile, key: tuple[str, ...]) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    for row, name in enumerate(zip(*(file.table.column(column) for column in key), strict=True)):
        if not any(cell.strip() for cell in name):
            fix = "write it: the same name in both files"
            raise InputError(f"no {'/'.join(key)} names this part", where=f"{file.path} row {row + 1}", fix=fix)
        if name in found:
            raise InputError(
                f"{'/'.join(name)} is there twice", where=f"{file.path} row {row + 1}", fix="give every part once"
            )
        found[name] = row
    return found


def margin_of(text: str) -> float:
    """`0.2pp` or `0.2%` as a share; a number without a unit could be either a share or points.

    Raises:
        InputError: It is none of these, or not between 0 and 1.
    """
    written = text.strip().lower()
    number = written.removesuffix("pp").removesuffix("%").strip()
    try:
        value = float(number) / 100 if number != written else math.nan
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise InputError(f"no margin: {text!r}", where="--fail-if-worse", fix="write it like 0.2pp")
    return value


def chosen_threshold(path: Path, given: float | None, own: float | None, option: str) -> float:
    """The threshold that was given, else the one that a run froze.

    Raises:
        InputError: Neither; one that is not finite.
    """
    found = own if given is None else given
    if found is None:
        raise InputError("no threshold is known for this file", where=path, fix=f"give {option}")
    return finite_threshold(found, option)
