"""Jobs on this machine: records, exit records, orphans, the lost and the canceled."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from polling import wait_until

from tao_skill_bank.core import guard, landlock, roots
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.process import process_identity
from tao_skill_bank.platforms import local
from tao_skill_bank.platforms.base import (
    ENDED,
    JobRecord,
    job_state,
    new_record,
    read_exit,
    read_process,
    read_records,
    write_record,
)
from tao_skill_bank.platforms.jobs import cancel, read_job
from tao_skill_bank.platforms.local import LocalPlatform, own_argv
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.platforms.worker import beside, claim


class Scripted(LocalPlatform):
    """The local platform, but `python CODE` is what runs."""

    def argv(self, command: Sequence[str]) -> list[str]:
        return [sys.executable, "-c", *command]


def submitted(platform: LocalPlatform, folder: Path, code: str) -> JobRecord:
    record = new_record(
        key="iter1.train.train", platform="local", command=[code], outputs=[], cwd=folder, results_dir=folder
    )
    return platform.submit(record)


def ended(platform: LocalPlatform, record: JobRecord) -> str:
    limit = time.monotonic() + 120
    while (state := platform.status(record)) not in ENDED:
        assert time.monotonic() < limit, "the job does not end"
        platform.wait(record, 0.05)
    return state


def test_a_job_leaves_its_record_its_output_and_how_it_ended(tmp_path: Path) -> None:
    platform = Scripted()
    record = submitted(platform, tmp_path, "print('hello')")
    assert ended(platform, record) == "complete"
    assert [r.uid for r in read_records(tmp_path)] == [record.uid]
    assert platform.logs(record) == "hello"
    exit_record = read_exit(record)
    assert exit_record is not None and exit_record.exit_code == 0


@pytest.mark.parametrize("release", ["7.1.0", "7.3.0"])
def test_a_job_reads_its_spec_as_the_release_that_its_plan_was_checked_as(tmp_path: Path, release: str) -> None:
    platform = Scripted.of(Work(workspace=str(tmp_path), specs_file="", platform="local", release=release))
    record = submitted(platform, tmp_path, "import os; print(os.environ['TAO_SKILLS_RELEASE'])")
    assert ended(platform, record) == "complete"
    assert platform.logs(record) == release


def test_a_failing_command_is_failed_with_its_status(tmp_path: Path) -> None:
    platform = Scripted()
    record = submitted(platform, tmp_path, "raise SystemExit(7)")
    assert ended(platform, record) == "failed"
    exit_record = read_exit(record)
    assert exit_record is not None and exit_record.exit_code == 7


def test_a_job_outlives_the_process_that_submitted_it(tmp_path: Path) -> None:
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from test_local import Scripted, submitted\n"
        "f = Path(sys.argv[1]); submitted(Scripted(), f, f'open({str(f)!r} + \"/gate\").read()')"
    )
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "support")]
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *folders], check=True)
    record = read_records(tmp_path)[0]
    stranger = LocalPlatform()
    wait_until(lambda: read_process(beside(record.path, "child.json")))
    assert stranger.status(record) == "running"
    fifo.write_text("go")
    assert ended(stranger, record) == "complete"


def test_a_worker_killed_without_an_exit_record_is_lost_once_its_command_has_ended(tmp_path: Path) -> None:
    platform = Scripted()
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    record = submitted(platform, tmp_path, f"open({str(fifo)!r}).read()")
    wait_until(lambda: read_process(beside(record.path, "child.json")))
    worker = read_process(beside(record.path, "claim.json"))
    assert worker is not None
    os.kill(worker[0], signal.SIGKILL)
    platform.wait(record, 5)
    assert platform.status(record) == "running", "the command still runs: it must not be doubled"
    fifo.write_text("go")
    assert ended(platform, record) == "lost"


def test_a_record_whose_worker_never_started_is_lost_and_stays_so(tmp_path: Path) -> None:
    record = new_record(key="a.b.c", platform="local", command=["x"], outputs=[], cwd=tmp_path, results_dir=tmp_path)
    record.path.parent.mkdir()
    record.path.write_text(record.model_dump_json())
    assert LocalPlatform().status(record) == "lost"
    assert claim(record.path, {"pid": 1, "identity": None}) is False, "a late worker must not run it"


def test_of_two_workers_of_one_process_id_in_two_containers_the_claim_names_the_one_that_has_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, link = unsubmitted(tmp_path), os.link

    def link_as_the_other_comes(*names: str, **folders: int) -> None:
        monkeypatch.setattr(os, "link", link)
        link(*names, **folders)
        assert claim(record.path, {"pid": 7, "identity": "theirs"}) is False

    monkeypatch.setattr(os, "link", link_as_the_other_comes)
    assert claim(record.path, {"pid": 7, "identity": "ours"})
    assert read_process(beside(record.path, "claim.json")) == (7, "ours")


def test_a_claim_that_comes_too_late_and_is_swept_away_by_the_runs_worker_is_refused_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, link = unsubmitted(tmp_path), os.link

    def swept(source: str, target: str, **folders: int) -> None:
        monkeypatch.setattr(os, "link", link)
        assert claim(record.path, {"pid": 1, "identity": None})
        os.unlink(source, dir_fd=folders["src_dir_fd"])
        link(source, target, **folders)

    monkeypatch.setattr(os, "link", swept)
    assert claim(record.path, {"pid": 2, "identity": None}) is False


def test_cancel_ends_the_command_and_says_so(tmp_path: Path) -> None:
    platform = Scripted()
    record = submitted(platform, tmp_path, "import signal; signal.pause()")
    wait_until(lambda: read_process(beside(record.path, "child.json")))
    platform.cancel(record)
    assert ended(platform, record) == "canceled"


@pytest.mark.skipif(sys.platform != "linux", reason="what a command leaves behind is found in /proc")
@pytest.mark.parametrize("its_own_parent", ["waits for it", "has ended"])
def test_cancel_ends_what_a_command_put_into_a_session_of_its_own_and_nobody_else(
    its_own_parent: str, tmp_path: Path
) -> None:
    import stubborn  # this file is imported where the support is not

    mark, ready, hold = f"mark-{secrets.token_hex(6)}", tmp_path / "ready", tmp_path / "hold"
    # Who waits for a pipe starts nothing: a process that is just being forked would have its parent's command line.
    os.mkfifo(hold)
    refuses = f"trap '' TERM HUP INT; : {mark} >{ready}; read _ <{hold}"
    stranger = subprocess.Popen(["sh", "-c", f": {mark}; read _ <{hold}"], start_new_session=True)
    tail = "; exit 0" if its_own_parent == "has ended" else "; wait"
    started = f"setsid sh -c {shlex.quote(refuses)} >/dev/null 2>&1 &{tail}".replace("&;", "&")
    code = f"import signal, subprocess; subprocess.run(['sh', '-c', {started!r}]); signal.pause()"
    platform = Scripted()
    try:
        record = submitted(platform, tmp_path, code)
        wait_until(ready.exists)
        assert len(stubborn.living(mark)) >= 2
        platform.cancel(record)
        assert ended(platform, record) == "canceled"
        assert stubborn.living(mark) == [stranger.pid]
    finally:
        for pid in stubborn.living(mark):
            os.kill(pid, signal.SIGKILL)
        stranger.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="what a killed worker has left is found in /proc")
@pytest.mark.parametrize("command", ["lives", "has ended", "shuts its files and refuses"])
def test_cancel_ends_what_a_killed_worker_has_left_also_in_sessions_of_their_own_and_nobody_else(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stubborn  # this file is imported where the support is not

    monkeypatch.setattr(local, "TERMINATE_GRACE_SEC", 0.3)
    mark, ready = f"mark-{secrets.token_hex(6)}", tmp_path / "ready"
    script, gate, hold = tmp_path / "script", tmp_path / "gate", tmp_path / "hold"
    os.mkfifo(gate)
    # Who waits for a pipe starts nothing: a process that is just being forked would have its parent's command line.
    os.mkfifo(hold)
    trap = "trap '' TERM HUP INT; " if "refuses" in command else ""
    script.write_text(f"{trap}: >{ready}; read _ <{hold}")
    stranger = subprocess.Popen(["sh", "-c", f": {mark}; read _ <{hold}"], start_new_session=True)
    code = (
        "import os, signal, subprocess, sys\n"
        f"subprocess.Popen(['sh', '-c', ': {mark}; . {script}'], start_new_session=True, close_fds=True)\n"
        + ("os.closerange(3, 99)\nsignal.signal(15, signal.SIG_IGN)\n" if "refuses" in command else "")
        + f"open({str(gate)!r}).read()"
    )
    platform = Scripted()
    try:
        record = submitted(platform, tmp_path, code)
        wait_until(lambda: ready.exists() and read_process(beside(record.path, "child.json")))
        worker = read_process(beside(record.path, "claim.json"))
        assert worker is not None
        os.kill(worker[0], signal.SIGKILL)
        platform.wait(record, 5)
        if command == "has ended":
            gate.write_text("go")
            wait_until(lambda: job_state(record) in ENDED)
        assert len(stubborn.living(mark)) == 2
        state = cancel(record)
        assert state == ("lost" if command == "has ended" else "canceled")
        assert stubborn.living(mark) == [stranger.pid]
    finally:
        for pid in stubborn.living(mark):
            os.kill(pid, signal.SIGKILL)
        stranger.wait()


@pytest.mark.parametrize("kind", ["claim.json", "child.json"])
@pytest.mark.parametrize("alive", ["none", "a file", "a link", "a second name"])
def test_a_record_that_names_a_foreign_process_does_not_have_it_ended(tmp_path: Path, kind: str, alive: str) -> None:
    opened = tmp_path / "what it has open"
    with opened.open("w") as out:
        foreign = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out, start_new_session=True)
    with foreign:
        record = unsubmitted(tmp_path)
        named = {"pid": foreign.pid, "identity": process_identity(foreign.pid)}
        beside(record.path, "claim.json").write_text(json.dumps({"pid": 999_999_999, "identity": "gone"}))
        beside(record.path, kind).write_text(json.dumps(named))
        match alive:
            case "a file":
                beside(record.path, "alive").touch()
            case "a link":
                beside(record.path, "alive").symlink_to(opened)
            case "a second name":
                beside(record.path, "alive").hardlink_to(opened)
        assert job_state(record) == "running"
        cancel(record)
        assert foreign.stdin is not None
        foreign.stdin.close()
        assert foreign.wait(120) == 0, "it was ended by a signal"


def unsubmitted(folder: Path) -> JobRecord:
    """A record on disk whose worker was never started."""
    record = new_record(key="a.b.c", platform="local", command=["x"], outputs=[], cwd=folder, results_dir=folder)
    write_record(record)
    return record


def test_a_job_that_was_canceled_before_it_began_is_canceled_and_does_not_begin(tmp_path: Path) -> None:
    record = unsubmitted(tmp_path)
    platform = LocalPlatform()
    platform.cancel(record)
    assert platform.status(record) == "canceled"
    assert job_state(record) == "canceled"
    assert claim(record.path, {"pid": 1, "identity": None}) is False
    assert not beside(record.path, "log").exists()


# A worker that is killed in the instant in which its command exists and nobody has written down who that is.
_KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from tao_skill_bank.platforms import worker

def killed_before_it_is_written(path, value):
    assert path.name.endswith(".child.json")
    os.kill(os.getppid(), signal.SIGKILL)

worker.write_whole = killed_before_it_is_written
worker.run(Path(sys.argv[1]), Path(sys.argv[1]).read_bytes())
"""


def test_a_command_whose_worker_died_before_its_process_was_written_down_is_running_while_it_lives(
    tmp_path: Path,
) -> None:
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    record = unsubmitted(tmp_path)
    argv = [sys.executable, "-c", f"open({str(fifo)!r}).read()"]
    record = record.model_copy(update={"argv": argv})
    write_record(record)
    worker = subprocess.run([sys.executable, "-c", _KILLED_BETWEEN, str(record.path)], check=False)
    assert worker.returncode == -signal.SIGKILL
    assert read_process(beside(record.path, "child.json")) is None
    assert LocalPlatform().status(record) == "running", "the command lives: it must not be doubled"
    fifo.write_text("go")
    assert ended(LocalPlatform(), record) == "lost"


def test_two_who_look_at_a_dead_job_at_once_do_not_take_each_other_for_it(tmp_path: Path) -> None:
    record = unsubmitted(tmp_path)
    assert claim(record.path, {"pid": 999_999_999, "identity": "gone"})
    alive = beside(record.path, "alive")
    alive.touch()
    with alive.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert LocalPlatform().status(record) == "lost"


def test_a_command_that_cannot_be_started_says_why_and_is_failed(tmp_path: Path) -> None:
    class Missing(LocalPlatform):
        def argv(self, command: Sequence[str]) -> list[str]:
            return [str(tmp_path / "not-there")]

    platform = Missing()
    record = submitted(platform, tmp_path, "")
    assert ended(platform, record) == "failed"
    assert "not-there" in platform.logs(record)


def test_a_worker_asked_to_end_while_it_starts_the_command_ends_it(tmp_path: Path) -> None:
    record = unsubmitted(tmp_path)
    record = record.model_copy(update={"argv": [sys.executable, "-c", "import signal; signal.pause()"]})
    write_record(record)
    code = """
import os, signal, sys
from pathlib import Path
from tao_skill_bank.platforms import worker

worker.TERMINATE_GRACE_SEC = 25.0
real = worker.write_whole

def asked_now(path, value):
    real(path, value)
    if path.name.endswith(".child.json"):
        os.kill(os.getppid(), signal.SIGTERM)

worker.write_whole = asked_now
worker.run(Path(sys.argv[1]), Path(sys.argv[1]).read_bytes())
"""
    subprocess.run([sys.executable, "-c", code, str(record.path)], check=True, timeout=120)
    assert job_state(record) == "canceled"


def test_a_record_that_is_moved_away_while_the_records_are_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = sorted((unsubmitted(tmp_path) for _ in range(2)), key=lambda r: r.uid)
    read = guard.read_bytes

    def read_as_it_goes(path: Path, what: str) -> bytes:
        if path == gone.path:
            path.unlink()
        return read(path, what)

    monkeypatch.setattr(guard, "read_bytes", read_as_it_goes)
    assert [r.uid for r in read_records(tmp_path)] == [kept.uid]


def test_a_job_that_was_moved_aside_is_lost_and_leaves_nothing_new_behind(tmp_path: Path) -> None:
    record = unsubmitted(tmp_path)
    record.path.unlink()
    assert LocalPlatform().status(record) == "lost"
    assert list(record.path.parent.iterdir()) == []
    with pytest.raises(InputError, match="no job"):
        read_job(tmp_path, record.uid)


def test_looking_at_a_job_decides_nothing(tmp_path: Path) -> None:
    record = unsubmitted(tmp_path)
    assert job_state(record) == "pending"
    assert claim(record.path, {"pid": 1, "identity": None}), "its worker may still begin"


def test_a_command_without_an_own_implementation_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="visual_changenet"):
        own_argv(["visual_changent", "train"])


def test_a_process_id_that_was_used_again_is_another_process(tmp_path: Path) -> None:
    record = new_record(key="a.b.c", platform="local", command=["x"], outputs=[], cwd=tmp_path, results_dir=tmp_path)
    record.path.parent.mkdir()
    record.path.write_text(record.model_dump_json())
    assert claim(record.path, {"pid": os.getpid(), "identity": "of another boot"})
    assert LocalPlatform().status(record) == "lost"


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock (Linux 5.19)")
@pytest.mark.parametrize("code", ["print(open({secret!r}).read())", "open({secret!r}, 'w')", "open({new!r}, 'w')"])
def test_the_kernel_keeps_a_job_of_somebody_elses_client_to_its_roots(tmp_path: Path, code: str) -> None:
    (tmp_path / "run").mkdir()
    secret, new = tmp_path / "secret", tmp_path / "new"
    secret.write_text("hunter2")
    platform = Scripted()
    with roots.confined([tmp_path / "run"]):
        record = submitted(platform, tmp_path / "run", code.format(secret=str(secret), new=str(new)))
        assert ended(platform, record) == "failed"
        assert "Permission denied" in platform.logs(record) and "hunter2" not in platform.logs(record)
    assert secret.read_text() == "hunter2" and not new.exists()


def test_a_persons_own_job_is_not_walled_in(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "data").write_text("mine")
    platform = Scripted()
    record = submitted(platform, tmp_path / "run", f"print(open({str(tmp_path / 'data')!r}).read())")
    assert ended(platform, record) == "complete"
    assert "mine" in platform.logs(record)
