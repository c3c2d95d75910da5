"""The second wall around a job: the kernel itself keeps its process to the roots (Landlock, Linux 5.19 or newer).

The guard (`core.guard`) holds what the bank's own code opens. What a library opens by itself, or a fault in a decoder,
is held here: the process, and all that it starts, reads Python, the system's libraries and the roots, and writes the
roots and a folder for temporary files. Nothing is asked for that needs rights, and it cannot be taken off again.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import glob
import os
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""Numbers of the system calls; the same on every architecture."""
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38
_WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << n for n in range(1, 6))
_MAKE = sum(1 << n for n in range(6, 13))
_MAKE_DEVICE = (1 << 6) | (1 << 11)
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_READ = _READ_FILE | _READ_DIR
_ON_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE
OLDEST = 2
"""The first version whose rules let a file be renamed into another folder."""
_SYSTEM = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/opt",
    "/nix/store",
    "/proc",
    "/sys",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/tls",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm", "/dev/dri")


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


@functools.cache
def version() -> int:
    """The version of Landlock that this kernel has switched on; 0 where there is none that can be used."""
    if not sys.platform.startswith("linux"):
        return 0
    found = _call(_CREATE, None, 0, _VERSION)
    return found if found >= OLDEST else 0


def restrict(read: Iterable[Path | str], write: Iterable[Path | str]) -> bool:
    """Hold this thread and every process that it starts from now on to these folders and files.

    What may be written may be read.

    Returns:
        Whether it is held; False where the kernel has no Landlock. Paths that are not there are passed over.

    Raises:
        OSError: The kernel has it and refuses.
    """
    found = version()
    if not found:
        return False
    handled = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE | _REFER | (_TRUNCATE if found >= 3 else 0)
    rules = _Ruleset(handled)
    ruleset = _call(_CREATE, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    if ruleset < 0:
        raise _error("landlock_create_ruleset")
    try:
        for paths, access in ((read, _READ), (write, handled & ~_MAKE_DEVICE)):
            for path in paths:
                _allow(ruleset, path, access & handled)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise _error("prctl")
        if _call(_RESTRICT, ruleset, 0) != 0:
            raise _error("landlock_restrict_self")
    finally:
        os.close(ruleset)
    return True


def python_and_system() -> list[str]:
    """What a process needs to read to run this interpreter and the packages it has: no home, no other user's files."""
    own = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path]
    return [*_SYSTEM, *(path for path in own if os.path.isabs(path) and path != "/"), *model_caches()]


def devices() -> list[str]:
    """The devices that a computation writes to: none that holds anybody's data."""
    return [*_DEVICES, *glob.glob("/dev/nvidia*")]


def model_caches() -> list[str]:
    """Where the weights of public models lie, which a person downloaded for every project."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    named = (os.environ.get("HF_HOME"), os.environ.get("HF_HUB_CACHE"), os.environ.get("TORCH_HOME"))
    return [*(path for path in named if path), f"{cache}/huggingface", f"{cache}/torch"]


def _allow(ruleset: int, path: Path | str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(f"/proc/self/fd/{fd}"):
            access &= _ON_FILES
        rule = _Beneath(access, fd)
        if access and _call(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0) != 0:
            raise _error("landlock_add_rule")
    finally:
        os.close(fd)


def _call(number: int, *arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments))


def _error(name: str) -> OSError:
    code = ctypes.get_errno() or errno.EINVAL
    return OSError(code, f"{name}: {os.strerror(code)}")
