"""The detached worker of one local job: claims it, runs its command, writes its exit record.

    python -m tao_skill_bank.platforms.worker RUN/jobs/<uid>.json < the record

It outlives the process that submitted it. Nothing heavy is imported, because it starts once a job. Files beside the
record, each written whole: `<uid>.claim.json` (who runs it; made once, by whoever comes first), `<uid>.child.json`
(the command's process; it writes this itself before it becomes the command), `<uid>.log` (its output),
`<uid>.exit.json` (how it ended). `<uid>.alive` is empty: the worker locks it before it claims, and the command
inherits the lock, so the kernel holds it for as long as either lives, whatever is killed and whenever.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from tao_skill_bank.core import fsio, guard, landlock, roots
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.process import adopt_orphans, descendants, marked_by, own_identity, reap_orphans, tell

TERMINATE_GRACE_SEC = 10.0
LEFT_GRACE_SEC = 2.0
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""What a file system without hard links answers (exFAT, SMB, some FUSE)."""


def beside(record: Path, kind: str) -> Path:
    """The file of `kind` (`claim.json`, `child.json`, `exit.json`, `log`, `cancel`, `alive`) of a job record."""
    return record.with_name(f"{record.stem}.{kind}")


def write_whole(path: Path, value: dict[str, Any]) -> None:
    """Replace `path` by JSON, durably."""
    fsio.write_text(path, json.dumps(value))


def claim(record: Path, value: dict[str, Any]) -> bool:
    """Take the job: true for the first caller, false for every later one, whatever crashes in between."""
    with guard.place(beside(record, "claim.json")) as at:
        # By no process id: in two containers that share the folder one id is two processes.
        temp = f".{at.name}.{secrets.token_hex(6)}.tmp"
        try:
            with guard.open_write(record.with_name(temp), "xb") as handle:
                _fill(handle, value)
            os.link(temp, at.name, src_dir_fd=at.fd, dst_dir_fd=at.fd)
        except FileExistsError:
            return False
        except FileNotFoundError:
            # Swept away, as is done of a job that has ended: it was taken.
            if guard.entry(beside(record, "claim.json")) is None:
                raise
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            try:
                with guard.open_write(beside(record, "claim.json"), "xb") as handle:
                    _fill(handle, value)
            except FileExistsError:
                return False
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temp, dir_fd=at.fd)
    fsio.fsync_dir(record.parent)
    return True


def claim_for_nobody(record: Path) -> bool:
    """Keep a job from being started from here on: true unless somebody has taken it already."""
    return claim(record, {"pid": 0, "identity": None, "claimed_at": now()})


def ask_to_cancel(record: Path) -> bool:
    """Write down that a job is to be cancelled, and keep it from being started: true unless somebody has taken it."""
    guard.open_write(beside(record, "cancel"), "ab").close()
    return claim_for_nobody(record)


def hold_alive(record: Path) -> int:
    """Lock `<uid>.alive` and keep it locked; returns the descriptor, for the command to inherit.

    On a file system without locks it stays unlocked, and liveness is seen by process identity alone.
    """
    with guard.open_write(beside(record, "alive"), "ab") as handle:
        fd = os.dup(handle.fileno())
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def is_held(record: Path) -> bool:
    """Whether the job's worker or its command lives, by the lock they hold on `<uid>.alive`."""
    try:
        handle = guard.open_read(beside(record, "alive"))
    except (FileNotFoundError, InputError):
        # Nothing there, or a pipe that somebody put in its place.
        return False
    fd = handle.fileno()
    try:
        # Shared, so that two who look at once do not see each other.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        handle.close()
    return False


def now() -> str:
    """UTC as the log writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def run(record: Path, written: bytes) -> int:
    """Run the job of `record` unless somebody has claimed it; returns the command's exit status.

    `written` is the record as it was submitted: the file may have been changed since by whoever can write there.
    """
    job = json.loads(written)
    alive = hold_alive(record)
    pid, identity = own_identity()
    if not claim(record, {"pid": pid, "identity": identity, "host": os.uname().nodename, "claimed_at": now()}):
        return 0
    child: subprocess.Popen[bytes] | None = None
    canceled = False

    def on_terminate(_signal: int, _frame: object) -> None:
        nonlocal canceled
        canceled = True
        if child is not None:
            tell(descendants(os.getpid()), child.pid, signal.SIGTERM)

    # Whatever the command starts stays below this process, also what makes itself a session of its own.
    adopt_orphans()
    signal.signal(signal.SIGTERM, on_terminate)
    started = now()
    error = None
    code = 127
    # The kernel's wall is for the bank's own code that somebody else's client started.
    held = roots.held() if job["platform"] == "local" and landlock.version() else None
    with contextlib.ExitStack() as stack:
        own: dict[str, str] = {}
        if held is not None:
            own["TMPDIR"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="tao-skills-job-"))
        log = stack.enter_context(guard.open_write(beside(record, "log"), "ab"))
        if not canceled:
            try:
                child = subprocess.Popen(
                    job["argv"],
                    cwd=job["cwd"],
                    env={**os.environ, **job["env"], **own, **marked_by(beside(record, "alive"))},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(alive,),
                    # Safe here: this process has one thread.
                    preexec_fn=lambda: _begin(record, held, own),
                )
            except OSError as failure:
                error = f"{failure.strerror}: {failure.filename}"
            except subprocess.SubprocessError:
                error = f"cannot write {beside(record, 'child.json')}, or wall the process in"
            if error is not None:
                log.write(f"{error}\n".encode())
        if child is not None:
            if canceled:
                on_terminate(signal.SIGTERM, None)
            code = _wait(child, lambda: canceled)
            if canceled:
                _end_rest()
        os.fsync(log.fileno())
    ended = {"exit_code": code, "started_at": started, "ended_at": now(), "canceled": canceled, "error": error}
    write_whole(beside(record, "exit.json"), ended)
    return code


def _begin(record: Path, held: roots.Roots | None, own: dict[str, str]) -> None:
    """Within the process that is about to become the command: say who it is; the kernel holds it to the roots."""
    pid, identity = own_identity()
    write_whole(beside(record, "child.json"), {"pid": pid, "identity": identity})
    if held is not None:
        landlock.restrict(landlock.python_and_system(), [*held, own["TMPDIR"], *landlock.devices()])


def _wait(child: subprocess.Popen[bytes], canceled: Any) -> int:
    asked = False
    while True:
        try:
            return child.wait(timeout=TERMINATE_GRACE_SEC)
        except subprocess.TimeoutExpired:
            reap_orphans(child.pid)
            # The request may have come at the end of this wait: the command gets one whole wait after it.
            if canceled() and not asked:
                asked = True
            elif canceled():
                tell(descendants(os.getpid()), child.pid, signal.SIGKILL)


def _end_rest() -> None:
    """End what a canceled command has left behind; what was asked to end with it has a while for that."""
    asked = time.monotonic()
    while left := descendants(os.getpid()):
        since = time.monotonic() - asked
        for pid in left if since > LEFT_GRACE_SEC else ():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if since > 2 * LEFT_GRACE_SEC:
            # In the kernel, where no signal arrives: it ends when it comes back from there.
            return
        time.sleep(0.02)


def _fill(handle: BinaryIO, value: dict[str, Any]) -> None:
    handle.write(json.dumps(value).encode())
    os.fsync(handle.fileno())


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.stdin.buffer.read()))
