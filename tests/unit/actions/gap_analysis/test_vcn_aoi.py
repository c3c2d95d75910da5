"""The ChangeNet analysis against a sweep and a selection written in the plainest way, on real files."""

from __future__ import annotations

import csv
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.actions.gap_analysis.config import VcnAoiConfig
from tao_skill_bank.actions.gap_analysis.vcn_aoi import OUTPUTS, UNREACHABLE, analyze_vcn_aoi
from tao_skill_bank.core.errors import InputError, UnreachableError
from tao_skill_bank.core.fsio import sha256_file

Row = tuple[str, str, str, float]  # input_path, object_name, label, score

LABELS = st.sampled_from(["PASS", "PASS", " pass", "Pass ", "bridge", "Shift ", "BRIDGE", "missing part", "ß", "été"])
SCORES = st.sampled_from([-2.5, -0.1, 0.0, 0.1, 0.2, 0.2, 0.5, 0.9, 1.0]) | st.floats(-5, 5, allow_subnormal=False)
FOLDERS = st.sampled_from(["", "a", "a/b/", "./a//b", "../up", "/abs/x", "with space"])
OBJECTS = st.sampled_from(["C1", "R2@1", "007", "sub/C3", "NA", 'q"uote', "com,ma", "ünï"])
ROWS = st.lists(st.tuples(FOLDERS, OBJECTS, LABELS, SCORES), min_size=1, max_size=30)
LIGHTS = st.lists(st.sampled_from(["Solder", "White", "x y", "L1"]), min_size=1, max_size=4, unique=True)


def write_case(
    folder: Path, rows: list[Row], lights: Any = ("Solder",), ext: Any = ".png", extra: str = "golden_path"
) -> Path:
    with (folder / "inference.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["object_name", extra, "label", "input_path", "siamese_score"])
        writer.writerows([name, "g", label, path, repr(score)] for path, name, label, score in rows)
    spec = {"dataset": {"classify": {"input_map": lights, "image_ext": ext}}}
    train = folder / "train.yaml"
    train.write_text(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return train


def config(folder: Path, **values: Any) -> VcnAoiConfig:
    return VcnAoiConfig(
        inference_results_dir=folder, train_config=folder / "train.yaml", results_dir=folder / "out", **values
    )


def is_pass(row: Row) -> bool:
    return row[2].strip().upper() == "PASS"


def sweep(rows: list[Row], floor: float) -> float | None:
    scores = [r[3] for r in rows]
    total = sum(not is_pass(r) for r in rows)
    best = None
    for t in [math.nextafter(min(scores), -math.inf), *sorted(set(scores))]:
        tp = sum(not is_pass(r) and r[3] > t for r in rows)
        fp = sum(is_pass(r) and r[3] > t for r in rows)
        if not total or tp / total < floor - 1e-12:
            continue
        p, q = (tp / (tp + fp) if tp + fp else 0.0), tp / total
        key = (2 * p * q / (p + q) if p + q else 0.0, p, t)
        best = key if best is None else max(best, key)
    return None if best is None else best[2]


def weak(row: Row, t: float) -> float:
    return row[3] - t if is_pass(row) else t - row[3]


def wrong(row: Row, t: float) -> bool:
    return row[3] > t if is_pass(row) else row[3] <= t


def expected_rows(rows: list[Row], t: float, k: int | None, lights: list[str], media: str) -> list[dict[str, Any]]:
    by_label: dict[str, list[Row]] = {}
    for row in rows:
        by_label.setdefault(row[2].strip().upper(), []).append(row)
    position = {id(row): i for i, row in enumerate(rows)}
    kept = []
    for group in by_label.values():
        group.sort(key=lambda r: (-weak(r, t), position[id(r)]))
        kept += group[:k] if k is not None else [r for r in group if wrong(r, t)]
    kept.sort(key=lambda r: (-weak(r, t), position[id(r)]))
    return [
        {
            "filepath": str(Path(media) / r[0] / f"{r[1]}_{light}.png"),
            "label": r[2].strip(),
            "siamese_score": r[3],
            "weakness": weak(r, t),
        }
        for r in kept
        for light in lights
    ]


@settings(max_examples=150)
@given(
    ROWS,
    LIGHTS,
    st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]),
    st.sampled_from([None, 1, 2, 5, 50]),
    st.sampled_from(["", "/data/kpi", "rel/x"]),
    st.booleans(),
    st.sampled_from([-1.0, -1.0, 0.0, 0.2]),
)
def test_every_output_equals_the_plainest_computation(
    rows: list[Row], lights: list[str], floor: float, k: int | None, media: str, mapping: bool, pinned: float
) -> None:
    rows = [(a, b, c, d) for a, b, c, d in rows]  # distinct objects, so that identity tells rows apart
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_case(folder, rows, {light: i for i, light in enumerate(lights)} if mapping else lights)
        asked = config(folder, min_recall=floor, top_k_per_label=k, kpi_media_path=media, threshold=pinned)
        threshold = pinned if pinned >= 0 else sweep(rows, floor)
        if threshold is None:
            with pytest.raises(UnreachableError):
                analyze_vcn_aoi(asked)
            assert [p.name for p in (folder / "out").iterdir()] == [UNREACHABLE]
            return
        result = analyze_vcn_aoi(asked)
        assert result.metrics.threshold == threshold
        assert (folder / "out" / "threshold.txt").read_text() == repr(threshold)
        table = pq.read_table(folder / "out" / "kpi_gaps.parquet")
        assert table.to_pylist() == expected_rows(rows, threshold, k, lights, media)
        metrics = json.loads((folder / "out" / "metrics.json").read_text())
        tp, fp, tn, fn = (
            sum(wrong(r, threshold) == bad and is_pass(r) == ok for r in rows)
            for bad, ok in ((False, False), (True, True), (False, True), (True, False))
        )
        assert metrics["confusion_matrix"] == {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
        assert metrics["far"] == (fp / (fp + tn) if fp + tn else None)
        assert metrics["recall"] == (tp / (tp + fn) if tp + fn else None)
        assert metrics["input"]["sha256"] == sha256_file(folder / "inference.csv")
        kept_per_label = {r["label"].upper(): 0 for r in table.to_pylist()}
        for r in table.to_pylist():
            kept_per_label[r["label"].upper()] += 1
        for label in {r[2].strip().upper() for r in rows}:
            mine = [r for r in rows if r[2].strip().upper() == label]
            assert metrics["per_label"][label] == {
                "count": len(mine),
                "misclassified": sum(wrong(r, threshold) for r in mine),
                "kept": kept_per_label.get(label, 0) // len(lights),
            }
        assert sorted(p.name for p in (folder / "out").iterdir()) == sorted(n for n in OUTPUTS if n != UNREACHABLE)


def simple(tmp_path: Path) -> list[Row]:
    rows: list[Row] = [
        ("b", "p1", "PASS", 0.1),
        ("b", "p2", "PASS", 0.3),
        ("b", "p3", "PASS", 0.5),
        ("b", "n1", "bridge", 0.3),
        ("b", "n2", "bridge", 0.9),
    ]
    write_case(tmp_path, rows)
    return rows


def test_a_no_pass_row_at_the_threshold_is_missed_and_counts_as_misclassified(tmp_path: Path) -> None:
    simple(tmp_path)
    result = analyze_vcn_aoi(config(tmp_path, threshold=0.3))
    assert result.metrics.confusion_matrix.fn == 1
    assert result.metrics.per_label["BRIDGE"].misclassified == 1
    assert "BRIDGE: 2 (40.0%), 1 misclassified, 1 marginal" in result.files["weak_samples_breakdown.txt"].read_text()


def test_the_worked_case_has_two_of_three_pass_rows_flagged(tmp_path: Path) -> None:
    simple(tmp_path)
    metrics = analyze_vcn_aoi(config(tmp_path)).metrics
    assert (metrics.threshold, metrics.far, metrics.recall) == (0.1, 2 / 3, 1.0)


def test_the_schema_stands_without_a_row(tmp_path: Path) -> None:
    write_case(tmp_path, [("b", "p", "PASS", 0.1), ("b", "n", "bridge", 0.9)])
    analyze_vcn_aoi(config(tmp_path, top_k_per_label=None))
    schema = pq.read_table(tmp_path / "out" / "kpi_gaps.parquet").schema
    assert [(f.name, str(f.type)) for f in schema] == [
        ("filepath", "string"),
        ("label", "string"),
        ("siamese_score", "double"),
        ("weakness", "double"),
    ]


def test_an_unreachable_target_says_what_can_be_reached_and_removes_an_older_answer(tmp_path: Path) -> None:
    simple(tmp_path)
    analyze_vcn_aoi(config(tmp_path))
    write_case(tmp_path, [("b", "p", "PASS", 0.25), ("b", "q", " pass ", 0.75)])
    with pytest.raises(UnreachableError, match="none of 2 rows is NO_PASS"):
        analyze_vcn_aoi(config(tmp_path, min_recall=0.9))
    assert [p.name for p in (tmp_path / "out").iterdir()] == [UNREACHABLE]
    text = (tmp_path / "out" / UNREACHABLE).read_text()
    assert "recall >= 0.9" in text and "0.75" in text and "0 of 2" in text


def test_a_reached_target_removes_an_older_unreachable_note_and_keeps_foreign_files(tmp_path: Path) -> None:
    simple(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / UNREACHABLE).write_text("old")
    (out / "vcn_aoi_spec.yaml").write_text("mine")
    analyze_vcn_aoi(config(tmp_path))
    assert not (out / UNREACHABLE).exists()
    assert (out / "vcn_aoi_spec.yaml").read_text() == "mine"


def test_the_operating_curve_has_at_most_a_thousand_points_and_the_chosen_one(tmp_path: Path) -> None:
    rows: list[Row] = [("b", f"o{i}", "PASS" if i % 3 else "bridge", (i * 7919 % 5000) / 5000) for i in range(5000)]
    write_case(tmp_path, rows)
    result = analyze_vcn_aoi(config(tmp_path, min_recall=0.99))
    with result.files["recall_far.csv"].open() as handle:
        points = list(csv.DictReader(handle))
    assert 500 < len(points) <= 1000
    chosen = [p for p in points if float(p["threshold"]) == result.metrics.threshold]
    assert len(chosen) == 1 and float(chosen[0]["far"]) == result.metrics.far
    assert float(points[0]["recall"]) == 1.0 and float(points[-1]["recall"]) == 0.0


def test_the_histogram_is_a_png_even_where_all_scores_are_equal(tmp_path: Path) -> None:
    from PIL import Image

    write_case(tmp_path, [("b", "p", "PASS", 0.5), ("b", "n", "bridge", 0.5)])
    result = analyze_vcn_aoi(config(tmp_path, threshold=0.5))
    with Image.open(result.files["score_histogram.png"]) as image:
        assert image.format == "PNG" and image.size == (960, 460)
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 10


@pytest.mark.parametrize(
    ("lights", "names"),
    [
        ({"B": 1, "A": 0}, ["x_B.png", "x_A.png"]),
        (["W"], ["x_W.png"]),
        ({}, ["x.png"]),
        ([], ["x.png"]),
        ({0: 0}, ["x_0.png"]),
    ],
)
def test_images_are_named_by_the_lightings_in_order(tmp_path: Path, lights: Any, names: list[str]) -> None:
    write_case(tmp_path, [("b", "x", "bridge", 0.5)], lights)
    analyze_vcn_aoi(config(tmp_path))
    paths = pq.read_table(tmp_path / "out" / "kpi_gaps.parquet")["filepath"].to_pylist()
    assert [Path(p).name for p in paths] == names


BAD_CSV = {
    "": "is empty",
    "input_path,object_name,label,siamese_score\n": "no rows",
    "input_path,object_name,label\na,b,PASS\n": "no column 'siamese_score'",
    "input_path,object_name,label,label,siamese_score\na,b,PASS,PASS,1\n": "'label' stands there twice",
    "input_path,object_name,label,siamese_score\na,b,PASS,0.1\na,c,x,nan\n": r"row 2 \(line 3\).*not a finite",
    "input_path,object_name,label,siamese_score\na,b,PASS,0.1\na,c,x,\n": r"row 2 \(line 3\).*score is empty",
    "input_path,object_name,label,siamese_score\na,b,PASS,-inf\n": r"row 1 \(line 2\).*not a finite",
    "input_path,object_name,label,siamese_score\na,b,PASS,1e999\n": r"row 1 \(line 2\).*not a finite",
    "input_path,object_name,label,siamese_score\na,b,PASS,abc\n": r"row 1 \(line 2\).*not a number: 'abc'",
    "input_path,object_name,label,siamese_score\na,b,PASS,NA\n": r"row 1 \(line 2\).*not a number: 'NA'",
    "input_path,object_name,label,siamese_score\na,b, ,0.5\n": r"row 1 \(line 2\).*label is empty",
    "input_path,object_name,label,siamese_score\na,,x,0.5\n": r"row 1 \(line 2\).*object_name is empty",
    "input_path,object_name,label,siamese_score\na,b,x,0.5\na,b,x\n": r"row 2 \(line 3\).*3 cells where .* 4",
    'input_path,object_name,label,siamese_score\n"a\nb",b,x,0.5\na,b,x,?\n': r"row 2 \(line 4\).*not a number",
    'input_path,object_name,label,siamese_score\na,"b,x,0.5\n': r"row 1",
}


@pytest.mark.parametrize("text", BAD_CSV)
def test_a_csv_that_cannot_be_used_is_refused_by_row_and_nothing_is_written(tmp_path: Path, text: str) -> None:
    write_case(tmp_path, [("b", "x", "bridge", 0.5)])
    (tmp_path / "inference.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=BAD_CSV[text]):
        analyze_vcn_aoi(config(tmp_path))
    assert not (tmp_path / "out").exists()


def test_bytes_that_are_not_utf8_are_refused_by_row(tmp_path: Path) -> None:
    write_case(tmp_path, [("b", "x", "bridge", 0.5)])
    head = b"input_path,object_name,label,siamese_score\n"
    (tmp_path / "inference.csv").write_bytes(head + b"a,b,PASS,0.5\na,b\xff,PASS,0.5\n")
    with pytest.raises(InputError, match=r"row 2 \(line 3\).*UTF-8"):
        analyze_vcn_aoi(config(tmp_path))


def test_a_byte_order_mark_windows_line_ends_and_quotes_are_read(tmp_path: Path) -> None:
    write_case(tmp_path, [("b", "x", "bridge", 0.5)])
    text = '\ufeffinput_path,object_name,label,siamese_score\r\n"a,1",b,"bri\ndge",0.5\r\n\r\na,c,PASS, 0.25\r\n'
    (tmp_path / "inference.csv").write_bytes(text.encode())
    result = analyze_vcn_aoi(config(tmp_path))
    assert set(result.metrics.per_label) == {"PASS", "BRI\nDGE"}
    assert pq.read_table(result.files["kpi_gaps.parquet"])["filepath"].to_pylist()[0].startswith(("a,1/", "a/"))


@settings(max_examples=120)
@given(st.binary(max_size=200) | st.text('input_path,object_name,label,siamese_score\n"x 0.5\r\t\0PASS', max_size=160))
def test_no_csv_makes_more_than_a_one_line_error(data: bytes | str) -> None:
    body = data if isinstance(data, bytes) else data.encode()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_case(folder, [("b", "x", "bridge", 0.5)])
        for head in (b"", b"input_path,object_name,label,siamese_score\n"):
            (folder / "inference.csv").write_bytes(head + body)
            try:
                analyze_vcn_aoi(config(folder))
            except UnreachableError:
                continue
            except InputError as error:
                assert "\n" not in error.line() and "inference.csv" in error.line()
                assert not (folder / "out" / "kpi_gaps.parquet").exists() or head == b""


BAD_YAML = {
    "dataset: {classify: {image_ext: .png}}": "no dataset.classify.input_map",
    "dataset: {classify: {input_map: null, image_ext: .png}}": "no dataset.classify.input_map",
    "dataset: {classify: {input_map: {a: 0}}}": "no dataset.classify.image_ext",
    "dataset: {classify: {input_map: Solder, image_ext: .png}}": "neither a mapping nor a list",
    "dataset: {classify: {input_map: {a: 0}, image_ext: 3}}": "no dataset.classify.image_ext",
    "dataset: {segment: {}}": "no mapping 'dataset.classify'",
    "[1, 2]": "must be a mapping",
    "a: [": "line 1",
}


@pytest.mark.parametrize("text", BAD_YAML)
def test_a_train_yaml_that_names_no_images_is_refused(tmp_path: Path, text: str) -> None:
    train = write_case(tmp_path, [("b", "x", "bridge", 0.5)])
    train.write_text(text)
    with pytest.raises(InputError, match=BAD_YAML[text]):
        analyze_vcn_aoi(config(tmp_path))
    assert not (tmp_path / "out").exists()


def test_the_csv_instead_of_its_folder_is_refused_with_the_folder_to_pass(tmp_path: Path) -> None:
    train = write_case(tmp_path, [("b", "x", "bridge", 0.5)])
    asked = VcnAoiConfig(
        inference_results_dir=tmp_path / "inference.csv", train_config=train, results_dir=tmp_path / "out"
    )
    with pytest.raises(InputError, match=f"pass the directory: inference_results_dir={tmp_path}"):
        analyze_vcn_aoi(asked)


@pytest.mark.parametrize("count", [3, 200])
def test_many_labels_are_cut_the_same_way_as_few(count: int) -> None:
    import numpy as np

    from tao_skill_bank.actions.gap_analysis.vcn_select import weakest

    random = np.random.default_rng(count)
    codes = random.integers(0, count, 4000).astype(np.int16)
    values = np.round(random.normal(size=4000), 1)
    for k in (1, 5, 2000):
        expected = []
        for code in range(count):
            rows = [i for i in range(4000) if codes[i] == code]
            expected += sorted(rows, key=lambda i: (-values[i], i))[:k]
        expected.sort(key=lambda i: (-values[i], i))
        assert weakest(values, codes, k).tolist() == expected


def test_a_kept_row_is_the_same_whether_its_batch_is_the_first_or_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Row] = [(f"f{i % 3}", f"o{i}", "bridge" if i % 2 else "PASS", i / 100) for i in range(100)]
    write_case(tmp_path, rows, ["A", "B"])
    analyze_vcn_aoi(config(tmp_path))
    whole = pq.read_table(tmp_path / "out" / "kpi_gaps.parquet")
    monkeypatch.setattr("tao_skill_bank.actions.gap_analysis.vcn_select.BATCH", 7)
    analyze_vcn_aoi(config(tmp_path))
    assert pq.read_table(tmp_path / "out" / "kpi_gaps.parquet").equals(whole)
    assert whole.num_rows == 200 and isinstance(whole, pa.Table)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], []),
        ([("b/", "D1", "bridge", 0.7)], []),
        ([("b/", "C1", "PASS", 0.2), ("b/", "C1", "pass", 0.2)], ["2 rows of a sample that stands in an earlier row"]),
        (
            [("b/", "C1", "bridge", 0.9)],
            ["1 row of a sample that stands in an earlier row", "1 sample under several labels: one of them is wrong"],
        ),
    ],
    ids=["each once", "another folder", "twice more", "under another label"],
)
def test_samples_that_stand_twice_are_said_wherever_the_figures_are(
    tmp_path: Path, more: list[Row], said: list[str]
) -> None:
    write_case(tmp_path, [("b/", "C1", "PASS", 0.2), ("a/", "D1", "bridge", 0.8), *more])
    found = analyze_vcn_aoi(config(tmp_path))
    assert [line.partition(": each")[0] for line in found.warnings] == said
    assert [line for line in found.summary if line.startswith("warning: ")] == [f"warning: {x}" for x in found.warnings]


def test_a_precision_of_nothing_flagged_is_no_zero_in_words(tmp_path: Path) -> None:
    write_case(tmp_path, [("b/", "C1", "PASS", 0.2), ("a/", "D1", "bridge", 0.8)])
    high, low = (analyze_vcn_aoi(config(tmp_path, threshold=at)).summary[1] for at in (9.0, 0.5))
    assert "precision: undefined (nothing is flagged)" in high and "precision: 100.00%" in low
