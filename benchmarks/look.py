#!/usr/bin/env python3
"""What does it cost to look at every picture of a workspace, beside reading their files and decoding them by Pillow?

Draws PICTURES of SIDE x SIDE pixels, reads them once so that they are in memory, and prints the medians of three
interleaved runs and their ratios, and what a ratio means for 100,000 pictures of this size.
usage: look.py [--pictures 20000] [--side 64] [--format png|jpg] [--folder DIR] [--quick]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tao_skill_bank.data.pictures.look import look
from tao_skill_bank.data.pictures.memory import FILE, Memory

PER_FOLDER = 1000


def draw(folder: Path, count: int, side: int, kind: str) -> list[str]:
    """Pictures with some structure and some noise, as captures have."""
    rng = np.random.default_rng(0)
    base = (np.indices((side, side)).sum(axis=0) // 7 % 2 * 150 + 40).astype(np.int16)
    paths = []
    for number in range(count):
        path = folder / f"board{number // PER_FOLDER:04d}" / f"C{number}.{kind}"
        path.parent.mkdir(exist_ok=True)
        noisy = np.roll(base, number % side, axis=1) + rng.integers(0, 25, base.shape)
        Image.fromarray(noisy.astype(np.uint8)).convert("RGB").save(path)
        paths.append(str(path))
    return paths


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--format", choices=("png", "jpg"), default="png")
    parser.add_argument("--folder", type=Path, help="where they are drawn (default: the temporary folder)")
    parser.add_argument("--quick", action="store_true", help="2,000 pictures")
    args = parser.parse_args()
    count = min(args.pictures, 2_000) if args.quick else args.pictures
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        paths = draw(folder / "pictures", count, args.side, args.format)
        size = sum(os.path.getsize(path) for path in paths)

        def remembered() -> Memory:
            # What was drawn a moment ago is not remembered: here it is an hour later.
            return Memory(folder, now=lambda: time.time_ns() + 3_600_000_000_000)

        def read() -> None:
            for path in paths:
                with open(path, "rb") as handle:
                    handle.read()

        def decode() -> None:
            for path in paths:
                with Image.open(path) as image:
                    image.convert("RGB")

        def ask() -> None:
            for path in paths:
                os.stat(path)

        def first() -> None:
            (folder / FILE).unlink(missing_ok=True)
            found = look(paths, memory=remembered())
            assert found.opened == count and not any(f.fault for f in found.facts.values())

        def again() -> None:
            assert look(paths, memory=remembered()).opened == 0

        def headers() -> None:
            assert look(paths, decode=False).opened == count

        work: dict[str, Callable[[], None]] = {
            "reading the files": read,
            "decoding them": decode,
            "first look": first,
            "second look": again,
            "headers only": headers,
            "a stat a file": ask,
        }
        read()
        times: dict[str, list[float]] = {label: [] for label in work}
        for _ in range(3):
            for label, run in work.items():
                start = time.perf_counter()
                run()
                times[label].append(time.perf_counter() - start)
    found = {label: statistics.median(values) for label, values in times.items()}
    floor = found["reading the files"]
    each = size / count / 1024
    print(f"{count} pictures of {args.side} x {args.side}, {args.format}, {each:.1f} KiB each, in the page cache")
    for label, seconds in found.items():
        scaled = seconds / count * 100_000
        print(f"{label:<18} {seconds / floor:6.2f} x reading the files ({scaled:.1f} s for 100,000 here)")


if __name__ == "__main__":
    main()
