"""Who works on a run: one at a time, known to the others by process, machine and last sign of life.

A lock tells who works, where it is shared. It is not where two machines or two containers share a folder and not its
locks; there the announcement tells: whoever works on a run says so in a file, and touches it now and then (a sign of
life). Of a process of this machine and namespace the system says whether it lives. Of any other only its signs of life
are known: nobody says that it is dead, and a run whose holder has given none for `SILENT_SEC` may be taken over.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from typing import IO

from pydantic import BaseModel

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.clock import Clock, SystemClock, log_moment, log_time
from tao_skill_bank.core.errors import BusyError, LostRunError
from tao_skill_bank.core.process import is_alive, own_identity, process_identity

WORKER = "worker"
_started: list[Popen[bytes]] = []
BEAT_SEC = 20.0
SILENT_SEC = 120.0
"""A holder elsewhere that gave no sign of life for so long (six are missing) may be replaced."""
_NAME_SEC = 1.0
_HANDOVER_SEC = 10.0


class Holder(BaseModel):
    """Who works on a run.

    Attributes:
        pid, identity: Its process.
        host, namespace: Where the process id means something; empty in an announcement of an earlier version.
        after_silent: It took the work over from one elsewhere that had fallen silent, and may live.
    """

    pid: int
    identity: str
    since: str
    by: str
    host: str = ""
    namespace: str = ""
    seen: str = ""
    after_silent: bool = False

    def is_here(self) -> bool:
        """Whether its process id means the same process to this one."""
        return self.host in ("", os.uname().nodename) and (not self.host or self.namespace == namespace())

    def is_own(self) -> bool:
        """Whether this very process is meant."""
        return self.is_here() and (self.pid, self.identity) == own_identity()

    def is_silent(self, now: datetime) -> bool:
        """Whether it works elsewhere, if it does, and has given no sign of life for a while."""
        return not self.is_here() and abs(now - self._seen()) > timedelta(seconds=SILENT_SEC)

    def who(self) -> str:
        """`since … by worker (process 12)`, or `held by worker (process 12) on host …, last sign of life …`."""
        if self.is_here():
            return f"since {self.since} by {self.by} (process {self.pid})"
        within = f", {self.namespace}" if self.host == os.uname().nodename else ""
        return f"held by {self.by} (process {self.pid}) on host {self.host}{within}, last sign of life {self.seen}"

    def until(self) -> str:
        """When it may be replaced, if it gives no further sign."""
        return log_time(self._seen() + timedelta(seconds=SILENT_SEC))

    def _seen(self) -> datetime:
        try:
            return log_moment(self.seen or self.since)
        except ValueError:
            return datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Desk:
    """Where those who work on a run tell each other.

    Attributes:
        announcement: Who holds it.
        verb: What is done to it, in an error.
        fix: What to do about somebody else.
    """

    folder: Path
    lock: Path
    announcement: Path
    verb: str
    fix: str


def namespace() -> str:
    """The process namespace in which this process's id means something; empty where the system has none."""
    try:
        # A /proc of another namespace tells nothing of this one's processes.
        own = os.readlink("/proc/self") == str(os.getpid())
        return os.readlink("/proc/self/ns/pid") if own else f"{os.readlink('/proc/self/ns/pid')} without its /proc"
    except OSError:
        return ""


def announced(desk: Desk) -> Holder | None:
    """Who said that it works on the run, unless it is known to be gone; it may be silent."""
    found = _named(desk)
    return None if found is None or _is_gone(found) else found


def died(desk: Desk) -> Holder | None:
    """Who said that it works on the run and is known to be gone without having taken its name away."""
    found = _named(desk)
    return found if found is not None and _is_gone(found) else None


def _named(desk: Desk) -> Holder | None:
    try:
        with guard.open_read(desk.announcement) as handle:
            found = Holder.model_validate_json(handle.read())
            touched = os.fstat(handle.fileno()).st_mtime
    except (FileNotFoundError, ValueError):
        return None
    found.seen = log_time(datetime.fromtimestamp(touched, UTC))
    return found


def _is_gone(found: Holder) -> bool:
    return found.is_here() and not is_alive(found.pid, found.identity)


def holder(desk: Desk, clock: Clock | None = None) -> Holder | None:
    """Who works on the run now, as far as can be told: its process lives, or it gave a sign of life lately."""
    return living(announced(desk), clock)


def living(found: Holder | None, clock: Clock | None = None) -> Holder | None:
    """The same of who was read: what is said of one moment is told of one look."""
    return None if found is None or found.is_silent((clock or SystemClock()).now()) else found


def announce(desk: Desk, pid: int, identity: str | None, by: str) -> None:
    """Say who works, or is about to work, on the run: a process of this namespace."""
    host, since = os.uname().nodename, log_time(SystemClock().now())
    who = Holder(pid=pid, identity=identity or "gone", since=since, by=by, host=host, namespace=namespace())
    # Kept from hand to hand until somebody comes to an orderly end: whoever was silent may wake at any time.
    before = _named(desk)
    who.after_silent = before is not None and (before.after_silent or not before.is_here())
    fsio.write_text(desk.announcement, who.model_dump_json(exclude={"seen"}) + "\n")


def start(
    desk: Desk, module: str, *arguments: str, log: Path, env: Mapping[str, str], given: IO[bytes] | int = DEVNULL
) -> int:
    """Start a worker that outlives this process, and announce it; the caller holds what makes that one step.

    `given` is its standard input.

    Returns:
        Its process id.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    with guard.open_write(log, "ab") as out:
        worker = Popen(command, stdin=given, stdout=out, stderr=STDOUT, env=env, start_new_session=True)
    announce(desk, worker.pid, process_identity(worker.pid), WORKER)
    # Kept until they have ended: a process that serves for long leaves no zombies, and nothing warns of a lost child.
    _started[:] = [*(each for each in _started if each.poll() is None), worker]
    return worker.pid


def sign_of_life(desk: Desk, clock: Clock | None = None) -> None:
    """Touch the announcement, if it is still this process's own."""
    found = announced(desk)
    if found is not None and found.is_own():
        at = int((clock or SystemClock()).now().timestamp() * 1e9)
        with contextlib.suppress(OSError), guard.place(desk.announcement) as place:
            os.utime(place.name, ns=(at, at), dir_fd=place.fd)


class Held:
    """A fence for work whose files carry no generation: whether the announcement still names this process.

    Whoever takes the work over announces itself before it does anything else, and takes its announcement away at the
    end: either way whoever had the work before finds it out before it writes. A look costs one `stat` while nothing has
    changed.

    Args:
        desk: Where this process has announced itself.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._looked_at: tuple[int, int, int] | None = None

    def check(self) -> None:
        """Raise a `LostRunError` where somebody else works, or worked, on it since; for `guard.fenced`."""
        found = None
        with contextlib.suppress(FileNotFoundError):
            about = self.desk.announcement.stat()
            looked = about.st_ino, about.st_mtime_ns, about.st_size
            if looked == self._looked_at:
                return
            found = announced(self.desk)
            if found is not None and found.is_own():
                self._looked_at = looked
                return
        detail = "" if found is None else f": {found.who()}"
        raise LostRunError(
            f"somebody else has taken this over{detail}",
            where=self.desk.folder,
            fix="nothing more was written by this worker; see its status",
        )


@contextlib.contextmanager
def signs_of_life(beat: Callable[[], None], wait: Callable[[float], bool] | None = None) -> Iterator[None]:
    """Call `beat` every `BEAT_SEC` seconds while the block runs, in a thread.

    `wait` waits for so many seconds, or until the block has ended: true.
    """
    ended = threading.Event()
    pause = wait or ended.wait

    def give() -> None:
        while not pause(BEAT_SEC):
            with contextlib.suppress(OSError):
                beat()

    thread = threading.Thread(target=copy_context().run, args=(give,), daemon=True, name="signs of life")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def idle(desk: Desk, patience: float = 0.0) -> Iterator[None]:
    """Keep everybody else from beginning to work on the run. The kernel frees the lock when its holder dies.

    Raises:
        BusyError: Somebody works on it, and still does after `patience` seconds.
    """
    from filelock import Timeout

    with contextlib.ExitStack() as held:
        try:
            held.enter_context(guard.locked(desk.lock, timeout=patience))
        except Timeout:
            raise busy(desk) from None
        yield


@contextlib.contextmanager
def starting(desk: Desk, lock: Path) -> Iterator[None]:
    """Be the only one who starts a worker; looking who works and saying that somebody does is one step within it.

    Of starts at once, the second waits for `lock` and then sees the first one's worker. The worker begins once this
    ends and it has been announced: what is asked of it before that is then not taken for old.

    Raises:
        BusyError: Somebody works on the run.
    """
    with guard.locked(lock), idle(desk):
        if holder(desk) is not None:
            raise busy(desk)
        yield


@contextlib.contextmanager
def _handed_over(desk: Desk) -> Iterator[None]:
    """As `idle`, for a worker: whoever started it holds the lock until it has announced it, however long that takes."""
    starter = os.getppid()
    with contextlib.ExitStack() as held:
        while True:
            begins = os.getppid() == starter
            try:
                held.enter_context(idle(desk, _HANDOVER_SEC))
                break
            except BusyError:
                who = holder(desk)
                if not begins or (who is not None and not who.is_own()):
                    raise
        yield


@contextlib.contextmanager
def at_work(desk: Desk, by: str, died: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Be the only one who works on the run; yields whether nobody had announced this process before.

    Args:
        desk: Where it is told.
        by: Through which door.
        died: Asked at the end: whether this process's name is to stay, as that of one who was killed does.

    Raises:
        BusyError: Somebody else is, or a worker for the run has just been started.
    """
    with _handed_over(desk) if by == WORKER else idle(desk):
        before = holder(desk)
        if before is not None and not before.is_own():
            # A worker that has not come to its lock yet (whoever started it was told that it works), or one elsewhere.
            raise busy(desk)
        try:
            announce(desk, *own_identity(), by)
            with signs_of_life(lambda: sign_of_life(desk)):
                yield before is None
        finally:
            # Whoever has taken the run over meanwhile stays named.
            if ((found := announced(desk)) is None or found.is_own()) and not died():
                guard.remove(desk.announcement)


def busy(desk: Desk) -> BusyError:
    """The error of a second worker. Whoever has just taken the lock is about to say who it is: that is waited for."""
    limit = time.monotonic() + _NAME_SEC
    while (who := holder(desk)) is None and time.monotonic() < limit:
        time.sleep(0.01)
    fix = desk.fix
    if who is not None and not who.is_here():
        fix = f"{fix}; without a sign it can be taken over from {who.until()} on"
    detail = who.who() if who else "by another process"
    return BusyError(f"{desk.verb} {detail}", where=desk.folder, fix=fix)
