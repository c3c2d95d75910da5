"""From a table of files to a table of vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tao_skill_bank.actions.mining import embedding
from tao_skill_bank.actions.mining.embedding import embed_parquet
from tao_skill_bank.actions.mining.encoders import get_encoder
from tao_skill_bank.actions.mining.tables import EncoderId, ImageTable
from tao_skill_bank.core.errors import InputError

LOCAL = get_encoder("local")


def read_embeddings(path):
    """The file paths [n] and the vectors [n, d] of a whole file."""
    table = ImageTable(path)
    return table.filepaths().to_pylist(), np.concatenate(list(table.vectors()))


def test_every_row_gets_its_vector_and_keeps_its_other_columns_in_order(tmp_path, table, images):
    source = table("in.parquet", label=list("abcdef"), filepath=images, weight=[1, 2, 3, 4, 5, None])
    done = embed_parquet(source, tmp_path / "out" / "e.parquet", LOCAL)
    assert (done.rows, done.dim, done.encoder) == (6, 690, EncoderId("local-descriptor", "1"))
    out = pq.read_table(done.output)
    assert out.column_names == ["filepath", "embedding", "label", "weight"]
    assert out.schema.field("embedding").type == pa.list_(pa.float32(), 690)
    assert out.column("weight").to_pylist() == [1, 2, 3, 4, 5, None]
    files, vectors = read_embeddings(done.output)
    assert files == images
    np.testing.assert_array_equal(vectors, LOCAL.encode([Path(f) for f in images]))
    assert ImageTable(done.output).encoder() == done.encoder


def test_chunks_and_repeated_files_do_not_change_a_row(tmp_path, table, images, monkeypatch):
    monkeypatch.setattr(embedding, "CHUNK_ROWS", 4)
    repeated = [*images, *images[:3]]
    embed_parquet(table("in.parquet", filepath=repeated), tmp_path / "e.parquet", LOCAL)
    files, vectors = read_embeddings(tmp_path / "e.parquet")
    assert files == repeated
    np.testing.assert_array_equal(vectors, LOCAL.encode([Path(f) for f in repeated]))


def test_an_embedding_that_was_there_is_replaced_even_in_place(table, images):
    path = table("in.parquet", filepath=images, embedding=[[1.0]] * 6)
    embed_parquet(path, path, LOCAL)
    assert read_embeddings(path)[1].shape == (6, 690)


def test_a_table_written_by_pandas_with_an_index_loses_only_the_index(tmp_path, images):
    import pandas as pd

    frame = pd.DataFrame({"filepath": images, "label": list("abcdef")}, index=[9, 8, 7, 6, 5, 4])
    frame.to_parquet(tmp_path / "in.parquet")
    embed_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", LOCAL)
    assert pd.read_parquet(tmp_path / "out.parquet").columns.tolist() == ["filepath", "embedding", "label"]


def test_no_rows_give_a_file_without_rows_that_has_the_columns(tmp_path, table):
    source = table("in.parquet", filepath=pa.array([], pa.string()), label=pa.array([], pa.string()))
    assert embed_parquet(source, tmp_path / "out.parquet", LOCAL).rows == 0
    assert pq.read_table(tmp_path / "out.parquet").column_names == ["filepath", "embedding", "label"]


def test_an_unreadable_image_names_file_and_row_and_leaves_the_old_output(tmp_path, table, images):
    (tmp_path / "images" / "4.png").write_text("no image")
    output = tmp_path / "out.parquet"
    output.write_text("as it was")
    with pytest.raises(InputError, match=r"in.parquet row 5: .*4.png: cannot be read as an image"):
        embed_parquet(table("in.parquet", filepath=images), output, LOCAL)
    assert output.read_text() == "as it was"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "in.parquet", "out.parquet"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file_path": ["a"]}, "no column 'filepath' .*did you mean 'file_path'"),
        ({"filepath": ["a", None]}, "row 2: no filepath"),
        ({"filepath": ["a", ""]}, "row 2: no filepath"),
        ({"filepath": pa.array([None, None], pa.null())}, "row 1: no filepath"),
        ({"filepath": [1, 2]}, "not text"),
    ],
)
def test_a_table_without_usable_paths_is_refused(tmp_path, table, columns, message, images):
    if columns.get("filepath") in (["a", None], ["a", ""]):
        columns = {"filepath": [images[0], columns["filepath"][1]]}
    with pytest.raises(InputError, match=message):
        embed_parquet(table("in.parquet", **columns), tmp_path / "out.parquet", LOCAL)
    assert not (tmp_path / "out.parquet").exists()


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "in.parquet").write_text("filepath\na.png\n")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        embed_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", LOCAL)
    with pytest.raises(InputError, match="no such parquet file"):
        embed_parquet(tmp_path / "none.parquet", tmp_path / "out.parquet", LOCAL)
    with pytest.raises(InputError, match="is a folder"):
        embed_parquet(tmp_path, tmp_path / "out.parquet", LOCAL)
