"""From neighbours of images to rows of the pool."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.tasks.changenet.mining import (
    keep_similar,
    match_pool,
    near_duplicates,
    similarity_to_targets,
    write_knn_summary,
    write_mined,
    write_mining_summary,
)

POOL = [["a_S", "a_W"], ["b_S", "b_W"], ["c_S", "c_W"], ["d_S", "d_W"]]


def found(*neighbors, used=()):
    files, values, targets = zip(*neighbors, strict=True)
    return match_pool(files, values, targets, POOL, used)


def test_a_sample_counts_with_its_best_lighting():
    match = found(("a_S", 0.91, "t1_S"), ("a_W", 0.97, "t2_W"), ("c_W", 0.5, "t1_W"))
    np.testing.assert_array_equal(match.similarity, [0.97, np.nan, 0.5, np.nan])
    assert match.files == ["a_W", "", "c_W", ""]
    assert match.targets == ["t2_W", "", "t1_W", ""]


def test_a_similarity_of_the_limit_itself_is_kept_even_as_float32():
    match = found(("a_S", np.float32(0.9), "t"), ("b_S", 0.9, "t"), ("c_S", 0.8999, "t"))
    kept = keep_similar(match, 0.9)
    assert set(kept.rows.tolist()) == {0, 1}
    assert (kept.candidate_count, kept.kept_count, kept.rejected_count) == (3, 2, 1)


def test_kept_rows_come_most_similar_first_and_equal_ones_in_pool_order():
    match = found(("d_S", 0.95, "t"), ("b_S", 0.95, "t"), ("a_S", 0.92, "t"), ("c_S", 0.99, "t"))
    assert keep_similar(match, 0.9).rows.tolist() == [2, 1, 3, 0]


def test_a_sample_taken_before_is_no_candidate_whichever_lighting_was_taken():
    match = found(("a_S", 0.95, "t"), ("b_S", 0.95, "t"), used={"a_W", "d_S"})
    kept = keep_similar(match, 0.9)
    assert (kept.rows.tolist(), kept.candidate_count, kept.used_count) == ([1], 1, 1)
    assert match.used.tolist() == [True, False, False, True]


def test_an_image_from_outside_the_pool_is_refused():
    with pytest.raises(InputError, match="z_S: is not an image of the pool"):
        found(("z_S", 0.95, "t"))
    with pytest.raises(InputError, match="a_S: has no similarity"):
        found(("a_S", np.nan, "t"))
    with pytest.raises(InputError, match="different length"):
        match_pool(["a_S"], [0.9], [], POOL)


def test_no_neighbors_leave_every_row_without_similarity():
    match = match_pool([], [], [], POOL)
    kept = keep_similar(match, 0.9)
    assert np.isnan(match.similarity).all()
    assert (kept.kept_count, kept.candidate_count) == (0, 0)


def test_similarities_are_found_again_where_only_paths_were_written():
    pool, weak = np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([[0, 2.0], [3, 0]])
    cosine, targets = similarity_to_targets(["p2", "p0", "p1"], ["p0", "p1", "p2"], pool, ["w0", "w1"], weak)
    assert cosine == pytest.approx([np.sqrt(0.5), 1, 1])
    assert targets == ["w0", "w1", "w0"]
    with pytest.raises(InputError, match="p9: is not an image of the pool"):
        similarity_to_targets(["p9"], ["p0"], pool[:1], ["w0"], weak[:1])
    with pytest.raises(InputError, match="no target images"):
        similarity_to_targets(["p0"], ["p0"], pool[:1], [], weak[:0])


def test_near_duplicates_name_the_most_similar_evaluation_image():
    new = np.array([[1.0, 0], [1, 1], [0, 1]])
    evaluation = np.array([[0, 1.0], [1, 0.001], [1, 0], [1, 0]])
    assert near_duplicates(new, evaluation, 1) == [(0, 2, 1), (2, 0, 1)]
    assert near_duplicates(new[:0], evaluation, 1) == []
    assert near_duplicates(new, evaluation[:0], 1) == []


def test_the_files_hold_the_counts_and_the_chosen_rows(tmp_path):
    match = found(("a_S", 0.95, "t1"), ("b_W", 0.91, "t2"), ("c_S", 0.5, "t1"))
    kept = keep_similar(match, 0.9)
    write_mined(tmp_path / "mined.parquet", match, [*kept.rows, 3], [files[0] for files in POOL])
    assert pq.read_table(tmp_path / "mined.parquet").to_pydict() == {
        "filepath": ["a_S", "b_W", "d_S"],
        "similarity": [0.95, 0.91, None],
        "target": ["t1", "t2", None],
    }
    write_knn_summary(tmp_path / "knn_summary.csv", kept)
    assert (tmp_path / "knn_summary.csv").read_text() == (
        "candidate_count,kept_count,rejected_count,similarity_threshold\n3,2,1,0.9\n"
    )
    write_mining_summary(
        tmp_path / "s.txt", kept, encoder="local-descriptor", targets=7, pool_rows=4, top_k=5, notes=["by hand"]
    )
    lines = (tmp_path / "s.txt").read_text().splitlines()
    assert lines[1] == "  Encoder: local-descriptor"
    assert lines[-3:] == ["  Kept (cosine >= 0.9): 2", "  Rejected: 1", "  by hand"]


def test_no_chosen_rows_still_give_a_table_with_its_columns(tmp_path):
    write_mined(tmp_path / "mined.parquet", match_pool([], [], [], POOL), [], [""] * 4)
    schema = pq.read_schema(tmp_path / "mined.parquet")
    assert [(f.name, str(f.type)) for f in schema] == [
        ("filepath", "string"), ("similarity", "double"), ("target", "string"),
    ]  # fmt: skip
