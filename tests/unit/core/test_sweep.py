"""Half-written files that a killed process left are swept away; what somebody is writing now is not."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from tao_skill_bank.core import fsio, guard


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if fsio.is_temporary(path.name)]


def test_a_file_that_is_being_written_outlives_a_sweep_of_its_folder(tmp_path: Path) -> None:
    target = tmp_path / "stop_request.json"
    with fsio.atomic_file(target) as handle:
        handle.write(b"{}")
        (temporary,) = half_written(tmp_path)
        fsio.sweep(temporary)
        assert temporary.exists()
    assert target.read_bytes() == b"{}" and half_written(tmp_path) == []


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    if (child := os.fork()) == 0:
        with fsio.atomic_file(tmp_path / "stop_request.json"):
            os._exit(9)
    os.waitpid(child, 0)
    (temporary,) = half_written(tmp_path)
    fsio.sweep(temporary)
    assert list(tmp_path.iterdir()) == []
    fsio.sweep(temporary)


def test_what_a_worker_under_a_fence_has_half_written_is_swept_away(tmp_path: Path) -> None:
    with guard.fenced(lambda: None), fsio.atomic_file(tmp_path / "report.html"):
        (temporary,) = half_written(tmp_path)
        fsio.sweep(temporary)
        assert not temporary.exists()
        temporary.touch()


@pytest.mark.parametrize("locks", ["are not there", "are had by everybody"])
def test_without_locks_what_was_swept_away_while_it_was_written_is_written_again(
    locks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_flock if locks == "are not there" else lambda _fd, _how: None)
    target = tmp_path / "stop_request.json"
    with fsio.atomic_file(target, 0o600) as handle:
        handle.write(b'{"by": ')
        (temporary,) = half_written(tmp_path)
        fsio.sweep(temporary)
        assert not temporary.exists()
        handle.write(b'"Ana"}')
    assert target.read_bytes() == b'{"by": "Ana"}' and half_written(tmp_path) == []
    assert target.stat().st_mode & 0o777 == 0o600


def no_flock(_fd: int, _how: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_over_nfs_which_has_no_exclusive_lock_for_readers_a_file_in_use_outlives_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def as_nfs(fd: int, how: int) -> None:
        able = fcntl.fcntl(getattr(fd, "fileno", lambda: fd)(), fcntl.F_GETFL) & os.O_ACCMODE
        if (how & fcntl.LOCK_EX and able == os.O_RDONLY) or (how & fcntl.LOCK_SH and able == os.O_WRONLY):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", as_nfs)
    with fsio.atomic_file(tmp_path / "stop_request.json"):
        (temporary,) = half_written(tmp_path)
        fsio.sweep(temporary)
        assert temporary.exists()
    (left := tmp_path / ".report.0.tmp.html").touch()
    fsio.sweep(left)
    assert not left.exists()


def test_a_leftover_that_may_not_be_opened_is_left_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anothers(path: Path, _what: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    (left := tmp_path / ".report.0.tmp.html").touch()
    monkeypatch.setattr(guard, "open_read", anothers)
    fsio.sweep(left)
    assert left.exists()


def test_a_folder_that_goes_while_a_file_is_written_is_said(tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    with pytest.raises(FileNotFoundError) as said, fsio.atomic_file(folder / "report.html"):
        shutil.rmtree(folder)
    assert said.value.filename == str(folder / "report.html")


def test_what_is_written_again_is_not_swept_away_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, fsync = tmp_path / "stop_request.json", os.fsync
    swept: list[Path] = []

    def while_others_sweep(fd: int) -> None:
        fsync(fd)
        for path in half_written(tmp_path):
            if swept:
                fsio.sweep(path)
            else:
                # As by a sweep before the file was locked.
                path.unlink()
            swept.append(path)

    monkeypatch.setattr(os, "fsync", while_others_sweep)
    fsio.write_bytes(target, b"{}")
    assert len(swept) == 2 and target.read_bytes() == b"{}"
