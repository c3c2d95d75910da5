"""The pictures of one set as arrays: which file every row names, and what every file is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from tao_skill_bank.data.changenet.images import NOUN, SIDES, Placed
from tao_skill_bank.data.pictures.facts import THUMB, Facts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ids = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

TRAINING, POOL = "training", "mining pool"
"""What a plan calls these sets."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for: `ok` where nothing was found, and then it says in how many pictures.

    Attributes:
        name: What was looked for, in a word or two.
        status: `ok`, or `warn`.
        text: What was found, how often, the first place, and what to do.
    """

    name: str
    status: Literal["ok", "warn"]
    text: str


class PictureSet:
    """The pictures of one placed set as positions in a list of files, [lights][rows] a side."""

    def __init__(self, name: str, placed: Placed, sides: tuple[list[Ids], list[Ids]], files: Files) -> None:
        self.name, self.placed, self.files = name, placed, files
        self.images, self.goldens = sides

    def __len__(self) -> int:
        return len(self.placed.table)

    @cached_property
    def used(self) -> Ids:
        """The different files of the set, in the order of their first row; images before goldens."""
        import numpy as np

        every = np.concatenate([*self.images, *self.goldens])
        unique, first = np.unique(every, return_index=True)
        return unique[np.argsort(first)]

    @cached_property
    def labels(self) -> list[str]:
        """The label of every row."""
        return self.placed.table.label

    def where(self, row: int) -> str:
        """`row 7 of KPI`."""
        return f"row {row + 1} of the {self.name} set"

    def place_of(self, file: int) -> tuple[int, str, int]:
        """First row that names a file, what it is there (image or golden), and how many rows name it."""
        import numpy as np

        for side, lights in zip(SIDES, (self.images, self.goldens), strict=True):
            rows = np.unique(np.concatenate([np.flatnonzero(ids == file) for ids in lights]))
            if len(rows):
                return int(rows[0]), NOUN[side], len(rows)
        raise KeyError(file)

    def file_at(self, file: int) -> str:
        """`row 7 of the KPI set: image /…/C1.png`: where a file is first named."""
        row, noun, _ = self.place_of(file)
        return f"{self.where(row)}: {noun} {self.files.paths[file]}"


class Files:
    """The facts of all files of all sets as arrays, [files]."""

    def __init__(self, paths: Sequence[str], facts: Mapping[str, Facts]) -> None:
        import numpy as np

        self.paths = paths
        self.facts = [facts[path] for path in paths]
        self.fault: Flags = np.array([f.fault is not None for f in self.facts], dtype=np.bool_)
        self.orientation: Ids = np.array([f.orientation for f in self.facts], dtype=np.int64)
        self.size: Ids = np.array([(f.width, f.height) for f in self.facts], dtype=np.int64).reshape(-1, 2)
        self.cut_off: Flags = np.array([f.cut_off for f in self.facts], dtype=np.bool_)
        self.blank: Flags = np.array([bool(f.blank) for f in self.facts], dtype=np.bool_)
        self.black: Flags = np.array([f.highest is not None and f.highest <= 2 for f in self.facts], dtype=np.bool_)
        self.decoded: Flags = np.array([f.decoded for f in self.facts], dtype=np.bool_)
        codes: dict[bytes | None, int] = {None: -1}
        self.pixels: Ids = np.array([codes.setdefault(f.pixels, len(codes) - 1) for f in self.facts], dtype=np.int64)
        nothing = bytes(THUMB * THUMB)
        joined = b"".join(f.thumb or nothing for f in self.facts)
        self.thumbs = np.frombuffer(joined, dtype=np.uint8).reshape(-1, THUMB * THUMB)


def by_set(counts: Counter[str]) -> str:
    """`KPI 37, training 2`."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def most(counts: Counter[str]) -> str:
    """`64 x 64 (9,800)`, or the three most common and how many others there are."""
    shown = [f"{name} ({count:,})" for name, count in counts.most_common(3)]
    others = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {others} others" if others > 0 else "")


def number(tables: Sequence[PictureSet]) -> str:
    """How many different files the sets name."""
    return f"{len(tables[0].files.paths):,}" if tables else "0"


def pairs(tables: Sequence[PictureSet]) -> str:
    """How many pairs of picture and golden the sets have, over all lightings."""
    return f"{sum(len(one) * len(one.images) for one in tables):,}"
