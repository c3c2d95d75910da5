"""Ctrl-C, twice, a closed terminal, `kill`, at real processes and terminals: what runs is ended or named."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
import tiny
from annotation import overrides
from ran import ran
from report_runs import RunBuilder
from scripted_endpoint import ScriptedEndpoint
from terminals import Terminal
from videos import make_videos

from tao_skill_bank import runs
from tao_skill_bank.annotate import api
from tao_skill_bank.loop.opening import folder_lock
from tao_skill_bank.platforms.base import read_exit, read_process, read_records
from tao_skill_bank.platforms.jobs import job_state
from tao_skill_bank.platforms.worker import beside
from tao_skill_bank.tasks.registry import load_state

SUPPORT = Path(tiny.__file__).parent
CLI = [sys.executable, "-m", "tao_skill_bank.cli"]
# The console command, whose models are the stand-in.
FAKE = [sys.executable, str(SUPPORT / "stand_in_command.py")]
ONCE_MORE = "once more ends it at once"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_workspace(tmp_path_factory.mktemp("signals") / "w", pool=0, pairs=0, acceptance=False)


@pytest.fixture
def run(workspace: Path) -> Path:
    return tiny.approved(tiny.request(workspace, iterations=1, settings=("num_epochs=1",)))


def until(holds: Callable[[], object], patience: float = 60.0) -> None:
    limit = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.01)


class AtTheGate(Terminal):
    """A run whose jobs wait while `gate` is locked."""

    gate: IO[str]


@contextmanager
def training(run: Path, tmp_path: Path, word: str = "run", ignores: str | None = None) -> Iterator[AtTheGate]:
    """`deft run` at a terminal, its first job at work for as long as this lasts."""
    gate = tmp_path / "gate"
    path = os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH"))))
    with gate.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        env = {"FAKE_TAO_GATE": str(gate), "PYTHONPATH": path}
        terminal = AtTheGate([*FAKE, "deft", word, "--results-dir", str(run)], columns=200, env=env, ignores=ignores)
        terminal.gate = handle
        until(lambda: list((run / "jobs").glob("*.child.json")))
        try:
            yield terminal
        finally:
            if terminal.child.poll() is None:
                terminal.child.kill()
                terminal.child.wait()
            terminal.close()


def job_of(run: Path) -> tuple[str, int]:
    """The state of the run's only job, and its command's process."""
    (record,) = read_records(run)
    who = read_process(beside(record.path, "child.json"))
    assert who is not None
    return job_state(record), who[0]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_ends_the_job_keeps_what_is_committed_and_says_how_it_goes_on(run: Path, tmp_path: Path) -> None:
    with training(run, tmp_path) as terminal:
        terminal.until(lambda text: "baseline" in text)
        terminal.type("\x03")
        said = terminal.until(lambda text: "goes on with" in text.replace("\r\n", ""))
        assert terminal.end() == 130
    assert "stopped by Ctrl-C; what was committed is safe" in said
    assert f"tao-skills deft run --results-dir {run}" in said.replace("\r\n", "")
    state, process = job_of(run)
    assert state == "canceled"
    until(lambda: gone(process))
    view = runs.status(run)
    assert (view.status, view.stop_reason, view.working) == ("stopped", "stopped by Ctrl-C", None)
    with tiny.fake_model():
        runs.run_loop(run, once=True)
    assert [(r.stage, r.status) for r in load_state(run).records()][-1] == ("train", "ok")


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once_and_names_what_still_runs(run: Path, tmp_path: Path) -> None:
    with training(run, tmp_path) as terminal:
        (record,) = read_records(run)
        worker = read_process(beside(record.path, "claim.json"))
        assert worker is not None
        # Whoever would end the job does not answer: the first Ctrl-C waits.
        os.kill(worker[0], signal.SIGSTOP)
        try:
            terminal.until(lambda text: "baseline" in text)
            terminal.type("\x03")
            terminal.until(lambda text: ONCE_MORE in text)
            until(beside(record.path, "cancel").exists)
            terminal.type("\x03")
            said = terminal.until(lambda text: record.key in text).replace("\r\n", "")
            assert terminal.end() == -signal.SIGINT, "a shell shows it as 130"
            assert "ended at once; what was committed is safe" in said
            assert f"ended by `tao-skills deft stop {run}`: {record.key}" in said
            view = runs.status(run)
            assert view.status == "interrupted"
            assert f"with what still runs ({record.key}; deft stop ends it)" in view.next_step
        finally:
            os.kill(worker[0], signal.SIGCONT)
        runs.stop(run)
        until(lambda: read_exit(record) is not None)
    assert job_of(run)[0] == "canceled"
    assert "still runs" not in runs.status(run).next_step


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a closed terminal", "SIGTERM"])
def test_whoever_is_asked_to_leave_leaves_no_job_behind_and_the_state_says_why(
    how: str, run: Path, tmp_path: Path
) -> None:
    with training(run, tmp_path) as terminal:
        if how == "SIGTERM":
            terminal.child.terminate()
        else:
            terminal.close()
        assert terminal.child.wait(60) == (143 if how == "SIGTERM" else 129)
        state, process = job_of(run)
        assert state == "canceled"
        until(lambda: gone(process))
    why = "stopped by SIGTERM" if how == "SIGTERM" else "stopped by the end of its terminal"
    assert (load_state(run).status, load_state(run).stop_reason) == ("stopped", why)


@pytest.mark.slow
def test_what_was_started_to_outlive_its_terminal_does(run: Path, tmp_path: Path) -> None:
    with training(run, tmp_path, "step", ignores="HUP") as terminal:  # as `nohup`
        terminal.until(lambda text: "baseline" in text)
        terminal.child.send_signal(signal.SIGHUP)
        fcntl.flock(terminal.gate, fcntl.LOCK_UN)
        terminal.until(lambda text: "next: evaluate" in text)
        assert terminal.end() == 0
    assert [r.stage for r in load_state(run).records()] == ["train"]


@pytest.mark.slow
def test_a_watch_ends_with_its_terminal_and_the_run_does_not(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", iterations=1, status="running", in_progress="routing", pictures=False).build()
    before = (run / "deft_state.json").read_bytes()
    with folder_lock(run, "command"):
        terminal = Terminal([*CLI, "deft", "watch", str(run)])
        terminal.until(lambda text: "q quits" in text)
        terminal.close()
        assert terminal.child.wait(60) != 0
        assert runs.status(run).status == "running"
    assert (run / "deft_state.json").read_bytes() == before


SUBMIT = """
import os, signal, sys
from tao_skill_bank.tasks import action
start = action.start_action
def interrupted(*given):
    os.kill(os.getpid(), signal.SIGINT)
    record = start(*given)
    return record
action.start_action = interrupted
from tao_skill_bank.cli import main
main()
"""


@pytest.mark.slow
def test_a_job_that_is_being_submitted_at_a_ctrl_c_is_named(workspace: Path, tmp_path: Path) -> None:
    words = [
        "jobs",
        "start",
        "gap_analysis",
        "vcn_aoi",
        f"results_dir={tmp_path}",
        "--results-dir",
        str(tmp_path / "out"),
    ]
    words += ["--root", str(tmp_path)]
    shown = subprocess.run([*CLI, *words], capture_output=True, text=True, check=False)
    digest = shown.stdout.split()[-1]
    # Whoever started the tests in the background lets them ignore a Ctrl-C.
    done = ran(["env", "--default-signal=INT", sys.executable, "-c", SUBMIT, *words, "--approve", digest])
    assert done.returncode == 130, done.stderr
    job = done.stdout.partition(":")[0]
    assert f"end it with: tao-skills jobs cancel {tmp_path / 'out'} {job}" in done.stderr
    (record,) = read_records(tmp_path / "out")
    assert record.uid == job
    until(lambda: read_exit(record) is not None)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals") / "v"
    make_videos(folder, 2, seconds=1.0, fps=2)
    return folder


def annotating(server: ScriptedEndpoint, out: Path, videos: Path) -> Terminal:
    terminal = Terminal([*CLI, "annotate", "run", *overrides(server.url, out, videos)], columns=200)
    until(lambda: server.in_flight)
    return terminal


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "a closed terminal"])
def test_an_annotation_waits_for_its_calls_and_pays_none_of_them_twice(how: str, videos: Path, tmp_path: Path) -> None:
    with ScriptedEndpoint(latency=lambda request: 0.7) as server:
        terminal = annotating(server, tmp_path, videos)
        if how == "Ctrl-C":
            terminal.type("\x03")
            said = terminal.until(lambda text: "every answer is kept" in text)
            assert ONCE_MORE in said and "stopped by Ctrl-C" in said
            assert terminal.end() == 130
        else:
            terminal.close()
            assert terminal.child.wait(60) == 129
        paid = server.calls
        view = api.status(tmp_path)
        assert (view.answers, view.unknown, view.in_flight) == (paid, 0, 0)
        server.latency = lambda request: 0.0
        again = subprocess.run([*CLI, "annotate", "run", *overrides(server.url, tmp_path, videos)], check=False)
        assert again.returncode == 0
        assert max(server.answered.values()) == 1, "no prompt was answered twice"


@pytest.mark.slow
def test_a_second_ctrl_c_ends_an_annotation_at_once_and_its_calls_count_as_billed(videos: Path, tmp_path: Path) -> None:
    with ScriptedEndpoint(latency=lambda request: 600.0) as server:
        terminal = annotating(server, tmp_path, videos)
        terminal.type("\x03")
        terminal.until(lambda text: ONCE_MORE in text)
        terminal.type("\x03")
        terminal.until(lambda text: "calls in flight count as billed" in text)
        assert terminal.end() == -signal.SIGINT
        view = api.status(tmp_path)
        assert view.status == "interrupted" and view.unknown == server.calls > 0
    assert json.loads((tmp_path / "status.json").read_text().splitlines()[0])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "a closed terminal", "SIGTERM", "annotate stop"])
def test_an_annotation_in_shards_waits_for_the_calls_of_its_parts_and_pays_none_of_them_twice(
    how: str, videos: Path, tmp_path: Path
) -> None:
    with ScriptedEndpoint(latency=lambda request: 0.7) as server:
        words = [*CLI, "annotate", "run", "--shards", "2", *overrides(server.url, tmp_path / "out", videos)]
        terminal = Terminal(words, columns=200)
        until(lambda: server.in_flight)
        if how == "a closed terminal":
            terminal.close()
            assert terminal.child.wait(60) == 129
        elif how == "annotate stop":
            asked = subprocess.run([*CLI, "annotate", "stop", str(tmp_path / "out")], capture_output=True, text=True)
            assert asked.stdout == f"asked {tmp_path / 'out'} to stop\n", asked.stderr
            said = terminal.until(lambda text: "to go on)" in text.replace("\r\n", ""))
            assert "stopped as asked" in said and terminal.end() == 1
        else:
            terminal.type("\x03") if how == "Ctrl-C" else terminal.child.terminate()
            said = terminal.until(lambda text: "run again to go on" in text)
            assert ONCE_MORE.replace("it", "them") in said and f"stopped by {how}" in said
            assert terminal.end() == (130 if how == "Ctrl-C" else 143)
        assert server.in_flight == 0
        server.latency = lambda request: 0.0
        assert subprocess.run(words, check=False).returncode == 0
        assert max(server.answered.values()) == 1, "no prompt was answered twice"
