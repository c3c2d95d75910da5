"""What a folder's file system can do of what a run needs, tried out: nothing is left behind.

Needed are locks, a rename that replaces, exclusive creation, appending (TAO does), room and inodes. Hard links,
symbolic links, permissions and the sync of a folder are not: where they are missing, the bank does without.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tao_skill_bank.core import guard

LEAST_BYTES = 16 << 20
"""With less a run begins no further stage; a state and a log line still fit."""
LEAST_FILES = 100
_LITTLE_BYTES = 2 << 30
_LITTLE_FILES = 10_000
_ELSEWHERE = "put the workspace on a local disk (ext4, xfs, btrfs, APFS)"


@dataclass(frozen=True)
class Finding:
    """What was found: `fail` is something that a run cannot do without."""

    status: Literal["warn", "fail"]
    text: str
    fix: str

    def line(self) -> str:
        """What and what to do, as one line."""
        return f"{self.text} ({self.fix})"


def look(folder: Path) -> list[Finding]:
    """Try out what a run will do in `folder`; nothing found: all of it works.

    Raises:
        OutsideError: It lies outside the roots.
    """
    name = f".folder-{secrets.token_hex(6)}.tmp"
    found: list[Finding] = []
    try:
        with guard.place(folder / name) as at:
            try:
                found += _tried(at.fd, name)
            finally:
                for left in (name, f"{name}.B", f"{name}.b", f"{name}.log"):
                    with contextlib.suppress(OSError):
                        os.unlink(left, dir_fd=at.fd)
    except OSError as error:
        return [Finding("fail", f"{folder} cannot be written: {error.strerror}", "fix that, or name another workspace")]
    return [*found, *room(folder, _LITTLE_BYTES, _LITTLE_FILES, "warn")]


def room(folder: Path, least_bytes: int, least_files: int, status: Literal["warn", "fail"]) -> list[Finding]:
    """What is short: bytes, or files (inodes) where the file system counts them."""
    has = os.statvfs(folder)
    found = []
    if (free := has.f_bavail * has.f_frsize) < least_bytes:
        text = f"only {free / 1e9:.1f} GB are free" if free >= 1e8 else f"only {free / 1e6:.0f} MB are free"
        found.append(Finding(status, text, "make room: every iteration keeps a checkpoint"))
    if has.f_files and has.f_favail < least_files:
        text = f"only {has.f_favail:,} more files can be made (inodes)"
        found.append(Finding(status, text, "remove files, or use a file system with more inodes"))
    return found


def _tried(folder: int, name: str) -> Iterator[Finding]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    one = os.open(name, flags, 0o666, dir_fd=folder)
    try:
        other = os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)
        try:
            yield from _locks(one, other)
        finally:
            os.close(other)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(name, flags, 0o666, dir_fd=folder))
            yield Finding("fail", "a file that is there is made a second time, so that two take one job", _ELSEWHERE)
        os.write(one, b"probe")
        os.fsync(one)
    finally:
        os.close(one)
    os.close(os.open(f"{name}.B", flags, 0o666, dir_fd=folder))
    try:
        os.close(os.open(f"{name}.b", flags, 0o666, dir_fd=folder))
    except FileExistsError:
        text = "names that differ in upper and lower case alone are one file here"
        yield Finding("warn", text, "keep labels and picture names apart by more than that")
    try:
        os.replace(name, f"{name}.B", src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        yield Finding("fail", f"a file cannot be renamed over another: {error.strerror}", _ELSEWHERE)
    try:
        for _ in ("made for it", "there"):
            log = os.open(f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666, dir_fd=folder)
            try:
                os.write(log, b"probe")
            finally:
                os.close(log)
    except OSError as error:
        yield Finding("fail", f"nothing can be appended to a file, as TAO does: {error.strerror}", _ELSEWHERE)


def _locks(one: int, other: int) -> Iterator[Finding]:
    try:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        yield Finding("fail", f"files cannot be locked here: {error.strerror}", f"{_ELSEWHERE}, or mount it with locks")
        return
    try:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            yield Finding("fail", f"files cannot be locked here: {error.strerror}", _ELSEWHERE)
        return
    yield Finding(
        "warn",
        "locks are given to everybody here: of two that start at once, one may work for nothing",
        f"start one worker at a time, or {_ELSEWHERE}",
    )
