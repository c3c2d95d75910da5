"""Writing that a crash cannot half do: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tao_skill_bank.core import guard

CHUNK = 1 << 20


def fsync_dir(folder: Path) -> None:
    """Make renames and new names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        _sync_folder(fd)
    finally:
        os.close(fd)


def is_temporary(name: str) -> bool:
    """Whether a file name is that of a temporary sibling, as `atomic_path` makes them."""
    return name.startswith(".") and ".tmp" in name


@contextlib.contextmanager
def atomic_path(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; it takes the place of `path` when the block ends well.

    For writers that want a file name (parquet, PNG). The suffix of `path` is kept, because some of them
    choose the format by it. On an error the temporary file is removed and `path` is as it was. A link in the place
    of `path` is replaced, not followed; roots hold as in `core.guard`.
    `mode`: the permissions; by default those of a new file of the user's.
    """
    with guard.place(path, make=True) as at:
        name = f".{path.stem[:60]}.{secrets.token_hex(6)}.tmp{path.suffix}"
        try:
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=at.fd)
        except OSError as error:
            error.filename = str(path)
            raise
        os.close(fd)
        try:
            yield at.folder / name
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=at.fd)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(name, at.name, src_dir_fd=at.fd, dst_dir_fd=at.fd)
        except BaseException as error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=at.fd)
            if isinstance(error, OSError) and str(error.filename).endswith(name):
                error.filename = str(path)
            raise
        _sync_folder(at.fd)


@contextlib.contextmanager
def atomic_open(path: Path, *, newline: str = "\n") -> Iterator[IO[str]]:
    """A UTF-8 text handle whose content replaces `path` when the block ends well."""
    with atomic_path(path) as temp, temp.open("w", encoding="utf-8", newline=newline) as handle:
        yield handle


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Replace `path` by `text` (UTF-8), atomically and durably; `mode`: its permissions, where they matter."""
    with atomic_path(path, mode) as temp:
        temp.write_bytes(text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, atomically and durably."""
    with atomic_path(path) as temp:
        temp.write_bytes(data)


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
