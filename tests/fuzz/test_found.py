"""What fuzzing found once, each by the bytes or the kind of file that showed it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tao_skill_bank.actions.gap_analysis.vcn_read import LONGEST_HEADER, read_inference
from tao_skill_bank.actions.mining.tables import ImageTable
from tao_skill_bank.annotate.listing import read_rows
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.parquet_footer import widest_columns
from tao_skill_bank.data.vlm.evaluation import Evaluation
from tao_skill_bank.loop.log import read_tail
from tao_skill_bank.tasks.changenet.routing import route_gaps


def not_utf8(values: list[bytes]) -> pa.Array:
    return pa.array(values, pa.binary()).view(pa.string())


def test_paths_and_labels_that_are_not_utf8_in_a_parquet_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    table = {"filepath": not_utf8([b"a.png", b"b\x98.png"]), "embedding": [[0.5], [0.25]]}
    pq.write_table(pa.table(table), path)
    with pytest.raises(InputError, match="cannot be read as parquet"):
        ImageTable(path).filepaths()
    pq.write_table(pa.table({"filepath": ["a", "b"], "label": not_utf8([b"x", b"\x98"])}), path)
    with pytest.raises(InputError, match="cannot be read as parquet"):
        ImageTable(path).groups(["label"])


def test_a_column_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({"filepath": ["a"], "embedding": [[0.5]]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"filepath", b"file\x98ath"))
    with pytest.raises(InputError, match="cannot be read as parquet"):
        ImageTable(path)


def test_an_inference_csv_that_is_one_line_is_refused_before_it_is_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "inference.csv").write_bytes(b"," * (LONGEST_HEADER + 10))
    with pytest.raises(InputError, match="first line is longer"):
        read_inference(tmp_path)


@pytest.mark.parametrize("before", [b"", b"[]", b"["])
def test_gigabytes_of_blanks_in_a_few_compressed_bytes_are_not_waded_through(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "p.json.gz"
    path.write_bytes(gzip.compress(before) + gzip.compress(b" " * (1 << 24)) * 40)
    with pytest.raises(InputError, match="64 MiB"):
        list(Evaluation(path).samples())


def test_brackets_in_brackets_are_refused_at_the_depth_where_they_are_too_many(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(b"[" * (3 << 20))
    with pytest.raises(InputError, match=r"p\.json.*nested too deeply"):
        list(Evaluation(path).samples())


def test_the_tail_of_a_log_is_looked_for_block_by_block_however_long_the_last_line_is(tmp_path: Path) -> None:
    path = tmp_path / "loop_log.jsonl"
    path.write_bytes(b"x" * (64 << 20))
    assert read_tail(path) == []
    whole = b'{"seq": 1, "ts": "2026-01-01T00:00:00.000000Z", "iter": "baseline", "stage": "train", "status": "ok", '
    line = whole + b'"summary": "' + b"s" * 100_000 + b'", "duration_sec": 1}\n'
    path.write_bytes(line * 3)
    assert [len(found.summary) for found in read_tail(path, limit=2)] == [100_000] * 2
    for start in range(1, 40):
        path.write_bytes(b"\n" * start + line)
        assert len(read_tail(path, limit=1)) == 1


def test_a_video_whose_metadata_is_not_utf8_is_probed(tmp_path: Path) -> None:
    from videos import make_video

    from tao_skill_bank.annotate.video import probe

    path = make_video(tmp_path / "v.mp4", seconds=0.5, fps=4)
    data = path.read_bytes()
    assert b"isomiso2" in data
    path.write_bytes(data.replace(b"isomiso2", b"iso\x98iso2"))
    assert probe(path).duration > 0


@pytest.mark.parametrize(("rows", "width"), [(20_000_000, 1), (20_000, 1 << 20)], ids=["rows", "texts"])
def test_a_table_of_weak_samples_that_unpacks_without_end_is_refused(tmp_path: Path, rows: int, width: int) -> None:
    text = pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()).fill_null(0), pa.array(["x" * width]))
    path = tmp_path / "gaps.parquet"
    pq.write_table(pa.table({"filepath": text, "label": text}), path, compression="zstd")
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match=r"stands for|MiB of text"):
        route_gaps(path, tmp_path / "out", generator_labels=["X"])
    assert not (tmp_path / "out").exists()
    if width == 1:
        with pytest.raises(InputError, match="stands for"):
            ImageTable(path)


def test_a_column_whose_size_statistics_are_damaged_is_refused_and_ends_no_process(tmp_path: Path) -> None:
    path = tmp_path / "pool.parquet"
    pq.write_table(pa.table({"filepath": ["a.png", "b.png", None] * 100}), path)
    # One hundred rows without a value, two hundred with one: two numbers of the footer become three.
    path.write_bytes(path.read_bytes().replace(b"\x26\xc8\x01\x90\x03", b"\x36\x48\x01\x90\x03"))
    with pytest.raises(InputError, match="histogram"):
        ImageTable(path).filepaths()
    with pytest.raises(InputError, match="no table of weak samples"):
        route_gaps(path, tmp_path / "out", generator_labels=["X"])


def test_a_table_of_weak_samples_whose_texts_have_indices_out_of_range_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gaps.parquet"
    texts = pa.array(["0.png"] * 32 + ["1.png"] * 32)
    pq.write_table(pa.table({"filepath": texts, "label": texts}), path, write_statistics=False)
    data = bytearray(path.read_bytes())
    refused = 0
    for at in range(4, data.index(b"ARROW:schema")):
        spoiled = bytes(data[:at]) + bytes([data[at] ^ 0x75]) + bytes(data[at + 1 :])
        path.write_bytes(spoiled)
        try:
            route_gaps(path, tmp_path / "out", generator_labels=["0.png", "1.png"])
        except InputError:
            refused += 1
    assert refused


def test_the_values_of_a_parquet_file_are_counted_as_arrow_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    nested = [None, {"x": [1.5, 2.5], "y": "text"}, {"x": [], "y": None}] * 40
    pq.write_table(pa.table({"a": range(120), "b": [[1, 2, 3]] * 120, "c": nested}), path, row_group_size=50)
    facts = pq.ParquetFile(path).metadata
    groups = [facts.row_group(n) for n in range(facts.num_row_groups)]
    expected = [(g.num_rows, max(g.column(n).num_values for n in range(g.num_columns))) for g in groups]
    assert widest_columns(path) == expected == [(50, 150), (50, 150), (20, 60)]


def test_a_vector_of_millions_of_numbers_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    values = pa.nulls(5_000_000, pa.float32()).fill_null(0.5)
    vector = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    pq.write_table(pa.table({"filepath": ["a"], "embedding": vector}), path, compression="zstd")
    with pytest.raises(InputError, match="rows of 5,000,000 numbers"):
        ImageTable(path)


def test_a_line_of_endless_beginnings_is_not_tried_at_each(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "' * 400_000 + b'\n{"torn": 1, "x{"video": "v.mp4"}\n')
    assert [row["video"] for row in read_rows(path)] == ["v.mp4"]
