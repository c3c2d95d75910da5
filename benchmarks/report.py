"""The DEFT report: what rendering 20 iterations of 10,000 KPI rows costs, beside reading their inferences alone.

The floor is reading the 21 CSVs. The exit status is 1 when a page takes 2 s of processor time or 3 MB, or a reader that
looks all the while ever sees half a page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from report_runs import RunBuilder  # noqa: E402 - it lies beside the tests

from tao_skill_bank.data.changenet.kpi import read_scored  # noqa: E402
from tao_skill_bank.reports.deft.report import REPORT_FILE, render_report  # noqa: E402
from tao_skill_bank.tasks.registry import load_state  # noqa: E402

LIMIT_SEC, LIMIT_BYTES = 2.0, 3_000_000


def spent(call: object, times: int) -> float:
    """The least processor time of so many calls, in seconds."""
    found = []
    for _ in range(times):
        began = time.process_time()
        call()  # type: ignore[operator]
        found.append(time.process_time() - began)
    return min(found)


def half_pages(run: Path, times: int) -> tuple[int, int]:
    """(looks, half pages) of a reader while the page is rendered so many times."""
    page, ended, counts = run / REPORT_FILE, threading.Event(), [0, 0]

    def look() -> None:
        while not ended.is_set():
            text = page.read_text(encoding="utf-8")
            counts[0] += 1
            counts[1] += not text.rstrip().endswith("</html>")

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(times):
        render_report(run)
    ended.set()
    reader.join()
    return counts[0], counts[1]


def main() -> int:
    """Print the figures; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="One measurement instead of five.")
    times = 1 if parser.parse_args().quick else 5
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        for pictures in (False, True):
            folder = Path(name) / f"pictures-{pictures}"
            lights = ["SolderLight", "WhiteLight"] if pictures else ["SolderLight"]
            passes, each = (9_600, 100) if not pictures else (400, 10)
            run = RunBuilder(
                folder, iterations=20, passes=passes, per_label=each, pictures=pictures, lights=lights
            ).build()
            render_report(run)
            inferences = [Path(it.inference_csv or "") for it in load_state(run).iterations.values()]
            page = spent(lambda run=run: render_report(run), times)
            floor = spent(lambda inferences=inferences: [read_scored(path) for path in inferences], times)
            size = (run / REPORT_FILE).stat().st_size
            looks, halves = half_pages(run, times)
            missed += page >= LIMIT_SEC or size >= LIMIT_BYTES or halves > 0
            rows = passes + each * 4
            print(
                f"20 iterations x {rows} rows, {'with' if pictures else 'without'} pictures: {page:.2f} s of processor "
                f"time (limit {LIMIT_SEC:g}), {page / floor:.1f} times reading the inferences, {size / 1e6:.2f} MB, "
                f"{halves} half pages in {looks} looks"
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
