"""The loop at work: reports as it goes, errors that are logged, a pre-seeded baseline, a stop on request."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tiny
from flat import put

from tao_skill_bank import runs
from tao_skill_bank.loop import engine
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.loop.run import Run, Silent, StopRequestedError, request_stop
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.loop.state import STATE_FILE
from tao_skill_bank.platforms import local
from tao_skill_bank.platforms.base import new_record, read_records, write_record
from tao_skill_bank.platforms.worker import beside
from tao_skill_bank.reports.deft.view import RunView
from tao_skill_bank.tasks.changenet.state import Iteration
from tao_skill_bank.tasks.changenet.task import TASK
from tao_skill_bank.tasks.registry import load_state

REPORT = "DEFT_Loop_Report.html"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    with tiny.fake_model():
        yield tiny.make_workspace(tmp_path / "w")


def steps(run: Path, count: int) -> None:
    for _ in range(count):
        runs.run_loop(run, once=True)


def test_the_report_is_there_after_the_baseline_and_the_end_leaves_the_hand_off(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace, iterations=1))
    steps(run, 2)
    assert not (run / REPORT).exists()
    assert load_state(run).iterations["baseline"].status == "in_progress", "its root causes are not known yet"
    steps(run, 1)
    assert "IN PROGRESS" in (run / REPORT).read_text()
    assert [(phase.phase, phase.status) for phase in runs.status(run).phases] == [("baseline", "complete")]
    while runs.status(run).stage is not None:
        steps(run, 1)
    assert (run / "best_model.json").is_file() and (run / "iter1_summary.md").is_file()
    assert "IN PROGRESS" not in (run / REPORT).read_text()
    view = runs.status(run)
    assert view.status == "complete" and view.report is not None


def test_a_warning_that_several_stages_give_stands_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny.approved(tiny.request(workspace))
    for name, result in put(
        Iteration(), training_spec="/s.yaml", far_pct=50.0, best_ckpt_kind="latest"
    ).results.items():
        warned = ["the disk is slow", f"{name} said so", "the disk is slow"]
        outcome = Outcome(summary="done", result=result, warnings=warned)
        monkeypatch.setattr(TASK.stages[name], "work", lambda *_, found=outcome: found)
    steps(run, 2)
    warnings = load_state(run).iterations["baseline"].warnings
    assert warnings == ["the disk is slow", "train said so", "evaluate said so"]


def test_a_pre_seeded_baseline_is_evaluated_with_its_own_checkpoint_whatever_else_lies_there(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace))
    seeded = workspace / "models" / "mine.pth"
    seeded.parent.mkdir()
    seeded.write_text(json.dumps({"rows": 40, "epoch": 1}))
    left = run / "baseline" / "train"
    left.mkdir(parents=True)
    (left / "model_epoch_000_step_00000.pth").write_text(json.dumps({"rows": 1, "epoch": 0}))
    raw = json.loads((run / STATE_FILE).read_text())
    raw["iterations"]["baseline"] = {"stage_completed": "train", "best_ckpt_path": str(seeded)}
    (run / STATE_FILE).write_text(json.dumps(raw))
    steps(run, 1)
    baseline = load_state(run).iterations["baseline"]
    assert [r.stage for r in baseline.stages] == ["evaluate"]
    assert baseline.best_ckpt_path == str(seeded) and baseline.best_ckpt_kind == "pre_seeded"


@pytest.mark.slow
def test_a_run_that_was_pre_seeded_is_carried_through_to_its_report_and_hand_off(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace, tiny_target := "FAR < 0.1% at recall=100%", 1))
    seeded = workspace / "models" / "mine.pth"
    seeded.parent.mkdir()
    seeded.write_text(json.dumps({"rows": 40, "epoch": 1}))
    raw = json.loads((run / STATE_FILE).read_text())
    raw["iterations"]["baseline"] = {"stage_completed": "train", "best_ckpt_path": str(seeded)}
    (run / STATE_FILE).write_text(json.dumps(raw))
    runs.run_loop(run)
    state = load_state(run)
    assert (state.status, state.kpi_target) == ("complete", tiny_target)
    assert "train" not in [r.stage for r in state.iterations["baseline"].stages]
    assert (run / "DEFT_Loop_Report.html").is_file()
    assert json.loads((run / "best_model.json").read_text())["threshold"] is not None


def test_a_defect_of_ours_in_a_stage_is_logged_keeps_its_type_and_is_taken_up_there(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.approved(tiny.request(workspace))

    def broken(*_: Any) -> Any:
        raise KeyError("surprise")

    with monkeypatch.context() as patched:
        patched.setattr(type(TASK.stages["train"]), "work", broken)
        with pytest.raises(KeyError):
            runs.run_loop(run)
    assert [(line.stage, line.status) for line in read_log(run / LOG_FILE)] == [
        ("train", "error"),
        ("loop_stop", "error"),
    ]
    assert load_state(run).status == "failed"
    steps(run, 1)
    assert load_state(run).iterations["baseline"].stage_completed == "train"


def test_a_full_disk_in_a_stage_is_the_users_error(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny.approved(tiny.request(workspace))

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device", "/somewhere/model.pth")

    monkeypatch.setattr(type(TASK.stages["train"]), "work", full)
    with pytest.raises(Exception, match=r"/somewhere/model.pth: No space left on device"):
        runs.run_loop(run)
    assert "No space left" in read_log(run / LOG_FILE)[0].summary


def test_what_goes_wrong_in_the_report_does_not_hide_why_the_run_failed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.approved(tiny.request(workspace))
    monkeypatch.setattr(type(TASK.stages["train"]), "work", lambda *_: (_ for _ in ()).throw(ValueError("the cause")))
    monkeypatch.setattr("tao_skill_bank.reports.deft.report.render_report", lambda _: (_ for _ in ()).throw(OSError()))
    with pytest.raises(ValueError, match="the cause"):
        runs.run_loop(run)


class StoppedClock:
    """A clock that moves only when told."""

    def __init__(self, now: datetime) -> None:
        self.at = now

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Killed(BaseException):
    """What no stage can catch: the process is gone."""


class WorkThenKill:
    """A training that writes for some seconds, and then its process is killed, as often as there are seconds given."""

    def __init__(self, clock: StoppedClock, *seconds: float) -> None:
        self.clock, self.seconds = clock, list(seconds)

    def __call__(self, run: Run, label: str) -> Outcome:
        self.clock.sleep(self.seconds.pop(0))
        file = run.folder(label) / "train" / f"{len(self.seconds)}.pth"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
        os.utime(file, (self.clock.monotonic(), self.clock.monotonic()))
        if self.seconds:
            raise Killed
        return Outcome(summary="trained", promised=[file])


def test_a_stage_that_was_killed_twice_took_the_time_of_all_its_processes_and_none_of_the_pauses(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.approved(tiny.request(workspace))
    clock = StoppedClock(datetime(2026, 1, 31, 8, tzinfo=UTC))
    monkeypatch.setattr(TASK.stages["train"], "work", WorkThenKill(clock, 100.0, 20.0, 7.0))
    for _ in range(2):
        with pytest.raises(Killed):
            engine.step(TASK, Run(load_state(folder), local.LocalPlatform(), Silent(), clock))
        clock.sleep(3600.0)
    engine.step(TASK, Run(load_state(folder), local.LocalPlatform(), Silent(), clock))
    (record,) = load_state(folder).records()
    (line,) = read_log(folder / LOG_FILE)
    assert (record.duration_sec, line.duration_sec, runs.status(folder).elapsed_sec) == (127, 127, 127)
    assert RunView(folder).lines[0].duration_sec == 127


def test_the_last_trace_of_a_stage_is_its_newest_file_or_that_of_its_jobs(workspace: Path) -> None:
    run = Run.of(load_state(tiny.approved(tiny.request(workspace))), local.LocalPlatform())
    folder = run.folder("baseline") / "train"
    assert run.last_change("baseline", "train", [folder]) == 0
    for name, at in (("a.pth", 10), ("deep/b.pth", 30), ("c.pth", 20)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
        os.utime(folder / name, (at, at))
    assert run.last_change("baseline", "train", [folder]) == 30, "and not the folder's own time, which is now"
    assert run.last_change("baseline", "train", [folder / "c.pth"]) == 20, "a stage may write one file"
    for stage, at in (("train", 40), ("evaluate", 50)):
        key = f"baseline.{stage}.main"
        record = new_record(key=key, platform="local", command=["x"], outputs=[], cwd=folder, results_dir=run.root)
        write_record(record)
        log = beside(record.path, "log")
        log.write_text("said")
        os.utime(record.path, (1, 1))
        os.utime(log, (at, at))
    assert run.last_change("baseline", "train", [folder]) == 40, "what its job said last, and no other stage's"


def test_a_clock_that_was_set_back_between_kill_and_take_up_makes_no_time_negative(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.approved(tiny.request(workspace))
    clock = StoppedClock(datetime(2026, 1, 31, 8, tzinfo=UTC))
    monkeypatch.setattr(TASK.stages["train"], "work", WorkThenKill(clock, 100.0, 5.0))
    with pytest.raises(Killed):
        engine.step(TASK, Run(load_state(folder), local.LocalPlatform(), Silent(), clock))
    clock.sleep(-86400.0)
    engine.step(TASK, Run(load_state(folder), local.LocalPlatform(), Silent(), clock))
    assert load_state(folder).records()[0].duration_sec == 5


def test_the_time_of_a_stage_that_was_stopped_stands_in_the_line_of_the_stop(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.approved(tiny.request(workspace))
    clock = StoppedClock(datetime(2026, 1, 31, 8, tzinfo=UTC))

    def stopped(run: Run, label: str) -> Outcome:
        clock.sleep(42.0)
        request_stop(folder, "a person")
        run.check_stop()
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(TASK.stages["train"], "work", stopped)
    with pytest.raises(StopRequestedError):
        engine.step(TASK, Run(load_state(folder), local.LocalPlatform(), Silent(), clock))
    assert [(line.stage, line.duration_sec) for line in read_log(folder / LOG_FILE)] == [("loop_stop", 42)]


def test_a_request_to_stop_ends_the_run_between_stages_and_it_can_be_taken_up(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace))
    steps(run, 1)
    request_stop(run, "a person")
    with pytest.raises(Exception, match="stopped on request"):
        runs.run_loop(run)
    state = load_state(run)
    assert state.status == "stopped" and state.stop_reason == "stopped on request"
    runs.open_run(tiny.request(workspace, results_dir=run), approve=None, how="flag")
    steps(run, 1)
    assert load_state(run).iterations["baseline"].stage_completed == "evaluate"


def test_on_a_tie_the_later_iteration_is_the_better_one_and_every_iteration_counts(workspace: Path) -> None:
    run = Run.of(load_state(tiny.approved(tiny.request(workspace, iterations=1))), local.LocalPlatform())
    for label in ("baseline", "iter1", "iter2", "iter10"):
        it = run.state.iteration(label)
        put(it, far_pct=3.0 if label == "baseline" else 2.0, best_ckpt_path="/c.pth").status = "complete"
    best = run.state.best(complete_only=True)
    assert best is not None and best[0] == "iter10"


def test_half_written_files_of_a_killed_process_are_gone_when_the_run_is_taken_up(workspace: Path) -> None:
    folder = tiny.approved(tiny.request(workspace, iterations=1))
    runs.run_loop(folder, once=True)
    record = read_records(folder)[0]
    left = [
        folder / ".deft_state.abc.tmp.json",
        folder / "baseline" / ".train_spec.abc.tmp.yaml",
        folder / "jobs" / f".{record.uid}.exit.json.abc.tmp",
    ]
    for path in left:
        path.write_text("{")
    runs.run_loop(folder, once=True)
    assert [p for p in left if p.exists()] == []
