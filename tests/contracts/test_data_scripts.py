"""The bundled data scripts, run as a person runs them: exit status, stdout, stderr, and what is on disk afterwards."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "skills/tao-run-deft-aoi/scripts"
OURS = (
    "analyze_kpi",
    "changenet_data_pair_prepare",
    "prepare_inference_spec",
    "stage_backbone",
    "validate_training_csv",
)
HEADER = "input_path,golden_path,label,object_name"


def run(name: str, *args: object, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, str(SCRIPTS / f"{name}.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value, 2 * value % 256, 7)).save(path)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    for i, folder in enumerate(("a", "b", "golden")):
        for j in range(4):
            picture(root / f"images/{folder}/C{j}_SolderLight.png", 10 * i + j)
    (root / "specs").mkdir()
    spec = "task: classify\ndataset: {classify: {image_ext: .png, input_map: {SolderLight: 0}}}\n"
    (root / "specs/baseline_spec.yaml").write_text(spec)
    (root / "train.csv").write_text(f"{HEADER}\na/,golden/,PASS,C0\na/,golden/,bridge,C1\n")
    return root


@pytest.mark.parametrize("name", OURS)
def test_without_the_package_a_script_ends_with_one_line_that_says_how_to_install_it(name: str) -> None:
    done = run(name, python=("-I", "-S"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"pip install {ROOT}" in done.stderr
    assert f"uv run --project {ROOT}" in done.stderr


@pytest.mark.parametrize("name", OURS)
def test_a_script_is_executable_and_runs_no_processes_and_no_text(name: str) -> None:
    path = SCRIPTS / f"{name}.py"
    assert path.read_text().startswith("#!/usr/bin/env python3\n")
    assert path.stat().st_mode & 0o111 == 0o111
    tree = ast.parse(path.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {"argparse", "sys"}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "compile", "__import__", "open"}


@pytest.mark.parametrize("name", OURS)
def test_help_names_every_option(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert f"usage: {name}" in done.stdout


def test_a_good_training_csv_is_passed_with_its_label_counts(workspace: Path) -> None:
    done = run("validate_training_csv", "--csv", workspace / "train.csv", "--workspace-root", workspace)
    assert done.returncode == 0, done.stderr
    assert "2 rows (1 PASS, 1 bridge)" in done.stdout
    assert done.stderr == ""


def test_every_fault_of_a_training_csv_is_named_by_row(workspace: Path) -> None:
    bad = workspace / "bad.csv"
    rows = ["a/,golden/,pass,C0", "b/,golden/,Bridge,C1", "b/,golden/,PASS,C9", "b/,golden/,bridge,C1"]
    bad.write_text("\n".join([HEADER, *rows]) + "\n")
    done = run("validate_training_csv", "--csv", bad, "--workspace-root", workspace)
    assert done.returncode == 2
    for fault in (
        "row 1: label is 'pass'",
        "row 2: label is 'Bridge'",
        f"row 3: image {workspace}/images/b/C9_SolderLight.png is missing",
        f"row 3: golden {workspace}/images/golden/C9_SolderLight.png is missing",
    ):
        assert f"  {bad}: {fault}" in done.stderr
    assert "Traceback" not in done.stderr


def test_leakage_is_found_however_the_path_is_written(workspace: Path) -> None:
    other = workspace / "val.csv"
    other.write_text(f"{HEADER}\nimages/a,images/golden,shift,C1\nimages/b,images/golden,PASS,C2\n")
    done = run(
        "validate_training_csv",
        *("--csv", workspace / "train.csv", "--workspace-root", workspace, "--validation-csv", other),
        *("--light", "SolderLight", "--image-ext", ".png"),
    )
    assert done.returncode == 2
    assert f"leakage: {workspace}/train.csv row 2 and {other} row 1 show the same image" in done.stderr


def test_a_light_that_no_image_has_is_a_fault(workspace: Path) -> None:
    done = run(
        "validate_training_csv",
        "--csv",
        workspace / "train.csv",
        "--workspace-root",
        workspace,
        "--light",
        "WhiteLight",
    )
    assert done.returncode == 2
    assert "C0_WhiteLight.png is missing" in done.stderr


def test_the_worked_kpi_case_on_stdout(tmp_path: Path) -> None:
    source = tmp_path / "inference.csv"
    rows = ["PASS,0.1", "PASS,0.3", "PASS,0.5", "bridge,0.3", "bridge,0.9"]
    source.write_text("\n".join(["label,siamese_score", *rows]) + "\n")
    done = run("analyze_kpi", source, "--output-dir", tmp_path / "kpi")
    assert done.returncode == 0, done.stderr
    assert "100% recall threshold: 0.1\n" in done.stdout
    assert "FAR: 66.6667 %" in done.stdout
    assert "precision: 50.0000 %" in done.stdout
    assert len(list((tmp_path / "kpi").iterdir())) == 6


def test_without_a_defect_the_kpi_is_unavailable_and_no_error(tmp_path: Path) -> None:
    source = tmp_path / "inference.csv"
    source.write_text("label,siamese_score\nPASS,0.1\n")
    done = run("analyze_kpi", source, "--no-images")
    assert done.returncode == 0
    assert "100% recall threshold: unavailable" in done.stdout


def test_bad_scores_end_with_their_rows_and_no_files(tmp_path: Path) -> None:
    source = tmp_path / "inference.csv"
    source.write_text("label,siamese_score\nPASS,0.1\nbridge,nan\n")
    done = run("analyze_kpi", source, "--output-dir", tmp_path / "kpi")
    assert done.returncode == 2
    assert "row 2: siamese_score is not a finite number: 'nan'" in done.stderr
    assert not (tmp_path / "kpi").exists()


def test_pairs_are_prepared_and_an_unpaired_stem_stops_it(tmp_path: Path) -> None:
    picture(tmp_path / "ng/PCB+bridge_00000.png", 1)
    picture(tmp_path / "ok/PCB+bridge_00000.bmp", 2)
    args = [
        *("--input-dir", tmp_path / "ng", "--golden-dir", tmp_path / "ok", "--images-dir", tmp_path / "images"),
        *("--subdir", "iter1", "--light", "SolderLight", "--image-ext", ".png", "--output-csv", tmp_path / "rows.csv"),
    ]
    done = run("changenet_data_pair_prepare", *args)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "images/iter1_ng/PCB+bridge_00000_SolderLight.png").is_file()
    assert (tmp_path / "images/iter1_ok/PCB+bridge_00000_SolderLight.png").is_file()
    assert (
        (tmp_path / "rows.csv").read_text().splitlines()[1].startswith("iter1_ng/,iter1_ok/,bridge,PCB+bridge_00000,")
    )
    assert json.loads((tmp_path / "ingest_summary.json").read_text())["pairs"] == 1
    picture(tmp_path / "ng/PCB+shift_00001.png", 3)
    before = (tmp_path / "rows.csv").read_bytes()
    done = run("changenet_data_pair_prepare", *args)
    assert done.returncode == 2
    assert f"{tmp_path}/ng/PCB+shift_00001.png has no partner" in done.stderr
    assert (tmp_path / "rows.csv").read_bytes() == before


def test_a_staged_backbone_is_reused_and_its_path_is_the_last_line(tmp_path: Path) -> None:
    weights = tmp_path / "augmentation/backbone/model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    done = run("stage_backbone", "--workspace-root", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(weights.resolve())
    weights.write_bytes(b"")
    assert run("stage_backbone", "--backbone-dir", weights.parent).returncode == 2


def test_the_inference_spec_is_written_for_a_best_model(tmp_path: Path) -> None:
    spec = {
        "task": "classify",
        "model": {"classify": {"difference_module": "learnable"}},
        "dataset": {"classify": {"train_dataset": {"csv_path": "t.csv", "images_dir": "i"}, "image_ext": ".png"}},
        "train": {"classify": {"loss": "ce"}, "num_epochs": 3},
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(spec))
    best = tmp_path / "best_model.json"
    best.write_text(json.dumps({"threshold": 0.25, "training_spec": str(tmp_path / "train.yaml")}))
    done = run("prepare_inference_spec", "--best-model", best)
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load((tmp_path / "best_model_inference_spec.yaml").read_text())
    assert written["model"]["classify"]["eval_margin"] == 0.25
    assert written["train"] == {"classify": {"loss": "ce"}}
    assert "train_dataset" not in written["dataset"]["classify"]


def test_a_folder_without_a_run_has_no_best_model(tmp_path: Path) -> None:
    done = run("prepare_inference_spec", "--results-dir", tmp_path)
    assert done.returncode == 2
    assert "no run here" in done.stderr
    assert len(done.stderr.splitlines()) == 1
