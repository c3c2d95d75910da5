"""A second task goes through plan, approval, iterations, kills, status, report, tools; the loop does not know it."""

from __future__ import annotations

import errno
import html
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import toy_task
from ran import ran
from server_calls import call

from mcp_server.server import build_server
from tao_skill_bank import runs
from tao_skill_bank.commands.watch import watch
from tao_skill_bank.core.errors import InputError, NeedsApprovalError
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.loop.request import Request
from tao_skill_bank.loop.run import Silent
from tao_skill_bank.reports.deft.live import LiveServer
from tao_skill_bank.reports.deft.view import RunView
from tao_skill_bank.tasks import registry

SUPPORT = Path(__file__).parents[2] / "support"
STAGES = ["learn", "compare"] * 3 + ["finish"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy task as another package brings it: an entry point; for this process and those it starts."""
    site = tmp_path / "site"
    toy_task.install(site)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(SUPPORT)]))
    monkeypatch.setattr(registry, "task_named", registry.task_named.__wrapped__)
    return site


@pytest.fixture
def workspace(tmp_path: Path, installed: Path) -> Path:
    return toy_task.make_workspace(tmp_path / "w")


def asked(workspace: Path, **more: Any) -> Request:
    return Request(task="toy", workspace=workspace, kpi_target="error < 0.001%", max_iterations=2, **more)


def approved(workspace: Path, **more: Any) -> Path:
    wanted = asked(workspace, **more)
    return runs.open_run(wanted, approve=runs.plan_run(wanted).digest, how="flag")


class Gone(Silent):
    def stage_ended(self, state: Any, label: str, line: str) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_reader_of_the_lines_that_goes_away_is_no_fault_of_the_run(workspace: Path) -> None:
    run = approved(workspace)
    with pytest.raises(BrokenPipeError):
        runs.run_loop(run, Gone())
    assert runs.status(run).status == "interrupted"
    runs.run_loop(run)
    assert [line.stage for line in read_log(run / LOG_FILE)] == STAGES


def test_a_second_task_is_planned_approved_run_and_reported_like_the_first(workspace: Path) -> None:
    with pytest.raises(NeedsApprovalError):
        runs.open_run(asked(workspace), approve=None, how="flag")
    run = approved(workspace)
    assert runs.status(run).stage == "learn"
    runs.run_loop(run)
    lines = read_log(run / LOG_FILE)
    # 50 % off at first, then 30; the next two numbers of the pool put it right.
    assert [line.stage for line in lines] == STAGES
    view = runs.status(run)
    assert (view.task, view.status, view.measure, view.best_iteration) == ("toy", "complete", "error", "iter2")
    assert [(p.phase, p.value, p.figures) for p in view.phases] == [
        ("baseline", 50.0, {"guess": 5.0}),
        ("iter1", 30.0, {"guess": 7.0}),
        ("iter2", 0.0, {"guess": 10.0}),
    ]
    state = json.loads((run / "deft_state.json").read_text())
    assert state["task"] == "toy"
    assert state["iterations"]["iter1"]["results"]["learn"] == {"used": [4.0, 6.0, 8.0, 10.0], "guess": 7.0}
    page = html.unescape((run / "DEFT_Loop_Report.html").read_text())
    assert "iter1" in page and "4 numbers" in page
    assert view.verdict.head in page


def test_a_run_of_a_second_task_is_watched_to_its_end(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = approved(workspace)
    watch(run, once=True)
    assert "IN PROGRESS: Planned: a baseline and at most 2 iterations." in capsys.readouterr().out
    runs.run_loop(run)
    watch(run, once=True)
    said = capsys.readouterr().out
    assert f"{runs.status(run).verdict.head}: {runs.status(run).verdict.text}" in said
    assert said.count(" learn: ") == 3


def test_a_run_of_a_second_task_is_served_as_its_own_report_and_loaded_again(workspace: Path) -> None:
    run = approved(workspace)
    with LiveServer(run) as server:
        for _ in range(2):
            with urllib.request.urlopen(server.address, timeout=30) as answer:
                page = answer.read().decode()
                assert answer.headers["Refresh"] == "5", "its page has no script that asks whether the run went on"
            assert "<title>toy run</title>" in page
            runs.run_loop(run)
    assert page == (run / "DEFT_Loop_Report.html").read_text()


def test_a_run_of_a_second_task_is_not_taken_for_one_of_the_first(workspace: Path) -> None:
    with pytest.raises(InputError, match="has a report of its own"):
        RunView(approved(workspace))


def test_a_target_and_a_setting_of_another_task_are_refused_in_one_line(workspace: Path) -> None:
    with pytest.raises(InputError, match="target not understood"):
        runs.plan_run(Request(task="toy", workspace=workspace, kpi_target="FAR < 1% at recall=99%", max_iterations=1))
    with pytest.raises(InputError, match=r"unknown key 'num_epochs'"):
        runs.plan_run(asked(workspace, settings=("num_epochs=1",)))
    with pytest.raises(InputError, match=r"unknown task 'toi' \(did you mean 'toy'"):
        runs.plan_run(Request(task="toi", workspace=workspace))
    run = approved(workspace)
    with pytest.raises(InputError, match="this run is of task toy"):
        runs.plan_run(Request(task="changenet", results_dir=run))


def plain(run: Path) -> dict[str, Any]:
    """What of a run is the same however often it was killed."""
    state = json.loads((run / "deft_state.json").read_text())
    return {label: it["results"] for label, it in state["iterations"].items()} | {"status": state["status"]}


def test_killed_at_every_write_and_taken_up_it_ends_the_same(workspace: Path) -> None:
    whole = approved(workspace)
    runs.run_loop(whole)
    expected = plain(whole)
    writes = 0
    while True:
        run = approved(workspace)
        done = ran([sys.executable, str(SUPPORT / "killed_at_a_write.py"), str(run), str(writes)])
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr
        runs.run_loop(run)
        assert plain(run) == expected
        stages = [(line.iter, line.stage) for line in read_log(run / LOG_FILE) if line.status == "ok"]
        assert len(stages) == len(set(stages)) == len(STAGES)
        writes += 1
    assert writes > 10, "there are that many writes to be killed at"


def test_the_tools_follow_a_run_of_a_second_task(workspace: Path) -> None:
    run = approved(workspace)
    server = build_server([workspace])
    plan = {"task": "toy", "workspace": str(workspace), "kpi_target": "error < 0.001%", "max_iterations": 2}
    planned = call(server, "plan_deft_run", plan)
    assert not planned.error, planned.text
    assert json.loads(planned.text)["digest"] == runs.plan_run(asked(workspace)).digest
    command = json.loads(call(server, "start_deft_run", plan).text)["command"]
    assert "--task toy" in command, "what a person types approves this plan and no other"
    runs.run_loop(run)
    answer = call(server, "get_deft_status", {"results_dir": str(run)})
    assert not answer.error, answer.text
    found = json.loads(answer.text)
    assert found["status"] == "complete"
    assert found["best"] == "iter2: error 0%"
    assert found["phases"][2] == {"phase": "iter2", "error_pct": 0.0, "guess": 10.0}


def test_a_task_says_which_of_two_equally_measured_models_is_the_better(workspace: Path) -> None:
    run = approved(workspace)
    runs.run_loop(run)
    state = registry.load_state(run)
    for iteration in state.iterations.values():
        iteration.results["compare"].error_pct = 5.0
    state.status, state.best_iteration = "running", None
    assert state.best()[0] == "iter2"

    class Wary(type(state)):  # type: ignore[misc]
        def better(self, iteration: Any, other: Any) -> bool:
            return len(iteration.results["learn"].used) < len(other.results["learn"].used)

    wary = Wary.model_construct(**dict(state))
    assert wary.best()[0] == "baseline"
