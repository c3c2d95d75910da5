"""Leakage: a training side's row that shows what an evaluation's row shows, by path, bytes, looks or recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tao_skill_bank.data.bcq.records import Record, RecordSet
from tao_skill_bank.data.bcq.vectors import Vectors

ALIKE = 0.995
"""Cosine of two videos from which a person should look whether they are one."""
_AT_ONCE = 1024


@dataclass(frozen=True)
class Leak:
    """One row of the training side and the evaluation's row that it equals."""

    side: str
    row: int
    id: str
    other: str
    other_row: int
    why: str

    @property
    def line(self) -> str:
        """`pool row 12 = kpi row 4: same content`."""
        return f"{self.side} row {self.row} = {self.other} row {self.other_row}: same {self.why}"


class Seen:
    """What the evaluation sets show."""

    def __init__(self, sets: Iterable[RecordSet]) -> None:
        self._marks: dict[tuple[str, str], tuple[str, int]] = {}
        for found in sets:
            for record in found.records:
                for mark in _marks(record):
                    self._marks.setdefault(mark, (found.name, record.row))

    def leak(self, side: str, record: Record) -> Leak | None:
        """The evaluation's row that a record equals, if one does."""
        for mark in _marks(record):
            found = self._marks.get(mark)
            if found is not None:
                return Leak(side, record.row, record.id, found[0], found[1], mark[0])
        return None

    def video(self, path: Path, content: str, looks: str | None) -> str | None:
        """Why a video without questions is one of the evaluation's: `content of kpi row 4`; None where it is not."""
        for mark in (("path", str(path)), ("content", content), ("looks", looks or "")):
            found = self._marks.get(mark)
            if found is not None:
                return f"same {mark[0]} as {found[0]} row {found[1]}"
        return None


def leaks(training: Sequence[RecordSet], evaluation: Sequence[RecordSet]) -> list[Leak]:
    """Every row of the training side that an evaluation's row equals; the evaluation's sets against one another too.

    `evaluation` is KPI, then acceptance: a row of the second is told against the first.
    """
    seen = Seen(evaluation)
    found = [leak for side in training for r in side.records if (leak := seen.leak(side.name, r)) is not None]
    for number, later in enumerate(evaluation):
        before = Seen(evaluation[:number])
        found += [leak for r in later.records if (leak := before.leak(later.name, r)) is not None]
    return found


def alike(training: Vectors, evaluation: Vectors) -> list[tuple[int, int, float]]:
    """(training place, evaluation place, cosine) of every training video whose nearest one is at least `ALIKE` near.

    Args:
        training: Unit float32 [t, d].
        evaluation: Unit float32 [e, d]; one or more.
    """
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(training), _AT_ONCE):
        cosines = training[start : start + _AT_ONCE] @ evaluation.T
        nearest = cosines.argmax(axis=1)
        found += [
            (start + place, int(nearest[place]), float(cosines[place, nearest[place]]))
            for place in np.flatnonzero(cosines.max(axis=1) >= ALIKE).tolist()
        ]
    return sorted(found, key=lambda pair: (-pair[2], pair[0]))


def _marks(record: Record) -> list[tuple[str, str]]:
    marks = [("path", str(record.path)), ("content", record.content)]
    if record.looks is not None:
        marks.append(("looks", record.looks))
    if record.group is not None:
        marks.append(("group", record.group))
    return marks
