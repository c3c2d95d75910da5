"""What a parquet file says that it holds is read without arrow: what it is, or that the footer is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tao_skill_bank.core.parquet_footer import widest_columns


def written(path: Path, footer: bytes) -> Path:
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    return path


@pytest.mark.parametrize(
    "how",
    [
        {"row_group_size": 7, "write_page_index": True},
        {"version": "1.0", "data_page_version": "2.0", "write_statistics": False},
        {"compression": "none", "use_dictionary": False, "row_group_size": 100},
    ],
)
def test_rows_and_values_are_those_that_arrow_counts_whatever_else_the_footer_has(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    texts = ["a.png" * 40, None, ""] * 50
    nested = [[1.0] * n for n in range(150)]
    table = pa.table({"filepath": texts, "embedding": nested, "flag": [True, False, None] * 50})
    table = table.replace_schema_metadata({"key" * 60: "value" * 9000, "empty": ""})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, **how)
    facts = pq.ParquetFile(path).metadata
    groups = [facts.row_group(n) for n in range(facts.num_row_groups)]
    assert widest_columns(path) == [
        (group.num_rows, max(group.column(n).num_values for n in range(group.num_columns))) for group in groups
    ]


# Field 4, a list of one struct: in it field 1, the columns, and field 3, the rows.
@pytest.mark.parametrize(
    ("what", "footer"),
    [
        ("rows that are a list", b"\x49\x1c\x19\x1c\x3c\x56\x02\x00\x00\x29\x16\x02\x00\x00"),
        ("rows that are a struct", b"\x49\x1c\x19\x1c\x3c\x56\x02\x00\x00\x2c\x00\x00\x00"),
        ("values that are a text", b"\x49\x1c\x19\x1c\x3c\x58\x01x\x00\x00\x26\x02\x00\x00"),
        ("no rows", b"\x49\x1c\x19\x1c\x3c\x56\x02\x00\x00\x00\x00"),
        ("row groups that are a number", b"\x46\x02\x00"),
        ("a kind that there is none of", b"\x1d\x00"),
        ("lists within lists", b"\x19" + b"\x19" * 40),
        ("structs within structs", b"\x1c" * 40 + b"\x00" * 41),
        ("a text beyond the end", b"\x18\xff\xff\xff\xff\x0f"),
        ("numbers beyond the end", b"\x19\xf5\xff\xff\xff\xff\x0f\x01"),
        ("no end", b"\x15\x02"),
        ("nothing", b""),
    ],
)
def test_a_damaged_footer_is_a_value_error(tmp_path: Path, what: str, footer: bytes) -> None:
    with pytest.raises(ValueError, match="parquet footer"):
        widest_columns(written(tmp_path / "t.parquet", footer))


def test_a_footer_of_the_least_that_is_asked_for_is_read(tmp_path: Path) -> None:
    footer = b"\x49\x1c\x19\x1c\x3c\x56\x06\x00\x00\x26\x02\x00\x00"
    assert widest_columns(written(tmp_path / "t.parquet", footer)) == [(1, 3)]
    # The numbers of fields in full, where they are no steps of under 16.
    footer = b"\x09\x08\x1c\x09\x02\x1c\x0c\x06\x06\x0a\x06\x00\x00\x06\x06\x02\x00\x00"
    assert widest_columns(written(tmp_path / "t.parquet", footer)) == [(1, 3)]
