"""Files of scores, one row a part: CSV, parquet or JSON lines, of TAO's inspector or of any other.

A score is in `siamese_score` or `score`, higher meaning more like a defect. `label` is `PASS` or a defect. Part type,
lighting, lot and board may stand in further columns, each under the first of several names that is there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import guard
from tao_skill_bank.core.arrow import read_parquet
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.kpi import SCORE, finite_scores, told_pass
from tao_skill_bank.data.changenet.tables import PairTable, boards_of, read_pairs

if TYPE_CHECKING:
    import pyarrow as pa

SCORES = (SCORE, "score")
PART_TYPES = ("part_type", "component", "part")
LIGHTINGS = ("lighting", "light")
LOTS = ("lot", "lot_id", "batch")
_DESIGNATOR = re.compile(r"([A-Za-z]{1,4})\d+(?:[_-].*)?")
_MOST_TYPES = 50


@dataclass(frozen=True)
class ScoreFile:
    """The rows of a file of scores.

    Attributes:
        table: Every cell as text.
        score: float64 [n], finite.
    """

    table: PairTable
    score: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.score)

    @property
    def path(self) -> Path:
        """Where it was read from."""
        return self.table.path

    def take(self, rows: npt.NDArray[np.intp]) -> ScoreFile:
        """Some of the rows, by number, in their order."""
        return ScoreFile(self.table.take(rows.tolist()), self.score[rows])

    @cached_property
    def is_pass(self) -> npt.NDArray[np.bool_]:
        """Bool [n]: which parts are labelled good.

        Raises:
            InputError: No column `label`; a row without one; a good part under another word than PASS.
        """
        if "label" not in self.table.names:
            raise InputError(
                "has no column 'label'", where=self.path, fix="add it: PASS for good parts, else the defect"
            )
        empty = [row for row, label in enumerate(self.table.label) if not label.strip()]
        if empty:
            raise InputError(
                f"{len(empty)} of {len(self)} parts have no label",
                where=self.table.where(empty[0]),
                fix="write PASS or the defect, or leave out what nobody judged",
            )
        return told_pass(self.table)

    @property
    def boards(self) -> list[str] | None:
        """The board of each row, where that is known."""
        return boards_of(self.table)

    def column(self, names: Sequence[str]) -> list[str] | None:
        """The first of these columns that is there and has no empty cell."""
        for name in names:
            if name in self.table.names:
                cells = [cell.strip() for cell in self.table.column(name)]
                if cells and all(cells):
                    return cells
        return None

    def whole(self, names: Sequence[str]) -> list[str] | None:
        """As `column`; None only where none of these columns is there.

        Raises:
            InputError: Each of those that are there has an empty cell: the part would be counted as something else.
        """
        for name, rows in self.empty(names).items():
            fix = "fill it in, or leave the column out"
            raise InputError(f"column {name} is empty", where=self.table.where(rows[0]), fix=fix)
        return self.column(names)

    def empty(self, names: Sequence[str]) -> dict[str, list[int]]:
        """Of these columns those that are there, and their rows with an empty cell; nothing where one is whole."""
        if self.column(names) is not None:
            return {}
        there = {name: self.table.column(name) for name in names if name in self.table.names}
        found = {name: [row for row, cell in enumerate(cells) if not cell.strip()] for name, cells in there.items()}
        return {name: rows for name, rows in found.items() if rows}

    @cached_property
    def part_types(self) -> list[str] | None:
        """The part type of each row: a column, else the letters of a designator (`C12` is a `C`) in `object_name`."""
        named = self.column(PART_TYPES)
        if named is not None or "object_name" not in self.table.names:
            return named
        told = [_DESIGNATOR.fullmatch(name.strip()) for name in self.table.column("object_name")]
        if not told or not all(told):
            return None
        kinds = [match[1].upper() for match in told if match is not None]
        return kinds if 1 < len(set(kinds)) <= _MOST_TYPES else None


def finite_threshold(threshold: float, where: str = "--threshold") -> float:
    """A threshold that parts can lie above and below.

    Raises:
        InputError: It is infinite or not a number.
    """
    if not math.isfinite(threshold):
        raise InputError(f"threshold {threshold} is not a number", where=where, fix="give the frozen one")
    return threshold


def read_score_file(path: Path, score: str | None = None) -> ScoreFile:
    """Read a file of scores.

    Args:
        path: `.csv`, `.parquet`, `.jsonl`/`.ndjson`.
        score: The column of the scores; default: the first of `SCORES`.

    Raises:
        InputError: It cannot be read, has no rows, or no such column.
        InputErrors: Scores that are not finite numbers, each with its row.
    """
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson", ".json"):
        table = PairTable.from_arrow(path, _texts(path, _json_lines(path)))
    elif suffix in (".parquet", ".pq"):
        table = PairTable.from_arrow(path, _texts(path, _parquet(path)))
    else:
        table = read_pairs(path, required=())
    if not len(table):
        raise InputError("has no rows", where=path, fix="give at least one score")
    name = score or next((known for known in SCORES if known in table.names), None)
    if name is None or name not in table.names:
        wanted = score or " or ".join(SCORES)
        raise InputError(
            f"has no column {wanted}", where=path, fix=f"it has {', '.join(table.names)}; name yours with --score"
        )
    return ScoreFile(table, finite_scores(path, table.arrow(name), name))


def _parquet(path: Path) -> pa.Table:
    import pyarrow as pa

    try:
        return read_parquet(path)
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the path") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"is no parquet file: {_first(error)}", where=path, fix="write it again") from None


def _json_lines(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    try:
        data = guard.read_bytes(path, "file of scores")
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the path") from None
    if not data.strip():
        raise InputError("has no rows", where=path, fix="give at least one score")
    try:
        return arrow_json.read_json(pa.BufferReader(data))
    except pa.ArrowException as error:
        raise InputError(f"is not JSON lines: {_first(error)}", where=path, fix="write one object a line") from None


def _texts(path: Path, table: pa.Table) -> pa.Table:
    """Every flat column that can be written as text; an empty cell as an empty text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_nested(column.type):
            continue
        try:
            columns[name] = pc.fill_null(pc.cast(column, pa.string()), "")
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            # A picture's bytes, a span of time: no name and no score.
            continue
    if not columns:
        raise InputError("has no columns", where=path, fix="give at least a score a row")
    return pa.table(columns)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
