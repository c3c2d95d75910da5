"""Whole runs on a real engine and a real cluster: whoever ends one leaves no process of its job behind."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker_engine
import pytest
import stubborn
import tiny
from docker_engine import TOOLS_IMAGE, DockerEngine
from slurm_cluster import SlurmCluster
from terminals import Terminal

from tao_skill_bank import runs
from tao_skill_bank.platforms.base import JobRecord, read_records
from tao_skill_bank.platforms.jobs import job_state
from tao_skill_bank.tasks.registry import load_state

pytestmark = pytest.mark.slow
CLI = [sys.executable, "-m", "tao_skill_bank.cli"]
SUPPORT = Path(tiny.__file__).parent
ONCE_MORE = "once more ends it at once"
IMAGE = "tao-skill-bank-refuses:test"
# The console command, whose training is a shell line.
TRAINS = """
import sys
from tao_skill_bank.cli import main
from tao_skill_bank.platforms import local
line = sys.argv.pop(1)
# On a node it is the node's own interpreter that is told.
local.own_argv = lambda command: [sys.executable, "-c", f"import os; os.execvp('sh', ['sh', '-c', {line!r}])"]
main()
"""


def until(holds: Callable[[], object], patience: float = 90.0) -> None:
    limit = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < limit, "it does not happen"
        time.sleep(0.02)


@dataclass
class Place:
    """Where runs train with processes that refuse to end.

    Attributes:
        daemons: Without them nobody answers there.
    """

    name: str
    settings: tuple[str, ...]
    daemons: Callable[[], list[int]]
    environment: dict[str, str] = field(default_factory=dict)

    def approved(self, workspace: Path) -> Path:
        return tiny.approved(tiny.request(workspace, iterations=1, platform=self.name, settings=self.settings))

    @contextmanager
    def without_an_answer(self) -> Iterator[None]:
        """Whoever asks there waits."""
        stopped = self.daemons()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


@pytest.fixture(params=[pytest.param("docker", marks=docker_engine.MARKS), "slurm"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "slurm":
        cluster: SlurmCluster = request.getfixturevalue("slurm")
        settings = ("slurm.lost_grace_sec=1", "num_epochs=1")
        return Place(
            "slurm", settings, lambda: [cluster.ctld.pid] if cluster.ctld else [], environment=cluster.environment
        )
    engine: DockerEngine = request.getfixturevalue("docker_daemon")
    # Its `visual_changenet train` is the workspace's own script.
    script = b'#!/bin/sh\nexec sh -c "$(cat train.sh)"\n'
    engine.derive(IMAGE, TOOLS_IMAGE, {"bin/train.sh": (script, 0o755)}, ['ENTRYPOINT ["/bin/train.sh"]'])
    settings = (f"docker.host={engine.host}", f"docker.image='{IMAGE}'", "docker.network=none", "num_epochs=1")
    return Place("docker", settings, lambda: [engine.process.pid] if engine.process else [])


def running(place: Place, folder: Path, line: str) -> Terminal:
    """`deft run` at a terminal, whose training is a shell line."""
    argv = [sys.executable, "-c", TRAINS, line, "deft", "run", "--results-dir", str(folder)]
    return Terminal(argv, columns=240, env={"PYTHONPATH": str(SUPPORT)})


def said_by(*words: str) -> str:
    """What another terminal is told by a command that ends well."""
    done = subprocess.run([*CLI, *words], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def killed(terminal: Terminal) -> None:
    terminal.child.kill()
    assert terminal.end() == -signal.SIGKILL


def record_of(folder: Path) -> JobRecord:
    (record,) = read_records(folder)
    return record


@dataclass
class Stubborn:
    """A run at a terminal, whose job of three processes refuses to end; one of them is a session of its own."""

    place: Place
    folder: Path
    mark: str
    terminal: Terminal

    def has_ended(self) -> bool:
        """Whether its job is known to have been canceled, and nothing of it lives."""
        until(lambda: job_state(record_of(self.folder)) == "canceled")
        until(lambda: stubborn.living(self.mark) == [])
        return True


@pytest.fixture
def run(place: Place, tmp_path: Path) -> Iterator[Stubborn]:
    workspace = tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)
    mark, ready = f"mark-{secrets.token_hex(6)}", workspace / "ready"
    line = stubborn.script(mark, ready)
    (workspace / "train.sh").write_text(line)
    folder = place.approved(workspace)
    terminal = running(place, folder, line)
    try:
        terminal.until(lambda text: ready.exists(), 90.0)
        assert len(stubborn.living(mark)) >= 3
        yield Stubborn(place, folder, mark, terminal)
    finally:
        if terminal.child.poll() is None:
            killed(terminal)
        terminal.close()
        for pid in stubborn.living(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_deft_stop_ends_a_run_and_every_process_of_its_job(run: Stubborn) -> None:
    assert said_by("deft", "stop", str(run.folder)).startswith("asked")
    run.terminal.until(lambda text: "goes on with" in text or "stopped" in text, 120.0)
    run.terminal.end()
    assert run.has_ended()
    assert load_state(run.folder).status == "stopped"


@pytest.mark.parametrize("how", ["deft stop", "jobs cancel"])
def test_after_its_submitter_was_killed_every_process_of_a_run_is_ended_all_the_same(how: str, run: Stubborn) -> None:
    killed(run.terminal)
    if how == "deft stop":
        assert said_by("deft", "stop", str(run.folder)).startswith("asked")
    else:
        said_by("jobs", "cancel", str(run.folder), record_of(run.folder).uid)
    assert run.has_ended()
    assert runs.status(run.folder).status == "interrupted"
    assert "nothing to stop" in said_by("deft", "stop", str(run.folder))


@pytest.mark.parametrize("how", ["Ctrl-C", "a closed terminal", "SIGTERM"])
def test_whoever_is_asked_to_leave_ends_its_job_and_says_why(how: str, run: Stubborn) -> None:
    if how == "Ctrl-C":
        run.terminal.type("\x03")
        run.terminal.until(lambda text: "goes on with" in text, 120.0)
        code = run.terminal.end()
    elif how == "SIGTERM":
        run.terminal.child.terminate()
        run.terminal.until(lambda text: "goes on with" in text, 120.0)
        code = run.terminal.end()
    else:
        run.terminal.close()
        code = run.terminal.child.wait(120)
    assert code == {"Ctrl-C": 130, "a closed terminal": 129, "SIGTERM": 143}[how]
    assert run.has_ended()
    state = load_state(run.folder)
    why = {"a closed terminal": "the end of its terminal"}.get(how, how)
    assert (state.status, state.stop_reason) == ("stopped", f"stopped by {why}")


def test_a_second_ctrl_c_ends_at_once_names_the_job_and_deft_stop_ends_it(run: Stubborn) -> None:
    with run.place.without_an_answer():
        run.terminal.type("\x03")
        run.terminal.until(lambda text: ONCE_MORE in text)
        run.terminal.type("\x03")
        said = run.terminal.until(lambda text: "ended at once" in text)
        key = record_of(run.folder).key
        said += run.terminal.until(lambda text: key in said + text)
        assert run.terminal.end() == -signal.SIGINT
    assert f"ended by `tao-skills deft stop {run.folder}`: {key}" in said.replace("\r\n", "")
    said_by("deft", "stop", str(run.folder))
    assert run.has_ended()


def test_a_job_that_still_waits_in_the_queue_when_its_submitter_is_killed_is_stopped_and_never_begins(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)
    (tmp_path / "holds.sh").write_text("#!/bin/sh\nsleep 600\n")
    slurm.ask("sbatch", "--exclusive", "--job-name=holds", "--output=/dev/null", tmp_path / "holds.sh")
    slurm.until(lambda: "RUNNING" in slurm.ask("squeue", "-h", "-o", "%T", "-n", "holds"), "it does not begin")
    settings = ("slurm.lost_grace_sec=1", "num_epochs=1")
    folder = tiny.approved(tiny.request(workspace, iterations=1, platform="slurm", settings=settings))
    terminal = running(Place("slurm", settings, list), folder, f"touch {workspace}/began")
    try:
        terminal.until(lambda text: bool(read_records(folder)), 60.0)
        job = record_of(folder)
        slurm.until(lambda: slurm.number_of(job.uid), "it is not submitted")
        killed(terminal)
        assert job_state(job) == "pending"
        assert said_by("deft", "stop", str(folder)).startswith("asked")
    finally:
        if terminal.child.poll() is None:
            killed(terminal)
        slurm.ask("scancel", "--name=holds")
    slurm.until(lambda: not slurm.ask("squeue", "-h", "-n", "holds", "-t", "R,CG"), "it does not end")
    said = slurm.ask("squeue", "-h", "--states=all", "-o", "%T", "-n", job.uid).strip()
    assert said == "CANCELLED" and job_state(job) == "canceled"
    assert not (workspace / "began").exists()
