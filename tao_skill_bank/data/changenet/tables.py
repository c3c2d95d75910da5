"""Visual ChangeNet CSVs: read with every fault named by row, written whole or not at all.

A row is a pair: the image under `input_path` and the golden under `golden_path`, both called `object_name`.
Every cell is text: `007` stays `007` and `NA` stays `NA`. Rows are counted from 1, the header not included.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError, InputErrors, did_you_mean
from tao_skill_bank.core.sheets import refuse_other_separator, write_exact
from tao_skill_bank.core.text import plural
from tao_skill_bank.data.changenet.labels import PASS as PASS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

REQUIRED_COLUMNS = ("input_path", "golden_path", "label", "object_name")
_BLOCK, _LONGEST = 1 << 20, 64 << 20
"""Bytes that are parsed at a time, and the longest row that is taken."""
_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?\s*([^\r\n]*)")
BOARD_COLUMNS = ("board", "boardname")
"""A column of one of these names says which board a row is of; the first that is there counts."""


class PairTable:
    """The rows of one CSV, column by column.

    Args:
        path: The file the rows came from, for messages; it need not exist.
        columns: Column name → one string a row, in file order; all of equal length.
    """

    def __init__(self, path: Path, columns: Mapping[str, Sequence[str]]) -> None:
        self.path = path
        self._lists: dict[str, list[str]] = {name: list(values) for name, values in columns.items()}
        self._arrow: pa.Table | None = None
        lengths = {len(values) for values in self._lists.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns of unequal length: {sorted(lengths)}")
        self._rows = lengths.pop() if lengths else 0

    @classmethod
    def from_arrow(cls, path: Path, table: pa.Table) -> PairTable:
        """A table over arrow's own memory; Python strings are made only for the columns that are asked for."""
        made = cls(path, {})
        made._arrow = table
        made._rows = table.num_rows
        return made

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"PairTable({str(self.path)!r}, {self._rows} rows, columns {list(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(self._lists) if self._arrow is None else tuple(self._arrow.column_names)

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """Every column as a list of strings, in file order."""
        return {name: self.column(name) for name in self.names}

    def column(self, name: str) -> list[str]:
        """One column as a list of strings.

        Raises:
            InputError: The CSV has no such column.
        """
        if name not in self._lists:
            if self._arrow is None or name not in self._arrow.column_names:
                raise InputError(f"no column {name!r}", where=self.path, fix=did_you_mean(name, self.names))
            self._lists[name] = self._arrow.column(name).to_pylist()
        return self._lists[name]

    def arrow(self, name: str) -> pa.Array:
        """One column as an arrow string array (one chunk)."""
        import pyarrow as pa

        if self._arrow is None:
            return pa.array(self.column(name), type=pa.string())
        chunked = self._arrow.column(name)
        return chunked.chunk(0) if chunked.num_chunks == 1 else pa.concat_arrays(chunked.chunks or [_no_strings()])

    @property
    def input_path(self) -> list[str]:
        """The folder of each row's image."""
        return self.column("input_path")

    @property
    def golden_path(self) -> list[str]:
        """The folder of each row's golden."""
        return self.column("golden_path")

    @property
    def label(self) -> list[str]:
        """`PASS` or a defect name."""
        return self.column("label")

    @property
    def object_name(self) -> list[str]:
        """The name of image and golden, without lighting and extension."""
        return self.column("object_name")

    def take(self, rows: Sequence[int]) -> PairTable:
        """The rows at these positions (counted from 0), in the order given."""
        if self._arrow is not None:
            import pyarrow as pa

            return PairTable.from_arrow(self.path, self._arrow.take(pa.array(rows, type=pa.int64())))
        return PairTable(self.path, {name: [values[i] for i in rows] for name, values in self._lists.items()})

    def where(self, row: int) -> str:
        """`file.csv row 7` for position 6."""
        return f"{self.path} row {row + 1}"


def coded(column: pa.Array) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Cells as codes, int32 [rows], and what each code stands for, without the blanks around it."""
    import numpy as np
    import pyarrow.compute as pc

    found = pc.dictionary_encode(column)
    trimmed = [text.strip() for text in found.dictionary.to_pylist()]
    place = {text: code for code, text in enumerate(dict.fromkeys(trimmed))}
    codes: npt.NDArray[np.int32] = np.array([place[text] for text in trimmed], dtype=np.int32)[found.indices.to_numpy()]
    return codes, list(place)


def boards_of(table: PairTable) -> list[str] | None:
    """The board of each row, where the table has such a column and every cell of it says one; None: not known."""
    name = next((name for name in BOARD_COLUMNS if name in table.names), None)
    if name is None:
        return None
    found = [cell.strip() for cell in table.column(name)]
    return found if found and all(found) else None


def read_pairs(
    path: Path,
    *,
    required: Sequence[str] = REQUIRED_COLUMNS,
    allow_no_rows: bool = False,
    first: int | None = None,
) -> PairTable:
    """Read a ChangeNet CSV.

    UTF-8 with or without a byte order mark; any line ending; quoted cells may hold commas, quotes and line ends;
    blank lines are skipped; columns beyond the required ones are kept in order, their cells may be empty.

    Args:
        path: The CSV.
        required: Columns that must be there with no empty cell.
        allow_no_rows: Take a file that holds nothing but its header.
        first: Read the whole rows among so many first bytes, and nothing of the rest.

    Raises:
        InputError: No such file, not UTF-8, empty, a quote that is never closed, a missing or doubled column.
        InputErrors: Rows with too few or too many cells, or with an empty required cell: one line each.
    """
    data = _read(path, first)
    table = _parse(path, data)
    _check_header(path, table.column_names, required)
    if table.num_rows == 0 and not allow_no_rows:
        raise InputError("has a header and no rows", where=path, fix="add at least one row")
    faults = _empty_cells(table, required)
    if faults:
        raise InputErrors(
            f"{plural(len(faults), 'empty cell')}, first: {faults[0]}",
            faults,
            where=path,
            fix="fill in the cells or remove the rows",
        )
    return PairTable.from_arrow(path, table)


def write_pairs(path: Path, columns: Mapping[str, Sequence[str]]) -> None:
    """Write a CSV in one step: readers see the old file or the whole new one.

    Cells are quoted only where they must be, lines end in LF: equal rows give equal bytes.

    Raises:
        ValueError: The columns differ in length.
    """
    with fsio.atomic_open(path, newline="") as handle:
        write_exact(handle, chain([tuple(columns)], zip(*columns.values(), strict=True)))


def _read(path: Path, first: int | None = None) -> bytes:
    try:
        if first is None:
            data = guard.read_bytes(path, "CSV")
        else:
            with guard.open_read(path, "CSV") as handle:
                data = _whole_rows(handle.read(first))
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the path of the CSV") from None
    except IsADirectoryError:
        raise InputError("is a folder, not a CSV", where=path, fix="name the CSV file") from None
    except OSError as error:
        raise InputError(error.strerror or str(error), where=path, fix="make the CSV readable") from None
    blank = b"\xef\xbb\xbf \t\r\n"
    if not data[:4096].strip(blank) and not data.strip(blank):
        raise InputError("is empty", where=path, fix=f"write a header with {', '.join(REQUIRED_COLUMNS)} and the rows")
    if data.count(b'"') % 2:
        # Arrow would take the rest of the file for one cell without a word.
        raise InputError("a quote is opened and never closed", where=path, fix="close it, or double a quote in a cell")
    header = _HEADER.match(data)
    refuse_other_separator(path, "" if header is None else header[1].decode(errors="replace"))
    return data


def _whole_rows(data: bytes) -> bytes:
    """Up to the last line end that stands in no quoted cell, of the last hundred."""
    end = data.rfind(b"\n") + 1
    for _ in range(100):
        if not data.count(b'"', 0, end) % 2:
            return data[:end]
        end = data.rfind(b"\n", 0, max(0, end - 1)) + 1
    return b""


def _parse(path: Path, data: bytes) -> pa.Table:
    """The rows as arrow strings; ragged rows are found in a second, single-threaded pass that can count them."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    if not _is_utf8(data):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise InputError("is not UTF-8 text", where=f"{path} line {line}", fix="save the CSV as UTF-8") from None
    header = next(csv.reader([_first_line(data)]), [])
    convert = arrow_csv.ConvertOptions(
        column_types={name: pa.string() for name in header}, strings_can_be_null=False, quoted_strings_can_be_null=False
    )
    ragged: list[str] = []

    def keep(row: Any) -> str:
        cells = plural(row.actual_columns, "cell")
        ragged.append(f"row {row.number - 1}: {cells} instead of {row.expected_columns}")
        return "skip"

    # The default pool takes fresh memory in huge pages: seconds of a system's time where it has to find them.
    pool = pa.system_memory_pool()

    def parse(*, threads: bool, block: int, **options: Any) -> pa.Table:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(use_threads=threads, block_size=block),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=b'"' in data, **options),
            convert_options=convert,
            memory_pool=pool,
        )
        return table.combine_chunks(memory_pool=pool)

    try:
        return parse(threads=True, block=_BLOCK)
    except pa.ArrowInvalid as error:
        reason = str(error)
    try:
        table = parse(threads=False, block=max(_BLOCK, min(len(data), _LONGEST)), invalid_row_handler=keep)
        if not ragged:
            return table  # a row was longer than a block
    except pa.ArrowInvalid as error:
        reason = str(error)
    if not ragged:
        raise InputError(f"not a CSV: {reason}", where=path, fix="fix the file")
    raise InputErrors(
        f"{plural(len(ragged), 'row')} with the wrong number of cells, first: {ragged[0]}",
        ragged,
        where=path,
        fix="a row needs a cell for every column; quote cells that hold a comma",
    )


def _is_utf8(data: bytes) -> bool:
    """Whether it is; nothing is copied for that."""
    import pyarrow as pa

    ends = pa.array([0, len(data)], type=pa.int64()).buffers()[1]
    try:
        pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _first_line(data: bytes) -> str:
    start = data[: 1 << 16].decode("utf-8-sig", errors="replace").lstrip("\r\n")
    return start.splitlines()[0] if start else ""


def _check_header(path: Path, names: Sequence[str], required: Sequence[str]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"column {doubled[0]!r} is there more than once", where=path, fix="keep one of them")
    missing = [name for name in required if name not in names]
    if missing:
        raise InputError(
            f"missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            where=path,
            fix=f"the header must have {', '.join(required)}; it has {', '.join(names)}",
        )


def _empty_cells(table: pa.Table, required: Sequence[str]) -> list[str]:
    import pyarrow.compute as pc

    found: list[tuple[int, str]] = []
    for name in required:
        column = table.column(name)
        empty = pc.indices_nonzero(pc.or_(pc.equal(column, ""), pc.utf8_is_space(column)))
        found.extend((row, name) for row in empty.to_pylist())
    return [f"row {row + 1}: {name} is empty" for row, name in sorted(found)]


def _no_strings() -> pa.Array:
    import pyarrow as pa

    return pa.array([], type=pa.string())
