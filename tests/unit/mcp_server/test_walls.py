"""What lies outside the roots stays unread and untouched, whatever a file inside them names or links to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from server_calls import Answer, call, ok

from mcp_server.roots import BankServer
from mcp_server.server import build_server
from tao_skill_bank.core import guard, roots

SECRET = "hunter2-SECRET"
_PREDICTIONS = [{"video_id": "v", "question": f"{SECRET}?", "gt": "yes", "response": "no"}]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder outside the roots with files that nobody may read."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "predictions.json").write_text(json.dumps(_PREDICTIONS))
    (folder / "pairs.csv").write_text(f"input_path,golden_path,label,object_name\n{SECRET},golden/x,PASS,zz\n")
    (folder / "spec.yaml").write_text(f"{SECRET}: [\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def walled(root: Path) -> BankServer:
    return build_server([root])


def seen(folder: Path) -> dict[str, bytes]:
    """Every file of a folder and its content; links are not followed."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.is_symlink()
    }


def run_to_end(server: BankServer, **arguments: Any) -> Answer:
    """Start an action and wait until its job has ended."""
    answer = call(server, "start_action", arguments)
    if answer.error:
        return answer
    until = time.monotonic() + 60
    asked = {"results_dir": arguments["results_dir"], "job": answer.data["job"]}
    while (found := call(server, "get_job_status", asked)).data.get("state") in ("pending", "running"):
        assert time.monotonic() < until
    return found


def told(answer: Answer) -> str:
    return answer.text + json.dumps(answer.data)


@pytest.mark.parametrize("how", ["by name", "by a link"])
def test_a_spec_inside_the_roots_reads_no_file_outside(walled: BankServer, root: Path, outside: Path, how: str) -> None:
    named = outside / "predictions.json"
    if how == "by a link":
        (root / "predictions.json").symlink_to(named)
        named = root / "predictions.json"
    (root / "spec.yaml").write_text(f"predictions_json: {named}\n")
    answer = run_to_end(
        walled,
        category="gap_analysis",
        action="vlm_bcq",
        results_dir=str(root / "out"),
        spec=str(root / "spec.yaml"),
    )
    assert answer.data["state"] == "failed"
    assert f"tao-skills roots add {outside}" in told(answer)
    assert SECRET not in told(answer) and not any(SECRET.encode() in data for data in seen(root).values())


_TRAIN = """task: classify
model: {{backbone: {{type: fan_tiny_8_p4_hybrid}}, classify: {{difference_module: learnable}}}}
dataset: {{classify: {{train_dataset: {{csv_path: {csv}, images_dir: {images}}},
  validation_dataset: {{csv_path: {csv}, images_dir: {images}}}, image_ext: .png, num_input: 1, input_map: {{L: 0}},
  image_width: 32, image_height: 32, batch_size: 4, num_classes: 2}}}}
train: {{classify: {{loss: ce}}, num_epochs: 1{more}}}
"""


@pytest.mark.parametrize("how", ["by name", "by a link", "through a folder"])
def test_no_cell_of_a_csv_outside_comes_back_in_an_error(
    walled: BankServer, root: Path, outside: Path, how: str
) -> None:
    csv = outside / "pairs.csv"
    if how != "by name":
        csv = root / ("pairs.csv" if how == "by a link" else "way/pairs.csv")
        (root / "pairs.csv").symlink_to(outside / "pairs.csv")
        (root / "way").symlink_to(outside)
    (root / "train.yaml").write_text(_TRAIN.format(csv=csv, images=root, more=""))
    answer = run_to_end(
        walled,
        category="visual_changenet",
        action="train",
        results_dir=str(root / "out"),
        spec=str(root / "train.yaml"),
    )
    assert answer.data["state"] == "failed"
    assert SECRET not in told(answer) and not any(SECRET.encode() in data for data in seen(root).values())
    assert "the allowed folders" in told(answer)


def test_a_file_that_is_no_spec_is_not_quoted_where_a_link_leads_to_it(
    walled: BankServer, root: Path, outside: Path
) -> None:
    (root / "spec.yaml").symlink_to(outside / "spec.yaml")
    arguments = {"category": "gap_analysis", "action": "vlm_bcq", "results_dir": f"{root}/out"}
    answer = call(walled, "start_action", {**arguments, "spec": f"{root}/spec.yaml"})
    assert answer.error and SECRET not in answer.text


@pytest.mark.parametrize("name", ["loop_log.jsonl", "loop_log.jsonl.lock"])
@pytest.mark.parametrize("there", [True, False])
def test_the_log_is_not_written_through_a_link(
    walled: BankServer, root: Path, outside: Path, name: str, there: bool
) -> None:
    (root / "run").mkdir()
    target = outside / ".bash_profile"
    if there:
        target.write_text("# a person's own\n")
    (root / "run" / name).symlink_to(target)
    before = seen(outside)
    answer = call(
        walled,
        "log_stage",
        {
            "results_dir": f"{root}/run",
            "iter_label": "baseline",
            "stage": "train",
            "status": "ok",
            "summary": "done $(touch PWNED)",
            "duration_sec": 1,
        },
    )
    assert answer.error
    assert seen(outside) == before and target.exists() == there


def test_a_log_with_a_second_name_is_not_appended_to(walled: BankServer, root: Path, outside: Path) -> None:
    (root / "run").mkdir()
    (outside / "profile").write_text("# a person's own\n")
    os.link(outside / "profile", root / "run/loop_log.jsonl")
    arguments = {"iter_label": "baseline", "stage": "train", "status": "ok", "summary": "x", "duration_sec": 1}
    assert call(walled, "log_stage", {"results_dir": f"{root}/run", **arguments}).error
    assert (outside / "profile").read_text() == "# a person's own\n"


@pytest.mark.parametrize("name", ["jobs", "out"])
def test_no_job_is_recorded_through_a_link(walled: BankServer, root: Path, outside: Path, name: str) -> None:
    (root / "predictions.json").write_text(json.dumps(_PREDICTIONS))
    (root / "run").mkdir()
    (root / "run" / name).symlink_to(outside)
    before = seen(outside)
    answer = call(
        walled,
        "start_action",
        {
            "category": "gap_analysis",
            "action": "vlm_bcq",
            "results_dir": f"{root}/run" if name == "jobs" else f"{root}/run/out",
            "overrides": {"predictions_json": f"{root}/predictions.json"},
        },
    )
    assert answer.error
    assert seen(outside) == before


def test_what_starts_is_what_was_submitted_not_what_its_record_says_by_then(
    walled: BankServer, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write in the folder changes the record before the job's worker looks at it."""
    from tao_skill_bank.platforms import local

    written = local.write_record

    def write_and_change(record: Any) -> None:
        written(record)
        changed = record.model_copy(update={"argv": ["/bin/sh", "-c", f"echo x > {outside}/made"]})
        record.path.write_text(changed.model_dump_json())

    monkeypatch.setattr(local, "write_record", write_and_change)
    (root / "predictions.json").write_text(json.dumps(_PREDICTIONS))
    answer = run_to_end(
        walled,
        category="gap_analysis",
        action="vlm_bcq",
        results_dir=f"{root}/out",
        overrides={"predictions_json": f"{root}/predictions.json"},
    )
    assert ok(answer)["state"] == "complete"
    assert not (outside / "made").exists()


@pytest.mark.parametrize("name", ["deft_state.json", "loop_log.jsonl"])
def test_a_pipe_in_the_place_of_a_runs_file_is_refused_at_once(walled: BankServer, root: Path, name: str) -> None:
    (root / "run").mkdir()
    os.mkfifo(root / "run" / name)
    for tool in ("get_deft_status", "step_deft_run", "render_report", "write_handoff"):
        assert call(walled, tool, {"results_dir": f"{root}/run"}).error


def test_a_path_of_megabytes_is_refused_without_being_followed(walled: BankServer, root: Path) -> None:
    answer = call(walled, "get_deft_status", {"results_dir": f"{root}" + "/x" * 8_000_000})
    assert answer.error and "too large" in answer.text and len(answer.text) < 1000


def test_a_server_process_opens_nothing_by_itself_and_its_tools_what_their_call_may(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(roots.VARIABLE, "[]")
    server = build_server([root])
    with pytest.raises(roots.OutsideError):
        guard.read_bytes(root / "anything")
    stage = {"iter_label": "baseline", "stage": "train", "status": "ok", "summary": "x", "duration_sec": 1}
    assert ok(call(server, "log_stage", {"results_dir": f"{root}/run", **stage}))["seq"] == 1
    assert call(server, "log_stage", {"results_dir": f"{outside}/run", **stage}).error
    for tool in ("list_skills", "list_platforms", "list_images"):
        assert not call(server, tool, {}).error, tool
    assert seen(outside).keys() == {"predictions.json", "pairs.csv", "spec.yaml"}


@pytest.mark.parametrize("name", ["annotations.sqlite", "annotations.sqlite-wal"])
def test_no_journal_is_opened_through_a_link(walled: BankServer, root: Path, outside: Path, name: str) -> None:
    from tao_skill_bank.annotate.journal import FILE_NAME, Journal
    from tao_skill_bank.core.errors import InputError

    (root / "out").mkdir()
    (root / "out" / name.replace("annotations.sqlite", FILE_NAME)).symlink_to(outside / "made-here")
    with roots.confined([root]), pytest.raises(InputError, match="is a link or no file"):
        Journal(root / "out")
    assert not (outside / "made-here").exists()
