"""One process works on a results folder at a time; the others learn who."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel

from tao_skill_bank.annotate.run import clear_stop
from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.core.errors import BusyError
from tao_skill_bank.core.fsio import write_text
from tao_skill_bank.core.process import is_alive, own_identity

WORKER = "worker"
_LOCK = ".annotate.lock"
_START_LOCK = ".annotate-start.lock"
_HOLDER = ".annotate-worker.json"


class Holder(BaseModel):
    """Who works on a run: its process, since when, and through which door."""

    pid: int
    identity: str
    since: str
    by: str


def holder(results_dir: Path) -> Holder | None:
    """Who works on the folder now, or None."""
    try:
        found = Holder.model_validate_json((results_dir / _HOLDER).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if is_alive(found.pid, found.identity) else None


def write_holder(results_dir: Path, pid: int, identity: str | None, by: str) -> None:
    """Say who works, or is about to work, on the folder."""
    who = Holder(pid=pid, identity=identity or "gone", since=log_time(SystemClock().now()), by=by)
    write_text(results_dir / _HOLDER, who.model_dump_json() + "\n")


def start_lock(results_dir: Path) -> FileLock:
    """Held while a worker is started: the second of two starts at once waits, and then sees the first one's worker."""
    return FileLock(results_dir / _START_LOCK)


@contextlib.contextmanager
def folder_lock(results_dir: Path, by: str) -> Iterator[None]:
    """Be the only one who works on the folder. The kernel frees the lock when its holder dies, however it dies.

    A folder that is made for it and in which nothing is written goes again.

    Raises:
        BusyError: Somebody else is, or a worker for the folder has just been started.
    """
    made = not results_dir.exists()
    results_dir.mkdir(parents=True, exist_ok=True)
    pid, identity = own_identity()
    lock = FileLock(results_dir / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise busy(results_dir, holder(results_dir)) from None
    try:
        announced = holder(results_dir)
        if announced is not None and announced.pid != pid:
            raise busy(results_dir, announced)
        if announced is None:
            # Whoever started this process has cleared it; what was asked for since then counts.
            clear_stop(results_dir)
        write_holder(results_dir, pid, identity, by)
        try:
            yield
        finally:
            # Where somebody put another folder in its place meanwhile, its worker stays named.
            if (found := holder(results_dir)) is None or found.pid == pid:
                (results_dir / _HOLDER).unlink(missing_ok=True)
                clear_stop(results_dir)
    finally:
        lock.release()
        if made and {path.name for path in results_dir.iterdir()} <= {_LOCK}:
            # The request could not be met: nothing is left of it.
            (results_dir / _LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                results_dir.rmdir()


def busy(results_dir: Path, who: Holder | None) -> BusyError:
    """The error that names who works on the folder."""
    detail = f"since {who.since} by {who.by} (process {who.pid})" if who else "by another process"
    return BusyError(
        f"annotating {detail}", where=results_dir, fix="wait, watch it with annotate status, or annotate stop"
    )
