"""Who a process is: by /proc, and where there is none (macOS) by what `ps` and `lsof` say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tao_skill_bank.core import beneath, process

SLEEP = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]


@pytest.fixture(params=["proc", "ps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways, on whatever system has them."""
    if request.param == "proc" and not os.path.exists("/proc/self/stat"):
        pytest.skip("no /proc here")
    if request.param == "ps" and not (shutil.which("ps") and shutil.which("lsof")):
        pytest.skip("ps or lsof is not here")
    monkeypatch.setattr(process, "_PROC", request.param == "proc")
    return str(request.param)


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process, that waits."""
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started
        started.kill()


def test_a_process_keeps_its_identity_and_one_that_ended_has_none(way: str, other: subprocess.Popen[str]) -> None:
    identity = process.process_identity(other.pid)
    assert identity and identity == process.process_identity(other.pid)
    assert process.is_alive(other.pid, identity)
    other.kill()
    other.wait()
    assert process.process_identity(other.pid) is None
    assert not process.is_alive(other.pid, identity)


def test_one_that_ended_and_was_not_waited_for_has_ended(way: str, other: subprocess.Popen[str]) -> None:
    identity = process.process_identity(other.pid)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert not process.is_alive(other.pid, identity)


def test_an_id_that_another_process_got_is_not_the_one_recorded(way: str, other: subprocess.Popen[str]) -> None:
    assert not process.is_alive(other.pid, "Mon Jan  5 10:00:00 1970")
    assert not process.is_alive(other.pid, None)


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_what_is_no_id_is_nobody(way: str, pid: int) -> None:
    assert process.process_identity(pid) is None


def test_the_identity_does_not_depend_on_who_asks(
    way: str, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = process.process_identity(other.pid)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("LC_TIME", "de_DE.UTF-8")
    assert process.process_identity(other.pid) == here


def test_an_open_file_is_had_by_who_has_it_open_and_by_nobody_else(
    way: str, tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    path = tmp_path / "held"
    with path.open("w"):
        assert process.has_open(os.getpid(), path)
        assert not process.has_open(other.pid, path)
    assert not process.has_open(os.getpid(), path)
    with path.open():
        # Who only looks at a job's file is no process of the job.
        assert way != "proc" or not process.has_open(os.getpid(), path)
    assert not process.has_open(os.getpid(), tmp_path / "none")


def test_a_link_to_an_open_file_is_had_by_nobody(way: str, tmp_path: Path) -> None:
    with (tmp_path / "held").open("w"):
        (tmp_path / "link").symlink_to(tmp_path / "held")
        assert not process.has_open(os.getpid(), tmp_path / "link")


def test_without_lsof_nobody_has_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "_PROC", False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (tmp_path / "held").open("w"):
        assert not process.has_open(os.getpid(), tmp_path / "held")


def test_the_kernels_call_is_not_made_where_its_number_means_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "by_kernel", lambda *_: pytest.fail("called"))
    monkeypatch.setattr(beneath.sys, "platform", "darwin")
    assert beneath.has_openat2.__wrapped__() is False
