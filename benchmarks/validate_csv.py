#!/usr/bin/env python3
"""How long does checking a large training CSV take, beside listing its folders and beside a stat a file?

Makes ROWS empty image files in folders of 1,000, and prints the medians of three interleaved runs and their ratios.
Times are the processor's.
usage: validate_csv.py [--rows 200000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tao_skill_bank.data.changenet.images import FolderIndex, ImageNaming
from tao_skill_bank.data.changenet.validate import check_dataset

NAMING = ImageNaming(("SolderLight",), ".png")
PER_FOLDER = 1000


def make(folder: Path, rows: int) -> Path:
    """`rows` images and as many goldens' names shared by all boards; the CSV that lists them."""
    images = folder / "images"
    golden = images / "golden"
    golden.mkdir(parents=True)
    for i in range(PER_FOLDER):
        (golden / f"C{i}_SolderLight.png").touch()
    path = folder / "train.csv"
    with path.open("w") as handle:
        handle.write("input_path,golden_path,label,object_name\n")
        for start in range(0, rows, PER_FOLDER):
            board = images / f"board{start // PER_FOLDER:05d}"
            board.mkdir()
            for i in range(min(PER_FOLDER, rows - start)):
                os.close(os.open(board / f"C{i}_SolderLight.png", os.O_CREAT))
                handle.write(f"{board.name}/,golden/,{'bridge' if i % 7 == 0 else 'PASS'},C{i}\n")
    return path


def scandir_alone(folder: Path) -> int:
    """List every folder: the floor."""
    count = 0
    for board in os.scandir(folder / "images"):
        with os.scandir(board.path) as entries:
            count += sum(1 for entry in entries if entry.is_file())
    return count


def stat_a_file(folder: Path, path: Path) -> int:
    """Read row by row and ask for each image and golden: the obvious way, existence and duplicates only."""
    seen: set[tuple[str, ...]] = set()
    missing = 0
    with path.open(newline="") as handle:
        for row in csv.DictReader(handle):
            for side in ("input_path", "golden_path"):
                missing += not os.path.isfile(folder / "images" / row[side] / f"{row['object_name']}_SolderLight.png")
            seen.add(tuple(row.values()))
    return missing


def main() -> None:
    """Make the data, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="where the data is made (default: the temporary folder)")
    parser.add_argument("--quick", action="store_true", help="20,000 rows")
    args = parser.parse_args()
    args.rows = min(args.rows, 20_000) if args.quick else args.rows
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        path = make(folder, args.rows)

        def check() -> None:
            report = check_dataset(path, NAMING, images_dir=folder / "images", workspace=folder, index=FolderIndex())
            assert report.ok, report.faults[:3]

        work: dict[str, Callable[[], object]] = {
            "scandir alone": lambda: scandir_alone(folder),
            "check_dataset": check,
            "a stat a file": lambda: stat_a_file(folder, path),
        }
        check()
        times: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(3):
            for label, run in work.items():
                start = time.process_time()
                run()
                times[label].append(time.process_time() - start)
    floor, ours, naive = (statistics.median(times[name]) for name in work)
    print(f"rows {args.rows}: scandir alone {floor:.3f} s, check_dataset {ours:.3f} s, a stat a file {naive:.3f} s")
    print(f"check_dataset / scandir alone: {ours / floor:.2f}")
    print(f"a stat a file / check_dataset: {naive / ours:.1f}")


if __name__ == "__main__":
    main()
