from __future__ import annotations

import csv
import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.tables import PairTable, read_pairs, write_pairs

HEADER = "input_path,golden_path,label,object_name"


def write(tmp_path: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_cell_stays_text(tmp_path: Path) -> None:
    table = read_pairs(write(tmp_path, f"{HEADER}\n007,1.50,NA,nan\ntrue,null,PASS,1e5\n"))
    assert len(table) == 2
    assert table.input_path == ["007", "true"]
    assert table.golden_path == ["1.50", "null"]
    assert table.label == ["NA", "PASS"]
    assert table.object_name == ["nan", "1e5"]


def test_a_byte_order_mark_crlf_and_quotes_are_understood(tmp_path: Path) -> None:
    table = read_pairs(write(tmp_path, b"\xef\xbb\xbf" + HEADER.encode() + b'\r\n"a,b","g ""x""",PASS,C1\r\n'))
    assert table.columns == {
        "input_path": ["a,b"],
        "golden_path": ['g "x"'],
        "label": ["PASS"],
        "object_name": ["C1"],
    }


def test_extra_columns_keep_their_place_and_may_be_empty(tmp_path: Path) -> None:
    table = read_pairs(write(tmp_path, "note,input_path,golden_path,label,object_name,board\n,a,b,PASS,C1,\n"))
    assert table.names == ("note", "input_path", "golden_path", "label", "object_name", "board")
    assert table.column("board") == [""]


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "  \n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"a\.csv: is empty"):
        read_pairs(write(tmp_path, text))


def test_a_header_without_rows_is_refused_unless_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "\n")
    with pytest.raises(InputError, match="no rows"):
        read_pairs(path)
    assert len(read_pairs(path, allow_no_rows=True)) == 0
    assert read_pairs(path, allow_no_rows=True).arrow("label").to_pylist() == []


def test_missing_columns_are_named_with_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing columns golden_path, label .*it has input_path, object_name"):
        read_pairs(write(tmp_path, "input_path,object_name\na,b\n"))


def test_a_doubled_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'label' is there more than once"):
        read_pairs(write(tmp_path, HEADER + ",label\na,b,PASS,C1,PASS\n"))


def test_ragged_rows_are_all_named(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER}\na,b,PASS,C1\na,b,PASS\n\na,b,PASS,C3,x,y\na\n")
    with pytest.raises(InputErrors) as error:
        read_pairs(path)
    assert error.value.faults == [
        "row 2: 3 cells instead of 4",
        "row 3: 6 cells instead of 4",
        "row 4: 1 cell instead of 4",
    ]


def test_empty_required_cells_are_all_named_in_row_order(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER}\na,,PASS,C1\na,b,PASS,C2\n,b,  ,C3\n")
    with pytest.raises(InputErrors) as error:
        read_pairs(path)
    assert error.value.faults == ["row 1: golden_path is empty", "row 3: input_path is empty", "row 3: label is empty"]


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="never closed"):
        read_pairs(write(tmp_path, f'{HEADER}\na,"b,PASS,C1\na,b,PASS,C2\n'))


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("part_type;score\r\nC;0,21\r\n", "separated by semicolons"),
        ("part_type;score\nC;0.21\n", "separated by semicolons"),
        ("part_type\tscore\nC\t0,21\n", "separated by tabs"),
    ],
)
def test_what_a_spreadsheet_wrote_without_commas_is_told_as_such_with_a_line_to_type_that_mends_it(
    tmp_path: Path, mark: str, text: str, said: str
) -> None:
    path = write(tmp_path, mark + text, "my day.csv")
    with pytest.raises(InputError) as refused:
        read_pairs(path, required=())
    assert said in refused.value.line()
    line = refused.value.line().split("decimal points: ")[1].removesuffix(")")
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    table = read_pairs(tmp_path / "my day-commas.csv", required=())
    assert (table.column("part_type"), table.column("score")) == (["C"], ["0.21"])


def test_a_line_for_excel_before_the_header_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line for Excel"):
        read_pairs(write(tmp_path, "sep=;\nscore;label\n0,2;PASS\n"), required=())


def test_semicolons_and_tabs_beside_commas_are_text(tmp_path: Path) -> None:
    path = write(tmp_path, "score,a;b,c\td\n0.2,x;y,z\n")
    assert read_pairs(path, required=()).names == ("score", "a;b", "c\td")


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        read_pairs(write(tmp_path, HEADER.encode() + b"\na,b,br\xfccke,C1\n"))


@pytest.mark.parametrize("cell", ["n" * (3 << 20), '"' + "line\n" * (1 << 19) + '"'], ids=["one line", "many lines"])
def test_a_row_that_is_longer_than_what_is_parsed_at_a_time_is_read(tmp_path: Path, cell: str) -> None:
    table = read_pairs(write(tmp_path, f"{HEADER},note\na,b,PASS,C1,{cell}\na,b,PASS,C2,short\n"))
    assert [len(note) for note in table.column("note")] == [len(cell.strip('"')), 5]


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_pairs(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_pairs(tmp_path)


def test_an_unknown_column_names_the_nearest(tmp_path: Path) -> None:
    table = read_pairs(write(tmp_path, f"{HEADER}\na,b,PASS,C1\n"))
    with pytest.raises(InputError, match="did you mean 'label'"):
        table.column("labl")


def test_columns_of_unequal_length_are_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unequal"):
        PairTable(tmp_path / "a.csv", {"a": ["1"], "b": []})
    with pytest.raises(ValueError, match="shorter"):
        write_pairs(tmp_path / "b.csv", {"a": ["1"], "b": []})
    assert list(tmp_path.iterdir()) == []


def test_taking_rows_keeps_every_column(tmp_path: Path) -> None:
    table = PairTable(tmp_path / "x.csv", {"label": ["a", "b", "c"], "n": ["1", "2", "3"]})
    assert table.take([2, 0]).columns == {"label": ["c", "a"], "n": ["3", "1"]}
    assert table.where(2).endswith("x.csv row 3")


CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8).filter(
    lambda s: s.strip() != "" and "\r" not in s
)


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(CELL, CELL, CELL, CELL), min_size=1, max_size=6))
def test_what_is_written_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    names = HEADER.split(",")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    write_pairs(path, columns)
    back = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    assert back == [names, *map(list, rows)]
    assert read_pairs(path).columns == columns
