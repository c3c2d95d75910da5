"""What the generator reads and writes, as other programs write it: marks, odd line ends, rows that are too long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tao_skill_bank.core.errors import GateError
from tao_skill_bank.tasks.changenet.generator import generated, read_defect_spec

LINE = {"defect_type": "PCB+bridge", "spatial_dependency": "text", "roi_prompt_defect_location": "a\u2028b\u0085c"}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_defect_spec_of_any_editor_is_read(mark: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "defect_spec.jsonl"
    path.write_bytes(f"{mark}{json.dumps(LINE, ensure_ascii=False)}{end}".encode())
    (found,) = read_defect_spec(path)
    assert found.label == "BRIDGE" and found.roi_prompt_defect_location == LINE["roi_prompt_defect_location"]


def test_a_table_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "SDG_result.csv"
    path.write_text("defect_type\nPCB+bridge\n", encoding="utf-8-sig")
    assert generated(path) == {"BRIDGE": 1}


def test_a_row_with_more_fields_than_columns_and_no_defect_is_named(tmp_path: Path) -> None:
    path = tmp_path / "SDG_result.csv"
    path.write_text("index\n1,2,3\n", encoding="utf-8")
    with pytest.raises(GateError, match="row 1: does not say its defect type"):
        generated(path)
