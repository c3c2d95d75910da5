"""The second loop goes through plan, baseline, mining, merge, training, acceptance and hand-off on this machine."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
import tomllib
from pathlib import Path

import bcq
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from server_calls import call
from studio_server import page_of
from verdict_places import text_of, told_by_every_door

from mcp_server.server import build_server
from tao_skill_bank import frames, runs
from tao_skill_bank.commands.labels import cli as labels_command
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.bcq.records import read_set
from tao_skill_bank.data.corrections import read as read_corrections
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.log import log_path, read_log
from tao_skill_bank.loop.plan import resolve
from tao_skill_bank.loop.request import Request
from tao_skill_bank.reports.compare import compare_runs
from tao_skill_bank.reports.deft.report import render_report
from tao_skill_bank.tasks.registry import load_state, names
from tao_skill_bank.tasks.vlm_bcq.task import TASK

STAGES = ["evaluate", "rca", "routing", "data_mining", "annotate", "data_merge", "train", "evaluate", "loop_stop"]


def test_it_is_the_second_task_that_can_be_named() -> None:
    assert names()[:2] == ("changenet", "vlm_bcq")


def test_every_stage_ran_once_and_the_acceptance_set_decides(finished: Path) -> None:
    state = load_state(finished)
    assert [record.stage for record in state.records()] == STAGES
    assert all(record.status == "ok" for record in state.records())
    view = runs.status(finished)
    assert view.verdict.set == "acceptance set"
    assert view.verdict.rehearsal is True
    assert set(state.acceptance) >= {"baseline", "best"}
    assert state.acceptance["best"]["iteration"] == view.verdict.model


def twin_of(run: Path, folder: Path, counts: tuple[int, int] | None = None) -> Path:
    """A copy of a run in a workspace of its own; `counts` of the acceptance set right, of how many, where given."""
    workspace = run.parents[1]
    shutil.copytree(workspace, folder / "w")
    twin = folder / "w" / run.relative_to(workspace)
    text = (twin / "deft_state.json").read_text().replace(str(workspace), str(folder / "w"))
    state = json.loads(text)
    if counts is not None:
        accepted = state["iterations"]["iter1"]["results"]["loop_stop"]["acceptance"]
        for which in ("baseline", "best"):
            measures = accepted[which]["measures"]
            measures |= {name: Interval.of(*counts).model_dump(mode="json") for name in measures}
    (twin / "deft_state.json").write_text(json.dumps(state))
    return twin


def test_every_door_tells_the_verdict_that_the_log_ends_with_and_the_hand_off_carries(
    finished: Path, tmp_path: Path
) -> None:
    found = told_by_every_door(twin_of(finished, tmp_path))
    assert found.final and found.head.startswith("rehearsal: ") and not found.may_ship
    assert read_log(log_path(finished))[-1].summary.endswith(f"; {found.line}")
    handed = json.loads((finished / "best_model.json").read_text())
    assert (handed["iteration"], handed["verdict"]["line"]) == (found.model, found.line)
    assert handed["acceptance"]["iteration"] == found.model


@pytest.mark.parametrize(
    ("counts", "word"),
    [((999, 1000), "shown"), ((40, 40), "met, not shown"), ((7, 40), "not met"), ((0, 0), "cannot be told")],
)
def test_every_door_tells_every_word_of_the_verdict(
    finished: Path, tmp_path: Path, counts: tuple[int, int], word: str
) -> None:
    assert told_by_every_door(twin_of(finished, tmp_path, counts)).head == f"rehearsal: {word}"


def test_pages_and_tables_of_the_other_task_refuse_it_in_one_line(finished: Path, tmp_path: Path) -> None:
    twin = twin_of(finished, tmp_path)
    for door in (lambda: compare_runs([finished, twin]), lambda: frames.stages(finished), lambda: render_report(twin)):
        with pytest.raises(InputError, match="has a report of its own: it is a run of another task"):
            door()


def test_the_tool_renders_its_report_with_the_measure_and_takes_no_narrative(finished: Path, tmp_path: Path) -> None:
    twin = twin_of(finished, tmp_path, (38, 40))
    server = build_server([twin])
    state, found = load_state(twin), runs.status(twin).verdict
    told = call(server, "render_report", {"results_dir": str(twin)}).data
    label, best = state.best()
    assert (told["measure"], told["asked"]) == ("balanced accuracy", found.claims[0].asked)
    assert (told["best_iteration"], told["best_pct"]) == (label, state.value(best))
    assert told["best_interval_pct"][0] <= told["best_pct"] <= told["best_interval_pct"][1]
    assert told["acceptance_pct"] == pytest.approx(95.0) and told["iterations"] == 1
    assert told.get("best_far_pct") is None and told.get("missing") is None
    page = " ".join(text_of(Path(told["path"]).read_text()).split())
    assert all(" ".join(piece.split()) in page for piece in (found.head, found.text))
    before = Path(told["path"]).read_bytes()
    refused = call(server, "render_report", {"results_dir": str(twin), "narrative": "It is ready."})
    assert "takes no narrative" in refused.text and Path(told["path"]).read_bytes() == before


def test_vectors_of_another_model_are_not_searched_beside_those_of_the_run(finished: Path, tmp_path: Path) -> None:
    state = load_state(twin := twin_of(finished, tmp_path))
    (spec := twin.parents[1] / "other.yaml").write_text("inference:\n  checkpoint: another/embedder\n")
    state.iterations["iter1"].stages.pop()  # its end: a complete run takes no other plan at all
    for key, value in (("embed_container", "registry.example/embed:2"), ("embed_spec", str(spec))):
        with pytest.raises(InputError, match=f"{key} was measured with already"):
            resolve(TASK, Request(settings=(f"{key}={value}",)), state)


def test_the_report_says_how_to_open_the_run_and_the_studio_shows_its_figures_and_that_report(finished: Path) -> None:
    workspace, name = finished.parent.parent, finished.name
    said = html.unescape(re.sub("<[^>]*>", "", (finished / "DEFT_Loop_Report.html").read_text()))
    assert f"tao-skills studio {workspace} --open '#/run/{name}'" in said
    state = load_state(finished)
    with page_of(workspace) as page:
        shown = {phase["phase"]: phase for phase in page.json(f"/api/runs/{name}")["phases"]}
        report = page.get(f"/api/runs/{name}/report")
        plan = page.post("/api/plan", {"like": name})
    assert plan.status_code == 200, plan.text
    planned = plan.json()
    assert planned["kpi_target"] == runs.status(finished).kpi_target and "fail" not in {
        c["status"] for c in planned["checks"]
    }
    told = state.iterations["iter1"].figures()
    assert shown["iter1"]["rows"] == told["training_rows"] and shown["iter1"]["mined"] == told["mined"]
    assert shown["baseline"]["far"] is not None and shown["baseline"]["synthetic"] is None
    assert report.status_code == 200 and runs.status(finished).verdict.head in report.text


def test_the_page_of_causes_names_the_command_for_a_label_in_doubt_as_it_can_be_typed(
    finished: Path, tmp_path: Path
) -> None:
    twin = twin_of(finished, tmp_path)
    (page,) = finished.rglob("rca.html")
    said = html.unescape(re.sub("<[^>]*>", "", page.read_text()))
    assert f"tao-skills studio {finished.parents[1]} --open '#/run/{finished.name}'" in said
    found = re.search(r"tao-skills labels (set \S+ \S+ (?:Yes|No) --reason \S+ --who) NAME", said)
    assert found is not None
    words = found.group(1).replace(str(finished.parents[1]), str(twin.parents[1])).split()
    typed = CliRunner().invoke(labels_command, [*words, "ann"])
    assert typed.exit_code == 0, typed.output
    (kept,) = read_corrections(twin.parents[1]).by_id.values()
    assert (kept.sample.object_name, kept.to, kept.who) == (words[2], words[3], "ann")


def test_answers_predictions_and_figures_are_of_every_annotation_in_order(finished: Path) -> None:
    folder = finished / "baseline" / "evaluate"
    workspace = finished.parent.parent
    kpi = read_set("kpi", workspace / "kpi/annotations.json", workspace, strict=True)
    lines = [json.loads(line) for line in (folder / "base/answers.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [record.id for record in kpi.records]
    assert set(lines[0]) == {
        *("id", "video", "content", "question", "question_key", "gt"),
        *("response", "answer", "why", "score", "model", "evaluator"),
    }
    predictions = json.loads((folder / "base/predictions.json").read_text())
    assert [p["video_id"] for p in predictions] == [str(record.path) for record in kpi.records]
    assert {p["response"] for p in predictions} <= {"Yes", "No"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["P"] + metrics["N"] == len(kpi)
    wrong = sum(line["answer"] != line["gt"] for line in lines)
    assert metrics["FP"] + metrics["FN"] == wrong
    state = load_state(finished)
    assert state.value(state.iterations["baseline"]) == pytest.approx(100 * metrics["balanced_accuracy"], abs=0.01)


def test_gaps_are_those_of_the_answers_and_tables_lie_beside_them(finished: Path) -> None:
    found = load_state(finished).iterations["baseline"].results["rca"]
    folder = Path(found.rca_results_dir)
    gaps = [json.loads(line) for line in (folder / "kpi_gaps.jsonl").read_text().splitlines()]
    table = pq.read_table(folder / "gaps.parquet")
    assert table.column("video_id").to_pylist() == [gap["video_id"] for gap in gaps]
    assert {"id", "question_key", "content", "score"} <= set(table.column_names)
    tables = json.loads((folder / "tables.json").read_text())
    assert sum(cell["wrong"] for cell in tables["question_key"]) == len(gaps)
    assert len(tables["worst"]) == min(24, len(gaps))
    assert all((folder / "rca_images" / frame["file"]).stat().st_size for frame in tables["worst"][0]["frames"])


def test_what_was_mined_is_merged_with_where_it_comes_from(finished: Path) -> None:
    iteration = load_state(finished).iterations["iter1"]
    mined = pq.read_table(iteration.results["data_mining"].mined_parquet).to_pylist()
    assert mined
    assert set(mined[0]) == {"id", "video", "content", "question_key", "answer", "similarity", "target_id"}
    merged = iteration.results["data_merge"]
    rows = json.loads(Path(merged.train_annotations).read_text())
    held_out = json.loads(Path(merged.val_annotations).read_text()) if merged.val_annotations else []
    assert {row["id"] for row in rows + held_out} == {row["id"] for row in mined}
    by_id = {row["id"]: row for row in mined}
    for row in rows:
        assert row["provenance"]["source"] == "mined"
        assert row["provenance"]["target_id"] == by_id[row["id"]]["target_id"]
        assert row["conversations"][1]["value"] == by_id[row["id"]]["answer"]
    with (Path(merged.train_annotations).parent / "provenance.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == len(mined)
    assert 0.3 < merged.yes_share < 0.7


def test_the_hand_off_names_the_model_and_says_that_it_is_a_rehearsal(finished: Path) -> None:
    best = json.loads((finished / "best_model.json").read_text())
    assert Path(best["checkpoint"]).is_dir()
    assert best["measure"] == "balanced accuracy"
    data = tomllib.loads((finished / "best_model_evaluate.toml").read_text())["dataset"]
    asked = json.loads(Path(data["annotation_path"]).read_text())
    assert len(asked) == 60
    assert all((Path(data["media_dir"]) / row["video"]).is_file() for row in asked)
    assert "rehearsal" in (finished / "serve.txt").read_text()
    config = json.loads((Path(best["checkpoint"]) / "config.json").read_text())
    assert "stand-in" in config["network"]


def test_the_acceptance_set_is_read_by_no_stage_before_the_end(finished: Path) -> None:
    records = load_state(finished).labelled_records()
    before = [label for label, record in records if record.stage != "loop_stop"]
    for label in set(before):
        for path in (finished / label).rglob("*.jsonl"):
            assert "acceptance/media" not in path.read_text()


def test_a_planted_leak_and_a_planted_contradiction_stop_the_plan_by_row(tmp_path: Path) -> None:
    folder = bcq.workspace(tmp_path / "w")
    pool = json.loads((folder / "pool/annotations.json").read_text())
    kpi = json.loads((folder / "kpi/annotations.json").read_text())
    (folder / "pool/media" / pool[3]["video"]).write_bytes((folder / "kpi/media" / kpi[0]["video"]).read_bytes())
    with pytest.raises(InputErrors) as caught:
        runs.plan_run(bcq.request(folder))
    assert any("pool row 4 = kpi row 1: same content" in fault for fault in caught.value.faults)
    planned = runs.plan_run(bcq.request(folder, "leakage.drop_pool=true"))
    assert any(check.name == "leakage" and "3 pool rows left out" in check.text for check in planned.checks)
    again = dict(kpi[0], id="again", conversations=[kpi[0]["conversations"][0], {"from": "gpt", "value": "Yes"}])
    other = dict(again, id="other", conversations=[kpi[0]["conversations"][0], {"from": "gpt", "value": "No"}])
    (folder / "kpi/annotations.json").write_text(json.dumps([*kpi[1:], again, other]))
    with pytest.raises(InputErrors) as found:
        runs.plan_run(bcq.request(folder))
    rows = f"rows {len(kpi)} and {len(kpi) + 1}: same video and question, other answers"
    assert any(rows in fault for fault in found.value.faults)


def test_the_report_and_the_page_of_causes_are_offline_and_show_frames(finished: Path) -> None:
    report = (finished / "DEFT_Loop_Report.html").read_text()
    assert runs.status(finished).verdict.head in report
    assert "data:image/jpeg;base64," in report
    assert "The acceptance set, used once" in report
    found = load_state(finished).iterations["baseline"].results["rca"]
    page = (Path(found.rca_results_dir) / "rca.html").read_text()
    for text in (report, page):
        assert "<script" not in text
        assert "http://" not in text
        assert "https://" not in text
