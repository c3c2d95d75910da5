"""Every CSV of the bank's own that no TAO command reads goes through one writer."""

from __future__ import annotations

import ast
import csv
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.actions.mining.shards import ErrorRow, _write_errors
from tao_skill_bank.core import sheets
from tao_skill_bank.data.changenet.tables import read_pairs, write_pairs
from tao_skill_bank.reports.rca.label_noise import Suspect, read_suspects, write_suspects
from tao_skill_bank.tasks.changenet.copies import Alike, write_alike
from tao_skill_bank.tasks.vlm_bcq.stages.merge import write_provenance

ROOT = Path(__file__).resolve().parents[2]
EXACT = {
    "core/sheets.py": "the writer itself",
    "data/changenet/kpi.py": "numbers alone",
    "actions/gap_analysis/vcn_aoi.py": "numbers alone",
    "demo.py": "sets that TAO reads",
    "studio/samples.py": "what `shielded_table` gave",
}
HOSTILE = "=cmd|'/C calc'!A0"


def _writes_tables(path: Path) -> bool:
    names = ("writer", "DictWriter", "write_csv", "to_csv", "CSVWriter", "savetxt")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return any((f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "")) in names for f in called)


def test_no_module_writes_a_table_past_the_writer_of_sheets() -> None:
    package = ROOT / "tao_skill_bank"
    modules = [*package.rglob("*.py"), *(ROOT / "mcp_server").rglob("*.py")]
    found = {p.relative_to(package).as_posix() for p in modules if _writes_tables(p)}
    assert found == set(EXACT)


def _cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.reader(handle))[1:]


def _ranking(path: Path) -> None:
    write_suspects(path, [Suspect(HOSTILE, HOSTILE, -0.5, 0.1, True, 0.9, 0.5, None, ((HOSTILE, "PASS", 0.5),))])
    assert [row["filepath"] for row in read_suspects(path)] == [HOSTILE]


def _provenance(path: Path) -> None:
    write_provenance(path, [{"id": HOSTILE, "provenance": {"source": HOSTILE, "similarity": -0.5}}, {"id": "1"}])


def _alike(path: Path) -> None:
    write_alike(path, [Alike(HOSTILE, HOSTILE, -0.25, None)], Path("/w"))


def _errors(path: Path) -> None:
    _write_errors(path, [ErrorRow(row=1, filepath=HOSTILE, what="no such file")])


@pytest.mark.parametrize("write", [_ranking, _provenance, _alike, _errors])
def test_a_hostile_name_is_text_in_a_sheet(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    write(path)
    cells = [cell for row in _cells(path) for cell in row]
    assert f"'{HOSTILE}" in cells and HOSTILE not in cells
    assert HOSTILE in [sheets.plain(cell) for cell in cells]


@pytest.mark.parametrize("text", ["a\rb", "a\r=1", "a\nb", "a\r\nb", "=1", '"', "x,y"])
def test_a_set_that_tao_reads_holds_every_cell_as_it_is_also_one_with_a_line_end_in_it(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "set.csv"
    columns = {
        "input_path": ["a", "b"],
        "golden_path": ["g", "g"],
        "label": [text, "PASS"],
        "object_name": ["C1", "C2"],
    }
    write_pairs(path, columns)
    assert [row[2] for row in _cells(path)] == [text, "PASS"]
    assert read_pairs(path).label == [text, "PASS"]
