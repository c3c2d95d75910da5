"""The whole loop on a real one-node SLURM: every action a batch job, the same files at the end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
from slurm_cluster import SlurmCluster
from verdict_places import told_everywhere

from tao_skill_bank import runs
from tao_skill_bank.core.errors import EngineUnreachableError, GateError, InputErrors, StageFailedError
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.loop.request import Request
from tao_skill_bank.platforms import local
from tao_skill_bank.platforms.base import JobRecord, jobs_dir, read_exit, read_records
from tao_skill_bank.platforms.worker import beside
from tao_skill_bank.tasks.registry import load_state

DRIVER = Path(tiny.__file__).with_name("drive.py")
SETTINGS = ("slurm.lost_grace_sec=1", "mining.strategy=nearest")


@pytest.fixture
def quick_model() -> Iterator[None]:
    """The stand-in for `visual_changenet`, on the node too: the loop and SLURM are what is tested."""
    with tiny.fake_model():
        yield


def small(root: Path) -> Path:
    return tiny.make_workspace(root, pairs=2, pool=6, acceptance=False)


def request(workspace: Path, *settings: str, platform: str = "slurm") -> Request:
    return tiny.request(workspace, iterations=1, platform=platform, settings=(*SETTINGS, *settings))


def files(run: Path) -> dict[str, str]:
    """What two runs of one plan share, whatever they ran on."""
    found = {name: text for name, text in tiny.snapshot(run).items() if name != "deft_state.json"}
    # The plan's digest covers the platform.
    return {
        name: re.sub(r'"digest": "[0-9a-f]{64}"', "", text.replace('"platform": "slurm"', '"platform": "local"'))
        for name, text in found.items()
    }


def drive(run: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(DRIVER.parent)}
    worker = subprocess.Popen([sys.executable, str(DRIVER), str(run)], stdout=subprocess.PIPE, text=True, env=env)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def until(condition: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


def every_record(run: Path) -> list[JobRecord]:
    """Records of the run, those of abandoned attempts as well."""
    found = []
    for path in [p for p in run.rglob("jobs/*.json") if p.name.count(".") == 1]:
        # One that a run moves aside meanwhile is counted where it went, at the next look.
        with contextlib.suppress(FileNotFoundError):
            found.append(JobRecord.model_validate_json(path.read_bytes()))
    return found


@pytest.mark.usefixtures("quick_model")
def test_a_short_run_passes_on_slurm_and_leaves_what_the_local_platform_leaves(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    workspace = small(tmp_path / "w")
    shown = runs.plan_run(request(workspace))
    found = {check.name: f"{check.status}: {check.text}" for check in shown.checks}
    assert found["platform"] == "ok: SLURM answers; partition main is up, 1 node"
    assert found["workspace on a node"] == "ok: there, the same, and writable"
    assert found["gpu"].startswith("skip") and found["container"].startswith("ok: none")
    run = runs.open_run(request(workspace), approve=shown.digest, how="flag")
    runs.run_loop(run)
    assert runs.status(run).status == "complete"
    records = read_records(run)
    assert {r.platform for r in records} == {"slurm"} and len({r.key for r in records}) == len(records)
    left = [read_exit(r) for r in records]
    assert all(exit_record is not None and exit_record.exit_code == 0 for exit_record in left)
    known = Counter(slurm.ask("squeue", "--noheader", "--states=all", "--format=%j").split())
    assert all(known[r.uid] == 1 for r in records)
    assert not list(jobs_dir(run).glob(".*tmp"))
    here = tiny.approved(request(workspace, platform="local"))
    runs.run_loop(here)
    assert files(here)["best_model.json"] == files(run)["best_model.json"]
    assert files(here) == files(run)
    verdict = told_everywhere(run, here)
    assert verdict.head.startswith("trainer unknown: ") and verdict.final, "its checkpoint is nobody's that is known"
    assert verdict.line == told_everywhere(here, run).line


def test_what_the_cluster_lacks_is_one_line_before_anything_is_written(slurm: SlurmCluster, tmp_path: Path) -> None:
    workspace = small(tmp_path / "w")
    before = sorted(tmp_path.rglob("*"))
    expected = {
        "slurm.partition=mian": "no partition 'mian' (did you mean 'main'?)",
        "slurm.partition=closed": "partition closed is down (use another of main, closed)",
        "slurm.gpus=1": "1 GPUs are asked for, and partition main has no node with a GPU",
        "slurm.container=pyxis": "Pyxis is not installed: srun has no --container-image",
        "slurm.python=/nowhere/python": "a node does not have this interpreter (--set slurm.python=PATH on the nodes)",
        "slurm.extra=[--requeue]": "--requeue is set by the platform",
    }
    for setting, said in expected.items():
        gpus = ["slurm.gpus=0"] if "pyxis" in setting else []
        with pytest.raises(InputErrors) as raised:
            runs.plan_run(request(workspace, setting, *gpus))
        assert len(raised.value.faults) == 1 and said in raised.value.faults[0], setting
        assert "\n" not in raised.value.line()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_run_whose_process_is_killed_in_every_stage_ends_as_if_nothing_had_happened(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    workspace = small(tmp_path / "w")
    calm = tiny.approved(request(workspace))
    with drive(calm) as worker:
        assert worker.wait() == 0
    run = tiny.approved(request(workspace))
    kills = 0
    while True:
        seen = len(every_record(run))
        worker = drive(run)
        until(lambda: worker.poll() is not None or len(every_record(run)) > seen, "no job is submitted")  # noqa: B023
        ended = worker.poll()
        if ended is None:
            worker.send_signal(signal.SIGKILL)
            kills += 1
        worker.communicate()
        if ended is not None:
            assert ended == 0
            break
    assert kills >= 5
    assert files(run) == files(calm)
    known = Counter(slurm.ask("squeue", "--noheader", "--states=all", "--format=%j").split())
    assert all(known[r.uid] <= 1 for r in every_record(run))
    lines = read_log(run / LOG_FILE)
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    assert all(n == 1 for n in Counter((line.iter, line.stage) for line in lines if line.status == "ok").values())


@pytest.mark.slow
def test_a_run_outlives_a_controller_that_is_killed_right_after_it_took_a_job(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    run = tiny.approved(request(small(tmp_path / "w")))
    worker = drive(run)
    until(lambda: any(beside(r.path, "slurm.json").exists() for r in every_record(run)), "no job is submitted")
    slurm.kill_controller()
    slurm.mend()
    worker.communicate()
    for _ in range(3):
        if worker.returncode == 0:
            break
        assert load_state(run).status == "failed" and "lost" in str(load_state(run).stop_reason)
        # A controller that finds a job twice after its restart drains the node.
        slurm.mend()
        worker = drive(run)
        worker.communicate()
    assert load_state(run).status == "complete"
    claims = [r.uid for r in every_record(run) if read_exit(r) is not None]
    assert len(claims) == len(set(claims))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_model")
def test_a_stage_that_is_canceled_fails_or_ends_empty_handed_stops_the_run_and_is_taken_up(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = small(tmp_path / "w")
    run = tiny.approved(request(workspace))
    real = local.own_argv
    for script, said in (
        ("sleep 600", "ended canceled"),
        ("echo the GPU is on fire; exit 7", "ended exit status 7: the GPU is on fire"),
        ("exit 0", "without a new checkpoint"),
    ):
        monkeypatch.setattr(local, "own_argv", lambda command, script=script: [sys.executable, "-c", _shell(script)])
        if script.startswith("sleep"):
            worker = subprocess.Popen([sys.executable, "-c", _canceler(run)], env={**os.environ})
        with pytest.raises((StageFailedError, GateError), match=said):
            runs.run_loop(run)
        if script.startswith("sleep"):
            assert worker.wait() == 0
        assert load_state(run).status in ("failed", "stopped")
    monkeypatch.setattr(local, "own_argv", real)
    runs.run_loop(run)
    assert load_state(run).status == "complete"


@pytest.mark.slow
@pytest.mark.usefixtures("quick_model")
def test_a_run_without_its_controller_stops_with_status_3_and_goes_on_when_it_is_back(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    run = tiny.approved(request(small(tmp_path / "w"), "slurm.patience_sec=0"))
    slurm.kill_controller()
    with pytest.raises(EngineUnreachableError) as raised:
        runs.run_loop(run)
    assert raised.value.exit_code == 3
    slurm.mend()
    runs.run_loop(run)
    assert load_state(run).status == "complete"


def _shell(script: str) -> str:
    return f"import os; os.execvp('sh', ['sh', '-c', {script!r}])"


def _canceler(run: Path) -> str:
    """Cancels the first job that runs, from another process, by the platform's own verb."""
    return f"""
import time
from pathlib import Path
from tao_skill_bank.tasks.registry import load_state
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.platforms.base import read_records
from tao_skill_bank.platforms.worker import beside
run = Path({str(run)!r})
platform = platform_named(load_state(run).config)
limit = time.monotonic() + 60
while time.monotonic() < limit:
    for record in read_records(run):
        if beside(record.path, "claim.json").exists() and platform.status(record) == "running":
            platform.cancel(record)
            raise SystemExit(0)
    time.sleep(0.01)
raise SystemExit(1)
"""
