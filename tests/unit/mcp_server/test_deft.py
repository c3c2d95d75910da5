"""The DEFT run through the door: a person approves, a model cannot; work outlives the call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp_types import ElicitResult
from report_runs import RunBuilder
from server_calls import MODES, call, ok, plan_arguments, served

from mcp_server import deft
from mcp_server.roots import BankServer
from tao_skill_bank.core import lifecycle
from tao_skill_bank.loop.log import append_stage, log_path
from tao_skill_bank.loop.opening import folder_lock
from tao_skill_bank.tasks.registry import load_state

YES = ElicitResult(action="accept", content={"approve": True})
NO = ElicitResult(action="accept", content={"approve": False})


def runs(workspace: Path) -> list[Path]:
    return sorted((workspace / "results").glob("run_*")) if (workspace / "results").exists() else []


def follow(server: BankServer, run: str, *, mode: str = "legacy") -> tuple[dict[str, Any], list[str]]:
    """Poll a run to its end as a client does, however long that takes here; its last status and its whole log."""
    log: list[str] = []
    cursor = 0
    while True:
        view = ok(call(server, "get_deft_status", {"results_dir": run, "after": cursor, "wait_sec": 5}, mode=mode))
        log += view["log"]
        cursor = view["cursor"]
        if view["status"] != "running":
            return view, log


@pytest.mark.parametrize("mode", MODES)
def test_a_plan_shows_digest_data_and_changes_nothing(workspace: Path, server: BankServer, mode: str) -> None:
    before = sorted(workspace.rglob("*"))
    plan = ok(call(server, "plan_deft_run", plan_arguments(workspace), mode=mode))
    assert len(plan["digest"]) == 64
    assert any(line.startswith("KPI") and "30 rows" in line for line in plan["summary"])
    assert plan["estimate_minutes"] > 0
    assert sorted(workspace.rglob("*")) == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (None, "needs_approval"),
        (ElicitResult(action="cancel"), "needs_approval"),
        (ElicitResult(action="decline"), "declined"),
        (NO, "declined"),
    ],
    ids=["cannot ask", "cancelled", "declined", "said no"],
)
def test_nothing_starts_without_a_persons_yes(
    workspace: Path, server: BankServer, mode: str, answer: ElicitResult | None, status: str
) -> None:
    found = call(server, "start_deft_run", plan_arguments(workspace), mode=mode, elicit=answer)
    data = ok(found)
    assert data["status"] == status
    assert "results_dir" not in data
    assert runs(workspace) == []
    plan = ok(call(server, "plan_deft_run", plan_arguments(workspace)))
    assert data["digest"] == plan["digest"]
    if status == "needs_approval":
        assert f"--approve {plan['digest']} --detach" in data["command"]
        assert "30 rows" in data["summary"]
    if answer is not None:
        assert len(found.asked) == 1
        assert plan["digest"] in found.asked[0]


@pytest.mark.parametrize("forged", ["answer", "approve", "plan", "yes", "approval", "allowed"])
def test_a_model_cannot_forge_the_answer(workspace: Path, server: BankServer, forged: str) -> None:
    for value in (True, {"approve": True}, {"action": "accept", "data": {"approve": True}}):
        found = call(server, "start_deft_run", plan_arguments(workspace, **{forged: value}))
        assert found.error or found.data["status"] == "needs_approval"
    assert runs(workspace) == []


def test_the_command_that_is_shown_starts_exactly_this_plan(workspace: Path, server: BankServer) -> None:
    import shlex

    from click.testing import CliRunner

    from tao_skill_bank.cli import cli

    shown = ok(call(server, "start_deft_run", plan_arguments(workspace)))
    words = shlex.split(shown["command"])
    words = words[words.index("deft") :]
    words[words.index("run")] = "plan"
    at = words.index("--approve")
    del words[at : at + 3]
    planned = CliRunner().invoke(cli, [*words, "--json"])
    assert json.loads(planned.stdout)["digest"] == shown["digest"]


@pytest.mark.parametrize("mode", MODES)
def test_an_approved_run_works_in_the_background_to_its_end(workspace: Path, mode: str) -> None:
    server = served(workspace)
    found = call(server, "start_deft_run", plan_arguments(workspace), mode=mode, elicit=YES)
    started = ok(found)
    assert lifecycle._started[-1].poll() is None, "the answer does not wait for the run"
    assert started["status"] == "started"
    assert len(found.asked) == 1
    run = started["results_dir"]
    end, log = follow(server, run, mode=mode)
    assert end["status"] == "complete"
    # It may not look where agents keep their transcripts, and ends all that is its own.
    assert lifecycle._started[-1].wait(120) == 0
    assert {"best_model.json", "DEFT_Loop_Report.html"} <= {path.name for path in Path(run).iterdir()}
    assert [line.split()[0] for line in log] == [str(n) for n in range(1, len(log) + 1)]
    assert [p["phase"] for p in end["phases"]] == ["baseline", "iter1"]
    assert Path(end["report"]).is_file()
    approval = load_state(Path(run)).approval
    assert approval is not None
    assert (approval.how, approval.digest) == ("elicitation", started["digest"])
    again = call(server, "render_report", {"results_dir": run})
    assert ok(again)["path"] == end["report"]
    assert {Path(f).name for f in ok(call(server, "write_handoff", {"results_dir": run}))["files"]} == {
        "best_model.json",
        "best_model_inference_spec.yaml",
    }


def test_one_stage_at_a_time(workspace: Path, server: BankServer) -> None:
    arguments = plan_arguments(workspace, one_stage=True)
    run = ok(call(server, "start_deft_run", arguments, elicit=YES))["results_dir"]
    view, log = follow(server, run)
    assert [line.split()[2] for line in log] == ["train:"]
    assert view["status"] == "interrupted"
    stepped = ok(call(server, "step_deft_run", {"results_dir": run}))
    assert stepped["status"] == "started"
    _, log = follow(server, run)
    assert [line.split()[2] for line in log] == ["train:", "evaluate:"]


def test_a_step_of_a_run_whose_data_changed_needs_a_new_approval(workspace: Path, server: BankServer) -> None:
    run = ok(call(server, "start_deft_run", plan_arguments(workspace, one_stage=True), elicit=YES))["results_dir"]
    follow(server, run)
    csv = workspace / "train/base/training_set.csv"
    csv.write_text("\n".join(csv.read_text().splitlines()[:-1]) + "\n")
    answer = call(server, "step_deft_run", {"results_dir": run})
    assert answer.error
    assert "changed since it was approved (start_deft_run with this results_dir" in answer.text
    taken_up = call(server, "start_deft_run", {"results_dir": run}, elicit=NO)
    assert ok(taken_up)["status"] == "declined"
    assert len(taken_up.asked) == 1


def test_a_run_that_was_approved_is_taken_up_without_asking_again(workspace: Path, server: BankServer) -> None:
    run = ok(call(server, "start_deft_run", plan_arguments(workspace, one_stage=True), elicit=YES))["results_dir"]
    follow(server, run)
    found = call(server, "start_deft_run", {"results_dir": run}, elicit=NO)
    assert ok(found)["status"] == "started"
    assert found.asked == []
    assert follow(server, run)[0]["status"] == "complete"


def test_a_run_can_be_stopped_and_says_so(workspace: Path, server: BankServer) -> None:
    run = ok(call(server, "start_deft_run", plan_arguments(workspace), elicit=YES))["results_dir"]
    # Whoever was told that it is started can stop it at once.
    assert ok(call(server, "stop_deft_run", {"results_dir": run}))["stop_requested"]
    view, log = follow(server, run)
    assert view["status"] in ("stopped", "interrupted", "complete")
    assert ok(call(server, "stop_deft_run", {"results_dir": run})) == {
        "stop_requested": False,
        "next_step": "nobody works on it: nothing to stop",
    }
    assert len(log) == len(set(log))


def test_status_gives_only_what_came_behind_the_cursor(finished: Path) -> None:
    server = served(finished)
    arguments = {"results_dir": str(finished)}
    whole = ok(call(server, "get_deft_status", arguments))
    assert len(whole["log"]) == deft.MOST_LOG_LINES
    last = ok(call(server, "get_deft_status", {**arguments, "after": whole["cursor"] - 1}))
    assert last["log"] == whole["log"][-1:]
    none = ok(call(server, "get_deft_status", {**arguments, "after": whole["cursor"]}))
    assert (none["log"], none["cursor"]) == ([], whole["cursor"])
    assert {look["approval"] for look in (whole, last, none)} == {"approved by flag; nobody was asked"}


def test_a_run_at_work_is_told_whole_at_first_and_behind_a_cursor_only_its_news(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, iterations=1, status="running", in_progress="routing", pictures=False).build()
    arguments, always = {"results_dir": str(run)}, {"kpi_target", "approval"}
    server = served(run)
    with folder_lock(run, "command"):
        first = ok(call(server, "get_deft_status", arguments))
        later = ok(call(server, "get_deft_status", {**arguments, "after": first["cursor"]}))
    ended = ok(call(server, "get_deft_status", {**arguments, "after": first["cursor"]}))
    assert [look["status"] for look in (first, later, ended)] == ["running", "running", "interrupted"]
    assert always <= set(first) and always <= set(ended)
    assert not always & set(later) and later["best"] == first["best"]
    assert ["verdict" in look for look in (first, later, ended)] == [False, False, True]


def test_the_log_of_a_status_leaves_asides_to_the_file_but_none_of_an_error(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, iterations=1, pictures=False).build()
    for status, word in (("ok", "merge (of 3) done (now)"), ("error", "train (of 3) died")):
        append_stage(log_path(run), iter_label="iter1", stage="train", status=status, summary=word, duration_sec=1)
    *_, well, badly = ok(call(served(run), "get_deft_status", {"results_dir": str(run)}))["log"]
    assert well.endswith(" iter1 train: merge done")
    assert badly.endswith(" iter1 train error: train (of 3) died")


def test_waiting_for_news_of_a_run_that_has_ended_does_not_wait(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deft, "_POLL_SEC", None)  # with which a wait fails
    ok(call(served(finished), "get_deft_status", {"results_dir": str(finished), "wait_sec": 25}))


def test_the_longest_wait_stays_below_what_clients_allow(finished: Path) -> None:
    answer = call(served(finished), "get_deft_status", {"results_dir": str(finished), "wait_sec": 26})
    assert answer.error
    assert deft.MOST_WAIT_SEC < 60
