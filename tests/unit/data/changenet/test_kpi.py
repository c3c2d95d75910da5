from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.kpi import (
    CONFUSION_100_FILE,
    CONFUSION_F1_FILE,
    DISTRIBUTION_FILE,
    METRICS_FILE,
    MISSED_FILE,
    SUMMARY_FILE,
    analyze_kpi,
    as_json,
    read_scored,
)

WORKED = [("PASS", "0.1"), ("PASS", "0.3"), ("PASS", "0.5"), ("bridge", "0.3"), ("bridge", "0.9")]


def inference(folder: Path, rows: list[tuple[str, str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "inference.csv"
    lines = ["input_path,golden_path,label,object_name,siamese_score"]
    lines += [f"a/,g/,{label},C{i},{score}" for i, (label, score) in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_the_worked_case(tmp_path: Path) -> None:
    """PASS .1 .3 .5 and bridge .3 .9: threshold .1 catches both bridges and flags two of three PASS rows."""
    result = analyze_kpi(inference(tmp_path, WORKED), tmp_path / "out")
    assert result.recall_100 is not None
    assert result.recall_100.threshold == 0.1
    text = (tmp_path / "out" / SUMMARY_FILE).read_text()
    assert "100% recall threshold: 0.1\n" in text
    assert "100% recall FAR: 66.6667 % (2 of 3;" in text
    assert "100% recall precision: 50.0000 % (2 of 4;" in text


def test_all_six_files_are_written_and_the_pictures_are_pictures(tmp_path: Path) -> None:
    from PIL import Image

    result = analyze_kpi(inference(tmp_path, WORKED), tmp_path / "out")
    names = {METRICS_FILE, SUMMARY_FILE, MISSED_FILE, DISTRIBUTION_FILE, CONFUSION_100_FILE, CONFUSION_F1_FILE}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert {path.name for path in result.files} == names
    for name in (DISTRIBUTION_FILE, CONFUSION_100_FILE, CONFUSION_F1_FILE):
        with Image.open(tmp_path / "out" / name) as image:
            assert image.size[0] > 300
            assert len(image.convert("L").getcolors(1 << 20) or []) > 10


def test_pictures_of_equal_numbers_are_equal_bytes(tmp_path: Path) -> None:
    source = inference(tmp_path, WORKED)
    analyze_kpi(source, tmp_path / "a")
    analyze_kpi(source, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_metrics_have_a_row_for_each_candidate_threshold(tmp_path: Path) -> None:
    analyze_kpi(inference(tmp_path, WORKED), tmp_path / "out", images=False)
    rows = rows_of(tmp_path / "out" / METRICS_FILE)
    assert tuple(rows[0]) == (
        *("threshold", "tp", "fp", "tn", "fn", "precision", "recall", "f1", "accuracy", "far"),
        *("predicted_no_pass_count", "actual_no_pass_count", "actual_pass_count"),
    )
    assert [float(r["threshold"]) for r in rows] == [np.nextafter(0.1, -np.inf), 0.1, 0.3, 0.5, 0.9]
    at = rows[2]
    assert [int(at[k]) for k in ("tp", "fp", "tn", "fn")] == [1, 1, 2, 1]
    assert float(at["far"]) == 1 / 3
    counts = ("predicted_no_pass_count", "actual_no_pass_count", "actual_pass_count")
    assert [int(at[k]) for k in counts] == [2, 2, 3]


def test_missed_samples_are_the_no_pass_rows_at_or_below_the_best_f1_threshold(tmp_path: Path) -> None:
    rows = [("bridge", "0.9"), ("bridge", "0.2"), ("bridge", "0.1"), *[("PASS", "0.5")] * 8]
    result = analyze_kpi(inference(tmp_path, rows), tmp_path / "out", images=False)
    assert result.best_f1 is not None
    assert result.best_f1.threshold == 0.5
    assert [r["object_name"] for r in rows_of(tmp_path / "out" / MISSED_FILE)] == ["C2", "C1"]


def test_without_a_no_pass_row_the_point_is_unavailable(tmp_path: Path) -> None:
    result = analyze_kpi(inference(tmp_path, [("PASS", "0.1"), ("PASS", "0.2")]))
    assert result.recall_100 is None
    assert result.best_f1 is None
    text = (tmp_path / SUMMARY_FILE).read_text()
    assert text.count("unavailable") == 2
    assert (tmp_path / CONFUSION_100_FILE).stat().st_size > 1000
    assert rows_of(tmp_path / MISSED_FILE) == []
    assert as_json(result)["recall_100"] is None


def test_without_a_pass_row_far_is_undefined_not_zero(tmp_path: Path) -> None:
    analyze_kpi(inference(tmp_path, [("bridge", "0.1"), ("bridge", "0.1")]), images=False)
    assert "100% recall FAR: undefined (no PASS row)" in (tmp_path / SUMMARY_FILE).read_text()


@pytest.mark.parametrize("score", ["nan", "inf", "-inf", "high", "1_0", "0x1"])
def test_scores_that_are_not_finite_numbers_are_named_and_nothing_is_written(tmp_path: Path, score: str) -> None:
    source = inference(tmp_path, [("PASS", "0.1"), ("bridge", score), ("bridge", " 0.7 ")])
    with pytest.raises(InputErrors) as error:
        analyze_kpi(source, tmp_path / "out")
    assert error.value.faults == [f"row 2: siamese_score is not a finite number: {score!r}"]
    assert not (tmp_path / "out").exists()


def test_an_empty_score_and_a_missing_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputErrors, match="row 1: siamese_score is empty"):
        analyze_kpi(inference(tmp_path, [("PASS", "")]))
    path = tmp_path / "x.csv"
    path.write_text("label,score\nPASS,1\n")
    with pytest.raises(InputError, match="missing column siamese_score"):
        analyze_kpi(path)


def test_spaces_around_a_score_do_no_harm(tmp_path: Path) -> None:
    scored = read_scored(inference(tmp_path, [("PASS ", " 0.25"), ("pass", "1e-3"), ("passage", "2")]))
    assert scored.scores.tolist() == [0.25, 0.001, 2.0]
    assert scored.is_pass.tolist() == [True, True, False]


@settings(max_examples=50)
@given(
    rows=st.lists(
        st.tuples(st.booleans(), st.sampled_from([-1.5, 0.0, 0.1, 0.2, 0.30000000000000004, 0.9, 3.0])),
        min_size=1,
        max_size=25,
    )
)
def test_the_files_agree_with_counting_row_by_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[bool, float]]
) -> None:
    folder = tmp_path_factory.mktemp("kpi")
    source = inference(folder, [("PASS" if passed else "bridge", repr(score)) for passed, score in rows])
    result = analyze_kpi(source, images=False)
    bad = [score for passed, score in rows if not passed]
    good = [score for passed, score in rows if passed]
    for row in rows_of(folder / METRICS_FILE):
        threshold = float(row["threshold"])
        assert int(row["tp"]) == sum(s > threshold for s in bad)
        assert int(row["fp"]) == sum(s > threshold for s in good)
        assert int(row["tn"]) == sum(s <= threshold for s in good)
    if bad and good:
        assert result.recall_100 is not None
        assert result.recall_100.far == sum(s >= min(bad) for s in good) / len(good)


def test_a_score_below_zero_is_a_number_among_the_missed_and_a_formula_is_text(tmp_path: Path) -> None:
    csv = tmp_path / "inference.csv"
    head = "input_path,golden_path,label,object_name,siamese_score,note"
    rows = [
        *("a,b,PASS,o1,-0.9,",) * 6,
        "a,b,PASS,o2,0.9,",
        "a,b,bridge,o3,-1.5,=1+1",
        "a,b,bridge,o4,0.8,",
        "a,b,bridge,o5,0.85,",
    ]
    csv.write_text("\n".join([head, *rows]) + "\n")
    analyze_kpi(csv, tmp_path / "out", images=False)
    (missed,) = rows_of(tmp_path / "out" / MISSED_FILE)
    assert (missed["object_name"], missed["siamese_score"], missed["note"]) == ("o3", "-1.5", "'=1+1")
