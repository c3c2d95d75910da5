"""What a client sends for a person's answer: only a boolean true starts anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bcq
import pytest
from mcp_types import ElicitResult
from server_calls import MODES, call, ok, plan_arguments, served

from mcp_server.roots import BankServer
from tao_skill_bank import labels, runs
from tao_skill_bank.data.corrections import Word

NO = ElicitResult(action="decline")
NO_YES: list[Any] = ["yes", "true", "True", "on", 1, 1.0, "1", 0, "no", None, ["true"], "approve"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", NO_YES, ids=repr)
def test_what_only_looks_like_a_yes_starts_nothing(workspace: Path, server: BankServer, value: Any, mode: str) -> None:
    answer = ElicitResult(action="accept", content={"approve": value})
    said = call(server, "start_deft_run", plan_arguments(workspace), mode=mode, elicit=answer)
    assert said.asked
    assert said.error, said.text
    assert not (workspace / "results").exists()


@pytest.mark.parametrize("content", [None, {}, {"Approve": True}, {"approved": True}], ids=repr)
def test_an_accepted_question_without_an_answer_starts_nothing(
    workspace: Path, server: BankServer, content: dict[str, Any] | None
) -> None:
    answer = ElicitResult(action="accept", content=content)
    said = call(server, "start_deft_run", plan_arguments(workspace), elicit=answer)
    assert said.error, said.text
    assert not (workspace / "results").exists()


def test_a_true_beside_a_refusal_is_no_yes(workspace: Path, server: BankServer) -> None:
    answer = ElicitResult(action="decline", content={"approve": True})
    assert ok(call(server, "start_deft_run", plan_arguments(workspace), elicit=answer))["status"] == "declined"
    assert not (workspace / "results").exists()


@pytest.mark.parametrize("said", ["", "yes", "measured_labels"])
def test_a_yes_without_the_plans_own_word_starts_nothing(workspace: Path, server: BankServer, said: str) -> None:
    copy = corrected(workspace)
    answer = ElicitResult(action="accept", content={"approve": True, "accept": said})
    told = call(server, "start_deft_run", plan_arguments(copy), elicit=answer)
    assert "say it: measured-labels" in told.asked[0]
    got = ok(told)
    assert got["status"] == "needs_approval"
    assert got["next_step"].startswith("needs a word of its own: corrected labels change")
    assert not (copy / "results").exists()


def test_the_command_that_a_person_types_has_the_plans_own_word(workspace: Path, server: BankServer) -> None:
    got = ok(call(server, "start_deft_run", plan_arguments(corrected(workspace))))
    assert got["status"] == "needs_approval"
    assert "--accept measured-labels --approve" in got["command"]


def test_a_person_is_shown_what_a_state_that_others_wrote_sets(tmp_path: Path) -> None:
    asked = bcq.request(bcq.few(tmp_path / "w"), results_dir=tmp_path / "w/results/run")
    state = runs.init_state(asked)
    held = json.loads(state.read_text())
    held["config"]["evaluate"]["by"] = "endpoint"
    held["config"]["train"]["by"] = "external"
    held["config"]["evaluate"]["endpoint"] |= {"base_url": "https://elsewhere.example/v1", "model_name": "m"}
    held["config"]["evaluate"]["endpoint"]["api_key_env"] = "THE_KEY"
    state.write_text(json.dumps(held))
    told = call(served(tmp_path), "start_deft_run", {"results_dir": str(state.parent)}, elicit=NO)
    assert "m at https://elsewhere.example/v1 with $THE_KEY; any number of calls" in told.asked[0]
    assert "evaluate.endpoint.base_url=https://elsewhere.example/v1" in told.asked[0]


def test_no_number_of_settings_hides_one_from_the_person(workspace: Path, server: BankServer) -> None:
    many = [f"routing.accept_dropped=[{','.join(f'label{n}' for n in range(300))}]", "num_epochs=77"]
    told = call(server, "start_deft_run", plan_arguments(workspace, settings=many), elicit=NO)
    assert "num_epochs=77" in told.asked[0] and "label299" in told.asked[0]
    assert len(ok(call(server, "plan_deft_run", plan_arguments(workspace, settings=many)))["summary"]) < 30


def corrected(workspace: Path) -> Path:
    """A workspace whose KPI set has a corrected label."""
    labels.say(workspace, [Word("kp/C1", "mislabeled", "Ana", to="bridge", set="kpi")])
    return workspace
