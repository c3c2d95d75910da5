"""A disk without room, files or quiet: a run ends in one line, loses nothing, and goes on when the cause is mended."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from tao_skill_bank import runs
from tao_skill_bank.core.errors import BankError, InputError, LostRunError
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.loop.opening import folder_lock
from tao_skill_bank.loop.run import Run, Silent
from tao_skill_bank.loop.state import AnyState
from tao_skill_bank.platforms.local import LocalPlatform
from tao_skill_bank.tasks.registry import load_state

SUPPORT = Path(tiny.__file__).parent
ROOM = "size=3g,nr_inodes=50000"


class Disk:
    """A file system of its own that can be filled up and freed."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def fill(self, kind: str) -> None:
        """No `bytes`, or no `files`, are left."""
        about = os.statvfs(self.at)
        used = (about.f_blocks - about.f_bfree) * about.f_frsize
        self._now(f"size={used}" if kind == "bytes" else f"nr_inodes={about.f_files - about.f_ffree}")

    def free(self) -> None:
        """There is room again."""
        self._now(ROOM)

    def _now(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.at)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    at = tmp_path / "disk"
    at.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", ROOM, "tmpfs", str(at)], capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield Disk(at)
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def approved(folder: Path) -> Path:
    workspace = tiny.make_workspace(folder / "w", pairs=0, pool=0, acceptance=False)
    wanted = tiny.request(workspace, target="FAR < 100% at recall=50%", iterations=1, settings=("num_epochs=1",))
    return tiny.approved(wanted)


def contents(run: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file() and p.name[0] != "."}


@pytest.mark.parametrize("kind", ["files", pytest.param("bytes", marks=pytest.mark.slow)])
def test_a_run_that_is_begun_without_room_is_one_line_and_goes_on_when_there_is_some(kind: str, disk: Disk) -> None:
    run = approved(disk.at)
    before = contents(run)
    disk.fill(kind)
    with pytest.raises(BankError, match=r"No space left on device \(make room there .*df -i") as caught:
        runs.run_loop(run, once=True)
    assert "\n" not in caught.value.line() and str(run) in caught.value.line()
    assert contents(run) == before, "nothing is lost and nothing half written"
    assert runs.status(run).working is None
    disk.free()
    with tiny.fake_model():
        runs.run_loop(run, once=True)
    assert [(line.stage, line.status) for line in read_log(run / LOG_FILE)] == [("train", "ok")]


@pytest.mark.parametrize("kind", ["files", "bytes"])
def test_a_run_that_is_approved_without_room_leaves_nothing_and_is_made_when_there_is_some(
    kind: str, disk: Disk
) -> None:
    workspace = tiny.make_workspace(disk.at / "w", pairs=0, pool=0, acceptance=False)
    wanted = tiny.request(workspace, target="FAR < 100% at recall=50%", iterations=1, settings=("num_epochs=1",))
    before, planned = sorted(workspace.rglob("*")), runs.plan_run(wanted)
    disk.fill(kind)
    with pytest.raises(OSError, match="No space left on device"):
        runs.open_run(wanted, approve=planned.digest, how="flag", checked=planned)
    assert sorted(workspace.rglob("*")) == before
    disk.free()
    assert load_state(tiny.approved(wanted)).status == "planned"


@pytest.mark.parametrize(
    "call", ["fsync", "replace", *(pytest.param(c, marks=pytest.mark.slow) for c in ("mkdir", "open"))]
)
def test_an_approval_that_the_disk_refuses_at_any_call_leaves_nothing_or_a_run_that_goes_on(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)
    wanted = tiny.request(workspace, target="FAR < 100% at recall=50%", iterations=1, settings=("num_epochs=1",))
    tiny.approved(wanted)
    shutil.rmtree(workspace / "results")
    before, planned = sorted(workspace.rglob("*")), runs.plan_run(wanted)
    real, met, refused = getattr(os, call), 0, 0

    def refusing(*args: Any, **more: Any) -> Any:
        nonlocal met
        writes = call != "open" or args[1] & os.O_CREAT
        met += writes
        if writes and met == refused:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **more)

    while True:
        refused, met = refused + 1, 0
        with monkeypatch.context() as patched:
            patched.setattr(os, call, refusing)
            try:
                run = runs.open_run(wanted, approve=planned.digest, how="flag", checked=planned)
            except (OSError, BankError):
                if (left := sorted(workspace.rglob("*"))) == before:
                    continue
                [run] = {path.parent for path in left if path.name == "deft_state.json"}
        assert load_state(run).status == runs.status(run).status == "planned"
        shutil.rmtree(workspace / "results")
        if met < refused:
            break
    assert refused > 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bytes", "files"])
def test_a_disk_that_fills_up_in_mid_stage_fails_the_stage_in_one_line_and_freed_the_run_ends(
    kind: str, disk: Disk, tmp_path: Path
) -> None:
    run = approved(disk.at)
    gate = tmp_path / "gate"
    path = os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "FAKE_TAO_GATE": str(gate)}
    with gate.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        worker = subprocess.Popen(
            [sys.executable, str(SUPPORT / "drive.py"), str(run)], env=env, stderr=subprocess.PIPE, text=True
        )
        while not list((run / "jobs").glob("*.child.json")):
            assert worker.poll() is None
            time.sleep(0.01)
        disk.fill(kind)
    said = worker.communicate(timeout=120)[1]
    assert worker.returncode != 0 and "BankError" in said.strip().splitlines()[-1], said
    assert [r.status for r in load_state(run).records() if r.status == "ok"] == []
    view = runs.status(run)
    assert view.working is None and view.status in ("failed", "interrupted", "running")
    disk.free()
    with tiny.fake_model():
        runs.run_loop(run)
    assert load_state(run).status == "complete"
    lines = read_log(run / LOG_FILE)
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return approved(tmp_path)


def test_a_copy_of_a_run_at_work_is_not_taken_for_the_run(run: Path) -> None:
    workspace = run.parent.parent
    with folder_lock(run, "command"):
        copy = Path(shutil.copytree(run, run.with_name("zz_copy")))
        assert runs.status(run).status == "running"
        view = runs.status(copy)
        assert view.working is None and view.status != "running"
        assert f"this run was made in {run}, and copied or moved since" in view.next_step
        with pytest.raises(InputError, match="a copy can be read, not continued"):
            runs.stop(copy)
        with pytest.raises(InputError, match="a copy can be read, not continued"):
            runs.run_loop(copy)
        assert not (copy / "stop_request.json").exists()
        assert runs.latest_run(workspace) == run


def test_a_worker_whose_half_written_file_was_swept_away_by_its_heir_is_told_that_it_lost_the_run(run: Path) -> None:
    class Swept(Silent):
        def stage_ended(self, state: AnyState, label: str, line: str) -> None:
            Run.of(load_state(run), LocalPlatform()).take()
            raise FileNotFoundError(2, "No such file or directory", str(run / ".report.tmp.html"))

    with tiny.fake_model(), pytest.raises(LostRunError, match="somebody else has taken this run over"):
        runs.run_loop(run, Swept(), once=True)


_AROUND_A_CHANGE = """
import json, sys
from datetime import UTC, datetime, timedelta
from tao_skill_bank.core.clock import folder_time, log_moment, log_time
# Clocks go back at 01:00 UTC in Europe, at 06:00 in New York, and forward in March.
out = []
for start in (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
              datetime(2026, 3, 29, 0, 30, tzinfo=UTC)):
    moments = [(start + timedelta(minutes=10 * n)).astimezone() for n in range(12)]
    assert [log_moment(log_time(m)) for m in moments] == moments
    out += [[log_time(m), folder_time(m)] for m in moments]
print(json.dumps(out))
"""


def test_an_hour_that_comes_twice_or_never_changes_no_name_and_no_order() -> None:
    def told(zone: str) -> list[list[str]]:
        done = subprocess.run(
            [sys.executable, "-c", _AROUND_A_CHANGE], env={**os.environ, "TZ": zone}, capture_output=True, check=True
        )
        found: list[list[str]] = json.loads(done.stdout)
        return found

    plain = told("UTC")
    for column in (0, 1):
        for part in (plain[:12], plain[12:24], plain[24:]):
            names = [row[column] for row in part]
            assert names == sorted(set(names)), "each moment has a name of its own, later ones sort behind"
    assert told("Europe/Berlin") == told("America/New_York") == plain


@pytest.mark.slow
def test_a_hundred_thousand_folders_cost_little_more_than_looking_at_them(run: Path) -> None:
    workspace = run.parent.parent
    for number in range(100_000):
        (workspace / "results" / f"run_{number}").mkdir()
    for number in range(100_000):
        (workspace / f"board_{number}").mkdir()

    def cost(work: object) -> float:
        began = time.process_time()
        work()  # type: ignore[operator]
        return time.process_time() - began

    look = cost(lambda: [entry.stat() for entry in os.scandir(workspace / "results")])
    wanted = tiny.request(workspace, iterations=1, settings=("num_epochs=1",))
    runs.plan_run(wanted)
    assert runs.latest_run(workspace) == run
    costs = {
        "newest run": cost(lambda: runs.latest_run(workspace)),
        "status": cost(lambda: runs.status(run)),
        "plan": cost(lambda: runs.plan_run(wanted)),
    }
    print(f"a look {look:.2f} s of CPU; {', '.join(f'{name} {sec:.2f} s' for name, sec in costs.items())}")
    assert costs["newest run"] < 25 * look
    assert costs["status"] < look
    assert costs["plan"] < 5 * look + 2
