from __future__ import annotations

from pathlib import Path

import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.validate import Kind, check_dataset, check_leakage, check_training

from .conftest import Bench

NAMING = ImageNaming(("SolderLight",), ".png")
GOOD = [("a", "g", "PASS", "C1"), ("a", "g", "bridge", "C2"), ("b", "g", "PASS", "C3")]


def faults_of(bench: Bench, csv: Path, kind: Kind = "train", batch_size: int | None = None) -> list[str]:
    report = check_dataset(csv, NAMING, kind=kind, images_dir=bench.images, workspace=bench.root, batch_size=batch_size)
    return list(report.faults)


def test_a_good_set_is_counted_and_placed(bench: Bench) -> None:
    report = check_dataset(bench.csv("t.csv", GOOD), NAMING, images_dir=bench.images, workspace=bench.root)
    assert report.ok
    assert report.labels == {"PASS": 2, "bridge": 1}
    assert report.root == bench.images
    assert report.summary().endswith(f"3 rows (2 PASS, 1 bridge), images under {bench.images}")
    assert report.placed is not None
    assert len(report.placed.table) == 3


def test_a_csv_that_cannot_be_read_is_a_fault_not_a_crash(bench: Bench) -> None:
    assert "no such file" in faults_of(bench, bench.root / "none.csv")[0]
    report = check_dataset(bench.csv("t.csv", [("a", "", "PASS", "C1")], images=False), NAMING)
    assert report.faults == ["row 1: golden_path is empty"]
    assert "cannot be read" in report.summary()
    assert report.placed is None


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("pass", "is 'pass', which TAO trains as a defect (write PASS)"),
        ("PASS ", "is 'PASS ', which TAO trains as a defect (write PASS)"),
        (" Pass", "is ' Pass', which TAO trains as a defect (write PASS)"),
        ("Bridge", "is 'Bridge' (write 'bridge'"),
        ("bridge ", "is 'bridge ' (write 'bridge'"),
    ],
)
def test_labels_in_the_wrong_case_are_refused_by_row(bench: Bench, label: str, message: str) -> None:
    faults = faults_of(bench, bench.csv("t.csv", [*GOOD, ("b", "g", label, "C4")]))
    assert len(faults) == 1
    assert faults[0].startswith(f"row 4: label {message}")


@pytest.mark.parametrize("cell", ["NA", "nan", "null", "None"])
def test_cells_that_tao_reads_as_missing_are_refused(bench: Bench, cell: str) -> None:
    faults = faults_of(bench, bench.csv("t.csv", [*GOOD, ("b", "g", "bridge", cell)]))
    assert faults == [f"row 4: object_name is {cell!r}, which TAO's CSV reader takes for a missing cell"]


def test_a_path_column_of_nothing_but_numbers_is_refused(bench: Bench) -> None:
    faults = faults_of(bench, bench.csv("t.csv", [("007", "g", "PASS", "1"), ("8.5", "g", "bridge", "2")]))
    assert faults == ["column input_path is all numbers, and TAO does not take numbers for paths (write '007/')"]
    assert faults_of(bench, bench.csv("u.csv", [("007", "g", "PASS", "1"), ("8.5/", "g", "bridge", "2")])) == []


def test_every_missing_image_is_named_for_every_lighting(bench: Bench) -> None:
    bench.lights = ("SolderLight", "WhiteLight")
    csv = bench.csv("t.csv", GOOD)
    (bench.images / "a/C1_WhiteLight.png").unlink()
    (bench.images / "g/C2_SolderLight.png").unlink()
    report = check_dataset(csv, ImageNaming(bench.lights, ".png"), images_dir=bench.images, workspace=bench.root)
    assert report.faults == [
        f"row 1: image {bench.images}/a/C1_WhiteLight.png is missing",
        f"row 2: golden {bench.images}/g/C2_SolderLight.png is missing",
    ]
    assert report.placed is None


def test_mixed_roots_are_one_fault(bench: Bench) -> None:
    csv = bench.csv("t.csv", GOOD)
    mixed = csv.read_text().replace("b,g,PASS,C3", "images/b,images/g,PASS,C3")
    csv.write_text(mixed)
    faults = faults_of(bench, csv)
    assert len(faults) == 1
    assert "mixes roots: 2 rows resolve under" in faults[0]
    assert "row 3: resolves under" in faults[0]


def test_the_same_pair_twice_is_named_with_its_first_row(bench: Bench) -> None:
    (bench.images / "alias").symlink_to("a")
    rows = [*GOOD, ("./a/", "g/", "PASS", "C1"), ("alias", "g", "bridge", "C2")]
    assert faults_of(bench, bench.csv("t.csv", rows)) == [
        "row 4: the same image and golden as row 1",
        "row 5: the same image and golden as row 2",
    ]


def test_the_same_image_under_two_labels_is_a_contradiction(bench: Bench) -> None:
    rows = [*GOOD, ("a", "h", "shift", "C2"), ("a", "g", "bridge", "C1")]
    assert faults_of(bench, bench.csv("t.csv", rows)) == [
        "row 4: the same image as row 2, labelled 'shift' here and 'bridge' there",
        "row 5: the same image as row 1, labelled 'bridge' here and 'PASS' there",
    ]


def test_one_image_with_two_goldens_and_shared_goldens_are_fine(bench: Bench) -> None:
    rows = [*GOOD, ("a", "h", "PASS", "C1"), ("b", "g", "PASS", "C1")]
    assert faults_of(bench, bench.csv("t.csv", rows)) == []


def test_training_needs_both_classes_and_a_kpi_set_a_defect(bench: Bench) -> None:
    passes = bench.csv("p.csv", [GOOD[0], GOOD[2]])
    defects = bench.csv("d.csv", [GOOD[1]])
    assert faults_of(bench, passes) == ["all 2 rows are PASS (training needs defects too)"]
    assert faults_of(bench, defects) == ["none of 1 rows is PASS (training needs PASS rows too)"]
    assert "no KPI can be met" in faults_of(bench, passes, "kpi")[0]
    assert "no KPI can be met" in faults_of(bench, passes, "acceptance")[0]
    assert "there is no FAR" in faults_of(bench, defects, "kpi")[0]
    assert "there is no FAR" in faults_of(bench, defects, "acceptance")[0]
    assert faults_of(bench, passes, "pool") == []


def test_fewer_rows_than_a_batch_name_both_numbers(bench: Bench) -> None:
    csv = bench.csv("t.csv", GOOD)
    assert "3 rows are fewer than batch_size 4" in faults_of(bench, csv, batch_size=4)[0]
    assert faults_of(bench, csv, batch_size=3) == []
    assert faults_of(bench, csv, "pool", batch_size=4) == []


def test_paths_out_of_the_workspace_are_refused(bench: Bench, tmp_path: Path) -> None:
    csv = bench.csv("t.csv", [*GOOD, ("../../far", "g", "PASS", "C9")])
    assert faults_of(bench, csv) == [f"row 4: input_path '../../far' leads out of the workspace {bench.root}"]
    assert faults_of(bench, bench.csv("u.csv", [*GOOD, ("b/../a", "g", "PASS", "C9")])) == []


def test_leakage_is_decided_by_the_file_not_by_the_strings_of_the_row(bench: Bench) -> None:
    train = bench.csv("t.csv", GOOD)
    rows = [("images/a/", "images/h", "shift", "C2"), ("images/b", "images/g", "PASS", "C8")]
    other = bench.csv("v.csv", rows, images=False)
    for folder, name in (("a", "C2"), ("h", "C2"), ("b", "C8"), ("g", "C8")):
        bench.image(folder, name)
    reports = [check_dataset(c, NAMING, images_dir=bench.images, workspace=bench.root) for c in (train, other)]
    assert [r.root for r in reports] == [bench.images, bench.root]
    image = bench.images / "a/C2_SolderLight.png"
    assert check_leakage(reports[:1], reports[1:]) == [f"{train} row 2 and {other} row 1 show the same image: {image}"]


def test_the_naming_comes_from_the_workspace_s_spec_unless_given(bench: Bench) -> None:
    csv = bench.csv("t.csv", GOOD)
    spec = bench.root / "specs/baseline_spec.yaml"
    spec.parent.mkdir()
    spec.write_text("task: classify\ndataset: {classify: {image_ext: .png, input_map: {SolderLight: 0}}}\n")
    reports, leaks = check_training(csv, bench.root, validation_csv=csv)
    assert [r.ok for r in reports] == [True, True]
    assert len(leaks) == 3
    assert not check_training(csv, bench.root, lights=["WhiteLight"])[0][0].ok
    assert not check_training(csv, bench.root, image_ext=".jpg")[0][0].ok
    spec.unlink()
    assert not check_training(csv, bench.root)[0][0].ok
    assert check_training(csv, bench.root, lights=["SolderLight"])[0][0].ok


def test_a_workspace_that_is_no_folder_is_refused(bench: Bench) -> None:
    with pytest.raises(InputError, match="no such folder"):
        check_training(bench.csv("t.csv", GOOD), bench.root / "none")


def test_the_older_layout_keeps_its_images_under_kpi(bench: Bench) -> None:
    csv = bench.csv("t.csv", GOOD)
    (bench.root / "kpi").mkdir()
    bench.images.rename(bench.root / "kpi/images")
    reports, _ = check_training(csv, bench.root, lights=["SolderLight"])
    assert reports[0].root == bench.root / "kpi/images"
