#!/usr/bin/env python3
"""Is mining in shards the same, byte for byte, and what does it cost beside mining in one piece?

Draws a pool of small pictures of which many are equal (so that similarities tie), mines it whole and in shards, one
process after the other, and prints whether every file agrees and the ratio of the times. The exit status is 1 when a
byte differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tao_skill_bank.actions.mining import shards
from tao_skill_bank.actions.mining.embedding import embed_parquet
from tao_skill_bank.actions.mining.encoders import get_encoder
from tao_skill_bank.actions.mining.neighbors import nearest_neighbors
from tao_skill_bank.sharding.sharded import mine_sharded

FILES = (shards.MINED_FILE, shards.SOURCES_FILE, shards.TARGETS_FILE)


def main() -> int:
    """Measure and print; 1 if a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="4,000 rows")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sharded-mining-") as name:
        return measure(Path(name), 4000 if args.quick else args.rows, args.shards)


def measure(folder: Path, rows: int, count: int) -> int:
    """Mine one pool both ways."""
    rng = np.random.default_rng(5)
    paths = []
    for number in range(min(rows, 500)):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
        paths.append(str(path))
    names = [paths[n] for n in rng.integers(0, len(paths), rows)]
    gaps, pool = folder / "gaps.parquet", folder / "pool.parquet"
    pq.write_table(pa.table({"filepath": paths[:50]}), gaps)
    pq.write_table(pa.table({"filepath": names}), pool)
    whole, cut = folder / "whole", folder / "cut"
    began = time.perf_counter()
    made = get_encoder("local")
    target = embed_parquet(gaps, whole / shards.TARGETS_FILE, made)
    source = embed_parquet(pool, whole / shards.SOURCES_FILE, made)
    nearest_neighbors(
        source.output,
        target.output,
        whole / shards.MINED_FILE,
        topn=5,
        knn_metric="cosine",
        distance_threshold=1.0,
    )
    one = time.perf_counter() - began
    began = time.perf_counter()
    plan = shards.make_plan(gaps, pool, shards=count, encoder="local", top_k=5, same_label="false", min_similarity=0.0)
    mine_sharded(cut, plan, workers=1)
    many = time.perf_counter() - began
    same = all((whole / name).read_bytes() == (cut / name).read_bytes() for name in FILES)
    print(f"{rows:,} rows of {len(paths)} pictures, 50 targets, top 5")
    print(f"whole                {one:7.2f} s")
    print(f"{count} shards, in turn    {many:7.2f} s   {many / one:.2f} x, start-up of {count} processes included")
    print(f"files                {'the same, byte for byte' if same else 'DIFFERENT'}")
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
