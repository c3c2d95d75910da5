"""Several at one run: agents, a person and the MCP server, each in a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny
from polling import wait_until

from tao_skill_bank import runs
from tao_skill_bank.loop.log import LOG_FILE, log_lock, read_log
from tao_skill_bank.loop.opening import folder_lock
from tao_skill_bank.tasks.registry import load_state

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = Path(tiny.__file__).parent
WHO = r"running since \d{4}-\d\d-\d\dT[\d:.]+Z by \w+ \(process \d+\)"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    wanted = tiny.request(tiny.make_workspace(tmp_path / "w"), iterations=1, settings=("num_epochs=1",))
    return tiny.approved(wanted)


@contextmanager
def closed_gate(folder: Path) -> Iterator[dict[str, str]]:
    """While it is held, no model of a process with this environment begins."""
    gate = folder / "gate"
    with gate.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield {"FAKE_TAO_GATE": str(gate)}


def door(name: str, run: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """A process that is about to step the run."""
    path = os.pathsep.join(filter(None, (str(SUPPORT), str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, str(SUPPORT / "at_once.py"), name, str(run)],
        env={**os.environ, "PYTHONPATH": path, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def open_together(doors: list[subprocess.Popen[str]]) -> None:
    """Let all of them go at once."""
    for process in doors:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in doors:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> tuple[bool, str]:
    """Whether it worked, and what it said."""
    out, _ = process.communicate(timeout=120)
    said = json.loads(out.splitlines()[-1])
    return said["worked"], said["text"]


def at_work(run: Path, other_than: int = 0) -> int:
    """The process that works on the run, as soon as one does."""
    return wait_until(lambda: ((who := runs.holder(run)) and who.pid != other_than and who.pid) or 0)


def test_of_two_agents_a_person_and_the_server_one_works_and_the_others_are_told_since_when_and_by_whom(
    run: Path, tmp_path: Path
) -> None:
    with closed_gate(tmp_path) as env:
        doors = [door(name, run, env) for name in ("command", "command", "command", "server")]
        open_together(doors)
        winner = at_work(run)
        told = [answer(process) for process in doors if process.pid != winner]
    told += [answer(process) for process in doors if process.pid == winner]
    wait_until(lambda: runs.holder(run) is None)
    refused = [text for worked, text in told if not worked]
    assert len(refused) >= 2
    assert all(re.search(WHO, text) for text in refused), refused
    assert all(len(text.strip().splitlines()) == 1 for text in refused), refused
    # Who was slow to ask may have worked after the winner: never at the same stage, never at the same time.
    lines = [line.stage for line in read_log(run / LOG_FILE) if line.stage != "loop_stop"]
    assert lines == ["train", "evaluate"][: 4 - len(refused)]


def test_the_lock_of_a_killed_process_is_taken_over_by_exactly_one_which_does_not_double_its_job(
    run: Path, tmp_path: Path
) -> None:
    with closed_gate(tmp_path) as env:
        first = door("command", run, env)
        open_together([first])
        assert at_work(run) == first.pid
        wait_until(lambda: list((run / "jobs").glob("*.child.json")))
        first.send_signal(signal.SIGKILL)
        first.communicate()
        assert runs.status(run).status == "interrupted"
        heirs = [door("command", run, env) for _ in range(2)]
        open_together(heirs)
        winner = at_work(run, other_than=first.pid)
        loser = next(process for process in heirs if process.pid != winner)
        worked, text = answer(loser)
        assert not worked and f"(process {winner})" in text
    assert [answer(process)[0] for process in heirs if process.pid == winner] == [True]
    assert [(line.stage, line.status) for line in read_log(run / LOG_FILE)] == [("train", "ok")]
    assert len(list((run / "jobs").glob("baseline-train-*.exit.json"))) == 1


def test_a_status_is_given_at_once_while_others_hold_the_run_and_its_log(run: Path) -> None:
    with folder_lock(run, "somebody"), log_lock(run / LOG_FILE):
        command = [sys.executable, "-m", "tao_skill_bank.cli", "deft", "status", "--results-dir", str(run), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout)["status"] == "running"


def test_two_runs_of_one_workspace_at_once_end_as_each_would_alone_and_do_not_touch_each_other(tmp_path: Path) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", pool=0, pairs=0, acceptance=False)
    wanted = tiny.request(workspace, target="FAR < 100% at recall=50%", iterations=1)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH"))))}

    def finish(*runs: Path) -> list[dict[str, str]]:
        command = [sys.executable, str(SUPPORT / "drive.py")]
        workers = [subprocess.Popen([*command, str(run)], env=env, stdout=subprocess.DEVNULL) for run in runs]
        assert [worker.wait(120) for worker in workers] == [0] * len(runs)
        assert [load_state(run).status for run in runs] == ["complete"] * len(runs)
        return [tiny.snapshot(run) for run in runs]

    alone_run = tiny.approved(wanted)
    (alone,) = finish(alone_run)
    bytes_before = {path: path.read_bytes() for path in alone_run.rglob("*") if path.is_file()}
    assert finish(tiny.approved(wanted), tiny.approved(wanted)) == [alone, alone]
    assert {path: path.read_bytes() for path in alone_run.rglob("*") if path.is_file()} == bytes_before
