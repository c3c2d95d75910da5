"""Processes of this interpreter without the seconds that their imports take, while the tests run.

Most tests that start a process start a command, a job's worker or a server of this project. Where nothing about the
start itself is unusual, `subprocess.Popen` has such a process forked from one that has imported the libraries and the
modules of this project, and has done nothing else; a command or a job's worker that has one thread forks the next ones
itself. It is a process like any other: a child of the one that asked, with its own id, descriptors, working folder,
variables, session and exit status. Anything else is started as ever: another program, another interpreter, `-c` and
`-X`, a variable that Python or a library reads as it starts, another user. `TAO_TESTS_QUICK_START=0` starts everything
as ever.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import ctypes
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

OWN = ("tao_skill_bank", "mcp_server")
PLAIN = (
    "tao_skill_bank.actions",
    "tao_skill_bank.cli",
    "tao_skill_bank.loop.worker",
    "tao_skill_bank.platforms.worker",
)
PROGRAMS = (*PLAIN, "mcp_server", "tao_skill_bank.annotate.worker")
ROOT = str(Path(__file__).resolve().parents[2])
LIBRARIES = (
    *("click", "google.genai", "jinja2", "jsonschema", "mcp.server", "numpy", "openai", "pandas", "PIL.Image"),
    *("pyarrow.compute", "pyarrow.csv", "pyarrow.parquet", "pydantic", "uvicorn", "yaml"),
)
AT_START = ("LANG", "LC_", "LD_", "OMP_", "OPENBLAS_", "PYTHON", "MALLOC_", "TAO_STAND_INS")
"""Variables that are read while a process starts; with others than this process has, it is started as ever."""

PR_SET_CHILD_SUBREAPER = 36
_REAL = subprocess.Popen._execute_child  # type: ignore[attr-defined]
_SHAPE = inspect.signature(_REAL)


def read_at_start(env: Any) -> dict[str, str]:
    """What of the variables decides how a process starts; `PYTHONPATH` is looked at afterwards as well."""
    return {key: env[key] for key in env if key.startswith(AT_START) and key != "PYTHONPATH"}


def identity() -> list[Any]:
    return [os.getresuid(), os.getresgid(), os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/mnt")]


def _env(given: dict[str, Any]) -> Any:
    return os.environ if given["env"] is None else given["env"]


def known_program(given: dict[str, Any]) -> list[str] | None:
    """The words after the interpreter, where they start a program of this project and nothing else is unusual."""
    if isinstance(given["args"], str | bytes | os.PathLike):
        return None
    argv = [os.fsdecode(word) for word in given["args"]]
    words = argv[1:]
    rest = words[1:] if words[:1] == ["-P"] else words
    ours = rest[:1] == ["-m"] and rest[1] in PROGRAMS
    ours |= bool(rest) and rest[0].endswith(".py") and rest[0].startswith(ROOT + os.sep) and os.path.isfile(rest[0])
    usual = (
        argv[:1] == [sys.executable]
        and given["executable"] in (None, argv[0])
        and given["close_fds"]
        and not given["shell"]
        and (given["uid"], given["gid"], given["gids"], given["umask"]) == (None, None, None, -1)
        and given["process_group"] in (None, -1)
        and (given["cwd"] is None or os.path.isdir(given["cwd"]))
        and all(isinstance(k, str) and isinstance(v, str) for k, v in _env(given).items())
    )
    return words if ours and usual else None


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
        command = [sys.executable, "-P", __file__, str(theirs.fileno())]
        with theirs, pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess.Popen, "_execute_child", _REAL)
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def takes(self, given: dict[str, Any]) -> bool:
        """Whether this is a start that a fork over there can stand for."""
        return (
            os.getpid() == self._owner
            and known_program(given) is not None
            and given["preexec_fn"] is None
            and not given["pass_fds"]
            and read_at_start(_env(given)) == self._start
            and identity() == self._identity
        )

    def start(self, given: dict[str, Any]) -> int:
        """Start it; its process id."""
        ends = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        request = {
            "argv": known_program(given),
            "cwd": os.path.abspath(os.fsdecode(given["cwd"] or os.curdir)),
            "env": dict(_env(given)),
            "session": bool(given["start_new_session"]),
            "umask": _umask(),
        }
        fds = [own if end == -1 else end for own, end in enumerate(ends)]
        with self._lock:
            # Whoever is forked twice over there becomes a child of this process, as if it had been started here.
            self._libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                _send(self._channel, request, fds)
                answer, _ = _receive(self._channel)
            finally:
                self._libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        return int(answer["pid"])

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


def _umask() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))


def _send(channel: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    data = json.dumps(message).encode("ascii")
    head = len(data).to_bytes(4, "big")
    if fds:
        socket.send_fds(channel, [head], list(fds))
    else:
        channel.sendall(head)
    channel.sendall(data)


def _receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, ancillary, _, _ = channel.recvmsg(4, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    if not head:
        raise EOFError
    fds = array.array("i")
    for _, _, data in ancillary:
        fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    size = int.from_bytes(head, "big")
    data = b""
    while len(data) < size:
        data += channel.recv(size - len(data))
    message: dict[str, Any] = json.loads(data)
    return message, list(fds)


_libraries: list[str] = []
MOST_FDS = 256


# What follows runs in the process that others are forked from.


def _import_all() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for top in OWN:
        package = importlib.import_module(top)
        for module in pkgutil.walk_packages(package.__path__, f"{top}."):
            if not module.name.endswith("__main__") and "tao_environment" not in module.name:
                importlib.import_module(module.name)


def _fork(request: dict[str, Any], fds: Sequence[int]) -> int:
    """Fork twice, so that the child belongs to whoever reaps in this process' place; its id."""
    read, write = os.pipe()
    hold, go = os.pipe()
    between = os.fork()
    if between == 0:
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(hold, 1)  # until the process between is gone and this one has its parent
            _become(request, fds)
        os.write(write, child.to_bytes(4, "big"))
        os._exit(0)
    os.close(write)
    pid = int.from_bytes(os.read(read, 4), "big")
    os.waitpid(between, 0)
    for fd in (read, hold, go):
        os.close(fd)
    return pid


def _become(request: dict[str, Any], fds: Sequence[int]) -> NoReturn:
    try:
        if request["session"]:
            os.setsid()
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        os.closerange(3, MOST_FDS)
        os.umask(request["umask"])
        os.chdir(request["cwd"])
    except BaseException:
        os._exit(255)
    _be(request["argv"], request["env"])


def _be(words: Sequence[str], env: dict[str, str]) -> NoReturn:
    """Go on in this process as a program of this interpreter."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(env)
        for which in signal.valid_signals():
            if callable(signal.getsignal(which)):
                signal.signal(which, signal.default_int_handler if which == signal.SIGINT else signal.SIG_DFL)
        sys.stdin = sys.__stdin__ = os.fdopen(0, encoding="utf-8", closefd=False)  # type: ignore[misc]
        sys.stdout = sys.__stdout__ = _writer(1, "strict")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = _writer(2, "backslashreplace")  # type: ignore[misc]
        atexit._clear()
        code = _program(list(words))
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
    finally:
        os._exit(code)


def _writer(fd: int, errors: str) -> Any:
    lines = fd == 2 or os.isatty(fd)
    return os.fdopen(fd, "w", buffering=1 if lines else -1, encoding="utf-8", errors=errors, closefd=False)


def _program(words: list[str]) -> int:
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    safe = words[0] == "-P"
    words = words[1:] if safe else words
    module = words[1] if words[0] == "-m" else None
    if not safe:
        path.insert(0, os.path.dirname(words[0]) if module is None else os.getcwd())
    sys.path[:] = path + _libraries
    sys.argv = words if module is None else words[1:]
    # What runs as the program is not imported under its name; a package stays, its __main__ runs.
    for name in (module, f"{module}.__main__"):
        if name and not hasattr(sys.modules.get(name), "__path__"):
            sys.modules.pop(name, None)
    gc.freeze()
    if module is None or module in PLAIN:
        subprocess.Popen._execute_child = _fork_the_next  # type: ignore[attr-defined]
    try:
        if module is None:
            runpy.run_path(words[0], run_name="__main__")
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _fork_the_next(self: Any, *args: Any) -> None:
    """As `Popen._execute_child`, with a fork alone where that can stand for the start."""
    given = _SHAPE.bind(self, *args).arguments
    words = known_program(given)
    if words is None or threading.active_count() > 1 or read_at_start(_env(given)) != read_at_start(os.environ):
        _REAL(self, *args)
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    failed_read, failed_write = os.pipe()
    self.pid = os.fork()
    if self.pid == 0:
        try:
            ends = (given["p2cread"], given["c2pwrite"], given["errwrite"])
            for number, end in enumerate(ends):
                if end != -1:
                    os.dup2(end, number)
            if given["cwd"] is not None:
                os.chdir(given["cwd"])
            if given["start_new_session"]:
                os.setsid()
            if given["preexec_fn"] is not None:
                given["preexec_fn"]()
        except BaseException:
            os.write(failed_write, b"Exception occurred in preexec_fn.")
            os._exit(255)
        for number in range(3, MOST_FDS):
            if number not in given["pass_fds"]:
                with contextlib.suppress(OSError):
                    os.close(number)
        _be(words, dict(_env(given)))
    self._child_created = True
    os.close(failed_write)
    names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
    self._close_pipe_fds(*(given[name] for name in names))
    failure = os.read(failed_read, 4096)
    os.close(failed_read)
    if failure:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        raise subprocess.SubprocessError(failure.decode())


def main() -> None:
    """Answer requests until whoever asks is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    _libraries.extend(sys.path)
    _import_all()
    gc.collect()
    gc.freeze()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            request, fds = _receive(channel)
            pid = _fork(request, fds)
            for fd in fds:
                os.close(fd)
            _send(channel, {"pid": pid})
    os._exit(0)


# The plugin of the tests.

_starter: list[Starter] = []


def _execute_child(self: Any, *args: Any) -> None:
    given = _SHAPE.bind(self, *args).arguments
    if not _starter:
        _starter.append(Starter())
    if not _starter[0].takes(given):
        _REAL(self, *args)
        return
    sys.audit("subprocess.Popen", sys.executable, given["args"], given["cwd"], given["env"])
    self.pid = _starter[0].start(given)
    self._child_created = True
    ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
    self._close_pipe_fds(*(given[name] for name in ends))


def pytest_sessionstart() -> None:
    if sys.platform == "linux" and os.environ.get("TAO_TESTS_QUICK_START") != "0":
        subprocess.Popen._execute_child = _execute_child  # type: ignore[attr-defined]


def pytest_sessionfinish() -> None:
    subprocess.Popen._execute_child = _REAL  # type: ignore[attr-defined]
    while _starter:
        _starter.pop().close()


@pytest.fixture
def as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every process as ever: for tests of the start itself."""
    monkeypatch.setattr(subprocess.Popen, "_execute_child", _REAL)


if __name__ == "__main__":
    main()
