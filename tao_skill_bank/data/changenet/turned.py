"""Captures of one set that stand in another one turned or mirrored, pixel for pixel.

How often each grey value occurs does not change when a picture is turned; so whoever shares that with a picture of
another set is opened again and compared in all eight positions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tao_skill_bank.data.changenet.picture_set import POOL, TRAINING, PictureSet

if TYPE_CHECKING:
    from PIL import Image

MOST_COMPARED = 400
"""Pairs of files that are opened again."""
_MOST_ALIKE = 100
"""Captures that share their grey values and are held against later ones; the others are counted as not compared."""


@dataclass
class Turned:
    """What was found.

    Attributes:
        matches: (set, row, other set, its row) of rows of which a capture is one of an earlier set, turned.
        left: Pairs, or captures beside too many of the same grey values, that were not compared.
        blind: Captures of so few grey values that they were not looked at; blank ones not counted.
    """

    matches: list[tuple[str, int, str, int]] = field(default_factory=list)
    left: int = 0
    blind: int = 0


def turned_copies(tables: Sequence[PictureSet]) -> Turned:
    """Look for them. Captures with equal pixels are left out: those are told as such."""
    found = Turned()
    if not tables:
        return found
    files = tables[0].files
    used = {int(at) for one in tables for ids in one.images for at in ids.tolist()}
    found.blind = sum(files.facts[at].levels == b"" and not files.facts[at].blank for at in used)
    seen: set[tuple[str, int, str]] = set()
    done: dict[tuple[int, int], bool] = {}
    for one, row, at, other, there, theirs in _of_equal_levels(tables, found):
        if (one, row, other) in seen:
            continue
        pair = (at, theirs)
        if pair not in done:
            if len(done) >= MOST_COMPARED:
                found.left += 1
                continue
            done[pair] = _is_turned(files.paths[at], files.paths[theirs])
        if done[pair]:
            seen.add((one, row, other))
            found.matches.append((one, row, other, there))
    return found


def _of_equal_levels(tables: Sequence[PictureSet], found: Turned) -> Iterator[tuple[str, int, int, str, int, int]]:
    """(set, row, file, earlier set, its row, its file) of captures that may be one, first rows only."""
    earlier: dict[bytes, dict[tuple[str, int], tuple[int, int]]] = defaultdict(dict)
    for one in tables:
        mine: list[tuple[bytes, int, int, int]] = []
        for ids in one.images:
            for row, at in enumerate(ids.tolist()):
                levels, pixels = one.files.facts[at].levels, int(one.files.pixels[at])
                if not levels:
                    continue
                mine.append((levels, pixels, row, at))
                for (other, theirs), (there, file) in earlier.get(levels, {}).items():
                    if theirs != pixels and {one.name, other} != {TRAINING, POOL}:
                        yield one.name, row, at, other, there, file
        for levels, pixels, row, at in mine:
            alike = earlier[levels]
            if len(alike) < _MOST_ALIKE:
                alike.setdefault((one.name, pixels), (row, at))
            elif (one.name, pixels) not in alike:
                found.left += 1


def _is_turned(path: str, other: str) -> bool:
    from PIL import Image

    first, second = _grey(path), _grey(other)
    if first is None or second is None:
        return False
    pixels = first.tobytes()
    return any(
        turned.size == first.size and turned.tobytes() == pixels
        for turned in (second.transpose(way) for way in Image.Transpose)
    )


def _grey(path: str) -> Image.Image | None:
    from pathlib import Path

    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.data.pictures.decode import load_rgb

    try:
        return load_rgb(Path(path)).convert("L")
    except InputError:
        return None
