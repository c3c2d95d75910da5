"""An agent that writes files in the workspace and calls every tool of the server, and wants no person asked."""

from __future__ import annotations

import json
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from server_calls import call, ok, plan_arguments

from mcp_server.roots import BankServer
from tao_skill_bank import runs
from tao_skill_bank.core.errors import InputError, NeedsApprovalError
from tao_skill_bank.loop.approval import key_path
from tao_skill_bank.loop.plan import digest_now
from tao_skill_bank.loop.request import Request
from tao_skill_bank.tasks.registry import load_state, task_of


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def approved(workspace: Path) -> Path:
    return tiny.approved(tiny.request(workspace, iterations=1, settings=("num_epochs=1",)))


def rewrite(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a state as an editor would: well formed, and with the digest that the changed plan has."""
    path = run / "deft_state.json"
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    if state["approval"] is not None:
        state["approval"]["digest"] = digest_now(task_of(run), load_state(run))
        path.write_text(json.dumps(state))


def nothing_runs(run: Path, server: BankServer) -> None:
    """No door takes the run up, and nobody was taken for a person."""
    answer = call(server, "step_deft_run", {"results_dir": str(run)})
    assert answer.error
    started = call(server, "start_deft_run", {"results_dir": str(run)})
    assert started.error or started.data["status"] == "needs_approval"
    with pytest.raises(NeedsApprovalError):
        runs.run_loop(run)
    with pytest.raises(NeedsApprovalError):
        runs.open_run(Request(results_dir=run), approve=None, how="flag")
    assert not (run / "baseline").exists()
    assert not list((run / "jobs").glob("*.json"))


def more_iterations(state: dict[str, Any]) -> None:
    state["max_iterations"] = 50


def another_platform(state: dict[str, Any]) -> None:
    state["config"]["docker"]["secrets"] = ["AWS_SECRET_ACCESS_KEY"]


@pytest.mark.parametrize("change", [more_iterations, another_platform])
def test_a_plan_edited_after_its_approval_runs_nowhere_though_its_digest_was_edited_too(
    approved: Path, server: BankServer, change: Callable[[dict[str, Any]], None]
) -> None:
    rewrite(approved, change)
    nothing_runs(approved, server)


def test_a_state_written_by_hand_with_an_approval_of_its_own_runs_nowhere(workspace: Path, server: BankServer) -> None:
    run = runs.init_state(Request(workspace, "FAR < 1% at recall=99%", 1, results_dir=workspace / "results/r")).parent

    def approve(state: dict[str, Any]) -> None:
        state["approval"] = {"digest": "", "approved_at": state["started_at"], "how": "tty", "seal": "0" * 64}

    rewrite(run, approve)
    nothing_runs(run, server)
    assert not key_path().exists()


@pytest.mark.parametrize("name", ["boss@head-office", None])
def test_an_approval_whose_approver_was_edited_approves_nothing(
    approved: Path, server: BankServer, name: str | None
) -> None:
    approval = load_state(approved).approval
    assert approval is not None
    assert approval.by == f"{pwd.getpwuid(os.getuid()).pw_name}@{os.uname().nodename}"
    rewrite(approved, lambda state: state["approval"].update(by=name))
    nothing_runs(approved, server)


def test_an_approval_does_not_carry_over_to_another_run_of_the_same_plan(
    workspace: Path, approved: Path, server: BankServer
) -> None:
    wanted = tiny.request(workspace, iterations=1, settings=("num_epochs=1",))
    other = runs.init_state(Request(**{**vars(wanted), "results_dir": workspace / "results/other"})).parent
    taken = json.loads((approved / "deft_state.json").read_text())["approval"]
    rewrite(other, lambda state: state.update(approval=taken))
    assert load_state(other).approval == load_state(approved).approval
    nothing_runs(other, server)


def test_the_key_is_the_users_alone_lies_outside_the_workspace_and_is_shown_by_nothing(
    workspace: Path, approved: Path, server: BankServer
) -> None:
    key = key_path()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert workspace not in key.parents
    written = b"".join(p.read_bytes() for p in workspace.rglob("*") if p.is_file())
    assert key.read_bytes() not in written
    assert key.read_bytes().hex().encode() not in written
    assert call(server, "analyze_kpi", {"csv": str(key)}).error


def test_another_users_key_or_none_voids_the_approval_and_a_person_can_give_it_again(
    workspace: Path, approved: Path, server: BankServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "somebody-else"))
    with pytest.raises(NeedsApprovalError, match="was not given here by this user") as caught:
        runs.run_loop(approved)
    assert runs.open_run(Request(results_dir=approved), approve=caught.value.digest, how="flag") == approved
    assert runs.plan_within(Request(results_dir=approved), lambda files: None)[1]


def test_a_key_that_others_may_read_or_write_approves_nothing(approved: Path, server: BankServer) -> None:
    key_path().chmod(0o640)
    for door in (
        lambda: runs.run_loop(approved),
        lambda: runs.open_run(Request(results_dir=approved), approve=None, how="flag"),
    ):
        with pytest.raises(InputError, match="not the user's alone"):
            door()
    assert "chmod 600" in call(server, "step_deft_run", {"results_dir": str(approved)}).text
    assert not (approved / "baseline").exists()


@pytest.mark.parametrize("how", ["a variable", "a link"])
def test_a_key_that_lies_in_the_workspace_neither_approves_nor_is_made(
    workspace: Path, approved: Path, server: BankServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = workspace / "config/tao-skills"
    inside.mkdir(parents=True)
    (inside / "approval.key").write_bytes(key_path().read_bytes())
    (inside / "approval.key").chmod(0o600)
    if how == "a variable":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(workspace / "config"))
    else:
        key_path().unlink()
        key_path().symlink_to(inside / "approval.key")
    with pytest.raises(InputError, match="would lie in the workspace"):
        runs.run_loop(approved)
    (inside / "approval.key").unlink()
    wanted = tiny.request(workspace, iterations=1, settings=("num_epochs=1",))
    with pytest.raises(InputError, match="would lie in the workspace"):
        tiny.approved(wanted)
    assert call(server, "step_deft_run", {"results_dir": str(approved)}).error
    assert not (inside / "approval.key").exists()
    assert not (approved / "baseline").exists()


def test_a_key_that_is_cut_off_is_replaced_and_what_it_sealed_is_void(approved: Path) -> None:
    key_path().write_bytes(b"short")
    with pytest.raises(NeedsApprovalError) as caught:
        runs.run_loop(approved)
    runs.open_run(Request(results_dir=approved), approve=caught.value.digest, how="flag")
    assert len(key_path().read_bytes()) == 32
    assert [p.name for p in key_path().parent.iterdir()] == ["approval.key"]


def test_one_approved_run_gives_no_token_for_another(workspace: Path, approved: Path, server: BankServer) -> None:
    digest = load_state(approved).approval
    assert digest is not None
    answer = ok(call(server, "start_deft_run", plan_arguments(workspace, max_iterations=2)))
    assert answer["status"] == "needs_approval"
    assert answer["digest"] != digest.digest
    with pytest.raises(NeedsApprovalError):
        runs.open_run(tiny.request(workspace, iterations=2), approve=digest.digest, how="flag")
