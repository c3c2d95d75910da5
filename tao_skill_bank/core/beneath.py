"""Open a name beneath a folder in one step: no link on the way, no `..`, nothing that can be swapped in between.

Linux does it in one system call (`openat2`, since 5.6). Where that is not there, or a sandbox refuses it, the path is
walked: each folder is opened relative to the one before it and never by a link, so that a swap meets an open folder.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
import sys
from collections.abc import Callable, Sequence

_OPENAT2 = 437
"""Its number is the same on every architecture."""
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_NOT_THERE = (errno.ENOSYS, errno.EPERM, errno.E2BIG)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOOK = getattr(os, "O_PATH", 0)
_TRIES = 16

Opener = Callable[[int, Sequence[str], int, int], int]
"""(descriptor of the folder, parts of the name, flags, mode of a new file) -> descriptor."""


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder: int, parts: Sequence[str], flags: int, mode: int = 0o666) -> int:
    """A descriptor of `parts` beneath the open `folder`, by the kernel's own call where it has one.

    Raises:
        OSError: ELOOP where any part is a link, ENOTDIR where one on the way is no folder; else as `open(2)`.
    """
    return by_kernel(folder, parts, flags, mode) if has_openat2() else by_walk(folder, parts, flags, mode)


@functools.cache
def has_openat2() -> bool:
    """Whether the kernel has the call and lets this process use it. The number is another call's on other systems."""
    if sys.platform != "linux":
        return False
    # Looked at without being opened: whoever is walled in may not read it.
    look = _LOOK | os.O_DIRECTORY | os.O_CLOEXEC
    folder = os.open("/", look)
    try:
        os.close(by_kernel(folder, (), look, 0))
    except OSError as error:
        if error.errno in _NOT_THERE:
            return False
        raise
    finally:
        os.close(folder)
    return True


@functools.cache
def _syscall() -> Callable[..., int]:
    call: Callable[..., int] = ctypes.CDLL(None, use_errno=True).syscall
    return call


def by_kernel(folder: int, parts: Sequence[str], flags: int, mode: int) -> int:
    """`open_beneath` by `openat2`."""
    name = "/".join(parts) or "."
    flags |= os.O_CLOEXEC
    how = _How(flags, mode if flags & os.O_CREAT else 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    for _ in range(_TRIES):
        found = _syscall()(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(folder),
            ctypes.c_char_p(os.fsencode(name)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if found >= 0:
            return int(found)
        code = ctypes.get_errno()
        # EAGAIN: something was renamed meanwhile, and the kernel could not tell that the name stayed beneath.
        if code not in (errno.EINTR, errno.EAGAIN):
            break
    raise OSError(code, os.strerror(code), name)


def by_walk(folder: int, parts: Sequence[str], flags: int, mode: int) -> int:
    """`open_beneath` by a walk in which no part may be a link."""
    name = "/".join(parts) or "."
    if any(part in ("", "..") or "/" in part for part in parts):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    at = os.dup(folder)
    try:
        for part in parts[:-1]:
            within = _opened(part, _FOLDER | os.O_NOFOLLOW, 0, at)
            os.close(at)
            at = within
        return _opened(parts[-1] if parts else ".", flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode, at)
    except OSError as error:
        error.filename = name
        raise
    finally:
        os.close(at)


def _opened(part: str, flags: int, mode: int, at: int) -> int:
    try:
        fd = os.open(part, flags, mode, dir_fd=at)
        if flags & _LOOK and stat.S_ISLNK(os.fstat(fd).st_mode):
            # Looking without opening takes hold of the link itself.
            os.close(fd)
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), part)
        return fd
    except OSError as error:
        # With O_DIRECTORY a link is "not a directory"; say what it is.
        if error.errno in (errno.ENOTDIR, errno.EMLINK, errno.ELOOP) and _is_link(part, at):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), part) from None
        raise


def _is_link(part: str, at: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(part, dir_fd=at, follow_symlinks=False).st_mode)
    except OSError:
        return False
