"""Jobs on a real one-node SLURM: what they leave behind, and what becomes of them when something breaks."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import stubborn
from slurm_cluster import SlurmCluster

from tao_skill_bank.core.errors import EngineUnreachableError
from tao_skill_bank.platforms.base import ENDED, JobRecord, new_record, read_exit, read_records, write_record
from tao_skill_bank.platforms.slurm.client import SlurmClient
from tao_skill_bank.platforms.slurm.platform import SlurmPlatform
from tao_skill_bank.platforms.slurm.script import Request, SlurmSettings, job_script, script_path
from tao_skill_bank.platforms.slurm.settings import SlurmConfig
from tao_skill_bank.platforms.worker import beside


class Scripted(SlurmPlatform):
    """The SLURM platform, but a shell command is what runs."""

    def argv(self, command: Sequence[str]) -> list[str]:
        return ["sh", "-c", *command]


def platform(patience: float = 60.0, grace: float = 1.0, **request: object) -> Scripted:
    settings = SlurmSettings(
        given=SlurmConfig(patience_sec=patience, lost_grace_sec=grace),
        request=Request(**request),  # type: ignore[arg-type]
    )
    return Scripted(settings, SlurmClient())


def fresh(folder: Path, command: str, key: str = "iter1.train.train") -> JobRecord:
    return new_record(key=key, platform="slurm", command=[command], outputs=[], cwd=folder, results_dir=folder)


def until(condition: Callable[[], object], what: str, seconds: float = 40.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.02)


def ended(on: SlurmPlatform, record: JobRecord) -> str:
    until(lambda: on.status(record) in ENDED, f"the job does not end: {record.uid}")
    return on.status(record)


def begun(folder: Path) -> None:
    until((folder / "begun").exists, "the job does not begin")


def test_a_job_is_known_by_its_uid_and_leaves_output_and_exit_record(slurm: SlurmCluster, tmp_path: Path) -> None:
    on = platform()
    record = on.submit(fresh(tmp_path, "echo to the log; echo more >&2; pwd"))
    shown = slurm.ask("squeue", "--noheader", "--states=all", "--format=%j %k", f"--name={record.uid}")
    assert shown.split() == [record.uid, record.uid]
    assert ended(on, record) == "complete"
    assert on.logs(record).splitlines() == ["to the log", "more", str(tmp_path)]
    left = read_exit(record)
    assert left is not None and left.exit_code == 0 and not left.canceled
    assert [r.uid for r in read_records(tmp_path)] == [record.uid]


def test_a_command_that_fails_is_failed_with_its_status(slurm: SlurmCluster, tmp_path: Path) -> None:
    on = platform()
    record = on.submit(fresh(tmp_path, "exit 7"))
    assert ended(on, record) == "failed"
    left = read_exit(record)
    assert left is not None and left.exit_code == 7


def test_a_job_canceled_while_it_runs_ends_and_so_does_its_command(slurm: SlurmCluster, tmp_path: Path) -> None:
    on = platform()
    record = on.submit(fresh(tmp_path, "echo $$ > begun.tmp; mv begun.tmp begun; sleep 600 && touch went_on"))
    begun(tmp_path)
    assert on.status(record) == "running"
    on.cancel(record)
    assert ended(on, record) == "canceled"
    pid = int((tmp_path / "begun").read_text())
    until(lambda: not Path(f"/proc/{pid}").exists(), "the command lives on")
    assert not (tmp_path / "went_on").exists()
    assert on.status(record) == "canceled", "and so it stays"


def test_a_job_that_somebody_else_cancels_is_canceled_not_failed(slurm: SlurmCluster, tmp_path: Path) -> None:
    on = platform()
    record = on.submit(fresh(tmp_path, "touch begun; sleep 600"))
    begun(tmp_path)
    slurm.ask("scancel", f"--name={record.uid}")
    assert ended(on, record) == "canceled"
    assert platform().status(record) == "canceled", "for a process that begins later as well"


def test_a_secret_reaches_the_job_by_its_name_and_stands_nowhere(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary, other = "canary-4711-do-not-show", "not-named-so-not-passed"
    monkeypatch.setenv("HF_TOKEN", canary)
    monkeypatch.setenv("SOME_OTHER_TOKEN", other)
    on = platform(pass_env=("HF_TOKEN",))
    command = 'printf %s "$HF_TOKEN" | sha256sum; echo "other:${SOME_OTHER_TOKEN:-none}"; touch begun; sleep 600'
    record = on.submit(fresh(tmp_path, command))
    begun(tmp_path)
    shown = slurm.ask("scontrol", "--details", "show", "job")
    shown += slurm.ask("scontrol", "write", "batch_script", slurm.number_of(record.uid), "-")
    on.cancel(record)
    assert ended(on, record) == "canceled"
    said = on.logs(record).splitlines()
    assert said[0].split()[0] == hashlib.sha256(canary.encode()).hexdigest()
    assert said[1] == "other:none"
    assert record.uid in shown and "HF_TOKEN" in shown
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    logs = b"".join((slurm.folder / name).read_bytes() for name in ("slurmctld.log", "slurmd.log"))
    for secret in (canary, other):
        assert secret not in shown and secret.encode() not in written and secret.encode() not in logs


def test_a_job_outlives_the_process_that_submitted_it_and_another_takes_it_up(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    command = "touch begun; while [ ! -e gate ]; do sleep 0.05; done; echo run >> runs"
    record = submitted_by_one_that_is_killed(tmp_path, command)
    on = platform()
    begun(tmp_path)
    assert on.status(record) == "running"
    (tmp_path / "gate").touch()
    assert ended(on, record) == "complete"
    assert (tmp_path / "runs").read_text() == "run\n"


@pytest.mark.slow  # a cluster waits half a minute before it kills
def test_a_cancel_ends_every_process_of_a_job_that_refuses_though_its_submitter_was_killed(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    mark, ready = f"mark-{secrets.token_hex(6)}", tmp_path / "ready"
    record = submitted_by_one_that_is_killed(tmp_path, stubborn.script(mark, ready))
    until(ready.exists, "the job does not begin")
    assert len(stubborn.living(mark)) >= 3
    on = platform()
    on.cancel(record)
    until(lambda: on.status(record) in ENDED, "the job does not end", seconds=90)
    assert on.status(record) == "canceled"
    until(lambda: stubborn.living(mark) == [], "its processes live on", seconds=60)


def submitted_by_one_that_is_killed(folder: Path, command: str) -> JobRecord:
    """A job, submitted in a process that is gone when this returns."""
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_slurm_jobs import fresh, platform
platform().submit(fresh(Path({str(folder)!r}), {command!r}))
print("submitted", flush=True); sys.stdin.read()
"""
    submitter = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support")},
    )
    assert submitter.stdout is not None and submitter.stdin is not None
    assert submitter.stdout.readline() == b"submitted\n"
    submitter.send_signal(signal.SIGKILL)
    submitter.wait()
    submitter.stdout.close()
    submitter.stdin.close()
    (record,) = read_records(folder)
    return record


def test_a_submitter_killed_before_the_controller_heard_of_the_job_leaves_it_lost_for_good(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    on = platform(grace=0.0)
    record = fresh(tmp_path, "echo run >> runs").model_copy(update={"argv": ["sh", "-c", "echo run >> runs"]})
    write_record(record)
    script_path(record).write_text(job_script(record))
    assert on.status(record) == "lost"
    # The submission was only late: it finds the claim taken.
    late = slurm.ask("sbatch", "--wait", f"--job-name={record.uid}", f"--output={tmp_path}/late", script_path(record))
    assert "Submitted" in late
    assert "not run again" in (tmp_path / "late").read_text()
    assert on.status(record) == "lost" and not (tmp_path / "runs").exists()


def test_a_controller_killed_right_after_it_took_a_job_never_makes_it_run_twice(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    on = platform()
    command = "echo run >> runs"
    record = on.submit(fresh(tmp_path, command))
    slurm.kill_controller()
    assert on.status(record) == "pending", "a controller that does not answer says nothing about its jobs"
    slurm.mend()
    state = ended(on, record)
    assert state in ("complete", "lost")
    if state == "lost":
        assert ended(on, on.submit(fresh(tmp_path, command))) == "complete"
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_number_that_was_given_again_is_not_the_job(slurm: SlurmCluster, tmp_path: Path) -> None:
    on = platform()
    slurm.forget_everything()
    record = on.submit(fresh(tmp_path, "sleep 600"))
    number = slurm.number_of(record.uid)
    slurm.forget_everything()
    foreign = "somebody-else"
    (tmp_path / "foreign.sh").write_text("#!/bin/sh\nsleep 600\n")
    slurm.ask("sbatch", f"--job-name={foreign}", "--output=/dev/null", tmp_path / "foreign.sh")
    assert slurm.number_of(foreign) == number
    assert ended(on, record) == "lost"
    on.cancel(record)
    assert slurm.ask("squeue", "--noheader", "--format=%T", f"--name={foreign}").strip() in ("PENDING", "RUNNING")
    slurm.ask("scancel", f"--name={foreign}")


@pytest.mark.slow
def test_a_controller_that_is_away_is_waited_for_and_then_named_with_status_3(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    on = platform()
    record = on.submit(fresh(tmp_path, "touch begun; while [ ! -e gate ]; do sleep 0.05; done"))
    begun(tmp_path)
    slurm.kill_controller()
    assert on.status(record) == "running", "unreachable is not lost"
    with pytest.raises(EngineUnreachableError) as raised:
        platform(patience=0.0).status(record)
    assert raised.value.exit_code == 3 and "scontrol ping" in raised.value.line() and "\n" not in raised.value.line()
    late = fresh(tmp_path, "echo run >> runs", key="iter1.train.second")
    with pytest.raises(EngineUnreachableError):
        platform().submit(late)
    (tmp_path / "gate").touch()
    assert ended(on, record) == "complete", "the exit record needs no controller"
    assert on.status(late) == "lost"


@pytest.mark.slow
def test_a_job_whose_disk_is_full_is_never_complete(slurm: SlurmCluster, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=False).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        on = platform()
        record = on.submit(fresh(small, "dd if=/dev/zero of=filler bs=4k 2>/dev/null; exit 0"))
        assert ended(on, record) in ("failed", "lost")
        assert read_exit(record) is None
        assert platform().status(record) != "complete"
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@pytest.mark.slow  # SLURM's least time limit is a minute
def test_a_job_that_meets_its_time_limit_is_failed_and_says_so(slurm: SlurmCluster, tmp_path: Path) -> None:
    on = platform(time_limit="1")
    record = on.submit(fresh(tmp_path, "touch begun; sleep 600 && touch went_on"))
    begun(tmp_path)
    until(lambda: on.status(record) in ENDED, "the time limit does not come", seconds=150)
    assert on.status(record) == "failed"
    assert json.loads(beside(record.path, "slurm.json").read_text())["said"] == "TIMEOUT"
    assert platform().status(record) == "failed" and not (tmp_path / "went_on").exists()


@pytest.mark.slow
def test_a_node_that_dies_loses_its_job_and_the_next_one_runs_when_it_is_back(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    on = platform()
    record = on.submit(fresh(tmp_path, "echo run >> runs; touch begun; sleep 600"))
    begun(tmp_path)
    slurm.kill_node()
    assert ended(on, record) == "lost"
    slurm.mend()
    assert on.status(record) == "lost"
    assert ended(on, on.submit(fresh(tmp_path, "echo again >> runs"))) == "complete"
    assert (tmp_path / "runs").read_text() == "run\nagain\n"


@pytest.mark.slow
def test_a_job_that_was_requeued_by_hand_does_not_run_again(slurm: SlurmCluster, tmp_path: Path) -> None:
    on = platform()
    record = on.submit(fresh(tmp_path, "echo run >> runs"))
    assert ended(on, record) == "complete"
    again = slurm.ask("sbatch", "--wait", f"--output={tmp_path}/again", script_path(record))
    assert "Submitted" in again and "not run again" in (tmp_path / "again").read_text()
    assert (tmp_path / "runs").read_text() == "run\n"
    noted = json.loads(beside(record.path, "slurm.json").read_text())
    assert noted["number"].isdigit()
