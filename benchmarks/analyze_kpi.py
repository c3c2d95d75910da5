#!/usr/bin/env python3
"""How long does analysing the KPI of an inference take, beside counting row by row for each threshold?

Both read the same CSV and give the same operating points; the obvious way is quadratic, so it is run for at most
10,000 rows. Prints the medians of three interleaved runs (the obvious way runs once) and the ratio.
usage: analyze_kpi.py [--rows 10000]
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from tao_skill_bank.data.changenet.kpi import analyze_kpi

QUADRATIC_LIMIT = 10_000


def make(path: Path, rows: int) -> None:
    """Scores of a middling model: one defect in twenty."""
    rng = np.random.default_rng(0)
    defects = max(1, rows // 20)
    scores = np.concatenate([rng.beta(2, 8, rows - defects), rng.beta(6, 3, defects)])
    with path.open("w") as handle:
        handle.write("input_path,golden_path,label,object_name,siamese_score\n")
        for i, score in enumerate(scores.tolist()):
            label = "PASS" if i < rows - defects else "bridge"
            handle.write(f"board{i % 100}/,golden/,{label},C{i},{score!r}\n")


def row_by_row(path: Path) -> float:
    """For each unique score count every row: FAR at the highest threshold that misses nothing."""
    with path.open(newline="") as handle:
        rows = [(float(row["siamese_score"]), row["label"] == "PASS") for row in csv.DictReader(handle)]
    best = 1.0
    for threshold in sorted({score for score, _ in rows}):
        tp = fp = fn = tn = 0
        for score, passed in rows:
            if score > threshold:
                fp, tp = fp + passed, tp + (not passed)
            else:
                tn, fn = tn + passed, fn + (not passed)
        if fn == 0:
            best = min(best, fp / (fp + tn))
    return best


def main() -> None:
    """Make the data, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="2,000 rows")
    args = parser.parse_args()
    args.rows = min(args.rows, 2_000) if args.quick else args.rows
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "inference.csv"
        make(path, args.rows)
        times: dict[bool, list[float]] = {False: [], True: []}
        analyze_kpi(path, Path(name) / "kpi")
        for _ in range(3):
            for images in times:
                start = time.perf_counter()
                found = analyze_kpi(path, Path(name) / "kpi", images=images)
                times[images].append(time.perf_counter() - start)
        plain, drawn = (statistics.median(times[images]) for images in (False, True))
        print(f"rows {args.rows}: analyze_kpi {1e3 * plain:.1f} ms, with the pictures {1e3 * drawn:.1f} ms")
        if args.rows <= QUADRATIC_LIMIT:
            start = time.perf_counter()
            far = row_by_row(path)
            naive = time.perf_counter() - start
            assert found.recall_100 is not None
            assert found.recall_100.far == far
            print(f"row by row {naive:.2f} s; row by row / analyze_kpi: {naive / plain:.0f}")


if __name__ == "__main__":
    main()
