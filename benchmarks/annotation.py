"""Annotation beside what it cannot beat: the sum of the latencies over the workers, and one call for each answer.

A scripted server on loopback answers the real SDK after random latencies. Exit status 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from annotation import CALLS_A_VIDEO, least_seconds, overrides  # type: ignore[attr-defined]  # noqa: E402
from scripted_endpoint import Fault, Request, ScriptedEndpoint  # noqa: E402
from videos import make_videos  # noqa: E402

WORKERS = 16


def annotate(server: ScriptedEndpoint, folder: Path, workers: int) -> float:
    """Seconds of a whole run in a process of its own, start-up included."""
    arguments = overrides(server.url, folder / "out", folder / "v", f"workflow.max_workers={workers}")
    command = [sys.executable, "-m", "tao_skill_bank.actions", "auto_label", "generate", *arguments]
    environment = {**os.environ, "OPENAI_API_KEY": "unused-unused"}
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(done.stderr or done.stdout)
    return time.monotonic() - began


def waiting(folder: Path, videos: int) -> bool:
    """Wall time beside the bound, and the most calls in flight."""
    make_videos(folder / "v", videos, seconds=1.0, fps=2)
    chance = random.Random(11)
    with ScriptedEndpoint(latency=lambda request: chance.uniform(0.2, 1.0)) as server:
        wall = annotate(server, folder, WORKERS)
        least = least_seconds(server, WORKERS)
        print(f"{videos} videos, {server.calls} calls: {wall:.1f} s, {wall / least:.3f} x the bound of {least:.1f} s")
        print(f"  most calls in flight {server.peak} of {WORKERS}")
        # Start-up, the careful first calls and the last video weigh on a short run.
        limit = 1.10 if videos >= 1000 else 1.25
        return bool(wall <= limit * least and server.peak <= WORKERS and server.calls == videos * CALLS_A_VIDEO)


def faults(folder: Path, videos: int) -> bool:
    """Calls beside answers where 20 % of the calls meet a 429, 5 % a 500 and 2 % a cut connection."""
    make_videos(folder / "v", videos, seconds=1.0, fps=2)

    def fault(request: Request) -> Fault | None:
        if request.tries > 1:
            return None
        body = json.dumps(request.body, sort_keys=True).encode()
        draw = int.from_bytes(hashlib.sha256(body).digest()[:4], "big") / 2**32
        if draw < 0.20:
            return Fault(429, headers={"retry-after": "0.1"})
        return Fault(500) if draw < 0.25 else Fault(0) if draw < 0.27 else None

    with ScriptedEndpoint(faults=fault) as server:
        annotate(server, folder, WORKERS)
        ratio = server.calls / (videos * CALLS_A_VIDEO)
        print(f"20 % 429, 5 % 500, 2 % cut: {server.calls} calls for {videos * CALLS_A_VIDEO} answers, {ratio:.3f} x")
        return bool(ratio <= 1.3)


def main() -> int:
    """Measure; 0 when every limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="1,000 videos: ten minutes")
    size.add_argument("--quick", action="store_true", help="60 videos, as without it")
    parser.add_argument("--only", choices=["waiting", "faults"])
    given = parser.parse_args()
    kept = []
    for name, work, videos in (("waiting", waiting, 1000 if given.full else 60), ("faults", faults, 60)):
        if given.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                kept.append(work(Path(folder), videos))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
