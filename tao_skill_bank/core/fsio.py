"""Writing that a crash cannot half do: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from tao_skill_bank.core import guard

CHUNK = 1 << 20


def fsync_dir(folder: Path) -> None:
    """Make renames and new names in `folder` durable."""
    with guard.folder(folder) as fd:
        _sync_folder(fd)


def is_temporary(name: str) -> bool:
    """Whether a file name is that of a temporary sibling, as `atomic_file` makes them."""
    return name.startswith(".") and ".tmp" in name


def sweep(path: Path) -> None:
    """Remove a temporary sibling that a killed process left, not one that somebody is writing now.

    What a worker under a fence (`guard.fenced`) writes is removed in any case: whoever may sweep has taken its place.
    Another user's, that may not be opened or removed, is left.
    """
    with contextlib.suppress(FileNotFoundError, PermissionError), guard.open_read(path, "temporary file") as handle:
        try:
            # Shared, because NFS has no exclusive lock for who only reads.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            # A file system without locks: nobody can say that the file is in use; who writes it puts it there again.
            pass
        guard.remove(path)


@contextlib.contextmanager
def atomic_file(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A handle whose content replaces `path` when the block ends well.

    It writes to a temporary sibling, which is removed on an error; `path` is then as it was. A link in the place of
    `path` is replaced, not followed; roots hold as in `core.guard`.
    `mode`: the permissions; by default those of a new file of the user's.
    """
    with guard.place(path, make=True) as at:
        name = f".{path.stem[:60]}.{secrets.token_hex(6)}.tmp{path.suffix}"
        try:
            with os.fdopen(_in_use(name, mode, at.fd), "w+b") as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
                guard.ask_the_fence()
                _take_the_place(handle, name, at, mode)
        except BaseException as error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=at.fd)
            if isinstance(error, OSError) and error.filename in (None, name):
                error.filename, error.filename2 = str(path), None
            raise
        _sync_folder(at.fd)


def _in_use(name: str, mode: int, folder: int) -> int:
    """A new file, open, that `sweep` leaves alone as long as it is; under a fence it does not."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, mode, dir_fd=folder)
    if not guard.is_fenced():
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _take_the_place(handle: BinaryIO, name: str, at: guard.Place, mode: int) -> None:
    """Rename what is written; what was swept away meanwhile (before it was locked, or without locks) is put again."""
    try:
        os.replace(name, at.name, src_dir_fd=at.fd, dst_dir_fd=at.fd)
        return
    except FileNotFoundError:
        if guard.is_fenced():
            raise
    with os.fdopen(_in_use(name, mode, at.fd), "w+b") as copy:
        handle.seek(0)
        shutil.copyfileobj(handle, copy, CHUNK)
        copy.flush()
        os.fsync(copy.fileno())
    os.replace(name, at.name, src_dir_fd=at.fd, dst_dir_fd=at.fd)


@contextlib.contextmanager
def atomic_open(path: Path, *, newline: str = "\n") -> Iterator[IO[str]]:
    """Open for UTF-8 text that takes the place of `path` at once when it is closed, or not at all."""
    with atomic_file(path) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", newline=newline)
        try:
            yield text
            text.flush()
        finally:
            with contextlib.suppress(OSError, ValueError):
                text.detach()


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Replace `path` by `text` (UTF-8), atomically and durably; `mode`: its permissions, where they matter."""
    write_bytes(path, text.encode(), mode=mode)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Replace `path` by `data`, atomically and durably."""
    with atomic_file(path, mode) as handle:
        handle.write(data)


def swap_bytes(path: Path, data: bytes, claim: str, *, unchanged: Callable[[], bool]) -> bool:
    """Replace `path` by `data` if it still is what was read, durably; safe also where locks do not work.

    Of several who replace the same version one gets the name `claim`, and only who has it may rename. Whoever takes a
    version over from somebody who is silent removes the claim first: the other's rename then finds nothing. `claim`
    belongs to that version alone; `unchanged` says whether the file is the version that was read.

    Returns:
        Whether the file now holds `data`; it is as somebody else left it if not.
    """
    with guard.place(path, make=True) as at:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(claim, flags, 0o666, dir_fd=at.fd)
        except FileExistsError:
            return False
        try:
            with os.fdopen(fd, "wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            if not unchanged():
                os.unlink(claim, dir_fd=at.fd)
                return False
            os.replace(claim, at.name, src_dir_fd=at.fd, dst_dir_fd=at.fd)
        except FileNotFoundError:
            # Taken away by whoever took over; if it got there first by its name, it is this version all the same.
            return _holds(path, data)
        except BaseException as error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(claim, dir_fd=at.fd)
            if isinstance(error, OSError):
                error.filename, error.filename2 = str(path), None
            raise
        _sync_folder(at.fd)
    return _holds(path, data)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return guard.read_bytes(path) == data
    except FileNotFoundError:
        return False


def copy_file(source: Path, target: Path) -> None:
    """Replace `target` by a copy of the file `source`, atomically and durably."""
    with guard.open_read(source) as handle, atomic_file(target) as copy:
        shutil.copyfileobj(handle, copy, CHUNK)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as indented JSON (UTF-8, no NaN), atomically and durably."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces, so that equal values have equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_text(text: str) -> str:
    """SHA-256 of UTF-8 text, as hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex, read in blocks."""
    digest = hashlib.sha256()
    with guard.open_read(path) as handle:
        while block := handle.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _sync_folder(fd: int) -> None:
    """Some file systems have no such thing for a folder (FUSE, SMB): a rename is as durable there as it gets."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
