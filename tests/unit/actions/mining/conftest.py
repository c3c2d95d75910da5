"""Small tables of images and of embeddings."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path):
    """Six small image files."""
    files = []
    for i in range(6):
        files.append(tmp_path / f"images/{i}.png")
        files[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(files[-1])
    return [str(f) for f in files]


@pytest.fixture
def table(tmp_path):
    """Write a parquet file: table(name, **columns) -> path."""

    def write(name, metadata=None, **columns):
        path = tmp_path / name
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path, row_group_size=3)
        return path

    return write


@pytest.fixture
def embedded(table):
    """Write embeddings: embedded(name, vectors, encoder=("e", "1"), **columns); `filepath` is made up if not given."""

    def write(name, vectors, encoder=("e", "1"), kind=None, **columns):
        vectors = np.asarray(vectors, dtype=np.float32)
        kind = kind or pa.list_(pa.float32(), vectors.shape[1])
        columns.setdefault("filepath", [f"{name}/{i}.png" for i in range(len(vectors))])
        note = encoder and {b"tao_skill_bank.encoder": json.dumps(dict(zip(("name", "version"), encoder, strict=True)))}
        return table(name, note or None, embedding=pa.array(vectors.tolist(), kind), **columns)

    return write
