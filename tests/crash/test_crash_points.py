"""A sample of the points at which a run can be hurt; every one of them in `make proof`."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import annotation_harness
import pytest
import toy_task
from annotation_harness import AnnotationHarness
from fencing import Fencing
from harness import ENGINE_ALONE, FAULTS, LOOPS, ForkServer, Harness, LimitReachedError, Point, chosen, masked

from tao_skill_bank.tasks import registry

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="no C compiler here"),
    pytest.mark.skipif(sys.platform != "linux", reason="faults are injected by a library of Linux's loader"),
]
SAMPLES = {
    "boards": {"kill": 10, "ENOSPC": 4, "EIO": 4, "EMFILE": 3, "EROFS": 3, "clock set back": 2},
    "answers": {"kill": 3, "ENOSPC": 1, "EROFS": 1},
}
# `model` is the first loop's alone: there a program of its own stands in for TAO's.
ROLES = {
    "boards": {"engine", "worker", "child of worker", "action", "model"},
    "answers": {"engine", "worker", "child of worker", "action"},
}
ANNOTATION_SAMPLE = {"kill": 6, "ENOSPC": 3, "EIO": 3, "EMFILE": 2, "EROFS": 2, "clock set back": 1}
REAL_KILLS = 3
RCA, TRAIN = 2, 0
# Loop, stopped workers -> trials in `make test`.
STOPPED = {("boards", 1): 2, ("boards", 2): 1, ("answers", 1): 1, ("numbers", 1): 5, ("numbers", 2): 5}


@pytest.fixture(scope="module")
def harness_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Harness]]:
    """The clean run of a loop, made when it is first asked for."""
    made: dict[str, Harness] = {}

    def of(loop: str) -> Harness:
        if loop not in made:
            made[loop] = Harness(tmp_path_factory.mktemp("crash"), {**LOOPS, **ENGINE_ALONE}[loop])
        return made[loop]

    yield of
    for harness in made.values():
        harness.close()


def test_the_end_of_a_harness_hides_no_error_of_a_trial_that_left_a_process_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[bool] = []
    harness = object.__new__(Harness)
    harness.server = cast(ForkServer, SimpleNamespace(close=lambda: closed.append(True)))

    def hangs(_: Harness) -> None:
        raise LimitReachedError(1)

    monkeypatch.setattr(Harness, "_settle", hangs)
    with pytest.raises(AssertionError, match="the trial's own"), closing(harness):
        raise AssertionError("the trial's own")
    assert closed == [True]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    toy_task.install(folder)
    return folder


@pytest.fixture(autouse=True)
def _toy_task(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop that starts no process, as another package brings it: for this process and those it starts."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH")))))
    monkeypatch.setattr(registry, "task_named", registry.task_named.__wrapped__)


@pytest.fixture
def harness(harness_of: Callable[[str], Harness]) -> Harness:
    return harness_of("boards")


@pytest.fixture(scope="module")
def annotation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnnotationHarness]:
    with AnnotationHarness(tmp_path_factory.mktemp("annotation")) as made:
        yield made


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("TAO_CRASH_SEED", "1"))


def tried(harness: Harness, fault: str, sample: int | None, seed: int) -> str:
    points = chosen(harness.points, fault, sample, seed)
    wrong = [f"{p}: {said}" for p in points if (said := harness.trial(p, fault)) is not None]
    print(f"{fault}: {len(harness.points)} points found, {len(points)} tried, {len(wrong)} failures")
    return "\n".join(wrong)


def tried_annotation(harness: AnnotationHarness, fault: str, sample: int | None, seed: int) -> list[str]:
    result = annotation_harness.tried(harness, fault, chosen(harness.points, fault, sample, seed))
    print(f"{fault}: {len(harness.points)} points found, {result.met} tried, {len(result.wrong)} failures")
    assert sample is not None or result.met > 0.9 * len(chosen(harness.points, fault, None, seed))
    return result.wrong


@pytest.mark.parametrize("loop", LOOPS)
def test_a_run_hurt_at_a_sample_of_its_calls_ends_as_if_nothing_had_happened(
    harness_of: Callable[[str], Harness], loop: str, seed: int
) -> None:
    harness = harness_of(loop)
    assert len(harness.points) > 1000
    assert {p.role.partition(":")[0] for p in harness.points} == ROLES[loop]
    assert [found for fault, count in SAMPLES[loop].items() if (found := tried(harness, fault, count, seed))] == []


def not_durable(points: list[Point]) -> list[str]:
    """What a loss of power could take though a later call relies on it; a killed process cannot show that.

    A file is synced before it gets its name, and its folder before the next process starts and before the end; what is
    written in place is synced at the end. Output of jobs (`.log`) and locks hold nothing that is relied on.
    """
    wrong: list[str] = []
    calls: dict[tuple[int, str], list[Point]] = {}
    for point in points:
        calls.setdefault((point.stage, point.role), []).append(point)
    for (stage, role), made in calls.items():
        written: set[str] = set()
        named: set[str] = set()
        for p in made:
            if p.call in ("write", "pwrite", "writev", "ftruncate"):
                written.add(p.path)
            elif p.call in ("fsync", "fdatasync"):
                written.discard(p.path)
                named.discard(p.path)
            elif p.call in ("rename", "link"):
                early = {name for name in written if ".tmp" in name or "/.unfinished" in name}
                wrong += [f"stage {stage}, {role}: {p.path} is named before {name} is synced" for name in early]
                written -= early
                named.add(os.path.dirname(p.path))
            elif p.call == "unlink":
                written.discard(p.path)
            elif p.call == "spawn":
                wrong += [f"stage {stage}, {role}: {name} is not synced before a process starts" for name in named]
        left = {name for name in written if not name.endswith((".log", ".lock"))} | named
        wrong += [f"stage {stage}, {role}: {name} is never synced" for name in left]
    return wrong


@pytest.mark.parametrize("loop", LOOPS)
def test_what_gets_its_name_was_synced_before_and_its_folder_after(
    harness_of: Callable[[str], Harness], loop: str
) -> None:
    # The stand-in for TAO's model syncs nothing, as TAO does not.
    own = [p for p in harness_of(loop).points if not p.role.startswith("model")]
    assert sum(p.call == "rename" for p in own) > 50
    assert not_durable(own) == []


def test_processes_that_were_started_anew_survive_kills_as_forked_ones_do(harness: Harness, seed: int) -> None:
    with harness.started_anew():
        assert tried(harness, "kill", REAL_KILLS, seed + 1) == ""


def test_a_process_that_the_harness_ended_is_told_as_that_and_not_as_a_call_that_was_not_made_again(
    harness_of: Callable[[str], Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = harness_of("numbers")
    monkeypatch.setattr(harness.server, "limit", 0.0)
    assert "did not end within 0 s" in str(harness.trial(harness.points[-1], "kill"))


@pytest.mark.parametrize("stage", [TRAIN, RCA])
def test_a_forked_process_makes_the_calls_of_one_that_was_started_anew(harness: Harness, stage: int) -> None:
    def calls(points: list[Point]) -> Counter[tuple[str, str, str]]:
        return Counter((p.role, p.call, masked(p.path)) for p in points)

    forked = calls([p for p in harness.points if p.stage == stage])
    anew = calls(harness.really_traced(stage))
    assert forked - anew == Counter()
    # What imports on its way makes a pipe; nothing of the run is there to be hurt yet.
    # What a process prints goes to its log in as many writes as its buffer makes of it.
    more = [p for p in (anew - forked).elements() if not (p[1] == "write" and p[2].endswith(".log"))]
    assert {(role.partition(":")[0], call) for role, call, _ in more} <= {("engine", "spawn"), ("action", "spawn")}
    assert len(more) <= 2


def test_an_annotation_hurt_at_a_sample_of_its_calls_ends_with_the_same_bytes_and_pays_nothing_twice(
    annotation: AnnotationHarness, seed: int
) -> None:
    assert len(annotation.points) > 400
    assert {"pwrite", "fdatasync", "rename", "unlink"} <= {p.call for p in annotation.points}
    assert [
        w for fault, count in ANNOTATION_SAMPLE.items() for w in tried_annotation(annotation, fault, count, seed)
    ] == []


def lost(harness: Harness, stopped: int, sample: int | None, seed: int) -> list[str]:
    """What went wrong where so many workers were stopped, lost the run to another one, and went on."""
    rng = random.Random(f"{seed} {stopped}")
    points = chosen([p for p in harness.points if p.role == "engine"], "kill", sample, seed + stopped)
    trials = Fencing(harness, stopped)
    try:
        found = [(p, trials.trial(p, [rng.randrange(5, 50) for _ in range(1, stopped)])) for p in points]
    finally:
        trials.close()
    print(f"{len(points)} points, {stopped} stopped: {sum(said is not None for _, said in found)} failures")
    return [f"{point}: {said}" for point, said in found if said is not None]


@pytest.mark.parametrize(("loop", "stopped"), STOPPED)
def test_a_worker_that_lost_its_run_while_it_was_stopped_changes_nothing(
    harness_of: Callable[[str], Harness], loop: str, stopped: int, seed: int
) -> None:
    assert lost(harness_of(loop), stopped, STOPPED[loop, stopped], seed) == []


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("loop", [*ENGINE_ALONE, *LOOPS])
@pytest.mark.parametrize("stopped", [1, 2])
def test_a_worker_that_lost_its_run_at_any_call_changes_nothing(
    harness_of: Callable[[str], Harness], loop: str, stopped: int
) -> None:
    assert lost(harness_of(loop), stopped, None, 0) == []


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_hurt_at_every_one_of_its_calls_ends_as_if_nothing_had_happened(
    harness_of: Callable[[str], Harness], loop: str, fault: str
) -> None:
    assert tried(harness_of(loop), fault, None, 0) == ""


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_annotation_hurt_at_every_one_of_its_calls_ends_with_the_same_bytes_and_pays_nothing_twice(
    annotation: AnnotationHarness, fault: str
) -> None:
    assert tried_annotation(annotation, fault, None, 0) == []
