"""SIGKILL at random moments: taken up each time, a run ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import bcq
import pytest
import tiny

from tao_skill_bank.demo_vlm import make_vlm_workspace
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.loop.request import Request
from tao_skill_bank.platforms.base import read_process, read_records
from tao_skill_bank.platforms.worker import beside
from tao_skill_bank.tasks.registry import load_state

SMALL = ("mining.budget=8", "anomalygen.num_SDG=2")
DRIVER = Path(tiny.__file__).with_name("drive.py")


def drive(run: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, (str(DRIVER.parent), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path}
    worker = subprocess.Popen([sys.executable, str(DRIVER), str(run)], stdout=subprocess.PIPE, text=True, env=env)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def finished(run: Path) -> int:
    with drive(run) as worker:
        return worker.wait()


def kill(worker: subprocess.Popen[str], run: Path, *, jobs_too: bool) -> None:
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    if not jobs_too:
        return
    for record in read_records(run):
        for kind in ("claim.json", "child.json"):
            who = read_process(beside(record.path, kind))
            if who and who[0] and not beside(record.path, "exit.json").exists():
                try:
                    os.kill(who[0], signal.SIGKILL)
                except ProcessLookupError:
                    continue


def boards(folder: Path, iterations: int = 2) -> Request:
    """Two iterations of the first loop."""
    workspace = tiny.make_workspace(folder / "w")
    return tiny.request(workspace, target="FAR < 0.001% at recall=100%", iterations=iterations, settings=SMALL)


def few_boards(folder: Path) -> Request:
    """One iteration: every stage is in it, those between two among them."""
    return boards(folder, iterations=1)


def answers(folder: Path) -> Request:
    """One iteration of the second loop."""
    return bcq.request(make_vlm_workspace(folder / "w", 0, bcq.FEW))


def grown(run: Path, lines: int, worker: subprocess.Popen[str]) -> bool:
    """Wait until the log of a run at work has so many lines; false where the worker ended before."""
    while worker.poll() is None:
        if log_lines(run) >= lines:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(timeout=0.01)
    return False


def log_lines(run: Path) -> int:
    log = run / LOG_FILE
    return log.read_bytes().count(b"\n") if log.exists() else 0


def survive(wanted: Callable[[Path], Request], folder: Path, kills: int, seed: int) -> None:
    """A reference run, and as many stormy ones as it takes until so many kills have hit a run at work.

    A kill comes so many lines of the log further on, as drawn, and then a random part of the time that a line takes:
    how fast a run gets on changes with what else the machine does, how far it gets does not. A run that outran its
    kills is judged and followed by another.
    """
    request = wanted(folder)
    calm = tiny.approved(request)
    began = time.monotonic()
    assert finished(calm) == 0
    lines = log_lines(calm)
    pause = (time.monotonic() - began) / lines
    expected = tiny.snapshot(calm)
    shutil.move(calm, folder / "calm")

    rng = random.Random(seed)
    hit = storms = 0
    while hit < kills:
        storms += 1
        assert storms <= kills, f"{hit} of {kills} kills hit a run at work"
        stormy = tiny.approved(request)
        while hit < kills and load_state(stormy).status != "complete":
            further = log_lines(stormy) + rng.randint(0, max(1, lines // kills))
            worker = drive(stormy)
            if grown(stormy, further, worker):
                try:
                    worker.wait(timeout=rng.uniform(0.0, pause))
                except subprocess.TimeoutExpired:
                    hit += 1
            kill(worker, stormy, jobs_too=hit % 2 == 1)
        assert finished(stormy) == 0
        judge(stormy, expected)
        shutil.move(stormy, folder / f"stormy-{storms}")


def judge(stormy: Path, expected: dict[str, str]) -> None:
    """Ended once, every stage once, with the artifacts of the calm run."""
    lines = read_log(stormy / LOG_FILE)
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    ended = [(line.iter, line.stage) for line in lines if line.status == "ok"]
    assert len(ended) == len(set(ended))
    found = tiny.snapshot(stormy)
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.mark.parametrize(("wanted", "kills"), [(few_boards, 3), (answers, 2)])
def test_a_run_killed_at_random_moments_ends_with_the_same_artifacts(
    tmp_path: Path, wanted: Callable[[Path], Request], kills: int
) -> None:
    survive(wanted, tmp_path, kills, seed=20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("wanted", [boards, answers])
def test_a_run_killed_at_fifty_random_moments_ends_with_the_same_artifacts(
    tmp_path: Path, wanted: Callable[[Path], Request]
) -> None:
    survive(wanted, tmp_path, kills=50, seed=50)
