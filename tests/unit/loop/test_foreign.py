"""States that another program wrote: what they say is told, and nothing of them is changed or worked on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tao_skill_bank import runs
from tao_skill_bank.cli import cli
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.foreign import ForeignStateError, foreign
from tao_skill_bank.reports.deft.report import render_report


def state(version: object, **more: Any) -> dict[str, Any]:
    baseline = {"status": "complete", "stage_completed": "rca", "far_pct": 12.5, "threshold": 0.41, "docker_id": "x"}
    iterations = {"baseline": baseline, "iter1": {**baseline, "far_pct": 3.25}, "iter2": {"far_pct": None}}
    return {"version": version, "kpi_target": "FAR < 1%", "status": "running", "iterations": iterations, **more}


def put(folder: Path, value: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "deft_state.json").write_text(json.dumps(value))
    return folder


@pytest.mark.parametrize("version", [2, 4, 5])
def test_status_tells_what_a_published_state_says_and_what_it_does_not(tmp_path: Path, version: int) -> None:
    run = put(tmp_path / "run", state(version))
    before = (run / "deft_state.json").read_bytes()
    said = CliRunner().invoke(cli, ["deft", "status", str(run)])
    assert said.exit_code == 0, said.output
    assert f"a state of another program (version {version}): read, never written" in said.output
    assert "far_pct 3.25" in said.output and "lowest FAR" in said.output.splitlines()[-3]
    assert "not known: who approved it" in said.output.splitlines()[-1]
    assert "4 further keys" not in said.output and "2 further keys" in said.output
    told = json.loads(CliRunner().invoke(cli, ["deft", "status", str(run), "--json"]).stdout)
    assert told["phases"]["iter1"]["far_pct"] == "3.25"
    assert (run / "deft_state.json").read_bytes() == before


@pytest.mark.parametrize("version", [2, 4, 5])
def test_its_report_is_refused_in_a_line_that_names_the_commands_that_read_it(tmp_path: Path, version: int) -> None:
    run = put(tmp_path / "run", state(version))
    with pytest.raises(ForeignStateError) as caught:
        render_report(run)
    line = caught.value.line()
    assert "\n" not in line and "deft status tells what it says, deft import copies it" in line
    assert [path.name for path in run.iterdir()] == ["deft_state.json"]


def test_what_would_work_on_it_refuses(tmp_path: Path) -> None:
    run = put(tmp_path / "run", state(5))
    with pytest.raises(ForeignStateError, match="state version 5 is not 4"):
        runs.stop(run)
    ours = put(tmp_path / "ours", {**state(5), "format": "tao-skill-bank"})
    with pytest.raises(InputError, match="is not 4") as caught:
        runs.status(ours)
    assert not isinstance(caught.value, ForeignStateError)


@pytest.mark.parametrize(
    "more",
    [
        {"iterations": [1, 2]},
        {"iterations": {"baseline": "complete"}},
        {"iterations": {"baseline": {"far_pct": float("nan")}, "iter1": {"far_pct": True}}},
        {"iterations": {f"iter{n}": {"far_pct": 1} for n in range(5000)}, "kpi_target": "x" * 100_000},
        {"kpi_target": "\x1b[31mred\nline", "stop_reason": ["a"], "iterations": None},
    ],
)
def test_whatever_stands_there_is_a_few_plain_lines(more: dict[str, Any]) -> None:
    lines = foreign({"version": None, **more}).lines()
    assert len(lines) < 40
    assert all(len(line) < 1500 and line.isprintable() for line in lines)
