"""One action by itself on another platform: a person approves its plan, and then it is a job like any other."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fake_generator
import pytest
import yaml
from mcp_types import ElicitResult
from server_calls import MODES, call, ok

from mcp_server.roots import BankServer
from tao_skill_bank.core.errors import InputError, NeedsApprovalError
from tao_skill_bank.platforms.base import read_records
from tao_skill_bank.tasks.action import ActionRequest, command_line, plan_action, start_action

YES = ElicitResult(action="accept", content={"approve": True})
NO = ElicitResult(action="decline")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    return fake_generator.install(tmp_path / "bin")


def training(workspace: Path, tools: Path, **more: Any) -> dict[str, Any]:
    spec = yaml.safe_load((workspace / "specs/baseline_spec.yaml").read_text())
    data = spec["dataset"]["classify"]
    for key, name in (("train_dataset", "training_set"), ("validation_dataset", "validation_set")):
        data[key] = {"csv_path": f"{workspace}/train/base/{name}.csv", "images_dir": f"{workspace}/images"}
    (workspace / "train.yaml").write_text(yaml.safe_dump(spec))
    return {
        "category": "visual_changenet",
        "action": "train",
        "spec": f"{workspace}/train.yaml",
        "results_dir": f"{workspace}/out",
        "overrides": {"train.num_epochs": 1},
        "platform": "virtualenv",
        "settings": [f"virtualenv.bin={tools}"],
        **more,
    }


def ended(server: BankServer, folder: str, job: str) -> dict[str, Any]:
    limit = time.monotonic() + 60
    while True:
        found = ok(call(server, "get_job_status", {"results_dir": folder, "job": job}))
        if found["state"] not in ("pending", "running"):
            return found
        assert time.monotonic() < limit


@pytest.mark.parametrize("mode", MODES)
def test_a_person_who_approves_starts_the_job_there(
    workspace: Path, server: BankServer, tools: Path, mode: str
) -> None:
    answer = call(server, "start_action", training(workspace, tools), mode=mode, elicit=YES)
    (asked,) = answer.asked
    for shown in ("visual_changenet train -e", "platform   virtualenv", f"virtualenv.bin={tools}", "TAO's commands in"):
        assert shown in asked
    job = ok(answer)
    assert ended(server, job["results_dir"], job["job"])["state"] == "complete"
    (record,) = read_records(workspace / "out")
    assert record.approved == "elicitation"
    assert record.platform == "virtualenv" and record.argv[0] == str(tools / "visual_changenet")
    # The job reads the spec as it was approved, however long it waits.
    kept = Path(record.command[record.command.index("-e") + 1])
    assert kept.parent == workspace / "out" and kept.read_bytes() == (workspace / "train.yaml").read_bytes()
    assert list((workspace / "out/train").glob("model_epoch_*.pth"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("changed", ["train.yaml", "train/base/training_set.csv"])
def test_a_file_that_changes_while_the_person_reads_is_not_what_they_said_yes_to(
    workspace: Path, server: BankServer, tools: Path, mode: str, changed: str
) -> None:
    before: list[bytes] = []

    def change() -> None:
        if not before:
            before.append((workspace / changed).read_bytes())
            (workspace / changed).write_bytes(before[0] + b"\n")

    answer = call(server, "start_action", training(workspace, tools), mode=mode, elicit=YES, meanwhile=change)
    if mode == "legacy":
        assert answer.error and "not the approved one" in answer.text
        assert not (workspace / "out").exists()
    else:
        # The call is made anew with the answer: it is another question, and the person is asked again.
        assert len(answer.asked) == 2 and answer.asked[0] != answer.asked[1]
        found = ok(answer)
        assert ended(server, found["results_dir"], found["job"])["state"] == "complete"


@pytest.mark.parametrize("elicit", [NO, None])
def test_without_a_persons_yes_nothing_is_written(
    workspace: Path, server: BankServer, tools: Path, elicit: ElicitResult | None
) -> None:
    found = ok(call(server, "start_action", training(workspace, tools), elicit=elicit))
    assert found["state"] == ("declined" if elicit else "needs_approval")
    assert "job" not in found and not (workspace / "out").exists()


def test_the_command_that_is_named_starts_that_very_job(workspace: Path, server: BankServer, tools: Path) -> None:
    found = ok(call(server, "start_action", training(workspace, tools)))
    words = shlex.split(found["output"][-1])
    at = words.index("jobs")
    argv = [sys.executable, "-m", "tao_skill_bank.cli", *words[at:]]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    spec = workspace / "train.yaml"
    spec.write_text(before := spec.read_text() + "# another\n")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=workspace.parent, env=env)
    assert done.returncode == 5 and "not the approved one" in done.stderr and not (workspace / "out").exists()
    spec.write_text(before.removesuffix("# another\n"))
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=workspace.parent, env=env)
    job = done.stdout.partition(":")[0]
    shown = [*argv[:4], "status", f"{workspace}/out", job]
    status = subprocess.run(shown, capture_output=True, text=True, check=True, env=env).stdout
    assert "approved by flag; nobody was asked" in status
    assert ended(server, f"{workspace}/out", job)["state"] == "complete"


def test_what_the_platform_lacks_or_does_not_know_is_said_before_a_person_is_asked(
    workspace: Path, server: BankServer, tools: Path
) -> None:
    for more, said in (
        ({"platform": "dokcer"}, "unknown platform 'dokcer'"),
        ({"settings": ["virtualenv.bim=x"]}, "unknown key 'virtualenv.bim'"),
        ({"settings": [f"virtualenv.bin={workspace}"]}, "visual_changenet is not there"),
        ({"category": "anomalygen", "action": "generate", "spec": None}, "no action 'generate'"),
        ({"category": "anomalygen", "action": "run_sdg"}, "the generator takes no spec"),
        (
            {"platform": "local", "category": "anomalygen", "action": "run_sdg", "spec": None},
            "does not run 'run_sdg.sh'",
        ),
        ({"platform": "brev"}, "nvidia-tao-sdk"),
    ):
        answer = call(server, "start_action", training(workspace, tools, **more), elicit=YES)
        assert answer.error and said in answer.text and answer.asked == [], more
    assert not (workspace / "out").exists()


def test_the_generator_runs_by_itself_in_two_actions(workspace: Path, server: BankServer, tools: Path) -> None:
    home = fake_generator.add_assets(workspace)
    data, out = home / "datasets" / "PCB", workspace / "made"
    lines: dict[str, dict[str, Any]] = {
        "prep_testcase": {
            "name": "first",
            "num-sdg": 4,
            "dataset-dir": str(data),
            "clean-dir": str(data),
            "defect-spec": str(data / "defect_spec.jsonl"),
            "amp-output-dir": str(out / "amp"),
            "output-jsonl": str(out / "testcase.jsonl"),
        },
        "run_sdg": {
            "checkpoint_dir": str(home / "checkpoints" / "PCB"),
            "step": 14000,
            "input_jsonl": str(out / "testcase.jsonl"),
            "output_dir": str(out / "sdg"),
            "model_size": "2b",
            "num_gpus": 1,
        },
    }
    settings = {"platform": "virtualenv", "settings": [f"virtualenv.bin={tools}"]}
    for action, overrides in lines.items():
        arguments = {"category": "anomalygen", "action": action, "results_dir": str(out), "overrides": overrides}
        job = ok(call(server, "start_action", {**arguments, **settings}, elicit=YES))
        assert ended(server, job["results_dir"], job["job"])["state"] == "complete"
    assert [r.key for r in read_records(out)] == ["manual.prep_testcase", "manual.run_sdg"]
    assert len(list((out / "sdg" / "reconstructed_image").iterdir())) == 4


def test_a_plan_that_changed_meanwhile_is_not_started(workspace: Path, tools: Path) -> None:
    command = command_line("gap_analysis", "vcn_aoi", None, {}, workspace / "out")
    settings = (f"virtualenv.bin={tools}",)
    request = ActionRequest(command, workspace / "out", workspace.parent, "virtualenv", settings)
    plan = plan_action(request)
    assert plan.config["workspace"] == str(workspace), "the nearest folder above that has specs/"
    with pytest.raises(NeedsApprovalError):
        start_action(request, "0" * 16)
    with pytest.raises(InputError, match="is not a setting"):
        plan_action(ActionRequest(command, workspace / "out", workspace, "virtualenv", ("platform=docker",)))
    assert not (workspace / "out").exists()


def test_images_are_embedded_and_searched_as_actions_like_any_other(workspace: Path, server: BankServer) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = sorted(str(path) for path in (workspace / "images").rglob("*.png"))[:6]
    table = workspace / "images.parquet"
    pq.write_table(pa.table({"filepath": images}), table)
    out = workspace / "mined"
    embedding = {
        "category": "embedding",
        "action": "image_embeddings",
        "results_dir": str(out),
        "overrides": {"input_parquet": str(table), "model": "local"},
    }
    job = ok(call(server, "start_action", embedding))
    assert ended(server, str(out), job["job"])["state"] == "complete"
    made = str(out / "embeddings.parquet")
    search = {
        "category": "tmm",
        "action": "nearest_neighbors",
        "results_dir": str(out),
        "overrides": {
            "source_parquet": made,
            "target_parquet": made,
            "output_parquet": f"{out}/found.parquet",
            "topn": 1,
        },
    }
    job = ok(call(server, "start_action", search))
    assert ended(server, str(out), job["job"])["state"] == "complete"
    assert len(pq.read_table(out / "found.parquet")) == len(images)


def test_every_command_gets_the_key_for_its_outputs_that_it_knows() -> None:
    from tao_skill_bank.actions.gap_analysis.config import VCN_AOI_SCHEMA, VLM_BCQ_SCHEMA
    from tao_skill_bank.actions.mining.config import IMAGE_EMBEDDINGS_SCHEMA, NEAREST_NEIGHBORS_SCHEMA

    for words, schema in (
        (("gap_analysis", "vcn_aoi"), VCN_AOI_SCHEMA),
        (("gap_analysis", "vlm_bcq"), VLM_BCQ_SCHEMA),
        (("embedding", "image_embeddings"), IMAGE_EMBEDDINGS_SCHEMA),
        (("tmm", "nearest_neighbors"), NEAREST_NEIGHBORS_SCHEMA),
    ):
        *_, last = command_line(*words, None, {}, Path("/out"))
        assert last.partition("=")[0] in schema.defaults, words


@pytest.mark.parametrize("value", ["yes", 1, "true"])
def test_only_a_true_of_the_client_starts_a_job(
    workspace: Path, server: BankServer, tools: Path, value: str | int
) -> None:
    answer = ElicitResult(action="accept", content={"approve": value})
    said = call(server, "start_action", training(workspace, tools), elicit=answer)
    assert said.error and said.asked
    assert not (workspace / "out").exists()
