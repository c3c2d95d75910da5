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
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
OLDEST = (3, 11)
WAIT_SEC = 20.0
"""Clients give a server 30 s to connect; what is not ready by then is left to the next session."""
LONG_WAIT_SEC = 900.0


def version():
    """The bank's version, as its manifest says."""
    with open(os.path.join(ROOT, "plugin.json"), encoding="utf-8") as handle:
        return json.load(handle)["version"]


def cache_folder():
    """Where environments lie: TAO_SKILL_BANK_CACHE, else the user's cache folder."""
    given = os.environ.get("TAO_SKILL_BANK_CACHE")
    if given:
        return given
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "tao-skill-bank")


def environment_folder():
    """The user's own environment for this version and this lock file."""
    with open(os.path.join(ROOT, "requirements.lock"), "rb") as handle:
        lock = hashlib.sha256(handle.read()).hexdigest()[:12]
    return os.path.join(cache_folder(), f"env-{version()}-{lock}")


def python_in(folder):
    """An environment's interpreter."""
    return os.path.join(folder, "bin", "python")


def find():
    """(interpreter, variables to set) of an environment that is ready, or None."""
    if sys.version_info >= OLDEST and _installed_here():
        return sys.executable, {}
    beside = os.path.join(ROOT, ".venv")
    if os.path.exists(python_in(beside)) and _installed_in(beside):
        return python_in(beside), {}
    own = environment_folder()
    if os.path.exists(os.path.join(own, "ready")) and os.path.exists(python_in(own)):
        return python_in(own), _own_variables(own)
    return None


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


def ready_within(seconds):
    """The environment, made if need be; None after `seconds`, while the making goes on."""
    found = find()
    if found is not None:
        tell_hook("ready")
        return found
    folder = environment_folder()
    os.makedirs(cache_folder(), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(folder + ".failed")
    tell_hook("making")
    with open(folder + ".log", "ab") as log:
        maker = subprocess.Popen(
            [sys.executable, os.path.realpath(__file__), "make"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = find()
        if found is not None:
            tell_hook("ready")
            return found
        if maker.poll() is not None:
            found = find()
            if found is None:
                raise SystemExit(_failed(folder))
            return found
        time.sleep(0.1)
    return None


def _failed(folder):
    reason = "the environment could not be made"
    with contextlib.suppress(OSError), open(folder + ".failed", encoding="utf-8") as handle:
        reason = handle.read().strip()
    say(f"{reason} (log: {folder}.log)")
    return 1


def make():
    """Make the user's own environment, unless another process makes it: then wait for that one."""
    import fcntl

    folder = environment_folder()
    os.makedirs(cache_folder(), exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(folder, "ready")):
            return 0
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _make_in(folder)
        except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            line = _one_line(error)
            write(folder + ".failed", line + "\n")
            tell_hook("failed: " + line)
            return 1
        write(os.path.join(folder, "ready"), version() + "\n")
        tell_hook("ready")
        return 0


def _one_line(error):
    if isinstance(error, subprocess.CalledProcessError):
        return (
            "installing the bank's dependencies failed; is the package index reachable? "
            f"The next session tries again, or run `python3 {os.path.realpath(__file__)} where`"
        )
    return " ".join(str(error).split())


def _make_in(folder):
    lock = os.path.join(ROOT, "requirements.lock")
    uv = _uv()
    python = _python()
    if uv:
        subprocess.run([uv, "venv", "--quiet", "--python", python or ">=3.11", folder], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", python_in(folder), "--require-hashes", "-r", lock], check=True
        )
    elif python is None:
        raise RuntimeError("Python 3.11 or newer is needed, or uv; install one of them and start a new session")
    else:
        if subprocess.run([python, "-m", "venv", folder], check=False).returncode != 0:
            raise RuntimeError(f"{python} cannot make environments: install its venv package (python3-venv), or uv")
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([python_in(folder), *install, "--require-hashes", "-r", lock], check=True)
    # Import the server once: its modules are compiled here, not while a client waits for it.
    variables = dict(os.environ, **_own_variables(folder))
    subprocess.run([python_in(folder), "-c", "import mcp_server.server"], check=True, env=variables, cwd=folder)


def _uv():
    for path in (shutil.which("uv"), os.path.expanduser("~/.local/bin/uv"), os.path.expanduser("~/.cargo/bin/uv")):
        if path and os.access(path, os.X_OK):
            return path
    return None


def _python():
    """An interpreter that is new enough, or None."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for name in ("python3.13", "python3.12", "python3.11", "python3.14"):
        path = shutil.which(name)
        if path:
            return path
    return None


def start(found, arguments):
    """Become the interpreter of the environment."""
    python, variables = found
    os.environ.update(variables)
    sys.stdout.flush()
    os.execv(python, [python, *arguments])


def main(arguments):
    """Find or make the environment, then become what was asked for."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("where", [])
    if verb == "make":
        return make()
    if verb not in ("serve", "run", "script", "where"):
        say(f"unknown verb {verb!r} (use serve, run, script or where)")
        return 2
    if verb == "serve":
        found = ready_within(float(os.environ.get("TAO_SKILL_BANK_WAIT") or WAIT_SEC))
        if found is None:
            say(f"the environment is being made; the next session connects (log: {environment_folder()}.log)")
            return 1
        start(found, ["-m", "mcp_server", *rest])
    if find() is None:
        say("making the environment, once; this takes a minute or two")
    found = ready_within(LONG_WAIT_SEC)
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
