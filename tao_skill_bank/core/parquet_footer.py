"""How many values a parquet file says that it holds, read without arrow.

pyarrow tells the same by `RowGroupMetaData.column`, but where a column's size statistics are damaged arrow's own C++
throws there past Python and ends the process. The footer is a Thrift struct in the compact protocol, described in
Apache Parquet's `parquet.thrift` and Thrift's `thrift-compact-protocol.md`. What is not asked for is passed over: a
file of thousands of row groups has some fifty numbers a column of each.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from tao_skill_bank.core import guard

_Wanted = dict[int, "_Wanted"]
# Numbers of the fields in `parquet.thrift`.
_ROW_GROUPS: Final = 4
_COLUMNS: Final = 1
_ROWS: Final = 3
_META_DATA: Final = 3
_VALUES: Final = 5
_WANTED: Final[_Wanted] = {_ROW_GROUPS: {_COLUMNS: {_META_DATA: {_VALUES: {}}}, _ROWS: {}}}
_DEEPEST: Final = 16


def widest_columns(path: Path) -> list[tuple[int, int]]:
    """(rows, values of the column that has most of them) of every row group.

    Raises:
        ValueError: It does not end in a plain footer, or the footer is damaged.
        InputError, FileNotFoundError: As `guard.open_read`.
    """
    with guard.open_read(path) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 8))
        tail = file.read(8)
        if len(tail) < 8 or tail[4:] != b"PAR1":
            raise ValueError("no parquet footer")
        size = int.from_bytes(tail[:4], "little")
        file.seek(max(0, end - 8 - size))
        footer = _Compact(file.read(size))
    try:
        groups = [(int(group[_ROWS]), group[_COLUMNS]) for group in footer.struct(_WANTED).get(_ROW_GROUPS, [])]
        return [(rows, int(max((c[_META_DATA][_VALUES] for c in columns), default=0))) for rows, columns in groups]
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError("a damaged parquet footer") from error


class _Compact:
    """Values of Thrift's compact protocol, one after another; a struct is a dictionary by the numbers of its fields."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self, wanted: _Wanted, depth: int = 0) -> dict[int, Any]:
        """The fields that are wanted, and of them what is; most others are passed over without a call."""
        data, at, number = self._data, self._at, 0
        found: dict[int, Any] = {}
        while head := data[at]:
            at += 1
            number, kind = number + (head >> 4), head & 15
            if head < 16:
                self._at = at
                number, at = self._integer(), self._at
            if kind in (1, 2):
                continue
            if number not in wanted and kind in (4, 5, 6):
                while data[at] > 127:
                    at += 1
                at += 1
            elif number not in wanted and kind == 8 and data[at] < 128:
                at += 1 + data[at]
            else:
                self._at = at
                value = self._value(kind, wanted.get(number, {}), depth)
                if number in wanted:
                    found[number] = value
                at = self._at
        self._at = at + 1
        return found

    def _value(self, kind: int, wanted: _Wanted, depth: int) -> Any:
        """One value of a kind; a text, a floating-point number or a list of numbers is passed over."""
        if depth > _DEEPEST:
            raise ValueError("a parquet footer nested too deep")
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind in (7, 8):
            length = 8 if kind == 7 else self._varint()
            self._at += length
            return None
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            if head & 15 in (4, 5, 6):
                self._pass_numbers(count)
                return None
            return [self._value(head & 15, wanted, depth + 1) for _ in range(count)]
        if kind == 12:
            return self.struct(wanted, depth + 1)
        raise ValueError("a parquet footer with a value of no known kind")

    def _pass_numbers(self, count: int) -> None:
        data, at = self._data, self._at
        for _ in range(count):
            while data[at] > 127:
                at += 1
            at += 1
        self._at = at

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a parquet footer with a number of over 64 bits")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
