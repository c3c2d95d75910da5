"""What a label says: good, a defect, or something nobody may guess at."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tao_skill_bank.actions.gap_analysis.config import VcnAoiConfig
from tao_skill_bank.actions.gap_analysis.vcn_aoi import analyze_vcn_aoi
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.kpi import analyze_kpi
from tao_skill_bank.data.changenet.labels import label_fault, near_misses, says_good
from tao_skill_bank.data.changenet.lay_out import label_of
from tao_skill_bank.data.changenet.validate import check_dataset, label_warnings

from .conftest import Bench

NAMING = ImageNaming(("SolderLight",), ".png")


GOOD = [
    *("OK", "ok", "Good", "normal", "NORMAL", "No Defect", "defect-free", "i.O.", "良品"),
    *("False Call", "false_alarm", "pseudo error", "Not Defective", "good board", "OK-part", "no defect found", "양품"),
    *(
        "not NG",
        "within spec",
        "no issues found",
        "non-defective",
        "defect-free",
        "Zero defects",
        "no NG",
        "Fehlerfrei",
    ),
]


@pytest.mark.parametrize("label", GOOD)
def test_a_word_for_a_good_part_is_refused_with_pass_as_the_remedy(label: str) -> None:
    said = label_fault(label)
    assert said is not None and "a word for a good part" in said and "(write PASS)" in said


@pytest.mark.parametrize("label", ["0", "0.0", " 0", "00", "False", "none", "N/A", "null", "no", "-"])
def test_what_may_mean_good_or_a_defect_or_that_nobody_looked_is_refused(label: str) -> None:
    assert f"write PASS where {label.strip()} means good, else the defect's name" in str(label_fault(label))


@pytest.mark.parametrize(
    "label",
    [
        "PASS",
        "bridge",
        "not_ok",
        "ng",
        "abnormal",
        "1",
        "no_good",
        "missing part",
        "good_but_dirty",
        "no_part",
        "false_part",
    ],
)
def test_defects_that_only_contain_such_a_word_are_names_like_others(label: str) -> None:
    assert label_fault(label) is None


def test_the_plan_tells_a_user_of_ok_to_write_pass_and_never_ok_in_small_letters(bench: Bench) -> None:
    rows = [("a", "g", "OK", "C1"), ("a", "g", "bridge", "C2"), ("b", "g", "ok", "C3")]
    report = check_dataset(bench.csv("t.csv", rows), NAMING, images_dir=bench.images, workspace=bench.root)
    assert [fault.split(":")[0] for fault in report.faults] == ["row 1", "row 3"]
    assert all("write PASS" in fault for fault in report.faults)
    assert not any("'ok')" in fault for fault in report.faults)


def inference(folder: Path, labels: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "inference.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["input_path", "golden_path", "label", "object_name", "siamese_score"])
        for number, label in enumerate(labels):
            writer.writerow(["b/", "g/", label, f"C{number}", 0.1 * (number + 1)])
    (folder / "train.yaml").write_text("dataset:\n  classify: {input_map: {SolderLight: 0}, image_ext: .png}\n")
    return folder


def gaps(folder: Path) -> VcnAoiConfig:
    return VcnAoiConfig(inference_results_dir=folder, train_config=folder / "train.yaml", results_dir=folder / "out")


@pytest.mark.parametrize("label", ["OK", "normal", "Good", "0", "False Call", "none", "False"])
def test_scores_are_not_judged_where_good_parts_would_count_as_defects(tmp_path: Path, label: str) -> None:
    folder = inference(tmp_path / "i", ["PASS", "bridge", label, label])
    for judge in (lambda: analyze_vcn_aoi(gaps(folder)), lambda: analyze_kpi(folder / "inference.csv", images=False)):
        with pytest.raises(InputError, match=f"row 3: label {label!r} reads as a good part"):
            judge()
    assert not (folder / "out").exists()
    assert sorted(p.name for p in folder.iterdir()) == ["inference.csv", "train.yaml"]


def test_without_a_pass_row_far_is_undefined_in_words_and_in_the_metrics(tmp_path: Path) -> None:
    result = analyze_vcn_aoi(gaps(inference(tmp_path, ["bridge", "shift"])))
    assert result.metrics.far is None and result.metrics.far_interval is None
    assert any("FAR: undefined (no PASS row)  precision, F1: undefined" in line for line in result.summary)
    assert "FAR: 0.00%" not in "\n".join(result.summary)


def test_gap_analysis_names_two_spellings_of_one_defect(tmp_path: Path) -> None:
    result = analyze_vcn_aoi(gaps(inference(tmp_path, ["PASS", "pin hole", "pin-hole"])))
    (line,) = [x for x in result.summary if x.startswith("warning")]
    assert "'PIN HOLE' (1 row) beside 'PIN-HOLE' (1 row)" in line


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("pin hole", "pin-hole"),
        ("pinhole", "pin_hole"),
        ("bridge", "brigde"),
        ("bridge", "bridges"),
        ("missing", "mising"),
        ("tombstone", "tombstome"),
        ("solder_ball", "solderball"),
        ("été", "éte\u0301"),
    ],
)
def test_two_spellings_of_one_defect_are_named_with_their_rows(first: str, second: str) -> None:
    assert near_misses({"PASS": 9, first: 30, second: 1}) == [
        f"{a!r} ({'30 rows' if a == first else '1 row'}) beside {b!r} ({'30 rows' if b == first else '1 row'})"
        for a, b in [sorted((first, second))]
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("short", "shift", "open", "spur", "mousebite", "pin-hole", "copper"),
        ("crack_a", "crack_b"),
        ("short1", "short2"),
        ("h_crack", "v_crack"),
        ("bridge", "bridge_large"),
        ("lift", "tilt"),
        ("excess_solder", "insufficient_solder"),
    ],
)
def test_names_that_differ_by_more_than_a_slip_are_two_defects(names: tuple[str, ...]) -> None:
    assert near_misses(dict.fromkeys(names, 5)) == []


def test_spellings_are_compared_over_all_sets(bench: Bench) -> None:
    sets = [
        check_dataset(
            bench.csv(f"{n}.csv", [("a", "g", "PASS", f"P{n}"), ("a", "g", label, f"D{n}")]),
            NAMING,
            images_dir=bench.images,
        )
        for n, label in enumerate(("pin hole", "pin-hole"))
    ]
    assert label_warnings(sets[:1]) == []
    assert label_warnings(sets) == ["'pin hole' (1 row) beside 'pin-hole' (1 row)"]


def test_a_folder_of_pictures_called_normal_holds_good_parts() -> None:
    assert [label_of(x) for x in ("normal", "No Defect", "OK", "Pin Hole")] == ["PASS", "PASS", "PASS", "pin_hole"]
    assert says_good("Passed") and not says_good("bypassed")


def test_the_script_warns_of_two_spellings_and_passes(bench: Bench) -> None:
    rows = [("a", "g", "PASS", "C1"), ("a", "g", "pin hole", "C2"), ("b", "g", "pin-hole", "C3")]
    script = Path(__file__).parents[4] / "skills" / "tao-run-deft-aoi" / "scripts" / "validate_training_csv.py"
    argv = [sys.executable, str(script), "--csv", str(bench.csv("t.csv", rows)), "--workspace-root", str(bench.root)]
    done = subprocess.run([*argv, "--light", "SolderLight"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning: one defect under two names? 'pin hole' (1 row) beside 'pin-hole' (1 row)" in done.stdout
