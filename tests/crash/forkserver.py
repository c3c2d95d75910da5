"""Processes of a run without their start-up: forked from one that has imported everything, with the library of faults.

    LD_PRELOAD=faults.so python tests/crash/forkserver.py MODULES

One request a line on standard input, one answer a line on standard output, both JSON. What such a process starts by
`subprocess.Popen` with this interpreter (a job's worker, a job's command) is forked as well: with its own process id,
session, descriptors and environment, and the same calls around it as in CPython's own, so that the traced points are
those of real processes; a test compares the two. Modules that a process had to import are listed in MODULES, and
imported here before the next request.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from forked import REAL, SHAPE, close_all_but, exit_status, fork_here

_WAIT = subprocess.Popen._wait  # type: ignore[attr-defined]
_MODULES = Path(sys.argv[1]) if __name__ == "__main__" else Path(os.devnull)
_known: set[str] = set()


def _execute_child(self: Any, *args: Any) -> None:
    """As `Popen._execute_child`, with a fork alone where the program is this interpreter."""
    given = SHAPE.bind(self, *args).arguments
    argv = [os.fspath(word) for word in given["args"]] if not isinstance(given["args"], str) else []
    if argv[:1] != [sys.executable]:
        REAL(self, *args)
        return
    fork_here(self, given, lambda: become(argv, given["env"], given["pass_fds"]))


def _wait(self: Any, timeout: float | None) -> int:
    """As `Popen._wait`, awake at once when the process ends instead of looking now and then."""
    if self.returncode is None and timeout is not None:
        try:
            fd = os.pidfd_open(self.pid)
        except OSError:
            return int(_WAIT(self, timeout))
        try:
            ended, _, _ = select.select([fd], [], [], max(0.0, timeout))
        finally:
            os.close(fd)
        if not ended:
            raise subprocess.TimeoutExpired(self.args, timeout)
    return int(_WAIT(self, None))


def become(argv: Sequence[str], env: dict[str, str] | None, keep: Sequence[int]) -> NoReturn:
    """Go on in this process as the program `argv` of this interpreter."""
    code = 1
    try:
        gc.collect()
        gc.freeze()
        close_all_but(keep)
        for which in (signal.SIGTERM, signal.SIGINT):
            signal.signal(which, signal.SIG_DFL)
        atexit._clear()
        if env is not None:
            os.environ.clear()
            os.environ.update(env)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        line = b"".join(os.fsencode(word) + b"\0" for word in argv)
        ctypes.CDLL(None).faults_begin(line, len(line))
        code = _program(list(argv[1:]))
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        new = [name for name in sys.modules if name not in _known and name != "__main__"]
        fd = os.open(_MODULES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, "".join(f"{name}\n" for name in new).encode())
        os._exit(code)


def _program(words: list[str]) -> int:
    if words[0] == "-P":
        words = words[1:]
    if words[0] == "-m":
        sys.argv = words[1:]
        return exit_status(lambda: runpy.run_module(words[1], run_name="__main__", alter_sys=True))
    sys.argv = words
    sys.path.insert(0, os.path.dirname(words[0]))
    return exit_status(lambda: runpy.run_path(words[0], run_name="__main__"))


def _import_new() -> None:
    # In the order in which they were loaded: some import each other in a circle.
    for name in dict.fromkeys(_MODULES.read_text(encoding="utf-8").split()) if _MODULES.exists() else ():
        if name not in _known:
            _known.add(name)
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    _MODULES.unlink(missing_ok=True)
    _known.update(sys.modules)
    gc.collect()
    gc.freeze()


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    _import_new()
    said = Path(request["stderr"])
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for number, path in ((0, os.devnull), (1, os.devnull), (2, said)):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(fd, number)
        become([sys.executable, *request["argv"]], request["env"], ())
    watched = os.pidfd_open(pid)
    ended, _, _ = select.select([watched], [], [], request["limit"])
    os.close(watched)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        return {"code": None, "stderr": f"does not end: {os.waitpid(pid, 0)}"}
    _, status = os.waitpid(pid, 0)
    return {"code": os.waitstatus_to_exitcode(status), "stderr": said.read_text(encoding="utf-8", errors="replace")}


def main() -> None:
    """Answer requests until there are no more."""
    subprocess.Popen._execute_child = _execute_child  # type: ignore[attr-defined]
    subprocess.Popen._wait = _wait  # type: ignore[attr-defined]
    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
