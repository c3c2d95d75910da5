"""CSVs that people open: no cell of theirs is a formula to a spreadsheet, and what is read back is what was written.

The rule for every CSV of the bank's own: one that a TAO command reads holds its cells as they are
(`data.changenet.tables.write_pairs`), any other is written here. A cell that a spreadsheet would take for a formula
gets an apostrophe before it, which makes it text; `plain` takes it off. Numbers stay numbers.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

FORMULA = "^(?:'|[ \t\r\n\u00a0]*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20])"
"""How a cell begins that a spreadsheet may take for a formula; East Asian ones take the wide signs, too."""
_NUMBER = r"^[+-]?[0-9]+(?:[.,][0-9]*)?(?:[eE][+-]?[0-9]+)?$"
_FORMULA = re.compile(FORMULA)


def shielded(cell: Any) -> str:
    """A cell as it is written: text that might be a formula behind an apostrophe, nothing for None."""
    if not isinstance(cell, str):
        return "" if cell is None else str(cell)
    return f"'{cell}" if _is_taken(cell) else cell


def plain(cell: str) -> str:
    """A cell as it was before it was written."""
    return cell[1:] if cell[:1] == "'" and _is_taken(cell[1:]) else cell


def refuse_other_separator(path: Path, header: str, fix: str | None = None) -> None:
    """Refuse a CSV that a spreadsheet wrote with another separator: its commas may be those of decimals.

    `header` is the line of names. `fix`: what to do where text with commas of its own may stand in the cells; else a
    line to type that makes all of them points.

    Raises:
        InputError: The line has semicolons or tabs and no comma, or is one that is meant for Excel.
    """
    new = shlex.quote(f"{path.stem}-commas.csv")
    if header.lower().startswith("sep="):
        fix = f"take that line away: tail -n +2 {shlex.quote(str(path))} > {new}"
        raise InputError("begins with a line for Excel, not with a header", where=path, fix=fix)
    for mark, written, name in ((";", ";", "semicolons"), ("\t", "\\t", "tabs")):
        if mark in header and "," not in header:
            line = f"write it with commas and decimal points: tr '{written},' ',.' < {shlex.quote(str(path))} > {new}"
            raise InputError(f"is separated by {name}, not by commas", where=path, fix=fix or line)


def write_exact(handle: IO[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as they are. Cells are quoted only where they must be, lines end in LF: equal rows give equal bytes.

    A carriage return within a cell is quoted, too: the library leaves it bare where lines end in LF alone, and whoever
    reads it takes what follows for another row.
    """

    class Lines:
        """The library's lines, which end in CR and LF so that it quotes both."""

        def write(self, line: str) -> int:
            return handle.write(f"{line[:-2]}\n")

    csv.writer(Lines(), lineterminator="\r\n").writerows(rows)


def write_rows(handle: IO[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table for people; layout as `write_exact`."""
    write_exact(handle, ([shielded(cell) for cell in row] for row in chain([header], rows)))


def write_sheet(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """The same as a file, in one step: readers see the old one or the whole new one."""
    with fsio.atomic_open(path, newline="") as handle:
        write_rows(handle, header, rows)


def write_columns(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """The same of columns by name, as `shielded_table`: what reads as a number stays one.

    Raises:
        ValueError: They differ in length.
    """
    rows = ([_of_a_set(cell) for cell in row] for row in zip(*columns.values(), strict=True))
    with fsio.atomic_open(path, newline="") as handle:
        write_exact(handle, chain([[shielded(name) for name in columns]], rows))


def shielded_table(table: pa.Table) -> pa.Table:
    """An Arrow table as it is to be written as CSV: `shielded` of every cell that is text, names of columns as well.

    A set's cells are all text: what reads as a number stays one.
    """
    import pyarrow as pa
    from pyarrow import compute as pc

    def is_text(kind: pa.DataType) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    columns = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if is_text(column.type):
            number = pc.match_substring_regex(column, _NUMBER)
            taken = pc.and_not(pc.match_substring_regex(column, FORMULA), number)
            if pc.any(taken).as_py():
                column = pc.if_else(taken, pc.binary_join_element_wise("'", column, ""), column)
        columns.append(column)
    return pa.table(columns, names=[shielded(name) for name in table.column_names])


def _of_a_set(cell: Any) -> str:
    return cell if isinstance(cell, str) and re.fullmatch(_NUMBER, cell) else shielded(cell)


def _is_taken(cell: str) -> bool:
    return _FORMULA.match(cell) is not None
