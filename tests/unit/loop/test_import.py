"""A run of the published loop as a copy that can be reported and compared; the run itself is not touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from server_calls import call

from mcp_server.server import build_server
from tao_skill_bank import runs
from tao_skill_bank.cli import cli
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.request import Request
from tao_skill_bank.reports.compare import compare_runs, lines
from tao_skill_bank.tasks.changenet.state import State
from tao_skill_bank.tasks.registry import load_state

VERSIONS = (2, 4, 5)


def scores(path: Path, flagged: int, passes: int = 40, found: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{'PASS'},{0.9 if n < flagged else 0.1}" for n in range(passes)] + ["bridge,0.8"] * found
    body = [f"a,b,{row.split(',')[0]},o{n},{row.split(',')[1]}" for n, row in enumerate(rows)]
    path.write_text("\n".join(["input_path,golden_path,label,object_name,siamese_score", *body]) + "\n")
    return path


def published(folder: Path, version: object = 5, **more: Any) -> Path:
    """A run as its flat keys tell it: two measured models, paths relative and absolute, keys that nobody knows."""
    far = {"baseline": 12, "iter1": 2}
    iterations: dict[str, Any] = {}
    for label, flagged in far.items():
        scores(folder / label / "inference.csv", flagged)
        iterations[label] = {
            "status": "complete",
            "stage_completed": "rca",
            "best_ckpt_path": f"{label}/train/model.pth",
            "best_ckpt_kind": "best",
            "far_pct": 100 * flagged / 40,
            "threshold": 0.5,
            "inference_csv": f"{label}/inference.csv",
            "rca_gaps_parquet": str(folder / label / "kpi_gaps.parquet"),
            "mining_mined_count": 0 if label == "baseline" else 7,
            "docker_id": "x",
        }
    state = {
        "version": version,
        "kpi_target": "FAR < 1% at recall=100%",
        "status": "running",
        "started_at": "2026-09-01T08:15:00Z",
        "max_iterations": 3,
        "config": {"platform": "docker", "num_epochs": 4, "kpi_test_csv": str(folder / "kpi.csv")},
        "iterations": iterations,
    }
    (folder / "deft_state.json").write_text(json.dumps({**state, **more}))
    line = {"ts": "2026-09-01T08:20:00.000000Z", "status": "ok", "summary": "done", "duration_sec": 60}
    logged = [{"seq": n, "iter": label, "stage": "evaluate", **line} for n, label in enumerate(far, start=1)]
    (folder / "loop_log.jsonl").write_text("".join(json.dumps(x) + "\n" for x in logged))
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_published_run_is_copied_reported_and_compared_and_never_written(tmp_path: Path, version: int) -> None:
    run = published(tmp_path / "theirs", version)
    before = everything(run)
    copies = []
    for name in ("one", "two"):
        said = CliRunner().invoke(cli, ["deft", "import", str(run), str(tmp_path / name)])
        assert said.exit_code == 0, said.output
        copies.append(tmp_path / name)
    state: State = load_state(copies[0])
    evaluation = state.iterations["iter1"].evaluation
    assert evaluation is not None
    assert (evaluation.fp, evaluation.tn, evaluation.tp, evaluation.far_pct) == (2, 38, 10, 5.0)
    assert (state.status, state.iterations["iter1"].mining_mined_count) == ("stopped", 7)
    view = runs.status(copies[0])
    assert view.verdict.head.endswith("not met") and "iter1" in view.verdict.text
    assert view.verdict.rehearsal is None and not view.verdict.may_ship, "nobody is known to have trained it"
    assert [line.stage for line in view.log] == ["evaluate", "evaluate"]
    page = (copies[0] / "DEFT_Loop_Report.html").read_text()
    assert f"state version {version}" in page and "Iteration 1" in page
    table = "\n".join(lines(compare_runs(copies)))
    assert "5.0" in table
    assert everything(run) == before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_published_run_is_compared_where_it_lies_as_its_copy_is(tmp_path: Path, version: int) -> None:
    run, copy = published(tmp_path / "theirs", version), tmp_path / "copy"
    before = everything(run)
    runs.import_run(run, copy)
    said = CliRunner().invoke(cli, ["deft", "compare", str(run), str(copy), "--json"])
    assert said.exit_code == 0, said.output
    theirs, ours = (found | {"name": "", "results_dir": ""} for found in json.loads(said.stdout)["runs"])
    assert theirs == ours
    assert (theirs["best_far_pct"], theirs["best_far"]["high_pct"] > 5) == (5.0, True)
    [known, *left] = json.loads(said.stdout)["cautions"][-2:]
    assert known == "theirs is a run of another program: who approved it, and who trained its models, is not known."
    assert left == ["theirs: not told: specs_file, training_csv, validation_csv, images_dir, workspace."]
    server = build_server([tmp_path])
    table = call(server, "compare_runs", {"runs": [str(run), str(copy)]}).data["lines"]
    assert any("theirs is a run of another program" in line for line in table)
    assert everything(run) == before


@pytest.mark.parametrize("key", ["inference_csv", "best_ckpt_path", "training_csv", "images_dir"])
def test_a_published_run_that_names_files_where_a_server_may_not_look_is_compared_all_the_same(
    tmp_path: Path, key: str
) -> None:
    allowed = tmp_path / "allowed"
    elsewhere = str(scores(tmp_path / "elsewhere" / "inference.csv", 2))
    runs_ = [published(allowed / name) for name in ("theirs", "other")]
    state = json.loads((runs_[0] / "deft_state.json").read_text())
    (state["config"] if key.endswith(("_dir", "training_csv")) else state["iterations"]["iter1"])[key] = elsewhere
    (runs_[0] / "deft_state.json").write_text(json.dumps(state))
    answer = call(build_server([allowed]), "compare_runs", {"runs": [str(run) for run in runs_]})
    assert not answer.error, answer.text
    unread = [line for line in answer.data["lines"] if "iter1: its scores cannot be read" in line]
    assert len(unread) == (key == "inference_csv")
    assert all("lies outside the allowed folders" in line for line in unread)


def test_the_copy_is_not_worked_on(tmp_path: Path) -> None:
    run = published(tmp_path / "theirs")
    before = everything(run)
    runs.import_run(run, tmp_path / "copy")
    for work in (
        lambda: runs.plan_run(Request(results_dir=tmp_path / "copy")),
        lambda: runs.stop(tmp_path / "copy"),
        lambda: runs.run_loop(tmp_path / "copy"),
        lambda: runs.plan_adoption(tmp_path / "copy"),
    ):
        with pytest.raises(InputError):
            work()
    assert everything(run) == before


def test_scores_that_contradict_the_state_are_not_taken_over_and_that_is_said(tmp_path: Path) -> None:
    run = published(tmp_path / "theirs")
    scores(run / "iter1/inference.csv", flagged=9)
    (run / "baseline/inference.csv").unlink()
    done = runs.import_run(run, tmp_path / "copy")
    state: State = load_state(tmp_path / "copy")
    assert [state.iterations[label].evaluation for label in ("baseline", "iter1")] == [None, None]
    assert [state.iterations[label].far_pct for label in ("baseline", "iter1")] == [30.0, 5.0]
    told = "\n".join(done.lines())
    assert "iter1: the state says FAR 5 %, its scores 22.5 % at threshold 0.5" in told
    assert "baseline: its scores are not on disk" in told
    assert not runs.status(tmp_path / "copy").verdict.may_ship


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"iterations": {"iter1": {"far_pct": "low", "threshold": 0.5}}}, "iter1: evaluate not taken over: far_pct"),
        ({"iterations": {"iter1": {"far_pct": 5.0}}}, "iter1: evaluate not taken over: threshold"),
        ({"iterations": {"../x": {"far_pct": 5.0}, "iter0": {}}}, "iterations.../x: neither baseline nor iter<N>"),
        ({"iterations": [1], "config": None}, "not told: specs_file"),
        ({"config": {"num_epochs": "many", "specs_file": 3}}, "config.num_epochs: many is nothing that is known here"),
        ({"iterations": {"iter1": {"far_pct": 10**400, "threshold": 0.5}}}, "iter1: evaluate not taken over: far_pct"),
        ({"iterations": {"iter1": {"far_pct": 5, "threshold": 10**400}}}, "iter1: evaluate not taken over: threshold"),
        ({"iterations": {"iter1": {"stage_completed": ["rca"]}}}, "not told: specs_file"),
    ],
)
def test_what_cannot_be_taken_over_is_said_and_the_rest_is(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    done = runs.import_run(published(tmp_path / "theirs", **more), tmp_path / "copy")
    assert said in "\n".join(done.lines())
    assert (tmp_path / "copy/DEFT_Loop_Report.html").is_file()
    assert runs.status(tmp_path / "copy").status == "stopped"


@pytest.mark.parametrize("place", [{"config": {"workspace": "\ud800"}}, {"stop_reason": "\udcff"}, {"\ud800": 1}])
def test_a_state_with_half_a_character_is_refused_in_one_line_and_leaves_nothing(
    tmp_path: Path, place: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="text that is not valid"):
        runs.import_run(published(tmp_path / "theirs", **place), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_log_that_cannot_be_read_is_left_and_said(tmp_path: Path) -> None:
    run = published(tmp_path / "theirs")
    (run / "loop_log.jsonl").write_text("[]\n" + (run / "loop_log.jsonl").read_text())
    assert "its log is not taken over" in "\n".join(runs.import_run(run, tmp_path / "copy").lines())
    assert runs.status(tmp_path / "copy").log == []


def test_a_run_of_ones_own_a_folder_that_is_there_and_an_unreadable_target_are_refused(tmp_path: Path) -> None:
    run = published(tmp_path / "theirs")
    (tmp_path / "there").mkdir()
    for folder, word in ((tmp_path / "there", "is there already"), (run / "in", "lies in the run")):
        with pytest.raises(InputError, match=word):
            runs.import_run(run, folder)
    for target in ("as good as it gets", None, ["FAR < 1%"]):
        with pytest.raises(InputError):
            runs.import_run(published(tmp_path / "vague", kpi_target=target), tmp_path / "copy")
    runs.import_run(run, tmp_path / "copy")
    with pytest.raises(InputError, match="a run of the bank's own"):
        runs.import_run(tmp_path / "copy", tmp_path / "again")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "theirs", "there", "vague"]
