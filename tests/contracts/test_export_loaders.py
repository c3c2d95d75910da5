"""What trainers load data with reads what an export writes: Hugging Face datasets and webdataset, offline."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from annotation import items_written_to
from click.testing import CliRunner

from tao_skill_bank.cli import cli

PACKAGES = ("datasets==5.2.0", "webdataset==1.0.2")
LOADED = """
import json, sys
kind, folder = sys.argv[1:]
if kind == "hf":
    import datasets
    found = datasets.load_dataset(folder)
    out = {name: [dict(row) for row in rows] for name, rows in found.items()}
    out["features"] = {name: str(value) for name, value in found["train"].features.items()}
else:
    import glob, webdataset
    out = {}
    for path in sorted(glob.glob(folder + "/*.tar")):
        rows = [dict(row) for row in webdataset.WebDataset(path, shardshuffle=False).decode()]
        out[path.rsplit("/", 1)[1]] = [{k: len(v) if isinstance(v, bytes) else v for k, v in r.items()} for r in rows]
print(json.dumps(out, default=str))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the libraries; the tests are skipped where they cannot be installed."""
    folder = tmp_path_factory.mktemp("loaders")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/pip"), "-q", "install", *PACKAGES]
    if subprocess.run(pip, capture_output=True, timeout=280).returncode:
        pytest.skip(f"{' and '.join(PACKAGES)} cannot be installed from the package index here")
    return folder / "bin/python"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return items_written_to(tmp_path_factory.mktemp("items"))


def loaded(python: Path, kind: str, results: Path, to: Path, *more: str) -> dict[str, Any]:
    arguments = ["annotate", "export", str(results), "--format", kind, "--to", str(to), "--media", "copy", *more]
    run = CliRunner().invoke(cli, arguments)
    assert run.exit_code == 0, run.output
    env = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(to.parent / "home")}
    command = [str(python), "-c", LOADED, kind, str(to)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--parquet",)], ids=["jsonl", "parquet"])
def test_hugging_face_datasets_load_the_folder_without_a_network(
    more: tuple[str, ...], python: Path, results: Path, tmp_path: Path
) -> None:
    found = loaded(python, "hf", results, tmp_path / "out", "--split", "75/25", *more)
    assert {name: len(rows) for name, rows in found.items() if name != "features"} == {"train": 3, "validation": 1}
    row = found["train"][0]
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    assert row["messages"][0]["content"].startswith("<video>Does cart")
    assert (tmp_path / "out" / row["videos"][0]).is_file()
    assert "string" in found["features"]["videos"]


@pytest.mark.slow
def test_webdataset_reads_a_sample_a_video(python: Path, results: Path, tmp_path: Path) -> None:
    found = loaded(python, "webdataset", results, tmp_path / "out")
    assert {name: len(rows) for name, rows in found.items()} == {
        "train-000000.tar": 2,
        "val-000000.tar": 1,
        "test-000000.tar": 1,
    }
    sample = found["train-000000.tar"][0]
    assert sample["json"]["items"][0]["answer"] == "Yes"
    assert sample["mp4"]
