"""A sample of the points at which a run can be hurt; every one of them in `make proof`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import FAULTS, Harness, chosen

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="no C compiler here"),
    pytest.mark.skipif(sys.platform != "linux", reason="faults are injected by a library of Linux's loader"),
]
SAMPLE = {"kill": 10, "ENOSPC": 4, "EIO": 3, "EMFILE": 2, "EROFS": 2, "clock set back": 1}


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    yield Harness(tmp_path_factory.mktemp("crash"))


def tried(harness: Harness, fault: str, sample: int | None, seed: int) -> str:
    points = chosen(harness.points, fault, sample, seed)
    wrong = [f"{p}: {said}" for p in points if (said := harness.trial(p, fault)) is not None]
    print(f"{fault}: {len(harness.points)} points found, {len(points)} tried, {len(wrong)} failures")
    return "\n".join(wrong)


def test_a_run_hurt_at_a_sample_of_its_calls_ends_as_if_nothing_had_happened(harness: Harness) -> None:
    assert len(harness.points) > 1000
    assert {p.role.partition(":")[0] for p in harness.points} == {"engine", "worker", "action", "model"}
    seed = int(os.environ.get("TAO_CRASH_SEED", "1"))
    assert [found for fault, count in SAMPLE.items() if (found := tried(harness, fault, count, seed))] == []


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_hurt_at_every_one_of_its_calls_ends_as_if_nothing_had_happened(harness: Harness, fault: str) -> None:
    assert tried(harness, fault, None, 0) == ""
