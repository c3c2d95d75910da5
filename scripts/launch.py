#!/usr/bin/env python3
"""Start the bank with an environment that has what it needs; make that environment once where there is none.

    launch.py serve [ARGS]          the MCP server, over stdio by default
    launch.py run MODULE [ARGS]     `python -m MODULE ARGS`
    launch.py script FILE [ARGS]    a script of the bank
    launch.py where                 the interpreter that would be used, or why there is none yet

Taken, in this order: the interpreter that runs this file, if the bank is installed in it; the `.venv` beside the bank;
an environment of the user's own under the cache folder, named by version and lock file. The last one is made when it is
missing, by a process of its own that outlives this one, so that a client that gives up waiting finds it made the next
time. Nothing is written into the bank's own folder. Only the standard library is used, and any Python 3.8 or newer can
run this file; the environment itself needs 3.11.
"""

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # nothing is written into the bank's folder
ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))  # which PYTHONSAFEPATH leaves out
import set_up  # noqa: E402

LOCK = os.path.join(ROOT, "requirements.lock")
WAIT_SEC = 4.0
"""Clients give a server 10 s or more to answer: what is not ready by then is waited for in the waiting room."""
PLACE = "TAO_SKILL_BANK_CACHE"
LONG_WAIT_SEC = 900.0


def version():
    """The bank's version, as its manifest says."""
    with open(os.path.join(ROOT, "plugin.json"), encoding="utf-8") as handle:
        return json.load(handle)["version"]


def cache_folder():
    """Where environments lie: TAO_SKILL_BANK_CACHE, else the user's cache folder."""
    given = os.environ.get(PLACE)
    if given and not os.path.isabs(given):
        raise set_up.SetUpError(f"{PLACE}={given!r} begins nowhere", "write it from / on, or unset it")
    if given:
        return given
    base = os.environ.get("XDG_CACHE_HOME") or ""
    if not os.path.isabs(base):  # which counts as none
        base = os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(base):
        raise set_up.SetUpError("HOME is not set", f"set it, or {PLACE} to a folder that can be written to")
    return os.path.join(base, "tao-skill-bank")


def make_cache_folder():
    """See that it is there and can be written to; SetUpError says why not."""
    folder = cache_folder()
    try:
        os.makedirs(folder, exist_ok=True)
        write(os.path.join(folder, "writable"), "")
    except OSError as error:
        what = f"{folder} cannot be written to ({error.strerror or error})"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"the disk is full ({folder})"
        raise set_up.SetUpError(what, f"set {PLACE} to a folder that can be") from None


def environment_folder():
    """The user's own environment for this version and this lock file."""
    lock = "no-lock"  # which is said when the environment is to be made
    with contextlib.suppress(OSError), open(LOCK, "rb") as handle:
        lock = hashlib.sha256(handle.read()).hexdigest()[:12]
    return os.path.join(cache_folder(), f"env-{version()}-{lock}")


def find():
    """(interpreter, variables to set) of an environment that is ready, or None."""
    if sys.version_info >= set_up.OLDEST and _installed_here():
        return sys.executable, {}
    beside = os.path.join(ROOT, ".venv")
    if _runs(beside) and _installed_in(beside):
        return set_up.python_in(beside), {}
    own = environment_folder()
    if _ready(own):
        return set_up.python_in(own), _own_variables(own)
    return None


def _ready(folder):
    return os.path.exists(os.path.join(folder, "ready")) and _runs(folder)


def _runs(folder):
    """Whether its interpreter is there, and still the one that it was made for: a system's python3 becomes another."""
    name = os.path.basename(os.path.realpath(set_up.python_in(folder)))
    return os.path.exists(set_up.python_in(folder)) and (
        not re.match(r"python3\.\d+$", name) or os.path.isdir(os.path.join(folder, "lib", name))
    )


def _own_variables(folder):
    """The user's environment holds the dependencies only: the bank is imported from its folder, compiled elsewhere."""
    path = os.pathsep.join(p for p in (ROOT, os.environ.get("PYTHONPATH")) if p)
    return {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": os.path.join(folder, "compiled")}


def _installed_here():
    try:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed
    except ImportError:
        return False
    try:
        return installed("tao-skill-bank") == version() and importlib.util.find_spec("mcp") is not None
    except PackageNotFoundError:
        return False


def _installed_in(folder):
    library = os.path.join(folder, "lib")
    for name in os.listdir(library) if os.path.isdir(library) else ():
        packages = os.path.join(library, name, "site-packages")
        if os.path.isdir(os.path.join(packages, f"tao_skill_bank-{version()}.dist-info")):
            return os.path.isdir(os.path.join(packages, "mcp"))
    return False


def say(text):
    """One line on stderr."""
    sys.stderr.write(f"tao-skill-bank: {text}\n")
    sys.stderr.flush()


def write(path, text):
    """Replace a small file in one step."""
    temp = f"{path}.{os.getpid()}"
    with open(temp, "w", encoding="utf-8") as handle:
        handle.write(text)
    os.replace(temp, path)


def tell_hook(text):
    """Leave a word for the session-start hook, which can only read a file in the time it has."""
    with contextlib.suppress(OSError):
        path = os.path.join(cache_folder(), f"status-{version()}")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as handle:
                if handle.read() == text + "\n":
                    return
        os.makedirs(cache_folder(), exist_ok=True)
        write(path, text + "\n")


class Making:
    """The environment, made by a process of its own, as whoever waits for it sees it."""

    def __init__(self, arguments=()):
        """Begin it; SetUpError where it cannot be begun."""
        self.arguments, self.folder, self.say = arguments, environment_folder(), say
        self.refused = ""  # why another try could not even begin
        self.begin()

    def begin(self):
        """Start the maker."""
        try:
            make_cache_folder()
            set_up.checked(self.folder, [LOCK])
            for ending in (".failed", ".doing"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.folder + ending)
            tell_hook("making")
            self.maker = subprocess.Popen(
                [sys.executable, os.path.realpath(__file__), "make"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except set_up.SetUpError as error:
            tell_hook(f"failed: {error}")
            raise

    def again(self):
        """Begin anew what has failed; why it cannot be, else nothing."""
        try:
            self.begin()
            self.refused = ""
        except (OSError, set_up.SetUpError) as error:
            self.refused = str(error)
        return self.refused

    def state(self):
        """Ready, failed or making, and a line about it."""
        ended = self.maker.poll() is not None
        if find() is not None:
            tell_hook("ready")
            return "ready", ""
        log = f"(log: {self.folder}.log)"
        if ended:
            return "failed", self.refused or _read(
                self.folder + ".failed"
            ) or f"the environment could not be made {log}"
        doing = _read(self.folder + ".doing") or "it has just begun"
        return "making", f"the environment is being made: {doing} {log}"

    def wait(self, seconds):
        """The environment, None after `seconds`; SetUpError where it could not be made."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            state, text = self.state()
            if state == "ready":
                return find()
            if state == "failed":
                raise set_up.SetUpError(text)
            time.sleep(0.1)
        return None

    def server(self):
        """The server behind this process; it ends when its stdin does."""
        python, variables = find()
        command = [python, "-m", "mcp_server", *self.arguments]
        environment = {**os.environ, **variables}
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def make():
    """Make the user's own environment, unless another process makes it: then wait for that one."""
    import fcntl

    folder = environment_folder()
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _ready(folder):
            return 0
        shutil.rmtree(folder, ignore_errors=True)
        try:
            work = set_up.set_up(
                folder,
                [LOCK],
                wheelhouse=os.environ.get("TAO_SKILL_BANK_WHEELHOUSE"),
                log=folder + ".log",
                heard=lambda text: write(folder + ".doing", text + "\n"),
            )
            # Import the server once: its modules are compiled here, not while a client waits for it.
            work.env.update(_own_variables(folder))
            work.run([set_up.python_in(folder), "-c", "import mcp_server.server"], "import the server")
            write(os.path.join(folder, "ready"), version() + "\n")
        except (OSError, set_up.SetUpError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            line = " ".join(str(error).split())
            with contextlib.suppress(OSError):  # a disk that is full: the log says it
                write(folder + ".failed", line + "\n")
            tell_hook("failed: " + line)
            return 1
        tell_hook("ready")
        return 0


def _read(path):
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as handle:
        return handle.read().strip()
    return ""


def start(found, arguments):
    """Become the interpreter of the environment."""
    python, variables = found
    os.environ.update(variables)
    sys.stdout.flush()
    os.execv(python, [python, *arguments])


def tell_client(text):
    """Answer a client's first request with an error, so that the person reads the reason where they look."""
    if sys.stdin is None or sys.stdin.isatty() or not select.select([sys.stdin], [], [], 2)[0]:
        return
    with contextlib.suppress(ValueError, OSError, AttributeError):
        asked = json.loads(sys.stdin.readline())
        error = {"code": -32603, "message": f"tao-skill-bank: {text}"}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "error": error}) + "\n")
        sys.stdout.flush()


def serve(arguments):
    """Become the server; while there is no environment, answer in its place, and say why where there will be none."""
    try:
        found = find()
        if found is None:
            making = Making(arguments)
            patience = set_up.seconds("TAO_SKILL_BANK_WAIT", WAIT_SEC, or_none=True)
            found = making.wait(LONG_WAIT_SEC if "--http" in arguments else patience)
        if found is None and "--http" not in arguments:
            sys.path.insert(0, ROOT)
            import waiting

            return waiting.Room(version(), making).serve()
        if found is None:
            raise set_up.SetUpError(making.state()[1])
    except set_up.SetUpError as error:
        say(str(error))
        if "--http" not in arguments:
            tell_client(str(error))
        return 1
    tell_hook("ready")
    start(found, ["-m", "mcp_server", *arguments])
    return 1


def main(arguments):
    """Find or make the environment, then become what was asked for."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("where", [])
    if set_up.WINDOWS_HERE:
        say(set_up.WINDOWS)
        return 1
    if verb == "make":
        return make()
    if verb not in ("serve", "run", "script", "where"):
        say(f"unknown verb {verb!r} (use serve, run, script or where)")
        return 2
    if verb == "serve":
        return serve(rest)
    try:
        found = find()
        if found is None:
            making = Making()
            say(set_up.about(set_up.Lock(LOCK), "the environment, once"))
            found = making.wait(LONG_WAIT_SEC)
        tell_hook("ready" if found else "making")
    except set_up.SetUpError as error:
        say(str(error))
        return 1
    if found is None:
        say(f"the environment is still being made (log: {environment_folder()}.log)")
        return 1
    if verb == "where":
        sys.stdout.write(found[0] + "\n")
        return 0
    start(found, (["-m"] if verb == "run" else []) + rest)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
