"""Mining over parquet files: what is kept, what is dropped, what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tao_skill_bank.actions.mining.knn import knn
from tao_skill_bank.actions.mining.neighbors import nearest_neighbors
from tao_skill_bank.core.errors import InputError

POOL = [[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [0.7, 0.7], [-1, 0], [1, 0.01]]
LABELS = ["Pass", "shift", "pass ", "SHIFT", "pass", "shift", "open"]


def mine(source, target, output=None, **more):
    return nearest_neighbors(source, target, output, knn_metric="cosine", **more)


def test_a_source_image_is_listed_once_with_its_nearest_target(tmp_path, embedded):
    source, target = embedded("pool", POOL), embedded("weak", [[1, 0.2], [1, 0], [0, 1]])
    mined = mine(source, target, tmp_path / "mined" / "mined.parquet", topn=2)
    out = pq.read_table(tmp_path / "mined" / "mined.parquet").to_pydict()
    assert out["filepath"] == mined.filepaths == ["pool/1.png", "pool/6.png", "pool/0.png", "pool/2.png", "pool/3.png"]
    assert out["target"] == ["weak/0.png", "weak/1.png", "weak/1.png", "weak/2.png", "weak/2.png"]
    assert out["similarity"] == pytest.approx([0.99624, 0.99995, 1, 1, 0.99388], abs=1e-5)
    assert "  Duplicates removed: 1" in (tmp_path / "mined" / "mining_summary.txt").read_text().splitlines()


def test_the_search_over_row_groups_is_the_search_over_everything(embedded):
    rng = np.random.default_rng(0)
    pool, weak = rng.normal(size=(500, 12)), rng.normal(size=(9, 12))
    mined = mine(embedded("pool", pool), embedded("weak", weak), topn=4)
    indices, _ = knn(pool.astype(np.float32), weak.astype(np.float32), 4)
    assert mined.filepaths == list(dict.fromkeys(f"pool/{i}.png" for i in indices.ravel()))


def test_within_the_label_every_neighbor_counts_and_after_it_most_are_lost(embedded):
    source = embedded("pool", POOL, label=LABELS)
    target = embedded("weak", [[1, 0]], label=["SHIFT"])
    within = mine(source, target, topn=2, filter_by_label="within")
    assert within.filepaths == ["pool/1.png", "pool/3.png"]
    after = mine(source, target, topn=2, filter_by_label="after")
    assert (after.filepaths, after.label_dropped) == ([], 2)
    assert mine(source, target, topn=3, filter_by_label="true").filepaths == ["pool/1.png"]


def test_filtering_by_a_label_that_is_not_there_warns_or_stops(embedded):
    source, target = embedded("pool", POOL, label=LABELS), embedded("weak", [[1, 0]])
    mined = mine(source, target, topn=2, filter_by_label="true")
    assert mined.filepaths == ["pool/0.png", "pool/6.png"]
    assert "no label column" in mined.notes[0]
    with pytest.raises(InputError, match="weak: no column 'label'"):
        mine(source, target, filter_by_label="within")


def test_only_pairs_of_one_lighting_are_compared(embedded):
    source = embedded("pool", POOL, lighting=list("ABABABB"), label=LABELS)
    target = embedded("weak", [[1, 0], [1, 0]], lighting=["B", "C"], label=["shift", "shift"])
    assert mine(source, target, topn=2, group_by=["lighting"]).filepaths == ["pool/6.png", "pool/1.png"]
    both = mine(source, target, topn=2, group_by=["lighting"], filter_by_label="within")
    assert (both.filepaths, both.pairs) == (["pool/1.png", "pool/3.png"], 2)


def test_a_pair_exactly_at_the_distance_limit_is_kept(embedded):
    # A cosine of 0.9 to within float32.
    target = embedded("weak", [[1.0, 0.0]])
    source = embedded("pool", [[0.9, np.sqrt(1 - 0.81)], [0.89, np.sqrt(1 - 0.89**2)]])
    mined = mine(source, target, distance_threshold=0.1)
    assert (mined.filepaths, mined.distance_dropped) == (["pool/0.png"], 1)


@pytest.mark.parametrize(("metric", "distance"), [("euclidean", 5.0), ("manhattan", 7.0)])
def test_other_metrics_write_distances(tmp_path, embedded, metric, distance):
    source, target = embedded("pool", [[3, 4], [6, 8]]), embedded("weak", [[0, 0]])
    nearest_neighbors(source, target, tmp_path / "o.parquet", knn_metric=metric, distance_threshold=distance)
    assert pq.read_table(tmp_path / "o.parquet").to_pydict() == {
        "filepath": ["pool/0.png"],
        "distance": [distance],
        "target": ["weak/0.png"],
    }


def test_lists_of_doubles_without_an_encoder_as_tao_writes_them_are_read(embedded):
    kind = pa.list_(pa.float64())
    source = embedded("pool", POOL, encoder=None, kind=kind)
    assert mine(source, embedded("weak", [[1, 0]], encoder=None, kind=kind), topn=1).filepaths == ["pool/0.png"]


def test_fewer_source_images_than_asked_for_are_all_found(embedded):
    mined = mine(embedded("pool", POOL[:2]), embedded("weak", [[1, 0]]), topn=9)
    assert (mined.filepaths, mined.pairs) == (["pool/0.png", "pool/1.png"], 2)


@pytest.mark.parametrize("other", [("e", "2"), ("f", "1"), None])
def test_vectors_of_different_encoders_are_never_compared(embedded, other):
    with pytest.raises(InputError, match=r"pool: embedded with e \(version 1\), but .*weak with"):
        mine(embedded("pool", POOL), embedded("weak", [[1, 0]], encoder=other))


def test_vectors_of_different_length_are_refused(embedded):
    with pytest.raises(InputError, match="source vectors have 2 numbers, target vectors 3"):
        mine(embedded("pool", POOL), embedded("weak", [[1, 0, 0]]))


def test_a_nan_in_the_pool_names_file_and_row(embedded):
    with pytest.raises(InputError, match="pool row 6: the embedding holds NaN"):
        mine(embedded("pool", [*POOL[:5], [np.nan, 0]]), embedded("weak", [[1, 0]]))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1.0], [1.0], [1.0], [1.0, 2.0]]), "row 4: an embedding of 2 numbers among embeddings of 1"),
        (pa.array([[], []], pa.list_(pa.float32())), "row 1: an embedding of 0 numbers"),
        (pa.array([[1.0], None]), "row 2: no embedding"),
        (pa.array([[1.0], [None]]), "row 2: an embedding with a gap"),
        (pa.array(["a", "b"]), "holds string, not lists of numbers"),
    ],
)
def test_a_column_that_holds_no_vectors_is_refused(table, embedded, column, message):
    source = table("pool", {b"tao_skill_bank.encoder": b'{"name":"e","version":"1"}'}, embedding=column,
                   filepath=[str(i) for i in range(len(column))])  # fmt: skip
    with pytest.raises(InputError, match=message):
        mine(source, embedded("weak", [[1.0]]))


def test_an_empty_side_is_refused(embedded):
    empty = np.empty((0, 2))
    with pytest.raises(InputError, match="pool: has no rows"):
        mine(embedded("pool", empty), embedded("weak", [[1, 0]]))
    with pytest.raises(InputError, match="weak: has no rows"):
        mine(embedded("pool", POOL), embedded("weak", empty))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"filter_by_label": "witin"}, "did you mean 'within'"),
        ({"distance_threshold": float("nan")}, "not a distance"),
        ({"topn": 0}, "at least 1"),
        ({"source_embed_column_name": "embeddings"}, "did you mean 'embedding'"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_and_nothing_is_written(tmp_path, embedded, argument, message):
    with pytest.raises(InputError, match=message):
        mine(embedded("pool", POOL), embedded("weak", [[1, 0]]), tmp_path / "out" / "o.parquet", **argument)
    assert not (tmp_path / "out").exists()


def test_images_without_a_label_are_a_group_of_their_own(embedded):
    source = embedded("pool", POOL, label=[None, "a", None, "a", "a", None, "a"])
    target = embedded("weak", [[1, 0]], label=pa.array([None], pa.string()))
    assert mine(source, target, topn=7, filter_by_label="within").filepaths == [
        "pool/0.png",
        "pool/2.png",
        "pool/5.png",
    ]
