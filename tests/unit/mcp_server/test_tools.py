"""Every other tool: what it gives, and what it says when it cannot."""

from __future__ import annotations

import csv
import json
import shutil
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from server_calls import call, ok, plan_arguments, served

from mcp_server.roots import BankServer
from tao_skill_bank.assurance import monitor_feed
from tao_skill_bank.bank.skills import skill_folders
from tao_skill_bank.data.score_files import read_score_file

# Tool → arguments of a call that cannot be carried out ({w}: the workspace), and what the error says.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "list_platforms": ({"platform": "dokcer"}, "did you mean 'docker'"),
    "list_images": ({"key": "images.tao_toolkit.pyy"}, "did you mean 'images.tao_toolkit.pyt'"),
    "make_workspace": ({"pictures": "{w}/no", "goldens": "{w}/no", "workspace": "{w}/new"}, "no such folder"),
    "list_runs": ({"workspace": "/"}, "outside the allowed folders"),
    "compare_runs": ({"runs": ["{w}"]}, "2 to 12 run folders"),
    "check_platform": ({"platform": "dokcer"}, "did you mean 'docker'"),
    "list_labels": ({"workspace": "{w}/none"}, "no such folder"),
    "show_boards": ({"results_dir": "{w}", "pile": "near"}, "{w}"),
    "certify_threshold": ({"scores": "{w}/no.csv", "target": "FAR < 1% at recall=99%"}, "no such file"),
    "get_monitor_status": ({"monitor": "{w}"}, "no monitor here"),
    "set_labels": ({"workspace": "{w}", "who": "Ana", "words": [{"sample": "kp/C999"}]}, "no such sample"),
    "get_jobs": ({"results_dir": "{w}", "job": "nobody"}, "no job 'nobody'"),
    "analyze_vcn_gaps": (
        {"inference_results_dir": "{w}", "train_config": "{w}/specs/baseline_spec.yaml", "results_dir": "{w}/r"},
        "inference.csv",
    ),
    "write_rca_report": ({"experiment": "{w}/specs"}, "inference.csv"),
    "set_rca_verdict": ({"results_dir": "{w}", "image": "a.png", "verdict": "systematic"}, "{w}"),
    "check_rca_report": ({"results_dir": "{w}/none", "extra": 1}, ""),
    "analyze_vlm_gaps": ({"predictions_json": "{w}/no.json", "results_dir": "{w}/r"}, "no.json"),
    "route_samples": ({"gaps_parquet": "{w}/no.parquet", "results_dir": "{w}/r"}, "no such file"),
    "check_training_csv": ({"csv": 3, "workspace": "{w}"}, "csv"),
    "check_spec": ({"spec": "{w}/specs/baseline_spec.yaml", "release": "9.9"}, "'9.9' is not known"),
    "analyze_kpi": ({"csv": "{w}/kpi/testing_set.csv"}, "siamese_score"),
    "start_action": ({"category": "visual_changenet", "action": "train", "results_dir": "{w}/../r"}, "absolute path"),
    "embed_images": ({"input_parquet": "a.parquet", "output_parquet": "{w}/b.parquet"}, "absolute path"),
    "mine_neighbors": (
        {"source_parquet": "{w}/a", "target_parquet": "{w}/b", "output_parquet": "{w}/c", "topn": "many"},
        "topn",
    ),
    "get_job_status": ({"results_dir": "{w}", "job": "../../etc/passwd"}, "no job"),
    "list_jobs": ({"results_dir": "/"}, "outside the allowed folders"),
    "get_job_logs": ({"results_dir": "{w}", "job": "nobody"}, "list the folder's jobs"),
    "cancel_job": ({"results_dir": "{w}", "job": "nobody"}, "no job 'nobody'"),
    "plan_deft_run": ({"workspace": "{w}", "kpi_target": "FAR < 1"}, "KPI target not understood"),
    "start_deft_run": ({"workspace": "{w}", "kpi_target": "FAR < 1% at recall=99%"}, "max_iterations is not set"),
    "step_deft_run": ({"results_dir": "{w}"}, "no run here"),
    "get_deft_status": ({"results_dir": "{w}"}, "no run here"),
    "stop_deft_run": ({"results_dir": "{w}"}, "no run here"),
    "estimate_annotation": ({"results_dir": "{w}", "spec": "{w}/no.yaml"}, "no such spec file"),
    "start_annotation": ({"results_dir": "{w}", "spec": "{w}/no.yaml"}, "no such spec file"),
    "get_annotation_status": ({"results_dir": "{w}"}, "no annotation run here"),
    "get_annotation_quality": ({"results_dir": "{w}"}, "no questions yet"),
    "stop_annotation": ({"results_dir": "/"}, "outside the allowed folders"),
    "log_stage": (
        {
            "results_dir": "{w}",
            "iter_label": "iteration 1",
            "stage": "train",
            "status": "ok",
            "summary": "s",
            "duration_sec": 1,
        },
        "iter<N>",
    ),
    "align_tokens": ({"results_dir": "{w}", "transcripts": ["{w}/no.jsonl"]}, "no.jsonl"),
    "render_report": ({"results_dir": "{w}"}, "no run here"),
    "write_handoff": ({"results_dir": "{w}"}, "no run here"),
}
NEVER_FAIL = {"list_skills", "check_rca_report"}


def filled(value: Any, workspace: Path) -> Any:
    if isinstance(value, str):
        return value.replace("{w}", str(workspace))
    return [filled(v, workspace) for v in value] if isinstance(value, list) else value


def test_every_tool_has_an_error_path_that_is_tested() -> None:
    names = {tool.name for tool in anyio.run(served().all_tools)}
    assert names - NEVER_FAIL == set(REFUSED) - NEVER_FAIL


@pytest.mark.parametrize("tool", sorted(set(REFUSED) - NEVER_FAIL))
def test_a_call_that_cannot_be_carried_out_says_why_without_a_traceback(
    workspace: Path, server: BankServer, tool: str
) -> None:
    before = sorted(workspace.rglob("*"))
    arguments, said = REFUSED[tool]
    answer = call(server, tool, {key: filled(value, workspace) for key, value in arguments.items()})
    assert answer.error
    assert answer.text != f"Error executing tool {tool}"
    assert filled(said, workspace) in answer.text
    assert "Traceback" not in answer.text
    assert len(answer.text) < 2000
    assert sorted(workspace.rglob("*")) == before


def test_many_faults_are_listed_up_to_ten(workspace: Path, server: BankServer) -> None:
    path = workspace / "train/base/training_set.csv"
    path.write_text(path.read_text().replace(",PASS,", ",pass,"))
    answer = call(server, "plan_deft_run", plan_arguments(workspace))
    assert answer.error
    assert len(answer.text.splitlines()) <= 12
    assert "write PASS" in answer.text


def test_a_defect_of_the_server_shows_nothing_of_its_inside(
    workspace: Path, server: BankServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tao_skill_bank import runs

    monkeypatch.setattr(runs, "plan_within", lambda request, look: 1 // 0)
    answer = call(server, "plan_deft_run", plan_arguments(workspace))
    assert (answer.error, answer.text) == (True, "Error executing tool plan_deft_run")


# -- the bank -------------------------------------------------------------------------------------------------------


def test_the_banks_skills_platforms_and_images_are_listed(server: BankServer) -> None:
    listed = ok(call(server, "list_skills"))
    assert [s["name"] for s in listed["skills"]] == [folder.name for folder in skill_folders()]
    assert all((Path(listed["folder"]) / s["name"] / "SKILL.md").is_file() for s in listed["skills"])
    assert ok(call(server, "list_platforms"))["lines"][0] == "Supported TAO execution platforms:"
    assert ok(call(server, "list_platforms", {"platform": "k8s"}))["lines"][0].startswith("Platform: kubernetes")
    images = ok(call(server, "list_images"))["images"]
    key = "images.tao_toolkit.data_services"
    assert ok(call(server, "list_images", {"key": key}))["images"] == {key: images[key]}


# -- data -----------------------------------------------------------------------------------------------------------


def test_a_spec_is_checked_against_a_release_and_its_faults_are_data_not_an_error(
    workspace: Path, server: BankServer
) -> None:
    spec = workspace / "specs" / "baseline_spec.yaml"
    good = ok(call(server, "check_spec", {"spec": str(spec), "release": "7.2"}))
    assert good["ok"] and good["release"] == "7.2.0" and good["faults"] == []
    spec.write_text(spec.read_text() + "\nnonsense: 1\n")
    bad = ok(call(server, "check_spec", {"spec": str(spec), "action": "inference"}))
    assert not bad["ok"] and bad["fault_count"] == 1 and bad["faults"][0].startswith("nonsense: unknown key")


def test_a_training_csv_is_checked_and_its_faults_are_data_not_an_error(workspace: Path, server: BankServer) -> None:
    path = workspace / "train/base/training_set.csv"
    arguments = {"csv": str(path), "workspace": str(workspace)}
    good = ok(call(server, "check_training_csv", arguments))
    assert (good["ok"], good["fault_count"], good["faults"]) == (True, 0, [])
    assert "16 rows" in good["sets"][0]
    path.write_text(path.read_text().replace("PASS", "pass"))
    bad = ok(call(server, "check_training_csv", arguments))
    assert not bad["ok"]
    assert bad["fault_count"] >= len(bad["faults"]) > 0


def test_the_kpi_of_an_inference_has_its_intervals(workspace: Path, server: BankServer) -> None:
    path = workspace / "inference.csv"
    path.write_text("label,siamese_score\nPASS,.1\nPASS,.3\nPASS,.5\nbridge,.3\nbridge,.9\n")
    found = ok(call(server, "analyze_kpi", {"csv": str(path), "images": False}))
    assert (found["passes"], found["no_passes"]) == (3, 2)
    point = found["recall_100"]
    assert (point["threshold"], round(point["far"], 6)) == (0.1, 0.666667)
    assert point["far_interval"][0] < point["far"] < point["far_interval"][1]
    assert point["recall_interval"][1] == 1.0
    path.write_text("label,siamese_score\nPASS,.1\n")
    assert "recall_100" not in ok(call(server, "analyze_kpi", {"csv": str(path), "images": False}))
    path.write_text("label,siamese_score\nbridge,.1\nshift,.3\n")
    undefined = ok(call(server, "analyze_kpi", {"csv": str(path), "images": False}))["recall_100"]
    assert undefined["recall"] == 1.0 and not {"far", "far_interval"} & set(undefined)


def test_weak_samples_are_routed_and_dropped_labels_are_named(workspace: Path, server: BankServer) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {"filepath": ["/a", "/b", "/c"], "label": ["bridge", "PASS", "shift"], "weakness": [1.0, 0.5, 0.1]}
    pq.write_table(pa.table(table), workspace / "gaps.parquet")
    arguments = {
        "gaps_parquet": f"{workspace}/gaps.parquet",
        "results_dir": f"{workspace}/routed",
        "pool_csv": f"{workspace}/augmentation/mining_pool/mining_pool.csv",
        "generator_labels": ["Bridge"],
    }
    found = ok(call(server, "route_samples", arguments))
    assert found["verdicts"] == {"PASS": "mining", "BRIDGE": "mining+anomalygen", "SHIFT": "dropped"}
    assert (found["mining_rows"], found["anomalygen_rows"], found["dropped"]) == (2, 1, ["SHIFT"])
    assert (workspace / "routed/Routing_Report.md").is_file()


# -- gap analyses -----------------------------------------------------------------------------------------------------


@pytest.fixture
def experiment(workspace: Path) -> Path:
    """An inference of the KPI set with its train YAML."""
    folder = workspace / "experiment"
    (folder / "inference").mkdir(parents=True)
    shutil.copy(workspace / "specs/baseline_spec.yaml", folder / "train.yaml")
    with (workspace / "kpi/testing_set.csv").open() as source:
        rows = list(csv.DictReader(source))
    with (folder / "inference/inference.csv").open("w", newline="") as target:
        writer = csv.DictWriter(target, [*rows[0], "siamese_score"], lineterminator="\n")
        writer.writeheader()
        for number, row in enumerate(rows):
            score = 0.2 + 0.01 * number if row["label"] == "PASS" else 0.4 + 0.01 * number
            writer.writerow({**row, "siamese_score": score})
    return folder


def test_the_gaps_of_an_inference_are_a_few_numbers_and_the_five_weakest(
    workspace: Path, server: BankServer, experiment: Path
) -> None:
    arguments = {
        "inference_results_dir": str(experiment / "inference"),
        "train_config": str(experiment / "train.yaml"),
        "results_dir": str(experiment / "gaps"),
        "kpi_media_path": str(workspace / "images"),
    }
    found = ok(call(server, "analyze_vcn_gaps", arguments))
    metrics = json.loads((experiment / "gaps/metrics.json").read_text())
    assert (found["status"], found["threshold"], found["far"]) == ("done", metrics["threshold"], metrics["far"])
    weakness = [row["weakness"] for row in found["weakest"]]
    assert len(weakness) == 5
    assert weakness == sorted(weakness, reverse=True)
    assert "warnings" not in found
    scores = experiment / "inference/inference.csv"
    scores.write_text(scores.read_text() + scores.read_text().splitlines()[-1] + "\n")
    (doubt,) = ok(call(server, "analyze_vcn_gaps", arguments))["warnings"]
    assert doubt.startswith("1 row of a sample that stands in an earlier row")
    unknown = call(server, "analyze_vcn_gaps", {**arguments, "top_k_per_label": 0})
    assert "top_k_per_label" in unknown.text


def test_an_unreachable_recall_is_an_outcome_not_an_error(server: BankServer, experiment: Path) -> None:
    path = experiment / "inference/inference.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line for line in lines[1:] if ",PASS," in line)]) + "\n")
    arguments = {
        "inference_results_dir": str(path.parent),
        "train_config": str(experiment / "train.yaml"),
        "results_dir": str(experiment / "gaps"),
    }
    found = ok(call(server, "analyze_vcn_gaps", arguments))
    assert found["status"] == "unreachable"
    assert found["reason"]
    assert ok(call(server, "write_rca_report", {"experiment": str(experiment)}))["status"] == "unreachable"


def test_a_report_is_written_its_pictures_judged_and_checked(
    workspace: Path, server: BankServer, experiment: Path
) -> None:
    made = ok(
        call(server, "write_rca_report", {"experiment": str(experiment), "kpi_media_path": f"{workspace}/images"})
    )
    assert made["status"] == "done"
    assert Path(made["report"]).is_file()
    assert len(made["images"]) == 10
    folder = made["results_dir"]
    unseen = ok(call(server, "check_rca_report", {"results_dir": folder}))
    assert (unseen["ok"], unseen["faults"], unseen["open"], unseen["packaged"]) == (False, [], made["images"], [])
    for left, image in zip(range(9, -1, -1), made["images"], strict=True):
        arguments = {"results_dir": folder, "image": image, "verdict": "edge case", "note": "at the border"}
        assert ok(call(server, "set_rca_verdict", arguments)) == {"image": image, "verdict": "edge case", "open": left}
    checked = ok(call(server, "check_rca_report", {"results_dir": folder}))
    assert checked["ok"], checked
    assert checked["packaged"]
    Path(made["report"]).write_text("# something else\n")
    bad = ok(call(server, "check_rca_report", {"results_dir": folder}))
    assert not bad["ok"]
    assert bad["faults"]


def test_yes_no_gaps_are_counted_and_no_gaps_leave_no_files(workspace: Path, server: BankServer) -> None:
    path = workspace / "predictions.json"
    items = [("v1", "Yes, it is.", "B. No"), ("v2", "no", "yes"), ("v3", "yes", "yes"), ("v4", "maybe", "no")]
    path.write_text(json.dumps([{"video_id": v, "response": r, "gt": g, "question": "Q?"} for v, r, g in items]))
    arguments = {"predictions_json": str(path), "results_dir": f"{workspace}/gaps"}
    found = ok(call(server, "analyze_vlm_gaps", arguments))
    assert (found["read"], found["fp"], found["fn"]) == (4, 1, 1)
    assert sum(found["skipped"].values()) == 1
    assert (found["rates"]["accuracy"], found["rates"]["accuracy_of_all"]) == (1 / 3, 1 / 4)
    assert found["notes"][1:] == ["item 3 (v4): response has neither yes nor no: 'maybe'"]
    assert {Path(f).name for f in found["files"]} == {
        "kpi_gaps.jsonl", "kpi_gaps_index.jsonl", "kpi_gaps_report.txt", "kpi_skipped.jsonl",
    }  # fmt: skip
    path.write_text(json.dumps([{"video_id": "v", "response": "yes", "gt": "yes"}]))
    none = ok(call(server, "analyze_vlm_gaps", {**arguments, "results_dir": f"{workspace}/none"}))
    assert (none["status"], none["files"]) == ("no gaps", [])


def test_an_evaluation_of_other_words_and_shape_is_judged_as_asked_for(workspace: Path, server: BankServer) -> None:
    rows = ["clip,said,right", "a.mp4,<think>OK?</think>NG,OK", "b.mp4,OK,NG"]
    path = workspace / "eval.csv"
    path.write_text("\n".join(rows) + "\n")
    arguments = {
        "predictions_json": str(path),
        "results_dir": f"{workspace}/gaps",
        "settings": {"fields.video_id": "clip", "fields.response": "said", "fields.gt": "right"},
    }
    found = ok(call(server, "analyze_vlm_gaps", arguments))
    assert found["status"] == "nothing judged" and "accuracy" not in found["rates"]
    assert found["notes"][-1] == "labels=NG,OK (the first is the positive one)"
    arguments["settings"] |= {"labels": "NG,OK", "answer_in": "after_think"}  # type: ignore[operator]
    found = ok(call(server, "analyze_vlm_gaps", arguments))
    assert (found["status"], found["fp"], found["fn"]) == ("gaps", 1, 1)
    assert "1 of 2 responses hold <think>" in found["notes"][1]


@pytest.mark.parametrize("key", ["truth", "requests", "annotations_json"])
def test_a_file_that_a_setting_names_is_held_to_the_folders_of_the_call(
    workspace: Path, server: BankServer, tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.json"
    outside.write_text('[{"custom_id": "a", "label": "no"}]')
    path = workspace / "eval.json"
    path.write_text(json.dumps([{"video_id": "v", "response": "yes", "gt": "no"}]))
    arguments = {"predictions_json": str(path), "results_dir": f"{workspace}/gaps", "settings": {key: str(outside)}}
    answer = call(server, "analyze_vlm_gaps", arguments)
    assert answer.error and "secret" in answer.text
    assert not (workspace / "gaps").exists()


# -- jobs -------------------------------------------------------------------------------------------------------------


def wait_for(server: BankServer, folder: str, job: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = ok(call(server, "get_job_status", {"results_dir": folder, "job": job}))
        if found["state"] not in ("pending", "running"):
            return found
        time.sleep(0.02)
    raise AssertionError("the job did not end")


def test_pool_images_are_embedded_and_mined_as_jobs(workspace: Path, server: BankServer) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = sorted((workspace / "images").rglob("*.png"))[:6]
    pq.write_table(pa.table({"filepath": [str(p) for p in images]}), workspace / "pool.parquet")
    pq.write_table(pa.table({"filepath": [str(images[0])]}), workspace / "weak.parquet")
    for name in ("pool", "weak"):
        arguments = {"input_parquet": f"{workspace}/{name}.parquet", "output_parquet": f"{workspace}/{name}_e.parquet"}
        job = ok(call(server, "embed_images", {**arguments, "model": "local"}))
        assert wait_for(server, job["results_dir"], job["job"])["state"] == "complete"
    arguments = {
        "source_parquet": f"{workspace}/pool_e.parquet",
        "target_parquet": f"{workspace}/weak_e.parquet",
        "output_parquet": f"{workspace}/mined.parquet",
        "topn": 2,
    }
    job = ok(call(server, "mine_neighbors", arguments))
    done = wait_for(server, job["results_dir"], job["job"])
    assert done["state"] == "complete"
    assert any("Similar items per query: 2" in line for line in done["output"])
    assert pq.read_table(workspace / "mined.parquet").column("filepath").to_pylist()[0] == str(images[0])
    listed = ok(call(server, "list_jobs", {"results_dir": str(workspace)}))["jobs"]
    assert len(listed) == 3
    assert all(text.startswith("complete: ") for text in listed.values())


def test_a_command_that_fails_says_how_in_its_output(workspace: Path, server: BankServer) -> None:
    arguments = {"category": "gap_analysis", "action": "vcn_aoi", "results_dir": f"{workspace}/r"}
    job = ok(call(server, "start_action", arguments))
    failed = wait_for(server, job["results_dir"], job["job"])
    assert failed["state"] == "failed"
    assert "inference_results_dir" in " ".join(failed["output"])
    logs = ok(call(server, "get_job_logs", {"results_dir": job["results_dir"], "job": job["job"], "tail": 5}))
    assert logs["lines"]
    assert ok(call(server, "cancel_job", {"results_dir": job["results_dir"], "job": job["job"]}))["state"] == "failed"


def test_a_training_runs_as_a_job(workspace: Path, server: BankServer) -> None:
    spec = yaml.safe_load((workspace / "specs/baseline_spec.yaml").read_text())
    data = spec["dataset"]["classify"]
    for key, name in (("train_dataset", "training_set"), ("validation_dataset", "validation_set")):
        data[key] = {"csv_path": f"{workspace}/train/base/{name}.csv", "images_dir": f"{workspace}/images"}
    (workspace / "train.yaml").write_text(yaml.safe_dump(spec))
    arguments = {
        "category": "visual_changenet",
        "action": "train",
        "spec": f"{workspace}/train.yaml",
        "results_dir": f"{workspace}/out",
        "overrides": {"train.num_epochs": 1},
    }
    job = ok(call(server, "start_action", arguments))
    done = wait_for(server, job["results_dir"], job["job"])
    assert done["state"] == "complete", done
    assert list((workspace / "out/train").glob("model_epoch_*.pth"))


# -- log, tokens, report ----------------------------------------------------------------------------------------------


def test_a_stage_is_logged_with_the_next_number(workspace: Path, server: BankServer) -> None:
    arguments = {
        "results_dir": str(workspace),
        "iter_label": "iter1",
        "stage": "train",
        "status": "ok",
        "summary": "by hand",
        "duration_sec": 3,
    }
    assert [ok(call(server, "log_stage", arguments))["seq"] for _ in range(2)] == [1, 2]
    many = call(server, "log_stage", {**arguments, "summary": "two\nlines"})
    assert many.error


def test_tokens_are_aligned_to_the_stages_of_a_finished_run(finished: Path) -> None:
    from tao_skill_bank.loop.log import log_path, read_log

    server = served(finished)
    first = next(iter(read_log(log_path(finished))))
    usage = {"input_tokens": 10, "output_tokens": 5}
    message = {"id": "m1", "role": "assistant", "model": "a", "usage": usage}
    transcript = finished / "transcript.jsonl"
    transcript.write_text(json.dumps({"type": "assistant", "timestamp": first.ts, "message": message}) + "\n")
    arguments = {"results_dir": str(finished), "transcripts": [str(transcript)], "dry_run": True}
    assert ok(call(server, "align_tokens", arguments)) == {"matched": 1, "unmatched": 0, "stages": 1}
    transcript.write_text("")
    assert "none of 0 messages" in call(server, "align_tokens", arguments).text


def test_a_report_is_rendered_with_the_narrative_it_is_given(finished: Path) -> None:
    server = served(finished)
    arguments = {"results_dir": str(finished), "narrative": "The <b>loop</b> did well."}
    data = ok(call(server, "render_report", arguments))
    assert "The &lt;b&gt;loop&lt;/b&gt; did well." in Path(data["path"]).read_text()
    low, high = data["best_far_interval_pct"]
    assert low <= data["best_far_pct"] <= high
    for text in ("", "word " * 301):
        assert "write 1 to 300" in call(server, "render_report", {**arguments, "narrative": text}).text
    assert (finished / "report_narrative.md").read_text() == "The <b>loop</b> did well.\n"


def test_a_threshold_is_certified_and_a_monitor_read_by_tools(server: BankServer, workspace: Path) -> None:
    scores = workspace / "judged.csv"
    rows = [*(f"PASS,{0.9 if i < 2 else 0.1}" for i in range(400)), *("short,0.8" for _ in range(100))]
    scores.write_text("\n".join(["label,score", *rows]) + "\n")
    arguments = {"scores": str(scores), "threshold": 0.5, "target": "FAR < 5% at recall=95%"}
    found = ok(call(server, "certify_threshold", arguments))
    assert found["shown"] is True and found["far"] == 0.005 and 0.005 < found["far_at_most"] < 0.05
    monitor_feed.start(workspace / "line", 0.5, target="FAR < 5% at recall=95%")
    before = ok(call(server, "get_monitor_status", {"monitor": str(workspace / "line")}))
    assert (before["word"], before["untested"].count("not looked at")) == ("reference", 2)
    monitor_feed.feed(workspace / "line", read_score_file(scores))
    seen = ok(call(server, "get_monitor_status", {"monitor": str(workspace / "line")}))
    assert (seen["parts"], seen["flagged"]) == (500, 102) and "not looked at" not in seen["untested"]
