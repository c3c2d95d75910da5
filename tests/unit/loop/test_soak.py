"""A long life: neither memory nor descriptors grow, and nothing becomes slower because there is much of it."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import tiny
from mcp.client import Client

from mcp_server.server import build_server
from tao_skill_bank import runs
from tao_skill_bank.loop.log import LOG_FILE, append_stage, read_tail
from tao_skill_bank.loop.run import Run
from tao_skill_bank.loop.stage import Outcome, Stage
from tao_skill_bank.loop.state import Result, StopResult
from tao_skill_bank.tasks.changenet.results import EvaluateResult
from tao_skill_bank.tasks.changenet.task import TASK

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory and descriptors are read from /proc")


class Toy(Stage[Any]):
    """A stage that takes no time: only the engine around it is at work."""

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]
        self.Result = {"evaluate": EvaluateResult, "loop_stop": StopResult}.get(name, Result)  # type: ignore[misc]

    def folders(self, run: Run[Any], label: str) -> list[Path]:
        return [run.folder(label) / self.name]

    def work(self, run: Run[Any], label: str) -> Outcome:
        made = run.folder(label) / self.name / "made.txt"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(label)
        result = Result()
        if self.name == "evaluate":
            result = EvaluateResult(best_ckpt_path="x", best_ckpt_kind="latest", far_pct=50.0, threshold=0.5)
        if self.name == "loop_stop":
            result = StopResult(stop_reason="no iterations left", best_iteration=None)
        return Outcome("done", result=result, promised=[made])


def resident() -> float:
    """This process's memory in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def descriptors() -> int:
    """How many files this process holds open."""
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def looped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Runs the whole loop of two iterations once more, in this process, as often as told."""
    workspace = tiny.make_workspace(tmp_path / "w", pool=6, pairs=2, acceptance=False)
    for name in TASK.stages:
        monkeypatch.setitem(TASK.stages, name, Toy(name))

    def loop(times: int) -> None:
        for _ in range(times):
            run = tiny.approved(tiny.request(workspace, target="FAR < 0.1% at recall=100%", iterations=2))
            runs.run_loop(run)
            assert runs.status(run).status == "complete"
            for left in sorted(run.rglob("*"), reverse=True):
                left.rmdir() if left.is_dir() else left.unlink()
            run.rmdir()

    return loop


def grown(loop: Callable[[int], None], warm: int, times: int) -> tuple[float, int]:
    """MB and descriptors that `times` loops added after `warm` of them."""
    loop(warm)
    memory, files = resident(), descriptors()
    loop(times)
    more = resident() - memory, descriptors() - files
    print(f"{times} loops: {more[0]:+.1f} MB, {more[1]:+d} descriptors")
    return more


def test_loops_in_one_process_hold_no_more_files_than_the_first(looped: Callable[[int], None]) -> None:
    assert grown(looped, 2, 4)[1] == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_hundred_iterations_in_one_process_grow_neither_memory_nor_descriptors(
    looped: Callable[[int], None],
) -> None:
    memory, files = grown(looped, 25, 225)
    assert files == 0
    assert memory < 10.0


# -- a million lines -----------------------------------------------------------------------------------------------


def with_lines(tmp_path: Path, count: int) -> Path:
    """A run whose log has so many lines."""
    run = tiny.approved(tiny.request(tiny.make_workspace(tmp_path / "w", pool=0, pairs=0, acceptance=False)))
    line = append_stage(run / LOG_FILE, iter_label="iter1", stage="train", status="ok", summary="x", duration_sec=1)
    text = json.dumps({**line.model_dump(exclude_none=True), "seq": 0})
    head, tail = text.split('"seq": 0')
    with (run / LOG_FILE).open("w", encoding="utf-8") as log:
        log.writelines(f'{head}"seq": {n}{tail}\n' for n in range(1, count + 1))
    return run


def median_ms(work: Callable[[], object], times: int = 21) -> float:
    """The median of a few calls, in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return sorted(took)[times // 2] * 1000


def check_many_lines(tmp_path: Path, count: int) -> None:
    short, long = with_lines(tmp_path / "short", 10), with_lines(tmp_path / "long", count)

    def append(run: Path) -> float:
        log = run / LOG_FILE
        began = time.perf_counter()
        append_stage(log, iter_label="iter1", stage="train", status="ok", summary="x", duration_sec=1)
        return time.perf_counter() - began

    # In turns, so that what else the machine does falls on both alike; the quicker half is the work itself.
    pairs = [(append(long), append(short)) for _ in range(41)]
    ratio = sorted(p[0] for p in pairs)[10] / sorted(p[1] for p in pairs)[10]
    shown = median_ms(lambda: runs.status(long))
    assert read_tail(long / LOG_FILE, limit=1)[0].seq == count + 41

    async def tool() -> float:
        async with Client(build_server([long.parents[1]])) as client:
            took = []
            for _ in range(11):
                began = time.perf_counter()
                answer = await client.call_tool("get_deft_status", {"results_dir": str(long)})
                took.append(time.perf_counter() - began)
                assert not answer.is_error
            return sorted(took)[5] * 1000

    through_server = anyio.run(tool)
    print(
        f"{count} lines: an append costs {ratio:.2f} times that behind 10 lines; "
        f"status {shown:.1f} ms, through the server {through_server:.1f} ms"
    )
    assert ratio < 2.0
    assert shown < 100.0 and through_server < 100.0


def test_behind_many_lines_an_append_costs_the_same_and_the_status_comes_at_once(tmp_path: Path) -> None:
    check_many_lines(tmp_path, 100_000)


@pytest.mark.slow
def test_behind_a_million_lines_an_append_costs_the_same_and_the_status_comes_at_once(tmp_path: Path) -> None:
    check_many_lines(tmp_path, 1_000_000)


@pytest.mark.slow
def test_the_status_command_behind_a_million_lines_costs_its_start_and_less_than_100_ms(tmp_path: Path) -> None:
    short, long = with_lines(tmp_path / "short", 10), with_lines(tmp_path / "long", 1_000_000)

    def command(run: Path) -> Callable[[], object]:
        words = [sys.executable, "-m", "tao_skill_bank.cli", "deft", "status", "--results-dir", str(run), "--json"]
        return lambda: subprocess.run(words, check=True, capture_output=True)

    took = {run: median_ms(command(run), times=7) for run in (short, long)}
    print(f"deft status: {took[short]:.0f} ms behind 10 lines, {took[long]:.0f} ms behind a million")
    assert took[long] - took[short] < 100.0
