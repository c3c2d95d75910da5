"""Faults at every call by which an annotation changes files, found by tracing one clean run.

    python tests/crash/annotation_harness.py [--faults kill,ENOSPC,…] [--sample N] [--seed N] [--part I/N]

Against the scripted endpoint. After each fault the run is taken up; it must end with the bytes of the clean one, no
answer that was in the journal may be gone or be bought again, and no more calls may be made twice than were in flight.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUPPORT = HERE.parent / "support"
if __name__ == "__main__":
    sys.path[:0] = [str(SUPPORT), str(HERE)]

from annotation import CANARY, final_files  # noqa: E402
from harness import FAULTS, Ended, ForkServer, Point, chosen, compile_library  # noqa: E402
from scripted_endpoint import ScriptedEndpoint  # noqa: E402
from videos import make_videos  # noqa: E402

from tao_skill_bank.annotate.journal import FILE_NAME, Journal  # noqa: E402

WORKERS = 2
VIDEOS = 2
NOT_MET = "the call was not made again"
_TAKE_UPS = 3
# What the command turns into one line.
_PLAIN = ("OSError: ", "PermissionError: ", "tao_skill_bank.core.errors.")
_DATE = re.compile(rb"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Clean:
    """What the undisturbed run left and how many calls it took."""

    files: dict[str, bytes]
    calls: int


class AnnotationHarness:
    """A clean run, and trials on it. Use it with `with`.

    Args:
        folder: A folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.library = compile_library(folder)
        self.processes = ForkServer(folder, self.library)
        make_videos(folder / "v", VIDEOS, seconds=1.0, fps=2)

    def __enter__(self) -> AnnotationHarness:
        self.server = ScriptedEndpoint(latency=lambda request: 0.002).__enter__()
        # Once untraced: what is imported on the way is then there.
        assert self._annotate({}).code == 0
        shutil.rmtree(self.out)
        self.server.reset()
        trace = self.folder / "trace"
        done = self._annotate({"FAULT_TRACE": str(trace)})
        assert done.code == 0, done.stderr
        self.clean = Clean(final_files(self.out), self.server.calls)
        lines = (line.split("\t") for line in trace.read_text(encoding="utf-8").splitlines())
        self.points = [Point(0, role, int(count), call, path) for role, count, call, path in lines]
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)
        self.processes.close()

    def _annotate(self, fault: dict[str, str]) -> Ended:
        env = {**os.environ, "OPENAI_API_KEY": CANARY, "PYTHONDONTWRITEBYTECODE": "1"}
        if fault:
            env |= {"FAULT_ROOT": str(self.out), "FAULT_ROLES": "annotator=annotate_once.py", **fault}
        words = [self.server.url, str(self.out), str(self.folder / "v"), f"workflow.max_workers={WORKERS}"]
        return self.processes.run([str(SUPPORT / "annotate_once.py"), *words], env)

    def _journaled(self) -> dict[str, str]:
        """Key → answer of everything that the journal holds; a journal that has no tables yet holds nothing."""
        if not (self.out / FILE_NAME).exists():
            return {}
        with Journal(self.out) as journal:
            return {answer.key: answer.text for answer in journal.answers()}

    def trial(self, point: Point, fault: str) -> str | None:
        """What is wrong after a fault at this call, None if nothing is."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.server.reset()
        happened = self.folder / "happened"
        happened.unlink(missing_ok=True)
        told = {"FAULT_AT": f"{point.role}:{point.number}", "FAULT_DO": FAULTS[fault][0], "FAULT_DONE": str(happened)}
        said = self._annotate(told)
        if said.code is None:
            return f"hangs: {said.stderr}"
        if not happened.exists():
            return NOT_MET
        last = (said.stderr.strip().splitlines() or [""])[-1]
        if "Traceback" in said.stderr and not last.startswith(_PLAIN):
            return f"neither the system's error nor one of ours: {last}"
        kept = self._journaled()
        for _ in range(_TAKE_UPS):
            said = self._annotate({})
            if said.code == 0:
                break
        else:
            return f"not taken up: {said.stderr.strip()[-300:]}"
        now = self._journaled()
        if lost := [key for key, text in kept.items() if now.get(key) != text]:
            return f"{len(lost)} journaled answers are gone or changed"
        if self.server.calls > self.clean.calls + WORKERS:
            return f"{self.server.calls - self.clean.calls} calls made twice with {WORKERS} in flight"
        return _difference(self.clean.files, final_files(self.out), dates=fault != "clock set back")


def _difference(expected: dict[str, bytes], found: dict[str, bytes], *, dates: bool) -> str | None:
    if sorted(expected) != sorted(found):
        return f"files differ: {sorted(set(expected) ^ set(found))[:3]}"
    if not dates:
        expected, found = ({name: _DATE.sub(b"DATE", data) for name, data in f.items()} for f in (expected, found))
    wrong = [name for name in sorted(expected) if expected[name] != found[name]]
    return f"content differs: {wrong[:3]}" if wrong else None


@dataclass
class Tried:
    """What came of some points: how many were met, and what went wrong."""

    met: int
    wrong: list[str]


def tried(harness: AnnotationHarness, fault: str, points: Sequence[Point]) -> Tried:
    """Try the points.

    How many calls a run makes depends a little on which thread is first: one of the last may not be reached. It is
    tried again, and then not counted.
    """
    result = Tried(0, [])
    for point in points:
        for _ in range(4):
            said = harness.trial(point, fault)
            if said != NOT_MET:
                break
        result.met += said != NOT_MET
        if said not in (None, NOT_MET):
            result.wrong.append(f"{fault} at {point.number} {point.call} {point.path}: {said}")
            print(result.wrong[-1], flush=True)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--sample", type=int, help="points tried a fault; all if left away")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", default="1/1", help="try the I-th of N parts of the points")
    given = parser.parse_args()
    number, parts = (int(text) for text in given.part.split("/"))
    failures = 0
    with tempfile.TemporaryDirectory(prefix="crash-") as name, AnnotationHarness(Path(name)) as harness:
        calls = ", ".join(f"{count} {call}" for call, count in Counter(p.call for p in harness.points).most_common())
        print(f"points found: {len(harness.points)} ({calls}); {harness.clean.calls} calls", flush=True)
        for fault in given.faults.split(","):
            began = time.monotonic()
            points = chosen(harness.points, fault, given.sample, given.seed)[number - 1 :: parts]
            result = tried(harness, fault, points)
            failures += len(result.wrong)
            took = time.monotonic() - began
            print(f"{fault}: {result.met} points tried, {len(result.wrong)} failures, {took:.0f} s", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
