"""Jobs on this machine: records, exit records, orphans, the lost and the canceled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tao_skill_bank.errors import InputError
from tao_skill_bank.platforms.base import ENDED, JobRecord, new_record, read_exit, read_process, read_records
from tao_skill_bank.platforms.local import LocalPlatform, own_argv
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
    limit = time.monotonic() + 30
    while (state := platform.status(record)) not in ENDED:
        assert time.monotonic() < limit, "the job does not end"
        platform.wait(record, 0.05)
    return state


def until(condition: object, _record: JobRecord) -> None:
    limit = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < limit, "it does not happen"
        os.sched_yield()


def test_a_job_leaves_its_record_its_output_and_how_it_ended(tmp_path: Path) -> None:
    platform = Scripted()
    record = submitted(platform, tmp_path, "print('hello')")
    assert ended(platform, record) == "complete"
    assert [r.uid for r in read_records(tmp_path)] == [record.uid]
    assert platform.logs(record) == "hello"
    exit_record = read_exit(record)
    assert exit_record is not None and exit_record.exit_code == 0


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
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_local import Scripted, submitted\n"
        "f = Path(sys.argv[1]); submitted(Scripted(), f, f'open({str(f)!r} + \"/gate\").read()')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)], check=True)
    record = read_records(tmp_path)[0]
    stranger = LocalPlatform()
    until(lambda: read_process(beside(record.path, "child.json")), record)
    assert stranger.status(record) == "running"
    fifo.write_text("go")
    assert ended(stranger, record) == "complete"


def test_a_worker_killed_without_an_exit_record_is_lost_once_its_command_has_ended(tmp_path: Path) -> None:
    platform = Scripted()
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    record = submitted(platform, tmp_path, f"open({str(fifo)!r}).read()")
    until(lambda: read_process(beside(record.path, "child.json")), record)
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


def test_cancel_ends_the_command_and_says_so(tmp_path: Path) -> None:
    platform = Scripted()
    record = submitted(platform, tmp_path, "import signal; signal.pause()")
    until(lambda: read_process(beside(record.path, "child.json")), record)
    platform.cancel(record)
    assert ended(platform, record) == "canceled"


def test_a_job_that_was_canceled_before_it_began_does_not_begin(tmp_path: Path) -> None:
    record = new_record(key="a.b.c", platform="local", command=["x"], outputs=[], cwd=tmp_path, results_dir=tmp_path)
    record.path.parent.mkdir()
    record.path.write_text(record.model_dump_json())
    platform = LocalPlatform()
    platform.cancel(record)
    assert platform.status(record) in ("lost", "canceled")
    assert not beside(record.path, "log").exists()


def test_a_command_without_an_own_implementation_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="visual_changenet"):
        own_argv(["visual_changent", "train"])


def test_a_process_id_that_was_used_again_is_another_process(tmp_path: Path) -> None:
    record = new_record(key="a.b.c", platform="local", command=["x"], outputs=[], cwd=tmp_path, results_dir=tmp_path)
    record.path.parent.mkdir()
    record.path.write_text(record.model_dump_json())
    assert claim(record.path, {"pid": os.getpid(), "identity": "of another boot"})
    assert LocalPlatform().status(record) == "lost"
