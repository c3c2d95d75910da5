"""What earlier versions wrote is read and carried on with a copy kept, or refused with the reason and left as it was.

`run_before_platforms.json` is a run after its first stage, as the version before job platforms wrote it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from tao_skill_bank import runs
from tao_skill_bank.core.errors import InputError, NeedsApprovalError
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.loop.request import Request
from tao_skill_bank.loop.state import STATE_FILE, keep_earlier
from tao_skill_bank.platforms.base import read_records
from tao_skill_bank.tasks.changenet.state import upcast
from tao_skill_bank.tasks.registry import load_state

HERE = Path(__file__).parent


@pytest.fixture
def old_run(tmp_path: Path) -> Iterator[Path]:
    workspace = tiny.make_workspace(tmp_path / "w", pool=6, pairs=2, acceptance=False)
    run = workspace / "results" / "run_of_then"
    for name, text in json.loads((HERE / "run_before_platforms.json").read_text()).items():
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for mark, real in (("@RUN@", run), ("@WORKSPACE@", workspace), ("@PYTHON@", sys.executable)):
            text = text.replace(mark, str(real))
        path.write_text(text)
    with tiny.fake_model():
        yield run


def everything(folder: Path) -> dict[str, bytes]:
    """Every file but locks."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".lock")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_a_run_of_an_earlier_version_is_read_as_it_is(old_run: Path) -> None:
    before = everything(old_run)
    view = runs.status(old_run)
    assert (view.status, view.stage, view.cursor) == ("interrupted", "evaluate", 1)
    assert [record.key for record in read_records(old_run)] == ["baseline.train.train"]
    assert everything(old_run) == before


def test_a_run_of_an_earlier_version_goes_on_once_its_plan_is_approved_and_its_old_state_is_kept(old_run: Path) -> None:
    before = everything(old_run)
    with pytest.raises(NeedsApprovalError) as asked:
        runs.run_loop(old_run)
    after = everything(old_run)
    assert {name: after[name] for name in before} == before
    runs.open_run(Request(results_dir=old_run), approve=asked.value.digest, how="flag")
    assert (old_run / f"{STATE_FILE}.earlier-1").read_bytes() == before[STATE_FILE]
    assert keep_earlier(old_run, load_state(old_run)) is None, "today's format is not copied"
    runs.run_loop(old_run, once=True)
    lines = read_log(old_run / LOG_FILE)
    assert lines[0] == read_log_line(before[LOG_FILE]), "what was logged stays"
    assert [(line.stage, line.status) for line in lines] == [("train", "ok"), ("evaluate", "ok")]
    assert len(list(old_run.glob(f"{STATE_FILE}.earlier-*"))) == 1


def test_a_state_of_version_3_is_read_as_version_4_and_keeps_its_own_order_of_stages(old_run: Path) -> None:
    before = json.loads((old_run / STATE_FILE).read_text())
    state = load_state(old_run)
    after = state.model_dump(mode="json")
    assert (after["format"], after["version"]) == ("tao-skill-bank", 4)
    assert state.order.of(0) == ("train", "evaluate", "rca")
    assert state.order.of(2) == ("routing", "anomalygen", "data_mining", "data_merge", "train", "evaluate", "rca")
    for key in ("kpi_target", "plan_digests", "status", "started_at", "current_iteration", "max_iterations"):
        assert after[key] == before[key]
    assert state.iterations["baseline"].stage_completed == "train"
    assert after["iterations"]["baseline"]["results"]["train"]["training_rows"] == 16
    assert after["iterations"]["baseline"]["training_rows"] == 16, "also flat, for other programs"


def test_reading_a_state_of_an_earlier_version_changes_nothing_of_what_was_read(old_run: Path) -> None:
    raw = json.loads((old_run / STATE_FILE).read_text())
    kept = json.loads(json.dumps(raw))
    assert upcast(raw, "changenet") != raw
    assert raw == kept


def read_log_line(data: bytes) -> Any:
    from tao_skill_bank.loop.log import LogLine

    return LogLine.model_validate_json(data.splitlines()[0])


@pytest.mark.parametrize(
    ("written_by", "version", "reason"),
    [
        (None, 2, "state version 2 is not 4"),
        (None, "3", "state version '3' is not 4"),
        (None, None, "state version None is not 4"),
        (None, True, "state version True is not 4"),
        (None, 4, "state version 4 without format 'tao-skill-bank' is another program's"),
        ("upstream", 4, "state version 4 without format 'tao-skill-bank' is another program's"),
        (None, 5, "state version 5 is not 4"),
        ("tao-skill-bank", 3, "state version 3 is not 4"),
        ("tao-skill-bank", 5, "state version 5 is not 4"),
    ],
)
def test_a_state_of_another_format_is_refused_by_every_door_in_one_line_and_left_alone(
    old_run: Path, written_by: str | None, version: object, reason: str
) -> None:
    value = json.loads((old_run / STATE_FILE).read_text())
    value["version"] = version
    if version is None:
        del value["version"]
    if written_by is not None:
        value["format"] = written_by
    (old_run / STATE_FILE).write_text(json.dumps(value))
    before = everything(old_run)
    theirs = "deft status tells what it says, deft import copies it to be reported and compared; "
    told = "" if written_by == "tao-skill-bank" else theirs
    line = re.escape(f"{STATE_FILE}: {reason} ({told}it is left as it is; start a new run")
    for ask in (
        lambda: runs.status(old_run),
        lambda: runs.run_loop(old_run),
        lambda: runs.open_run(Request(results_dir=old_run), approve="0" * 64, how="flag"),
        lambda: runs.stop(old_run),
    ):
        with pytest.raises(InputError, match=line):
            ask()
    assert everything(old_run) == before


def test_the_command_refuses_a_state_of_the_earlier_format_with_exit_2(old_run: Path) -> None:
    """As the published loop's version 2 leaves it: a baseline that was trained elsewhere, and no plan."""
    state = {
        "version": 2,
        "started_at": "2026-01-31T08:00:00Z",
        "iterations": {"baseline": {"stage_completed": "train", "best_ckpt_path": "/models/winner.pth"}},
    }
    (old_run / STATE_FILE).write_text(json.dumps(state))
    before = everything(old_run)
    command = [sys.executable, "-m", "tao_skill_bank.cli", "deft", "run", "--results-dir", str(old_run), "--yes"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "state version 2 is not 4" in done.stderr
    assert everything(old_run) == before
