"""What a careless or hostile caller may try: wrong arguments, forged files, calls at once, names without end."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest
import tiny
import yaml
from mcp.client import Client
from mcp_types import ElicitResult
from server_calls import MODES, call, ok, plan_arguments, served

from mcp_server.roots import BankServer
from mcp_server.server import build_server

YES = ElicitResult(action="accept", content={"approve": True})


# -- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_an_argument_that_a_tool_does_not_have_is_refused_with_the_nearest(
    workspace: Path, server: BankServer, mode: str
) -> None:
    arguments = plan_arguments(workspace, max_iteration=9)
    answer = call(server, "plan_deft_run", arguments, mode=mode)
    assert answer.error
    assert "no argument 'max_iteration'" in answer.text
    assert "did you mean 'max_iterations'" in answer.text


def test_an_argument_of_the_wrong_kind_is_named_in_one_line(workspace: Path, server: BankServer) -> None:
    arguments = plan_arguments(workspace, max_iterations="many " * 2000, settings=7)
    answer = call(server, "plan_deft_run", arguments)
    assert answer.error
    assert "max_iterations: " in answer.text
    assert "settings: " in answer.text
    assert "\n" not in answer.text
    assert len(answer.text) < 800
    assert "pydantic" not in answer.text


@pytest.mark.parametrize(
    "end", ["loop", "loop/x", "half\ud800", "n" * 300, "specs/baseline_spec.yaml/x", "\u202e", "a\nb"]
)
def test_a_path_that_leads_nowhere_is_an_error_a_person_can_read(workspace: Path, server: BankServer, end: str) -> None:
    (workspace / "loop").symlink_to(workspace / "loop")
    answer = call(server, "get_deft_status", {"results_dir": f"{workspace}/{end}"})
    assert answer.error
    assert answer.text != "Error executing tool get_deft_status"
    assert "\n" not in answer.text


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"train.x": "${oc.env:HOME}"}, "no ${…}"),
        ({"a=/etc/passwd,b": "1"}, "not a key"),
        ({"train.results_dir": "link"}, "outside the allowed folders"),
        ({"+train.x": "1"}, "not a key"),
    ],
)
def test_an_override_cannot_smuggle_a_path_or_a_variable(
    workspace: Path, server: BankServer, overrides: dict[str, str], said: str
) -> None:
    outside = workspace.parent / "outside"
    outside.mkdir()
    (workspace / "r").mkdir()
    (workspace / "r/link").symlink_to(outside)
    arguments = {"category": "visual_changenet", "action": "train", "results_dir": f"{workspace}/r"}
    answer = call(server, "start_action", {**arguments, "overrides": overrides})
    assert answer.error
    assert said in answer.text
    assert not (workspace / "r/jobs").exists()


# -- forged files -------------------------------------------------------------------------------------------


def record(folder: Path, uid: str, **more: Any) -> None:
    """A job record as somebody else may have written it."""
    value = {
        "uid": uid,
        "key": "k",
        "platform": "local",
        "command": ["visual_changenet", "train"],
        "outputs": [],
        "cwd": str(folder),
        "results_dir": str(folder),
        "submitted_at": "2026-01-01T00:00:00Z",
        **more,
    }
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    (folder / "jobs" / f"{uid}.json").write_text(json.dumps(value))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The log of a job outside the roots."""
    path = tmp_path / "elsewhere/jobs/secret.log"
    path.parent.mkdir(parents=True)
    path.write_text("nobody may read this")
    return path


@pytest.mark.parametrize("tool", ["get_job_status", "get_job_logs", "cancel_job"])
@pytest.mark.parametrize("how", ["another folder", "a name with dots", "a link"])
def test_a_forged_job_record_leads_nowhere(
    workspace: Path, server: BankServer, secret: Path, tool: str, how: str
) -> None:
    if how == "another folder":
        record(workspace, "evil", results_dir=str(secret.parent.parent))
    elif how == "a name with dots":
        record(workspace, "evil")
        path = workspace / "jobs/evil.json"
        path.write_text(path.read_text().replace('"evil"', '"../../elsewhere/jobs/secret"'))
    else:
        record(workspace, "evil")
        (workspace / "jobs/evil.log").symlink_to(secret)
    before = sorted(secret.parent.iterdir())
    answer = call(server, tool, {"results_dir": str(workspace), "job": "evil"})
    assert answer.error
    assert "nobody may read this" not in answer.text
    assert sorted(secret.parent.iterdir()) == before


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(workspace: Path, server: BankServer) -> None:
    os.mkfifo(workspace / "scores.csv")
    answer = call(server, "analyze_kpi", {"csv": str(workspace / "scores.csv")})
    assert answer.error and "neither a file nor a folder" in answer.text
    record(workspace, "evil")
    (workspace / "jobs/evil.claim.json").write_text('{"pid": 999999999, "identity": "gone"}')
    os.mkfifo(workspace / "jobs/evil.alive")
    assert ok(call(server, "get_job_status", {"results_dir": str(workspace), "job": "evil"}))["state"] == "lost"
    (workspace / "jobs/evil.claim.json").write_text("[" * 200_000)
    assert ok(call(server, "get_job_status", {"results_dir": str(workspace), "job": "evil"}))["state"] == "lost"


def test_jobs_of_another_folder_are_not_listed(workspace: Path, server: BankServer, secret: Path) -> None:
    record(workspace, "evil", results_dir=str(secret.parent.parent))
    record(workspace, "own")
    assert list(ok(call(server, "list_jobs", {"results_dir": str(workspace)}))["jobs"]) == ["own"]


def test_a_state_that_names_another_workspace_is_refused(finished: Path, workspace: Path, server: BankServer) -> None:
    forged = workspace / "results/run_forged"
    shutil.copytree(finished, forged)
    state = json.loads((forged / "deft_state.json").read_text())
    state["results_dir"] = str(forged)
    (forged / "deft_state.json").write_text(json.dumps(state))
    for tool in ("plan_deft_run", "start_deft_run", "step_deft_run"):
        answer = call(server, tool, {"results_dir": str(forged)})
        assert answer.error
        assert "the run's workspace lies outside the allowed folders" in answer.text, tool


def test_packaging_a_report_takes_no_file_from_outside(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from tao_skill_bank.reports.rca.analysis import SPEC, make_rca

    root = tmp_path / "root"
    (root / "inference").mkdir(parents=True)
    rows = [f"b,g,{'bridge' if n > 3 else 'PASS'},C{n},0.{n}" for n in range(1, 7)]
    header = "input_path,golden_path,label,object_name,siamese_score"
    (root / "inference/inference.csv").write_text("\n".join([header, *rows]) + "\n")
    train = {"dataset": {"classify": {"input_map": {"L": 0}, "image_ext": ".png"}}}
    (root / "train.yaml").write_text(yaml.safe_dump(train))
    folder = make_rca(root, now=datetime(2026, 1, 2, tzinfo=UTC), kpi_media_path=root).folder
    (tmp_path / "secret.yaml").write_text("nobody: may read this\n")
    spec = yaml.safe_load((folder / SPEC).read_text())
    (folder / SPEC).write_text(yaml.safe_dump({**spec, "train_config": str(tmp_path / "secret.yaml")}))
    answer = call(served(root), "check_rca_report", {"results_dir": str(folder)})
    assert answer.error
    assert "outside the allowed folders" in answer.text
    assert not (folder / "rca_config/secret.yaml").exists()


# -- the gate -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_data_that_changes_while_a_person_reads_the_plan_is_not_approved_unseen(workspace: Path, mode: str) -> None:
    path = workspace / "train/base/training_set.csv"
    asked: list[str] = []

    async def ask(_context: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        if len(asked) == 1:
            path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
            return YES
        return ElicitResult(action="decline")

    async def run() -> Any:
        async with Client(build_server([workspace]), mode=mode, elicitation_callback=ask) as client:
            return await client.call_tool("start_deft_run", plan_arguments(workspace))

    result = anyio.run(run)
    assert result.structured_content["status"] in ("needs_approval", "declined")
    assert result.structured_content["digest"] not in asked[0]
    assert not (workspace / "results").exists()


def test_what_a_person_approves_shows_every_setting(workspace: Path, server: BankServer) -> None:
    arguments = plan_arguments(workspace, settings=["seed=7", "num_epochs=1"])
    assert "settings num_epochs=1, seed=7" in ok(call(server, "plan_deft_run", arguments))["summary"]
    found = call(server, "start_deft_run", arguments, elicit=ElicitResult(action="decline"))
    assert "settings        num_epochs=1, seed=7" in found.asked[0]


# -- calls at once -------------------------------------------------------------------------------------------


@pytest.fixture
def paused(workspace: Path) -> Path:
    """An approved run that has its first stage behind it."""
    from tao_skill_bank import runs

    settings = ("num_epochs=1",)
    run = tiny.approved(tiny.request(workspace, "FAR < 0.1% at recall=100%", 1, settings=settings))
    runs.run_loop(run, once=True)
    return run


def test_of_calls_at_once_one_starts_the_stage_and_the_others_say_who_works(paused: Path, server: BankServer) -> None:
    answers: list[Any] = []

    async def many() -> str:
        async with Client(server) as client:

            async def one() -> None:
                answers.append(await client.call_tool("step_deft_run", {"results_dir": str(paused)}))

            async with anyio.create_task_group() as group:
                for _ in range(6):
                    group.start_soon(one)
            status = await client.call_tool("get_deft_status", {"results_dir": str(paused), "wait_sec": 20})
            return str(status.structured_content["status"])

    assert anyio.run(many) == "interrupted"
    assert sorted(answer.is_error for answer in answers) == [False] + [True] * 5
    assert all("running since" in a.content[0].text for a in answers if a.is_error)
    lines = (paused / "loop_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["stage"] for line in lines] == ["train", "evaluate"]


# -- results without end -------------------------------------------------------------------------------------------


def test_many_labels_with_long_names_stay_a_small_result(workspace: Path, server: BankServer) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = [f"{'label_' * 50}{n}" for n in range(300)]
    table = {"filepath": [f"/{n}" for n in range(300)], "label": labels, "weakness": [1.0] * 300}
    pq.write_table(pa.table(table), workspace / "gaps.parquet")
    arguments = {"gaps_parquet": f"{workspace}/gaps.parquet", "results_dir": f"{workspace}/routed"}
    routed = ok(call(server, "route_samples", arguments))
    assert routed["verdicts"]["…"].endswith(" more")

    folder = workspace / "inference"
    folder.mkdir()
    with (folder / "inference.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["input_path", "golden_path", "label", "object_name", "siamese_score"])
        writer.writerows([["b", "g", label, f"{'C' * 200}{n}", 0.5] for n, label in enumerate([*labels, "PASS"])])
    arguments = {
        "inference_results_dir": str(folder),
        "train_config": f"{workspace}/specs/baseline_spec.yaml",
        "results_dir": f"{workspace}/gaps",
        "kpi_media_path": f"{workspace}/images",
    }
    found = ok(call(server, "analyze_vcn_gaps", arguments))
    assert found["per_label"]["…"].endswith(" more")
    assert len(found["weakest"]) == 5


# -- links in the workspace -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("specs/baseline_spec.yaml", "specs_file"),
        ("train/base/training_set.csv", "training_csv"),
        ("kpi/testing_set.csv", "kpi_test_csv"),
        ("augmentation/mining_pool/mining_pool.csv", "mining_pool_csv"),
    ],
)
@pytest.mark.parametrize("tool", ["plan_deft_run", "start_deft_run"])
def test_an_input_that_is_a_link_to_a_file_outside_is_not_read(
    workspace: Path, server: BankServer, tmp_path: Path, name: str, key: str, tool: str
) -> None:
    private = tmp_path / "private"
    private.write_text("nobody,may,read,this\n")
    (workspace / name).unlink()
    (workspace / name).symlink_to(private)
    answer = call(server, tool, plan_arguments(workspace))
    assert answer.error
    assert key in answer.text or name in answer.text
    assert "the allowed folders" in answer.text
    assert "nobody" not in answer.text
    assert not (workspace / "results").exists()


def test_a_results_folder_that_leads_outside_gets_no_run(workspace: Path, server: BankServer, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (workspace / "results").symlink_to(elsewhere)
    answer = call(server, "start_deft_run", plan_arguments(workspace), elicit=YES)
    assert answer.error
    assert "the workspace's results lies outside the allowed folders" in answer.text
    assert not list(elsewhere.iterdir())


def test_images_on_another_disk_are_taken_once_a_person_allows_its_folder(
    workspace: Path, server: BankServer, tmp_path: Path
) -> None:
    shutil.move(workspace / "images", tmp_path / "disk")
    (workspace / "images").symlink_to(tmp_path / "disk")
    answer = call(server, "plan_deft_run", plan_arguments(workspace))
    assert answer.error
    assert f"tao-skills roots add {tmp_path}/disk;" in answer.text
    allowed = build_server([workspace, tmp_path / "disk"])
    assert ok(call(allowed, "plan_deft_run", plan_arguments(workspace)))["digest"]
