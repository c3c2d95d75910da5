"""Processes of this interpreter without the seconds that their imports take, while the tests run.

Most tests that start a process start a command, a job's worker or a server of this project. Where nothing about the
start itself is unusual, `subprocess.Popen` has such a process forked from one that has imported the libraries and the
modules of this project, and has done nothing else; a command or a worker forks the next ones itself, unless it has
threads that do more than give signs of life. It is a process like any other: a child of the one that asked, with its
own id, descriptors, working folder, variables, session and exit status. Anything else is started as ever: another
program, another interpreter, `-c` and `-X`, a variable that Python or a library reads as it starts, another user, a
copy of the project. `TAO_TESTS_QUICK_START=0` starts everything as ever.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from typing import Any

import forked
import pytest
from forked import REAL, SHAPE, SINGLE_THREAD, environment_of, known_program, read_at_start, receive, send

PR_SET_CHILD_SUBREAPER = 36


def identity() -> list[Any]:
    return [os.getresuid(), os.getresgid(), os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/mnt")]


class Starter:
    """The process that others are forked from, and how it is asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._identity = identity()
        self._start = read_at_start(os.environ)
        self._libc = ctypes.CDLL(None)
        self._channel, theirs = socket.socketpair()
        os.set_inheritable(theirs.fileno(), True)
        command = [sys.executable, "-P", forked.__file__, str(theirs.fileno())]
        with theirs, pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess.Popen, "_execute_child", REAL)
            env = os.environ | SINGLE_THREAD
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=env)

    def takes(self, given: dict[str, Any]) -> bool:
        """Whether this is a start that a fork over there can stand for."""
        return (
            os.getpid() == self._owner
            and given["preexec_fn"] is None
            and not given["pass_fds"]
            and read_at_start(environment_of(given)) == self._start
            and identity() == self._identity
        )

    def start(self, given: dict[str, Any]) -> int:
        """Start it; its process id."""
        ends = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        request = {
            "argv": known_program(given),
            "cwd": os.path.abspath(os.fsdecode(given["cwd"] or os.curdir)),
            "env": dict(environment_of(given)),
            "session": bool(given["start_new_session"]),
            "umask": _umask(),
        }
        fds = [own if end == -1 else end for own, end in enumerate(ends)]
        with self._lock:
            # Whoever is forked twice over there becomes a child of this process, as if it had been started here.
            self._libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                send(self._channel, request, fds)
                answer, _ = receive(self._channel)
            finally:
                self._libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        return int(answer["pid"])

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


def _umask() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))


_starter: list[Starter] = []
_patch = pytest.MonkeyPatch()


def _execute_child(self: Any, *args: Any) -> None:
    given = SHAPE.bind(self, *args).arguments
    if known_program(given) is None:
        REAL(self, *args)
        return
    if not _starter:
        _starter.append(Starter())
    if not _starter[0].takes(given):
        REAL(self, *args)
        return
    sys.audit("subprocess.Popen", sys.executable, given["args"], given["cwd"], given["env"])
    self.pid = _starter[0].start(given)
    self._child_created = True
    ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
    self._close_pipe_fds(*(given[name] for name in ends))


def pytest_sessionstart() -> None:
    if sys.platform == "linux" and os.environ.get("TAO_TESTS_QUICK_START") != "0":
        _patch.setattr(subprocess.Popen, "_execute_child", _execute_child)


def pytest_sessionfinish() -> None:
    _patch.undo()
    while _starter:
        _starter.pop().close()
