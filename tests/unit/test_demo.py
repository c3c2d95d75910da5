from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tao_skill_bank import demo
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.images import SIDES, FolderIndex, ImageNaming, look_up, place
from tao_skill_bank.data.changenet.spec import classify_spec, load_spec, spec_faults
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.demo import main, make_demo_workspace
from tao_skill_bank.demo_board import DEFECTS, LIGHTS, Capture, Defect, Part, draw

CSVS = (
    "train/base/training_set.csv",
    "train/base/validation_set.csv",
    "kpi/testing_set.csv",
    "kpi/acceptance_set.csv",
    "augmentation/mining_pool/mining_pool.csv",
)
RESISTOR = Part("R", "R1", "green", False, 27.0, 16.0, "103", 5)
CHIP = Part("U", "U1", "blue", False, 34.0, 22.0, "AX12", 6)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo_workspace(tmp_path_factory.mktemp("demo") / "workspace")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def naming(workspace: Path) -> ImageNaming:
    spec = workspace / "specs/baseline_spec.yaml"
    checked = classify_spec(load_spec(spec), str(spec))
    return ImageNaming(checked.lights, checked.image_ext)


def strongest_change(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """The greatest mean change of a colour over a patch of 5 x 5 pixels, in which sensor noise averages out."""
    patches = np.lib.stride_tricks.sliding_window_view(other.astype(float) - one.astype(float), (5, 5), axis=(1, 2))
    return float(np.abs(patches.mean(axis=(-2, -1))).max())


def test_the_same_seed_gives_the_same_bytes_in_another_process(workspace: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tao_skill_bank.demo", str(tmp_path / "again"), "--seed", "7"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "12345"}, capture_output=True)
    assert digest(tmp_path / "again") == digest(workspace)


def test_another_seed_draws_other_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SPLITS", demo._SPLITS[:3])
    monkeypatch.setattr(demo, "_PAIRS", (("bridge", 1),))
    first, second = (make_demo_workspace(tmp_path / str(seed), seed) for seed in (1, 2))
    assert digest(first / "images" / "golden") == digest(second / "images" / "golden")
    assert digest(first / "train") != digest(second / "train")


def test_every_row_has_its_image_and_its_golden_under_every_lighting(workspace: Path) -> None:
    names = naming(workspace)
    assert names.lights == LIGHTS
    index = FolderIndex()
    for csv_name in CSVS:
        table = read_pairs(workspace / csv_name)
        root = place(table, names, [workspace / "images"]).root
        assert root == workspace / "images"
        assert all(look_up(table, names, root, side, index).complete() for side in SIDES)


def test_the_spec_is_one_that_tao_takes(workspace: Path) -> None:
    spec = load_spec(workspace / "specs/baseline_spec.yaml")
    assert spec_faults(spec, "train") == []
    assert spec_faults(spec, "inference") == []
    batch = spec["dataset"]["classify"]["batch_size"]
    assert all(batch <= len(rows(workspace / name)) for name in CSVS)


def test_no_test_image_stands_in_two_sets(workspace: Path) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for name in CSVS:
        seen.update({(row["input_path"], row["object_name"]) for row in rows(workspace / name)})
    assert max(seen.values()) == 1


def test_production_shows_defects_that_training_lacks_and_the_pool_has(workspace: Path) -> None:
    labels = {name: {row["label"] for row in rows(workspace / name)} - {"PASS"} for name in CSVS}
    lacking = labels["kpi/testing_set.csv"] - labels["train/base/training_set.csv"]
    assert {"excess_solder", "insufficient_solder", "scratch"} <= lacking
    assert lacking <= labels["augmentation/mining_pool/mining_pool.csv"]
    assert labels["kpi/testing_set.csv"] == labels["kpi/acceptance_set.csv"] == set(DEFECTS)


def test_every_generated_defect_has_its_good_twin_that_differs_from_it(workspace: Path) -> None:
    bad = workspace / "augmentation/anomalygen/reconstructed_image"
    good = workspace / "augmentation/anomalygen/original_image"
    names = sorted(p.name for p in bad.iterdir())
    assert names == sorted(p.name for p in good.iterdir())
    assert len(names) == 40
    assert {name.split("+")[1].rsplit("_", 1)[0] for name in names} <= set(DEFECTS)
    for name in names:
        pair = [np.asarray(Image.open(folder / name)).astype(int) for folder in (bad, good)]
        assert np.abs(pair[0] - pair[1]).max() > 20


@pytest.mark.parametrize("part", [RESISTOR, CHIP], ids=["resistor", "chip"])
def test_every_defect_is_visible_beyond_the_noise_of_a_capture_under_some_lighting(part: Part) -> None:
    good = draw(part, Capture(seed=3))
    noise = max(strongest_change(good, draw(part, Capture(seed=seed))) for seed in (4, 5, 6))
    for kind in DEFECTS if part is RESISTOR else set(DEFECTS) - {"tombstone"}:
        assert strongest_change(good, draw(part, Capture(seed=3), Defect(kind, 0.9, 11))) > noise, kind


def test_a_chip_cannot_stand_up_on_one_end_and_other_parts_have_every_defect(workspace: Path) -> None:
    seen = {(row["object_name"][0], row["label"]) for name in CSVS for row in rows(workspace / name)}
    assert ("U", "bridge") in seen and ("U", "tombstone") not in seen
    assert {label for kind, label in seen if kind == "R"} == {"PASS", *DEFECTS}


def test_a_drawing_is_the_same_each_time_and_has_two_lightings_of_one_scene() -> None:
    first, second = (draw(RESISTOR, Capture(seed=9), Defect("bridge", 0.5, 2)) for _ in range(2))
    assert first.shape == (2, 64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])


def test_a_folder_that_holds_something_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    keep = tmp_path / "mine.txt"
    keep.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="not an empty folder"):
        make_demo_workspace(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_the_command_ends_in_one_line_and_status_2_on_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "new"), "--seed", "-1"]) == 2
    assert capsys.readouterr().err.strip() == "--seed: seed is negative: -1 (give 0 or more)"
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    assert main([str(file)]) == 2
    assert main([str(file / "below")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 2
    assert not (tmp_path / "new").exists()


def test_where_the_home_cannot_be_written_to_the_demos_key_lies_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tao_skill_bank.commands.demo import _keep_key_somewhere
    from tao_skill_bank.loop.approval import key_path

    monkeypatch.setenv("XDG_CONFIG_HOME", "/dev/null/nobody")
    _keep_key_somewhere()
    said = capsys.readouterr().err
    assert "/dev/null/nobody/tao-skills cannot be written to" in said
    assert os.access(key_path().parent.parent, os.W_OK) and str(key_path().parent.parent) in said
    key_path().parent.parent.rmdir()


def test_a_home_that_can_be_written_to_keeps_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tao_skill_bank.commands.demo import _keep_key_somewhere
    from tao_skill_bank.loop.approval import key_path

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    _keep_key_somewhere()
    assert key_path().parent.parent == tmp_path
