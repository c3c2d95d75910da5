"""A monitor whose process is killed at any call that changes its folder: the next one takes up, nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tao_skill_bank.assurance import monitor_feed as monitor
from tao_skill_bank.assurance.monitor import status
from tao_skill_bank.assurance.monitor_feed import Rates
from tao_skill_bank.assurance.monitor_record import SETTINGS_FILE, read_fed
from tao_skill_bank.data.score_files import read_score_file
from tao_skill_bank.reports.monitor import write_page

CALLS = ("fsync", "rename", "replace", "mkdir", "link", "unlink", "truncate", "ftruncate")
Step = Callable[[Path], object]


def killed(step: Step, folder: Path, at: int, *, torn: bool) -> bool:
    """Whether a process of its own that takes the step died, as it was to before or behind one of its calls.

    `torn`: only where it syncs, and the last bytes of what it was about to sync are not on the disk.
    """
    child = os.fork()
    if not child:
        left, patched = [at], pytest.MonkeyPatch()

        def count() -> None:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        def dying(call: Callable[..., Any]) -> Callable[..., Any]:
            def instead(*args: Any, **more: Any) -> Any:
                if torn and left[0] == 1 and os.path.isfile(f"/proc/self/fd/{args[0]}"):
                    os.ftruncate(args[0], max(0, os.fstat(args[0]).st_size - 40))
                count()
                done = call(*args, **more)
                if not torn:
                    count()
                return done

            return instead

        for name in ("fsync",) if torn else CALLS:
            patched.setattr(os, name, dying(getattr(os, name)))
        try:
            step(folder)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, ended = os.waitpid(child, 0)
    assert os.WIFSIGNALED(ended) or os.waitstatus_to_exitcode(ended) == 0
    return os.WIFSIGNALED(ended)


def start(folder: Path) -> None:
    """As a person does who starts it again where nothing was started."""
    if not (folder / SETTINGS_FILE).exists():
        monitor.start(folder, 0.5, target="FAR < 1% at recall=99%", reference_lots=2, least_parts=5)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Step]]:
    """A start, three days, labels of some parts, a restart, a fourth day, a look."""
    days, rng = tmp_path_factory.mktemp("days"), np.random.default_rng(3)

    def feeding(name: str, label: str) -> tuple[str, Step]:
        path = days / f"{name}.csv"
        rows = [f"{'CU'[i % 2]},{score:.6f}{label}" for i, score in enumerate(rng.normal(0.2, 0.05, 20))]
        path.write_text("\n".join(["part_type,score" + (",label" if label else ""), *rows]) + "\n")
        more: dict[str, Any] = {"labels_only": True, "rates": Rates(1.0, 0.1)} if label else {}
        # Read here, so that what is forked starts no threads of its own.
        scores = read_score_file(path)
        return "feed", lambda folder: monitor.feed(folder, scores, **more)

    return [
        ("start", start),
        *(feeding(name, "") for name in ("one", "two", "three")),
        feeding("judged", ",PASS"),
        ("restart", lambda folder: monitor.restart(folder, "U", "", "new lamp")),
        feeding("four", ""),
        ("status", lambda folder: write_page(folder, status(folder))),
    ]


def told(folder: Path) -> tuple[Any, Any]:
    """What a monitor says, and what was fed but for the times."""
    if not (folder / SETTINGS_FILE).exists():
        return None, None
    return status(folder), [
        (line.file, line.sha256, line.lots, line.labelled) for line in read_fed(folder)[0] if line.file
    ]


@pytest.mark.parametrize("torn", [False, True], ids=["between writes", "within a line"])
def test_a_step_that_is_killed_at_any_write_is_taken_again_and_nothing_is_lost_or_doubled(
    tmp_path: Path, steps: list[tuple[str, Step]], torn: bool
) -> None:
    clean, points = tmp_path / "clean", dict.fromkeys((name for name, _ in steps), 0)
    for name, step in steps:
        before = tmp_path / f"before-{len(list(tmp_path.iterdir()))}"
        if clean.exists():
            shutil.copytree(clean, before)
        left = told(clean)
        step(clean)
        done = told(clean)
        for at in range(1, 100):
            folder = tmp_path / "killed"
            shutil.rmtree(folder, ignore_errors=True)
            if before.exists():
                shutil.copytree(before, folder)
            if not killed(step, folder, at, torn=torn):
                break
            points[name] += 1
            # Whoever only looks sees the step done or not begun.
            assert told(folder) in (left, done), (name, at)
            step(folder)
            assert told(folder) == done, (name, at)
            if name == "status":
                assert (folder / "monitor.html").read_bytes() == (clean / "monitor.html").read_bytes()
    assert all(points.values()), points
