"""What the processes of `quick_start.py` are forked from: `forked.py CHANNEL`.

It imports the libraries and the modules of this project, does nothing else, and forks itself when it is asked to.
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
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

OWN = ("tao_skill_bank", "mcp_server")
PLAIN = (
    "tao_skill_bank.actions",
    "tao_skill_bank.cli",
    "tao_skill_bank.commands.worker",
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

SINGLE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""What a platform gives every job, and so what the processes are forked from has: no library's results depend on it."""

REAL = subprocess.Popen._execute_child  # type: ignore[attr-defined]
SHAPE = inspect.signature(REAL)


def read_at_start(env: Any) -> dict[str, str]:
    """What of the variables decides how a process starts; `PYTHONPATH` is looked at afterwards as well."""
    found = {key: env[key] for key in env if key.startswith(AT_START) and key != "PYTHONPATH"}
    return {key: value for key, value in found.items() if SINGLE_THREAD.get(key) != value}


def environment_of(given: dict[str, Any]) -> Any:
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
        and all(isinstance(k, str) and isinstance(v, str) for k, v in environment_of(given).items())
    )
    return words if ours and usual and not _another_bank(given, safe=words[:1] == ["-P"]) else None


def _another_bank(given: dict[str, Any], *, safe: bool) -> bool:
    """Whether this process would import a copy of the project, which lies where Python looks first."""
    first = environment_of(given).get("PYTHONPATH", "").split(os.pathsep)
    looked = [entry for entry in first if entry] + ([] if safe else [os.fsdecode(given["cwd"] or os.curdir)])
    return any(
        os.path.isfile(os.path.join(entry, top, "__init__.py")) and os.path.realpath(entry) != ROOT
        for entry in looked
        for top in OWN
    )


def send(channel: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    data = json.dumps(message).encode("ascii")
    head = len(data).to_bytes(4, "big")
    if fds:
        socket.send_fds(channel, [head], list(fds))
    else:
        channel.sendall(head)
    channel.sendall(data)


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
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


def import_all() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for top in OWN:
        package = importlib.import_module(top)
        for module in pkgutil.walk_packages(package.__path__, f"{top}."):
            if not module.name.endswith("__main__") and "tao_environment" not in module.name:
                importlib.import_module(module.name)


def _large_pages() -> None:
    """Put this process' memory on large pages, where the kernel can: what a fork costs is a matter of how many."""
    size, collapse = 2 << 20, 25  # of Linux 6.1 and newer; refused elsewhere, which does no harm
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        span, mode, _, _, _, *name = line.split(maxsplit=5)
        if mode == "rw-p" and (not name or name == ["[heap]"]):
            begin, end = (int(at, 16) for at in span.split("-"))
            for page in range(-(-begin // size) * size, end - size + 1, size):
                advise(page, size, collapse)


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
    if module is None:
        return exit_status(lambda: runpy.run_path(words[0], run_name="__main__"))
    return exit_status(lambda: runpy.run_module(module, run_name="__main__", alter_sys=True))


def exit_status(program: Callable[[], object]) -> int:
    """Run it; the status that the interpreter ends with."""
    try:
        program()
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
    given = SHAPE.bind(self, *args).arguments
    words = known_program(given)
    as_here = read_at_start(environment_of(given)) == read_at_start(os.environ)
    if words is None or not _alone() or not as_here:
        REAL(self, *args)
        return

    def go_on() -> NoReturn:
        close_all_but(given["pass_fds"])
        _be(words, dict(environment_of(given)))

    fork_here(self, given, go_on)


def _alone() -> bool:
    """Whether this is the only thread, but for the one that sleeps between two signs of life of a worker.

    It holds nothing that whoever is forked will want: its lock is its own, and it ends with its process.
    """
    own = threading.current_thread()
    return all(thread is own or thread.name == "signs of life" for thread in threading.enumerate())


def fork_here(process: Any, given: dict[str, Any], go_on: Callable[[], NoReturn]) -> None:
    """As `Popen._execute_child` with these arguments, but that the child goes on instead of starting a program."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    failed_read, failed_write = os.pipe()
    try:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of any other thread
                process.pid = os.fork()
            if process.pid == 0:
                _as_asked(given, failed_write)
                go_on()
            process._child_created = True
        finally:
            os.close(failed_write)
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        process._close_pipe_fds(*(given[name] for name in names))
        failure = os.read(failed_read, 4096)
    finally:
        os.close(failed_read)
    if failure:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, 0)
        raise subprocess.SubprocessError(failure.decode())


def _as_asked(given: dict[str, Any], failed: int) -> None:
    """What a child does before it becomes the program."""
    try:
        for number, end in enumerate((given["p2cread"], given["c2pwrite"], given["errwrite"])):
            if end != -1:
                os.dup2(end, number)
        if given["cwd"] is not None:
            os.chdir(given["cwd"])
        if given["start_new_session"]:
            os.setsid()
        if given["preexec_fn"] is not None:
            given["preexec_fn"]()
    except BaseException:
        os.write(failed, b"Exception occurred in preexec_fn.")
        os._exit(255)


def close_all_but(keep: Collection[int]) -> None:
    """Let go of every file but the standard ones and these.

    The numbers stay taken, by nothing: a library that has opened one (arrow its pipe for signals) reads or closes it
    once more in whoever is forked, and whatever had the number by then would be hit.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in (null, *keep):
            os.dup2(null, number, inheritable=False)


def main() -> None:
    """Answer requests until whoever asks is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    _libraries.extend(sys.path)
    import_all()
    gc.collect()
    gc.freeze()
    _large_pages()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            request, fds = receive(channel)
            pid = _fork(request, fds)
            for fd in fds:
                os.close(fd)
            send(channel, {"pid": pid})
    os._exit(0)


if __name__ == "__main__":
    main()
