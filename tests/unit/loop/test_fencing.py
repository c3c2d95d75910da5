"""A worker that lost its run: told so at its next step, and silent from then on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tiny

from tao_skill_bank import runs
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, LostRunError
from tao_skill_bank.loop.engine import step
from tao_skill_bank.loop.fence import version_on_disk
from tao_skill_bank.loop.opening import folder_lock
from tao_skill_bank.loop.run import Run
from tao_skill_bank.loop.state import STATE_FILE, save_state
from tao_skill_bank.platforms.local import LocalPlatform
from tao_skill_bank.tasks.changenet.task import TASK
from tao_skill_bank.tasks.registry import load_state


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tiny.approved(tiny.request(tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)))


def contents(run: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


def test_a_commit_replaces_only_the_state_that_was_read(run: Path) -> None:
    first, second = load_state(run), load_state(run)
    save_state(first)
    before = contents(run)
    with pytest.raises(LostRunError, match="generation 2, this worker's was 1") as caught:
        save_state(second)
    assert isinstance(caught.value, BankError) and "\n" not in str(caught.value)
    assert contents(run) == before
    save_state(first)
    assert load_state(run).generation == 3


def test_another_run_in_the_same_folder_of_the_same_generation_is_not_replaced(run: Path) -> None:
    state = load_state(run)
    raw = json.loads((run / STATE_FILE).read_text())
    (run / STATE_FILE).write_text(json.dumps({**raw, "started_at": "2026-01-01T00:00:00.000000Z"}))
    with pytest.raises(LostRunError, match="another run lies there"):
        save_state(state)
    (run / STATE_FILE).unlink()
    with pytest.raises(LostRunError, match="no state any more"):
        save_state(state)


def test_a_state_of_a_version_that_did_not_count_is_taken_up(run: Path) -> None:
    raw = json.loads((run / STATE_FILE).read_text())
    del raw["generation"]
    (run / STATE_FILE).write_text(json.dumps(raw))
    save_state(load_state(run))
    assert load_state(run).generation == 1


def test_what_a_killed_commit_left_stops_the_next_one_only_until_the_run_is_taken_up(run: Path) -> None:
    left = run / ".deft_state.g2.tmp.json"
    left.write_text("half")
    with pytest.raises(LostRunError):
        save_state(load_state(run))
    with folder_lock(run, "command"):
        assert not left.exists()
        save_state(load_state(run))
    assert load_state(run).generation == 2


def test_a_worker_that_lost_the_run_writes_no_log_line_makes_no_folder_and_removes_nothing(run: Path) -> None:
    mine = Run.of(load_state(run), LocalPlatform())
    mine.take()
    with folder_lock(run, "another"):
        Run.of(load_state(run), LocalPlatform()).take()
        before = contents(run)
        with guard.fenced(mine.fence.check):
            with pytest.raises(LostRunError):
                step(TASK, mine)
            for work in (
                lambda: guard.make_folder(run / "iter1"),
                lambda: guard.remove(run / STATE_FILE),
                lambda: guard.rename(run / STATE_FILE, run / "away"),
                lambda: guard.open_write(run / "x", "wb"),
            ):
                with pytest.raises(LostRunError):
                    work()
        assert contents(run) == before


def test_a_run_that_somebody_elsewhere_holds_is_not_called_interrupted(run: Path) -> None:
    state = load_state(run)
    state.status = "running"
    save_state(state)
    (run / "jobs").mkdir(exist_ok=True)
    who = {"pid": 1, "identity": "b:1", "since": "2026-01-01T00:00:00.000000Z", "by": "worker"}
    path = run / "jobs" / ".engine.json"
    path.write_text(json.dumps({**who, "host": "node7", "namespace": "pid:[1]"}))
    view = runs.status(run)
    assert view.status == "running" and view.working is not None
    assert "on host node7, last sign of life 20" in view.working.who()
    os.utime(path, (0, 0))
    view = runs.status(run)
    assert view.status == "held" and view.working is not None and view.ask_again_sec is None
    assert "look there whether it still works" in view.next_step


@pytest.mark.parametrize("generation", ["Infinity", "1e400", "NaN", "null", "[1]"])
def test_a_state_whose_generation_is_no_number_is_of_no_version(run: Path, generation: str) -> None:
    path = run / STATE_FILE
    path.write_text(path.read_text().replace('"generation": 1', f'"generation": {generation}'))
    assert version_on_disk(path) is None
