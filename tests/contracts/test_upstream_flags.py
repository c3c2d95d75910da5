"""Flags of NVIDIA's scripts of the same names: taken where they mean the same, else one line that names ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from ran import ran

SCRIPTS = Path(__file__).resolve().parents[2] / "skills" / "tao-run-deft-aoi" / "scripts"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_workspace(tmp_path_factory.mktemp("flags") / "w")


def script(name: str, *args: object) -> subprocess.CompletedProcess[str]:
    return ran([sys.executable, str(SCRIPTS / name), *map(str, args)], env={**os.environ, "HF_HUB_OFFLINE": "1"})


def test_a_run_is_written_with_nvidia_s_flags_as_with_settings(workspace: Path) -> None:
    run = workspace / "results" / "run_flags"
    flags = [
        "--num-gpus",
        "1",
        "--num-epochs",
        "2",
        "--batch-size",
        "4",
        "--num-sdg",
        "20",
        "--project",
        "p",
        "--step",
        "1",
    ]
    target = ["--kpi-target", "FAR < 10% at recall=100%", "--max-iterations", 2]
    done = script("init_deft_state.py", "--results-dir", run, "--workspace", workspace, *target, *flags)
    assert done.returncode == 0, done.stderr
    config = json.loads((run / "deft_state.json").read_text())["config"]
    assert (config["num_gpus"], config["num_epochs"], config["batch_size"]) == (1, 2, 4)
    generator = config["anomalygen"]
    assert (generator["num_SDG"], generator["project"], generator["step"]) == (20, "p", 1)


def test_a_state_names_the_log_beside_it(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "transcripts").mkdir()
    (tmp_path / "loop_log.jsonl").write_text("")
    state = tmp_path / "deft_state.json"
    done = script("align_token_usage.py", "--state-path", state, "--project-dir", tmp_path / "transcripts")
    assert "unrecognized" not in done.stderr
    assert done.returncode in (2, 3)
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_a_csv_holds_is_also_written_as_json(workspace: Path, tmp_path: Path) -> None:
    csv = workspace / "train/base/training_set.csv"
    done = script(
        "validate_training_csv.py", "--csv", csv, "--workspace-root", workspace, "--report-json", tmp_path / "r"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r").read_text())
    assert report["ok"]
    assert report["sets"][0]["rows"] == sum(report["sets"][0]["labels"].values()) > 0
    csv_wrong = tmp_path / "wrong.csv"
    csv_wrong.write_text(csv.read_text().replace("PASS", "pass"))
    done = script(
        "validate_training_csv.py", "--csv", csv_wrong, "--workspace-root", workspace, "--report-json", tmp_path / "r"
    )
    assert done.returncode == 2
    assert not json.loads((tmp_path / "r").read_text())["ok"]


def test_the_kpi_takes_the_pass_label_and_the_number_of_bars(tmp_path: Path) -> None:
    csv = tmp_path / "inference.csv"
    csv.write_text("label,siamese_score\nPASS,0.1\nPASS,0.3\nbridge,0.9\n")
    pictures = []
    for bins in (5, 50):
        done = script(
            "analyze_kpi.py", csv, "--pass-label", "PASS", "--bins", bins, "--output-dir", tmp_path / str(bins)
        )
        assert done.returncode == 0, done.stderr
        pictures.append((tmp_path / str(bins) / "score_distribution_with_recall_100_threshold.png").read_bytes())
    assert pictures[0] != pictures[1]
    assert script("analyze_kpi.py", csv, "--pass-label", "OK").returncode == 2
    assert script("analyze_kpi.py", csv, "--bins", "0").returncode == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--backbone-type", "vit_large_dinov3"], "TAO 7.2 and newer fetch it where pretrained_backbone_path is empty"),
        (["--backbone-type", "resnet"], "--repo-id REPO --filename FILE"),
    ],
)
def test_a_backbone_that_is_not_one_file_on_the_hub_is_told_what_to_do(
    workspace: Path, args: list[str], words: str
) -> None:
    done = script("stage_backbone.py", "--workspace", workspace, *args)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_staged_backbone_is_reused_with_nvidia_s_flags(tmp_path: Path) -> None:
    (tmp_path / "augmentation/backbone").mkdir(parents=True)
    weights = tmp_path / "augmentation/backbone/model.safetensors"
    weights.write_bytes(b"x")
    done = script("stage_backbone.py", "--workspace", tmp_path, "--backbone-type", "c_radio_v2_vit_base_patch16_224")
    assert (done.returncode, done.stdout.strip()) == (0, str(weights)), done.stderr


@pytest.mark.parametrize(("flag", "words"), [("--label", "<TEXTURE>+<label>_<00000>.ext"), ("-l", "--light L")])
def test_a_label_for_all_pairs_is_refused_by_one_line_that_names_ours(tmp_path: Path, flag: str, words: str) -> None:
    args = ["--input-dir", tmp_path, "--golden-dir", tmp_path, "-o", tmp_path / "out.csv", "--images-dir", tmp_path]
    done = script("changenet_data_pair_prepare.py", *args, flag, "missing")
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
