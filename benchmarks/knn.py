#!/usr/bin/env python3
"""How long does the neighbour search take beside its floor (one blocked matrix product), faiss and scikit-learn?

Prints ratios of times taken in one process, one after the other, and the memory the search adds. The default takes
about half a minute; `--full` searches 1,000,000 vectors of 768 numbers for 1,000 targets (3 GB of temporary file).
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tao_skill_bank.actions.mining.knn import BLOCK_ROWS, Search, merge_topk

Floats = NDArray[np.float32]
Found = tuple[NDArray[np.int64], Floats]


def main() -> int:
    """Measure, print, and return 1 if a promise is broken."""
    if "OMP_NUM_THREADS" not in os.environ:
        # One thread unless asked otherwise; BLAS libraries read this when they load, so begin again.
        one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **one})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="1,000 targets, 1,000,000 source vectors, 768 numbers")
    parser.add_argument("--quick", action="store_true", help="200 targets, 20,000 source vectors")
    parser.add_argument("--targets", type=int, default=None)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    targets = args.targets or (1000 if args.full else 200 if args.quick else 500)
    rows = args.rows or (1_000_000 if args.full else 20_000 if args.quick else 100_000)
    target = unit_rows(np.random.default_rng(1), targets, args.dim)
    with tempfile.TemporaryDirectory(prefix="knn-benchmark-") as folder:
        path = Path(folder) / "source.f32"
        write_source(path, rows, args.dim)
        return measure(path, rows, target, args.k, args.repeats, full=args.full)


def measure(path: Path, rows: int, target: Floats, k: int, repeats: int, *, full: bool) -> int:
    """Run everything on one source file."""
    dim = target.shape[1]
    print(
        f"{len(target):,} targets x {rows:,} vectors x {dim}, top {k}, cosine; {os.environ['OMP_NUM_THREADS']} thread"
    )
    floor(path, dim, target)
    before = peak_mb()
    found = search(path, dim, target, k)
    added = peak_mb() - before
    floors, ours = [], []
    for _ in range(repeats):
        floors.append(timed(lambda: floor(path, dim, target))[0])
        ours.append(timed(lambda: search(path, dim, target, k))[0])
    base, own = statistics.median(floors), statistics.median(ours)
    print(f"floor: blocked matrix product   {base:7.2f} s")
    print(f"exact search, streamed          {own:7.2f} s   {own / base:.2f} x the floor, +{added:.0f} MB at its peak")
    same = equal(sharded(path, rows, dim, target, k), found)
    print(f"four shards, merged             {'the same, bit for bit' if same else 'DIFFERENT'}")
    source = np.fromfile(path, dtype=np.float32).reshape(rows, dim)
    for name, peer in (("faiss.knn", with_faiss), ("scikit-learn brute force", with_sklearn)):
        if peer is with_sklearn and full:
            print(f"{name:31} skipped at this size (it holds all distances)")
            continue
        seconds, indices = timed(functools.partial(peer, source, target, k))
        if indices is None:
            print(f"{name:31} not installed")
            continue
        agree = float(np.mean(indices == found[0]))
        print(f"{name:31} {seconds:7.2f} s   {seconds / own:.2f} x ours; {agree:.2%} of places agree")
    blanks = with_equal_rows(target)
    print(f"half the vectors equal          {blanks:7.2f} x the time of none equal")
    return 0 if same and own / base <= 1.5 and blanks <= 2 and added < 2048 else 1


def floor(path: Path, dim: int, target: Floats) -> None:
    """What no exact search can go below: every block read and multiplied once."""
    out = np.empty((len(target), BLOCK_ROWS), dtype=np.float32)
    for block in blocks(path, dim):
        np.matmul(target, block.T, out=out[:, : len(block)])


def search(path: Path, dim: int, target: Floats, k: int) -> Found:
    """The search over the file, one block in memory at a time."""
    return searched(blocks(path, dim), target, k)


def sharded(path: Path, rows: int, dim: int, target: Floats, k: int) -> Found:
    """Four searches over uneven parts of the file, merged."""
    edges = [0, rows // 7, rows // 3, rows // 2 + 1, rows]
    parts = []
    for start, stop in itertools.pairwise(edges):
        indices, scores = searched(blocks(path, dim, start, stop), target, k)
        parts.append((np.where(indices < 0, -1, indices + start), scores))
    return merge_topk(parts, k)


def with_equal_rows(target: Floats) -> float:
    """Time of a search in which every other vector is one and the same, over the time of one without."""
    rng = np.random.default_rng(3)
    plain = unit_rows(rng, 4 * BLOCK_ROWS, target.shape[1])
    equal_rows = plain.copy()
    equal_rows[::2] = target[0]
    few = np.concatenate([target[:1]] * 50 + [target[: max(0, len(target) - 50)]])
    times = [
        min(timed(functools.partial(run_once, source, few))[0] for _ in range(2)) for source in (plain, equal_rows)
    ]
    return times[1] / times[0]


def run_once(source: Floats, target: Floats) -> Found:
    """One search of an array in memory."""
    return searched([source], target, 5)


def searched(parts: Iterable[Floats], target: Floats, k: int) -> Found:
    """One search of an array that arrives in parts."""
    running = Search(target, k)
    for part in parts:
        running.add(part)
    return running.result()


def with_faiss(source: Floats, target: Floats, k: int) -> Any:
    """Indices by faiss's exact search, or None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return faiss.knn(target, source, k, metric=faiss.METRIC_INNER_PRODUCT)[1]


def with_sklearn(source: Floats, target: Floats, k: int) -> Any:
    """Indices by scikit-learn's exact search."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(source)
    return search.kneighbors(target, return_distance=False)


def blocks(path: Path, dim: int, start: int = 0, stop: int | None = None) -> Iterator[Floats]:
    """Blocks of a file of float32 rows, read one after the other."""
    left = None if stop is None else stop - start
    with path.open("rb") as handle:
        handle.seek(start * dim * 4)
        while left is None or left > 0:
            rows = BLOCK_ROWS if left is None else min(BLOCK_ROWS, left)
            block = np.fromfile(handle, dtype=np.float32, count=rows * dim).reshape(-1, dim)
            if not len(block):
                return
            left = None if left is None else left - len(block)
            yield block


def unit_rows(rng: np.random.Generator, rows: int, dim: int) -> Floats:
    """Random vectors of length 1."""
    values = rng.standard_normal((rows, dim), dtype=np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values


def write_source(path: Path, rows: int, dim: int) -> None:
    """Random vectors of length 1 on disk."""
    rng = np.random.default_rng(0)
    with path.open("wb") as handle:
        for start in range(0, rows, BLOCK_ROWS):
            unit_rows(rng, min(BLOCK_ROWS, rows - start), dim).tofile(handle)


def equal(one: Found, other: Found) -> bool:
    """Whether two results are the same, bit for bit."""
    return np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of processor time, which others on the machine do not lengthen, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def peak_mb() -> float:
    """The most memory this process has held so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    sys.exit(main())
