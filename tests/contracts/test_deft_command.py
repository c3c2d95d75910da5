"""`tao-skills deft …` as people and programs call it: statuses, one-line errors, JSON, a plan that writes nothing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny

SUPPORT = Path(tiny.__file__).parent
TARGET = "FAR < 1% at recall=99%"
RUN = [sys.executable, str(SUPPORT / "stand_in_command.py")]


def skills(*args: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(SUPPORT), "COLUMNS": "200"}
    return subprocess.run([*RUN, *map(str, args)], capture_output=True, text=True, env=env, check=False)


def on(workspace: Path, *more: str) -> list[str]:
    return ["--workspace", str(workspace), "--kpi-target", TARGET, "--max-iterations", "1", *more]


def tree(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tiny.make_workspace(tmp_path / "w")


def test_plan_shows_the_summary_and_the_digest_and_writes_nothing(workspace: Path) -> None:
    before = tree(workspace)
    shown = skills("deft", "plan", *on(workspace))
    assert shown.returncode == 0, shown.stderr
    for part in ("Pre-Flight Summary", TARGET, "16 rows: PASS 10", "leakage: no test image", "plan digest"):
        assert part in shown.stdout
    as_json = json.loads(skills("deft", "plan", *on(workspace), "--json").stdout)
    assert as_json["digest"] in shown.stdout
    assert as_json["splits"][0]["labels"]["PASS"] == 10
    assert tree(workspace) == before


def test_run_without_approval_ends_with_the_digest_to_approve_and_writes_nothing(workspace: Path) -> None:
    before = tree(workspace)
    refused = skills("deft", "run", *on(workspace))
    assert refused.returncode == 5
    digest = json.loads(skills("deft", "plan", *on(workspace), "--json").stdout)["digest"]
    assert refused.stderr.count("\n") == 1 and f"--approve {digest}" in refused.stderr
    answer = json.loads(skills("deft", "run", *on(workspace), "--json").stdout)
    assert answer["needs_approval"] == digest
    assert tree(workspace) == before


def test_a_run_prints_a_line_a_stage_and_the_report_last_and_can_be_asked_about(workspace: Path) -> None:
    done = skills("deft", "run", *on(workspace), "--yes")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    report = Path(lines[-1])
    assert report.name == "DEFT_Loop_Report.html" and report.is_file()
    stages = [line for line in lines if line.startswith("[")]
    assert stages[0].startswith("[baseline · train] FAR not measured yet (target <1%)")
    assert "next: done" in stages[-1]
    run = report.parent
    view = json.loads(skills("deft", "status", run, "--json").stdout)
    assert view["status"] == "complete" and view["working"] is None
    assert [line["seq"] for line in view["log"]] == list(range(1, len(view["log"]) + 1))
    assert json.loads(skills("deft", "status", run, "--after", view["cursor"], "--json").stdout)["log"] == []
    assert "best FAR" in skills("deft", "status", "--workspace", workspace).stdout
    approval = json.loads((run / "deft_state.json").read_text())["approval"]
    assert approval["how"] == "flag"
    told = "approved by flag; nobody was asked"
    assert view["approval"] == told
    assert told in skills("deft", "status", run).stdout
    assert told in report.read_text(encoding="utf-8")
    model = json.loads((run / "best_model.json").read_text())
    assert Path(model["checkpoint"]).is_file() and model["threshold"] == pytest.approx(model["threshold"])
    assert (model["backbone_type"], model["backbone_frozen"]) == ("fan_tiny_8_p4_hybrid", False)
    assert model["backbone_container_path"] == model["backbone"]
    contract, result = model["metric_contract"], model["metric_result"]
    assert {"metric": "FAR", "direction": "minimize", "operator": "<", "limit_pct": 1.0}.items() <= contract.items()
    assert contract["constraints"] == [{"metric": "recall", "operator": ">=", "limit_pct": 99.0}]
    assert (result["metric"], result["value_pct"], result["met"]) == ("FAR", model["far_pct"], model["far_pct"] < 1)
    assert result["low_pct"] <= result["value_pct"] <= result["high_pct"]
    assert result["trials"] > 0
    again = skills("deft", "run", "--results-dir", run)
    assert again.returncode == 0 and again.stdout.splitlines()[-1] == str(report)


def test_step_runs_one_stage_and_run_goes_on_from_there(workspace: Path) -> None:
    first = skills("deft", "step", *on(workspace), "--yes")
    assert first.returncode == 0, first.stderr
    run = Path(first.stdout.splitlines()[-1]).resolve()
    run = run if run.is_dir() else run.parent
    assert json.loads(skills("deft", "status", run, "--json").stdout)["stage"] == "evaluate"
    assert skills("deft", "step", "--results-dir", run).returncode == 0
    assert json.loads(skills("deft", "status", run, "--json").stdout)["stage"] == "rca"


def test_a_run_started_in_the_background_can_be_stopped_and_taken_up(workspace: Path) -> None:
    started = json.loads(skills("deft", "run", *on(workspace), "--yes", "--detach", "--json").stdout)
    run = started["results_dir"]
    assert skills("deft", "stop", run).returncode == 0
    finished = skills("deft", "run", "--results-dir", run)
    while finished.returncode == 6:  # the background worker has not let go yet
        finished = skills("deft", "run", "--results-dir", run)
    assert finished.returncode in (0, 1), finished.stderr


def test_a_person_at_a_terminal_is_asked_and_no_means_nothing_was_changed(workspace: Path) -> None:
    before = tree(workspace)
    leader, follower = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(SUPPORT), "TERM": "xterm"}
    asked = subprocess.Popen(
        [*RUN, "deft", "run", *on(workspace)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=env,
    )
    os.close(follower)
    seen = b""
    while b"Run this plan?" not in seen:
        seen += os.read(leader, 4096)
    os.write(leader, b"n\n")
    assert asked.wait() == 5
    os.close(leader)
    assert b"Pre-Flight Summary" in seen
    assert tree(workspace) == before


def damage_csv(workspace: Path, name: str, old: str, new: str) -> None:
    path = workspace / name
    path.write_text(path.read_text().replace(old, new, 1))


def damage_spec(workspace: Path, old: str, new: str) -> None:
    damage_csv(workspace, "specs/baseline_spec.yaml", old, new)


TRAIN, KPI = "train/base/training_set.csv", "kpi/testing_set.csv"
BAD: dict[str, tuple[Any, str]] = {
    "label case": (lambda w: damage_csv(w, TRAIN, "PASS", "pass"), "row 2"),
    "missing column": (lambda w: damage_csv(w, TRAIN, "golden_path", "golden"), "golden_path"),
    "missing image": (lambda w: (w / "images" / "tr" / "C4_SolderLight.png").unlink(), "row 5"),
    "missing golden": (lambda w: (w / "images" / "golden" / "kp" / "C0_SolderLight.png").unlink(), "row 1"),
    "duplicate": (lambda w: damage_csv(w, TRAIN, "C2\n", "C1\n"), "row 3"),
    "leak": (lambda w: damage_csv(w, TRAIN, "tr/,golden/tr/,PASS,C1\n", "kp/,golden/kp/,PASS,C1\n"), "testing_set.csv"),
    "no defects in KPI": (
        lambda w: (w / KPI).write_text((w / KPI).read_text().replace("bridge", "PASS").replace("missing", "PASS")),
        "no KPI can be met",
    ),
    "automl key": (lambda w: damage_spec(w, "task:", "automl_policy: 'off'\ntask:"), "automl_policy"),
    "mistyped key": (lambda w: damage_spec(w, "num_epochs", "num_epoch"), "num_epochs"),
    "no task": (lambda w: damage_spec(w, "task: classify", ""), "task"),
    "batch size 1": (lambda w: damage_spec(w, "batch_size: 4", "batch_size: 1"), "batch_size"),
    "batch over rows": (lambda w: damage_spec(w, "batch_size: 4", "batch_size: 32"), "batch_size"),
    "lights": (lambda w: damage_spec(w, "num_input: 1", "num_input: 2"), "num_input"),
    "no such file": (lambda w: (w / KPI).unlink(), "kpi_test_csv"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_named_with_its_place_and_changes_nothing(workspace: Path, case: str) -> None:
    damage, named = BAD[case]
    damage(workspace)
    before = tree(workspace)
    refused = skills("deft", "run", *on(workspace), "--yes")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    first = refused.stderr.splitlines()[0]
    assert "Traceback" not in refused.stderr
    assert named in refused.stderr, refused.stderr
    assert first.startswith("tao-skills: ")
    assert tree(workspace) == before


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--max-iterations", "0"], "at least 1"),
        (["--kpi-target", "FAR below one"], "FAR < 0.1% at recall=100%"),
        (["--set", "mining.stratgy=nearest"], "mining.strategy"),
        (["--set", "mining.strategy=best"], "mining.strategy"),
        (["--set", "automl_policy=on"], "automl_policy"),
        (["--platform", "marz"], "marz"),
        (["--results-dir", "/tmp"], "outside the workspace"),
    ],
)
def test_a_bad_argument_is_one_line_that_names_it(workspace: Path, args: list[str], named: str) -> None:
    refused = skills("deft", "run", *on(workspace), *args, "--yes")
    assert refused.returncode == 2, refused.stdout
    assert refused.stderr.count("\n") == 1 and named in refused.stderr


def test_without_iterations_or_time_the_run_is_refused_and_a_time_limit_is_turned_into_iterations(
    workspace: Path,
) -> None:
    base = ["--workspace", str(workspace), "--kpi-target", TARGET]
    assert "no default" in skills("deft", "plan", *base).stderr
    planned = json.loads(skills("deft", "plan", *base, "--time-limit", "10m", "--json").stdout)
    assert planned["max_iterations"] >= 1
    assert "too short" in skills("deft", "plan", *base, "--time-limit", "1s").stderr
