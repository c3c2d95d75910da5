"""CSVs that people open."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv

from tao_skill_bank.core.sheets import plain, shielded, shielded_table, write_columns, write_rows, write_sheet

HOSTILE = (
    *("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "\u00a0=1", "-"),
    *("\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20A1", "'=1", "''=1", "'quoted'", '=HYPERLINK("http://x","y")', "=1,=2"),
)
HARMLESS = ("PASS", "a=b", "", "7", "1,5", "0007", "image-1.png", "x'y", "\u6a19\u7c64")
NUMBERS = ("-0.5", "+1", "-1e-05", "-1,5")
BEGINS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
CELLS = st.text() | st.sampled_from([*HOSTILE, *HARMLESS]) | st.from_regex(r"\A['\s]{0,3}[=+@-].{0,5}\Z")


def is_formula(cell: str) -> bool:
    """As a spreadsheet decides it: by the first sign behind blanks."""
    return cell.lstrip(" \n\u00a0").startswith(BEGINS)


@pytest.mark.parametrize("cell", HOSTILE)
def test_a_cell_that_a_spreadsheet_takes_for_a_formula_is_text(cell: str) -> None:
    assert shielded(cell) == f"'{cell}" and plain(shielded(cell)) == cell


@pytest.mark.parametrize("cell", HARMLESS)
def test_what_is_no_formula_is_written_as_it_is(cell: str) -> None:
    assert shielded(cell) == plain(cell) == cell


@pytest.mark.parametrize("cell", NUMBERS)
def test_a_number_that_is_text_comes_back_as_it_was_and_stays_one_in_the_rows_of_a_set(cell: str) -> None:
    assert shielded(cell) == f"'{cell}" and plain(shielded(cell)) == plain(cell) == cell
    assert shielded_table(pa.table({"a": [cell]})).column(0).to_pylist() == [cell]


def test_numbers_and_nothing_are_written_as_they_are() -> None:
    assert [shielded(v) for v in (-1.5, -3, None, True)] == ["-1.5", "-3", "", "True"]


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_no_cell_of_a_sheet_is_a_formula_and_all_come_back(rows: list[tuple[str, str]]) -> None:
    out = io.StringIO(newline="")
    write_rows(out, ["=name", "b"], rows)
    found = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert not any(is_formula(cell) for row in found for cell in row)
    assert [[plain(cell) for cell in row] for row in found] == [["=name", "b"], *map(list, rows)]


def in_a_set(cell: str) -> bool:
    """Text, and no number."""
    return cell.isprintable() and re.fullmatch(r"[+-]?[0-9]+([.,][0-9]*)?([eE][+-]?[0-9]+)?", cell) is None


@given(st.lists(CELLS.filter(in_a_set), min_size=1, max_size=8))
def test_an_arrow_table_is_shielded_as_a_row_is(cells: list[str]) -> None:
    table = pa.table({"@a": cells, "b": pa.array(cells).dictionary_encode(), "n": [-1.5] * len(cells)})
    made = shielded_table(table)
    assert made.column_names == ["'@a", "b", "n"]
    assert made.column(0).to_pylist() == made.column(1).to_pylist() == [shielded(cell) for cell in cells]
    assert made.column(2).to_pylist() == [-1.5] * len(cells)
    out = io.BytesIO()
    arrow_csv.write_csv(made, out, arrow_csv.WriteOptions(quoting_style="needed"))
    first = [row[0] for row in csv.reader(io.StringIO(out.getvalue().decode(), newline=""))][1:]
    assert [plain(cell) for cell in first] == cells


def test_an_arrow_cell_that_is_missing_stays_missing() -> None:
    assert shielded_table(pa.table({"a": ["=1", None, "x"]})).column(0).to_pylist() == ["'=1", None, "x"]


def test_a_sheet_is_written_whole_and_its_columns_have_one_length(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    write_sheet(path, ["a", "b"], [("=1", 2), (None, "x,y")])
    assert path.read_bytes() == b'a,b\n\'=1,2\n,"x,y"\n'
    before = path.read_bytes()
    with pytest.raises(ValueError, match="shorter"):
        write_columns(path, {"a": ["1", "2"], "b": ["1"]})
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["sheet.csv"]
