"""The rows of one set as columns in the order of their scores: what a browser holds of a million boards.

Piles are then ranges: the missed defects are the first of the defects, the false calls the last of the PASS rows, at
every threshold. Names stay here; a browser asks for those that it shows.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.text import clean
from tao_skill_bank.data.changenet.kpi import SCORE, read_scored
from tao_skill_bank.data.changenet.labels import is_pass
from tao_skill_bank.data.changenet.tables import REQUIRED_COLUMNS, PairTable, coded, read_pairs
from tao_skill_bank.data.pictures.memory import Key, key_of
from tao_skill_bank.studio.kept_sheets import KeptSheets, Read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_VALUES = 5000
"""A column of more values than this is no facet."""
KEPT = 6
FIRST_BYTES = 1 << 20
"""What of a large file is shown while the rest of it is read; a file of a few times as many is read whole at once."""
_LARGE = 8 * FIRST_BYTES


@dataclass
class FacetColumn:
    """A column as codes, uint16 [rows] in the sheet's order, and what they stand for."""

    name: str
    title: str
    values: list[str]
    codes: npt.NDArray[np.uint16]

    @property
    def counts(self) -> list[int]:
        """Rows of each value."""
        return [int(n) for n in np.bincount(self.codes, minlength=len(self.values))]


@dataclass
class Sheet:
    """One CSV.

    Attributes:
        table: Its rows, every cell as text, in the order of the file.
        order: int64 [rows], positions in the file, by ascending score; in the order of the file where it has none.
        scores: float64 [rows] in that order, or None.
        label: The labels as codes, in that order.
        good: Whether each label is PASS.
        digest: Changes when the file does.
        partial: Whether it is of the file's first rows alone.
        kept: What was made of it, by a key that says of what else.
    """

    table: PairTable
    order: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64] | None
    label: FacetColumn
    good: list[bool]
    facets: dict[str, FacetColumn]
    digest: str
    partial: bool = False
    kept: dict[str, Any] = field(default_factory=dict, repr=False)
    _place: npt.NDArray[np.int64] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.order)

    @property
    def is_pass(self) -> npt.NDArray[np.bool_]:
        """Bool [rows], in the order of the scores."""
        found: npt.NDArray[np.bool_] = np.array(self.good, dtype=bool)[self.label.codes]
        return found

    @property
    def place(self) -> npt.NDArray[np.int64]:
        """int64 [rows]: where each row of the file stands in the order of the scores."""
        if self._place is None:
            # Many threads ask at once: none may see it half filled.
            made = np.empty_like(self.order)
            made[self.order] = np.arange(len(self.order))
            self._place = made
        return self._place

    def score_of(self, row: int) -> float | None:
        """The score of a row of the file."""
        return None if self.scores is None else float(self.scores[self.place[row]])

    def find(self, sample: str) -> int | None:
        """The first row of the file that `input_path/object_name` names."""
        return self.rows_of([sample]).get(sample)

    def rows_of(self, samples: Iterable[str]) -> dict[str, int]:
        """The first row of the file of each `input_path/object_name`; what is not there is left out."""
        import pyarrow as pa
        import pyarrow.compute as pc

        halves = {sample: sample.rpartition("/") for sample in samples}
        keys = {sample: f"{folder.rstrip('/')}/{name}" for sample, (folder, _, name) in halves.items()}
        names = pa.array(sorted({name for _, _, name in halves.values()}), type=pa.string())
        column = self.table.arrow("object_name")
        hits = pc.indices_nonzero(pc.is_in(column, value_set=names))
        paths = pc.utf8_rtrim(self.table.arrow("input_path").take(hits), "/")
        there = pc.binary_join_element_wise(paths, column.take(hits), "/")
        place = pc.index_in(pa.array(list(keys.values()), type=pa.string()), value_set=there).to_pylist()
        rows = hits.to_numpy()
        return {sample: int(rows[at]) for sample, at in zip(keys, place, strict=True) if at is not None}


class Sheets:
    """Reads CSVs and keeps the last few, told by path, size and time. Any number of threads may ask."""

    def __init__(self, kept: int = KEPT, on_disk: KeptSheets | None = None) -> None:
        self._kept = kept
        self._on_disk = on_disk or KeptSheets(None)
        self._found: OrderedDict[tuple[str, int, int], Sheet] = OrderedDict()
        self._lock = threading.Lock()
        self._reading: dict[tuple[str, int, int], threading.Lock] = {}
        self._first: OrderedDict[tuple[str, int, int], Sheet] = OrderedDict()

    def read(
        self, path: Path, *, scored: bool, beside: Callable[[PairTable], dict[str, list[str]]] | None = None
    ) -> Sheet:
        """The rows of a CSV; raises as `read_scored` and `read_pairs`."""
        key, about = _known_as(path)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            with self._lock:
                if key in self._found:
                    return self._found[key]
            made = _sheet(key, self._rows(path, key_of(about), scored=scored), path, beside)
            with self._lock:
                self._found[key] = made
                self._first.pop(key, None)
                self._reading.pop(key, None)
                while len(self._found) > self._kept:
                    self._found.popitem(last=False)
            return made

    def first(self, path: Path, *, scored: bool) -> Sheet | None:
        """The first rows of a large CSV that this process has not read yet, to be looked at while the rest is read.

        None where the whole is there or soon will be, and where the first rows are none: the whole then says why.
        """
        key, about = _known_as(path)
        with self._lock:
            if key in self._found:
                return None
            if key in self._first:
                return self._first[key]
        if about.st_size < _LARGE:
            return None
        try:
            made = _sheet(key, _parsed(path, scored=scored, first=FIRST_BYTES), path, None, partial=True)
        except BankError:
            return None
        with self._lock:
            self._first[key] = made
            while len(self._first) > self._kept:
                self._first.popitem(last=False)
        return made

    def first_known(self, path: Path, rows: Iterable[int]) -> Sheet | None:
        """What `first` gave, where it has these rows of the file and the whole is not there yet."""
        key, _ = _known_as(path)
        with self._lock:
            found = None if key in self._found else self._first.get(key)
        return found if found is not None and all(0 <= row < len(found) for row in rows) else None

    def _rows(self, path: Path, key: Key, *, scored: bool) -> Read:
        known = self._on_disk.recall(key, scored=scored)
        if known is None:
            known = _parsed(path, scored=scored)
            self._on_disk.keep(key, known)
        return known


def _known_as(path: Path) -> tuple[tuple[str, int, int], os.stat_result]:
    """What a file is told by, and its state.

    Raises:
        InputError: It is not there.
    """
    about = guard.status(path)
    if about is None:
        raise InputError("no such file", where=path, fix="bring the file back")
    return (str(path), about.st_size, about.st_mtime_ns), about


def _parsed(path: Path, *, scored: bool, first: int | None = None) -> Read:
    """The rows of a CSV, in one piece, so that a few are taken out of a million without a look at the rest."""
    import pyarrow as pa

    if scored:
        read = read_scored(path, first)
        table, order = read.table, by_score(read.scores)
        scores: npt.NDArray[np.float64] | None = read.scores[order]
    else:
        table = read_pairs(path, first=first)
        order, scores = np.arange(len(table)), None
    return Read(pa.table({name: table.arrow(name) for name in table.names}), order, scores)


def by_score(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """int64 [rows]: positions by ascending score, equal ones in the order of the file.

    As a stable sort, in a fraction of its time where few scores are equal.
    """
    order: npt.NDArray[np.int64] = np.argsort(scores)
    ordered = scores[order]
    equal = ordered[1:] == ordered[:-1]
    if equal.any():
        group = np.concatenate([[0], np.cumsum(~equal)])
        among = np.zeros(len(order), dtype=bool)
        among[1:] |= equal
        among[:-1] |= equal
        order[among] = order[among][np.lexsort((order[among], group[among]))]
    return order


def _sheet(
    key: tuple[str, int, int],
    read: Read,
    path: Path,
    beside: Callable[[PairTable], dict[str, list[str]]] | None,
    *,
    partial: bool = False,
) -> Sheet:
    import pyarrow as pa

    order, ordered, table = read.order, read.scores, PairTable.from_arrow(path, read.table)
    label = _codes("label", "label", table.arrow("label"), order, most=1 << 16)
    assert label is not None
    facets = {}
    for name in table.names:
        if name in (*REQUIRED_COLUMNS, SCORE):
            continue
        found = _codes(name, name, table.arrow(name), order, most=MOST_VALUES)
        if found is not None and 1 < len(found.values) < len(order):
            facets[name] = found
    for name, cells in (beside(table) if beside else {}).items():
        found = _codes(name, name, pa.array(cells, type=pa.string()), order, most=MOST_VALUES)
        if found is not None:
            facets[name] = found
    digest = hashlib.sha256(repr((key, partial)).encode()).hexdigest()[:16]
    return Sheet(table, order, ordered, label, [is_pass(v) for v in label.values], facets, digest, partial)


def _codes(name: str, title: str, column: Any, order: npt.NDArray[np.int64], most: int) -> FacetColumn | None:
    codes, found = coded(column)
    if len(found) > min(most, 1 << 16):
        return None
    values = [clean(v) or "–" for v in found]
    rank = sorted(range(len(values)), key=lambda i: (not is_pass(values[i]), values[i]))
    moved = np.empty(len(values), dtype=np.uint16)
    moved[rank] = np.arange(len(values), dtype=np.uint16)
    return FacetColumn(name, title, [values[i] for i in rank], moved[codes][order])
