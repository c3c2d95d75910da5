"""Who a process is: its id alone is not identity, because ids are used again. Standard library only."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

_PROC = os.path.exists("/proc/self/stat")
MARK = "TAO_SKILLS_JOB"


def process_identity(pid: int) -> str | None:
    """When the living process `pid` started, in a form that is compared only for equality; None if it is gone.

    On Linux the kernel's start tick and boot id, elsewhere what `ps` prints. A zombie counts as gone.
    """
    if pid <= 0:
        return None
    if _PROC:
        try:
            told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        fields = told[told.rfind(")") + 2 :].split()
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    # One form for every process that compares it, whatever its language and its time zone are.
    plain = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    asked = subprocess.run(command, capture_output=True, text=True, check=False, env=plain, start_new_session=True)
    shown = asked.stdout.strip()
    return None if not shown or shown.startswith("Z") else shown.split(maxsplit=1)[-1]


def is_alive(pid: int, identity: str | None) -> bool:
    """Whether the very process that was recorded as (`pid`, `identity`) still runs."""
    return identity is not None and process_identity(pid) == identity


def has_open(pid: int, path: Path) -> bool:
    """Whether the process `pid` has the file `path` open; a link, or a file of another name too, is had by nobody.

    On Linux open to write, as a job has its own file: whoever only looks at one reads it.
    What a record says of a process anybody can write who can write the record; what a process has open, only it.
    """
    wanted = _own_file(path)
    if wanted is None:
        return False
    try:
        if not _PROC:
            shown = subprocess.run(["lsof", "-t", "--", str(path)], capture_output=True, text=True, check=False).stdout
            return str(pid) in shown.split()
        return any(_writes(f"/proc/{pid}", name, path.name, wanted) for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def _writes(proc: str, fd: str, name: str, wanted: os.stat_result) -> bool:
    """Whether a descriptor is the file's, open to write; one of another name (on a dead mount?) is not touched."""
    try:
        if os.path.basename(os.readlink(f"{proc}/fd/{fd}")) != name:
            return False
        told = Path(f"{proc}/fdinfo/{fd}").read_text(encoding="ascii").split()
        flags = int(told[told.index("flags:") + 1], 8)
    except (OSError, ValueError):
        return False
    return flags & os.O_ACCMODE != os.O_RDONLY and _same(f"{proc}/fd/{fd}", wanted)


def marked_by(path: Path) -> dict[str, str]:
    """What marks processes as those of the file `path`, in their environment; nothing where `has_open` says no."""
    about = _own_file(path)
    return {} if about is None else {MARK: f"{about.st_dev:x}.{about.st_ino:x}.{path.name}"}


def having(path: Path) -> list[int]:
    """The living processes that have the file `path` open, or began with its mark (on Linux); never this one.

    One that began with an empty environment and has closed the file is not found.
    """
    mark = b"".join(f"{name}={value}".encode() for name, value in marked_by(path).items())
    found = []
    for pid in _processes() if mark else ():
        try:
            told = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if pid != os.getpid() and (mark in told or has_open(pid, path)) and process_identity(pid) is not None:
            found.append(pid)
    return found


def _own_file(path: Path) -> os.stat_result | None:
    try:
        about = path.lstat()
    except OSError:
        return None
    return about if stat.S_ISREG(about.st_mode) and about.st_nlink == 1 else None


def _processes() -> list[int]:
    return [int(name) for name in (os.listdir("/proc") if _PROC else ()) if name.isdigit()]


def descendants(of: int) -> list[int]:
    """The living children of a process, their children and so on; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for pid in _processes():
        try:
            told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        state, parent = told[told.rfind(")") + 2 :].split()[:2]
        if state not in "ZX":
            children.setdefault(int(parent), []).append(pid)
    found, rest = [], [of]
    while rest:
        own = children.get(rest.pop(), [])
        found += own
        rest += own
    return found


def tell(processes: Iterable[int], group: int | None, number: signal.Signals) -> None:
    """Send a signal to a process group at once, and to those of some processes that are not of it."""
    if group is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
    for pid in processes:
        with contextlib.suppress(OSError):
            if os.getpgid(pid) != group:
                os.kill(pid, number)


def adopt_orphans() -> None:
    """On Linux, be the parent of every descendant that loses its own: none of them is lost sight of."""
    if _PROC:
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def reap_orphans(but: int) -> None:
    """Take the ended children of this process away that it has adopted; `but` is left to whoever waits for it."""
    with contextlib.suppress(ChildProcessError):
        while _PROC:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid == but:
                return
            os.waitpid(ended.si_pid, 0)


def _same(name: str, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(name), wanted)
    except OSError:
        return False


def own_identity() -> tuple[int, str]:
    """(pid, identity) of this process."""
    return os.getpid(), process_identity(os.getpid()) or "unknown"
