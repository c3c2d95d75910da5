"""Whether names of lots or files that say when they are from stand in the order of time.

A monitor takes the order of feeding for the order of time, and cannot take it back. `day10.csv` before `day2.csv` is
how a shell sorts; yesterday's file after today's is one that was late.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

_DIGITS = re.compile(r"(\d+)")
_DATE = re.compile(r"(?<!\d)20\d\d(?:([-_.]?)[01]\d\1[0-3]\d)")
_YEAR_LAST = re.compile(r"(?<!\d)(?:\d\d?([-_./ ])\d\d?\1|[0-3]\d[01]\d)(?:19|20)\d\d(?!\d)")


def falls(before: str, after: str) -> bool:
    """Whether the second of two names that differ in numbers alone has the lower ones; numbers are compared in order.

    Nothing is said of dates that end with their year: `01.12.2026` may be in January or December.
    """
    one, other = _parts(before), _parts(after)
    if one[::2] != other[::2] or _YEAR_LAST.search(before) or _YEAR_LAST.search(after):
        return False
    return other < one


def first_fall(names: Sequence[str]) -> tuple[str, str] | None:
    """The first two neighbours of which the second is the earlier one by its name."""
    return next(((one, other) for one, other in pairwise(names) if falls(one, other)), None)


def in_order(names: Iterable[str]) -> list[str]:
    """Names, of those that differ in numbers alone the lowest numbers first."""
    return sorted(names, key=_parts)


def late(before: str, lots: Iterable[str]) -> tuple[str, str] | None:
    """The first lot behind `before` whose name has an earlier date than the lot before it, and that lot.

    Of lots that are numbered without a date nothing is said: orders are not made in the order of their numbers.
    """
    dated = [name for name in (before, *lots) if _DATE.search(name)]
    return first_fall(dated)


def _size(digits: str) -> tuple[int, str]:
    """What orders numbers of any length."""
    significant = digits.lstrip("0")
    return len(significant), significant


def _parts(name: str) -> list[tuple[str, int, str]]:
    """Text and numbers by turns, so that numbers are compared as such."""
    return [("", *_size(part)) if at % 2 else (part, 0, "") for at, part in enumerate(_DIGITS.split(name))]
