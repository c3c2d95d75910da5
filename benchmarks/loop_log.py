"""The loop's log: what an append costs at line 10 and at line 100,000, and what fifty writers leave behind.

The peer reads the whole file for every line; the floor is one write and one fsync.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tao_skill_bank.loop.log import LOG_FILE, append_stage, read_log


def append(path: Path) -> None:
    """One line."""
    append_stage(path, iter_label="baseline", stage="train", status="ok", summary="done", duration_sec=3)


def peer_append(path: Path) -> None:
    """Read everything, count, append: the published script's way (without lock or fsync)."""
    lines = path.read_text().splitlines()
    last = max(json.loads(line)["seq"] for line in lines)
    with path.open("a") as handle:
        handle.write(json.dumps({**json.loads(lines[-1]), "seq": last + 1}) + "\n")


def floor_append(path: Path) -> None:
    """One write, one fsync."""
    with path.open("ab", buffering=0) as handle:
        handle.write(b"x" * 180 + b"\n")
        os.fsync(handle.fileno())


def filled(folder: Path, lines: int) -> Path:
    """A log of so many lines."""
    path = folder / f"{lines}.jsonl"
    path.unlink(missing_ok=True)
    append(path)
    first = json.loads(path.read_text())
    with path.open("w") as handle:
        handle.writelines(json.dumps({**first, "seq": n}) + "\n" for n in range(1, lines + 1))
    return path


def median_ms(call: Callable[[Path], None], path: Path, times: int) -> float:
    """Milliseconds a call."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        call(path)
        took.append(time.perf_counter() - began)
    return 1000 * statistics.median(took)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    times = 20 if parser.parse_args().quick else 100
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short, long = (median_ms(append, filled(folder, n), times) for n in (10, 100_000))
        peer = median_ms(peer_append, filled(folder, 100_000), 5)
        floor = median_ms(floor_append, folder / "floor", times)
        print(f"append at line 10        {short:.3f} ms")
        print(f"append at line 100,000   {long:.3f} ms = {long / short:.2f} x line 10")
        print(f"  to one write and fsync {long / floor:.2f} x")
        print(f"  reading the whole file {peer:.3f} ms = {peer / long:.0f} x")
        path = folder / LOG_FILE
        writers = [multiprocessing.Process(target=append, args=(path,)) for _ in range(50)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        numbers = [line.seq for line in read_log(path)]
        print(f"50 writers at once: {len(numbers)} lines, seq 1..50 in order: {numbers == list(range(1, 51))}")


if __name__ == "__main__":
    main()
