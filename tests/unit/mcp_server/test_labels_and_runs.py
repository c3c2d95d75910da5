"""The tools of labels and those around runs, as a client calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from server_calls import call, ok, plan_arguments, served

from mcp_server.roots import BankServer
from tao_skill_bank.data import corrections
from tao_skill_bank.studio.runlist import run_list
from tao_skill_bank.studio.workspace import Workspace


def test_a_persons_words_are_written_listed_and_taken_back(workspace: Path, server: BankServer) -> None:
    at = {"workspace": str(workspace)}
    words = [{"sample": "tr/C1", "label": "bridge"}, {"sample": "po/C2", "drop": True, "reason": "data quality"}]
    written = ok(call(server, "set_labels", {**at, "who": "Ana", "words": words}))["written"]
    assert [line.split()[1] for line in written] == ["tr/C1", "po/C2"]
    found = ok(call(server, "list_labels", at))
    assert found["counts"] == {"relabelled": 1, "dropped": 1}
    assert any("tr/C1 (training): PASS -> bridge, relabelled, mislabeled, Ana" in line for line in found["words"])
    plan = ok(call(server, "plan_deft_run", plan_arguments(workspace)))
    assert plan["digest"]
    undo = [{"sample": "tr/C1", "undo": True}]
    assert "undone" in ok(call(server, "set_labels", {**at, "who": "Ben", "words": undo}))["written"][0]
    assert ok(call(server, "list_labels", at))["counts"] == {"dropped": 1}


@pytest.mark.parametrize(
    ("who", "words", "said"),
    [
        (" ", [{"sample": "tr/C1", "label": "bridge"}], "says nobody"),
        ("Ana", [{"sample": "tr/C99", "label": "bridge"}], "no such sample"),
        ("Ana", [{"sample": "tr/C1", "label": "OK"}], "a word for a good part"),
        ("Ana", [{"sample": "tr/C1", "undo": True}, {"sample": "tr/C2", "drop": True}], "an undo stands alone"),
        ("Ana", [{"sample": "tr/C1", "label": "bridge"}, {"sample": "tr/C2", "label": "NA"}], "1 of 2 corrections"),
    ],
)
def test_words_that_cannot_be_taken_change_nothing(
    workspace: Path, server: BankServer, who: str, words: list[dict[str, object]], said: str
) -> None:
    answer = call(server, "set_labels", {"workspace": str(workspace), "who": who, "words": words})
    assert answer.error
    assert said in answer.text
    assert not corrections.corrections_path(workspace).exists()


def test_runs_are_listed_and_compared(finished: Path) -> None:
    workspace = finished.parent.parent
    server = served(workspace)
    [line] = ok(call(server, "list_runs", {"workspace": str(workspace)}))["runs"]
    assert line.startswith(f"{finished}: complete; ")
    answer = call(server, "compare_runs", {"runs": [str(finished), str(finished)]})
    assert answer.error
    assert "named twice" in answer.text


@pytest.mark.parametrize("version", [2, 4, 5])
def test_a_run_of_another_program_is_listed_as_what_it_is_with_what_makes_a_report_of_it(
    workspace: Path, server: BankServer, version: int
) -> None:
    run = workspace / "results" / "their run"
    run.mkdir(parents=True)
    phases = {"baseline": {"far_pct": 12.5}, "iter1": {"far_pct": 3.25}}
    told = {"version": version, "status": "complete", "iterations": phases}
    (run / "deft_state.json").write_text(json.dumps(told))
    [line] = ok(call(server, "list_runs", {"workspace": str(workspace)}))["runs"]
    assert line.startswith(f"{run}: a run of another program (state version {version}), read and never written; ")
    assert "status complete; lowest FAR 3.25% in iter1" in line
    assert f"tao-skills deft import '{run}' NEW_FOLDER" in line
    assert "cannot be read" not in line
    shown = str(run_list(Workspace(workspace)).runs[0].problem)
    assert shown.startswith(f"a run of another program (state version {version})") and "deft import" in shown
    (run / "deft_state.json").write_text(json.dumps({"version": version, "iterations": 3}))
    [line] = ok(call(server, "list_runs", {"workspace": str(workspace)}))["runs"]
    assert f"(state version {version})" in line and "FAR" not in line


def test_a_run_that_is_a_link_to_one_outside_is_named_and_hides_no_other(
    workspace: Path, server: BankServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "deft_state.json").write_text("{}")
    (workspace / "results").mkdir(exist_ok=True)
    (workspace / "results" / "linked").symlink_to(outside)
    (workspace / "results" / "no run").mkdir()
    [line] = ok(call(server, "list_runs", {"workspace": str(workspace)}))["runs"]
    assert line.startswith(f"{workspace / 'results' / 'linked'}: cannot be read: lies outside the allowed folders")


def test_a_workspace_without_runs_has_none_and_a_local_platform_is_ready(workspace: Path, server: BankServer) -> None:
    assert ok(call(server, "list_runs", {"workspace": str(workspace)}))["runs"] == []
    assert ok(call(server, "check_platform", {"platform": "local"}))["ready"] is True
    answer = call(server, "check_platform", {"platform": "lcal"})
    assert answer.error
    assert "unknown platform 'lcal'" in answer.text


def test_one_reader_of_jobs_has_the_list_and_one_job(finished: Path) -> None:
    server = served(finished.parent.parent)
    jobs = ok(call(server, "get_jobs", {"results_dir": str(finished)}))["jobs"]
    assert 0 < len(jobs) <= 10
    first = next(iter(jobs))
    one = ok(call(server, "get_jobs", {"results_dir": str(finished), "job": first, "tail": 3}))
    assert list(one["jobs"]) == [first]
    assert "complete" in one["jobs"][first]
    # The names of earlier versions are answered as before.
    assert ok(call(server, "get_job_status", {"results_dir": str(finished), "job": first}))["state"] == "complete"


def test_a_workspace_is_laid_out_from_folders_of_pictures(workspace: Path, server: BankServer) -> None:
    source = sorted((workspace / "images" / "kp").glob("*.png"))
    for number, picture in enumerate(source):
        kind = "PASS" if number % 2 else "bridge"
        target = workspace / "raw" / kind / f"b{number}" / "C1.png"
        target.parent.mkdir(parents=True)
        target.write_bytes(picture.read_bytes() + bytes([number]))
    golden = workspace / "goldens" / "C1.png"
    golden.parent.mkdir()
    golden.write_bytes(source[0].read_bytes())
    arguments = {"pictures": str(workspace / "raw"), "goldens": str(golden.parent), "workspace": str(workspace / "new")}
    made = ok(call(server, "make_workspace", arguments))
    assert any(line.startswith("training") for line in made["lines"])
    assert (workspace / "new" / "kpi" / "testing_set.csv").is_file()
