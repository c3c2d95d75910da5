#!/usr/bin/env python3
"""Set up an environment from a lock file: one way, for the Makefile, the launcher and the container image.

    set_up.py FOLDER [--lock FILE] [--project editable|copy] [--wheelhouse DIR] [--python PYTHON] [--log FILE]
    set_up.py wheelhouse DIR [--lock FILE ...]      fetch what the locks name, for a machine without a network

A lock is complete, so no resolver runs (`--no-deps`: pips before 23.3 let it override the lock's own pins), every file
is checked by its hash, and what builds (setuptools, hatchling) comes from the lock as well. uv is used where it is
there, pip where not; pip's configuration, a private index say, holds for both. At the end what is installed is compared
with the lock. Only the standard library is used; any Python 3.8 or newer can run this file.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))  # which PYTHONSAFEPATH leaves out
import pip_and_uv  # noqa: E402

OLDEST = (3, 11)
IS_OLDER = f"import sys; sys.exit(3) if sys.version_info < {OLDEST!r} else None"
BUILDER = "setuptools"  # installed first: antlr4-python3-runtime is published as source only and is built by it
ENTRY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+)\s*(?:;\s*([^\\]+?))?\s*(?:\\|$)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\s*(?:\\)?$")
SIZE = re.compile(r"# (\d+) MB to fetch, (\d+) MB on disk")
SILENCE_SEC = 15
PATIENCE = "TAO_SKILL_BANK_PATIENCE"
PATIENCE_SEC = 12.0
"""For so long the index may say nothing to the first thing it is asked; a client waits little longer."""
WINDOWS_HERE = os.name == "nt"
WINDOWS = "Windows itself is not supported: install WSL (`wsl --install`) and run the same command inside it"
LEADS_ELSEWHERE = re.compile(
    "PIP_.*|PYTHONPATH|PYTHONHOME|VIRTUAL_ENV|__PYVENV_LAUNCHER__|"
    "UV_(PYTHON|SYSTEM_PYTHON|CONSTRAINT|OVERRIDE|EXCLUDE_NEWER|NO_BINARY|NO_BUILD|NO_VERIFY_HASHES)"
)
HALF = "being-set-up"
"""Stands in an environment while packages are unpacked: where it is found later, one of them may be cut off."""
PIP = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--use-pep517")
AS_LOCKED = ("--no-deps", "--no-build-isolation")


class SetUpError(Exception):
    """Why there is no environment, and what mends it, in one line."""

    def __init__(self, what, fix="", log=None):
        """Make one line of what is wrong, what mends it and the path of the log."""
        super().__init__(" ".join("; ".join(filter(None, (what, fix))).split()) + (f" (log: {log})" if log else ""))
        self.log = log


def seconds(variable, otherwise, or_none=False):
    """A person's own number of seconds, with `or_none` 0 too, or another; SetUpError where theirs is no number."""
    said = os.environ.get(variable) or otherwise
    with contextlib.suppress(ValueError):
        if 0 < float(said) < float("inf") or (or_none and float(said) == 0):
            return float(said)
    raise SetUpError(f"{variable}={said!r} is no number of seconds above 0", "write one, such as 30, or unset it")


def patience():
    """Seconds for which an index may be silent."""
    return seconds(PATIENCE, PATIENCE_SEC)


class Lock:
    """A lock file, read and found whole."""

    def __init__(self, path):
        """Read it; SetUpError names the line that is damaged."""
        self.path, self.blocks, self.fetch_mb, self.disk_mb = os.path.abspath(path), {}, 0, 0  # pip runs elsewhere
        again = f"put it back as it was published (`git checkout {os.path.basename(path)}`, or install the plugin anew)"
        try:
            with open(path, encoding="utf-8") as handle:
                lines = handle.read().splitlines()
        except (OSError, ValueError) as error:
            raise SetUpError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})", again) from None
        block = None  # the lines of a package, while more of them are to come
        for number, line in enumerate(lines, start=1):
            text, sized = line.strip(), SIZE.match(line)
            if sized:
                self.fetch_mb, self.disk_mb = map(int, sized.groups())
            if block is None and (not text or text.startswith("#")):
                continue
            wanted = "a version with its hashes" if block is None else "a hash"
            if not (ENTRY.match(text) and text.endswith("\\") if block is None else HASH.match(text)):
                raise SetUpError(f"{path}: line {number} is damaged: {wanted} is expected", again)
            block = self.blocks.setdefault(line, []) if block is None else block
            block.append(line)
            block = block if text.endswith("\\") else None
        if block is not None or not self.blocks:
            raise SetUpError(f"{path} is cut off", again)
        self.names = list(dict.fromkeys(ENTRY.match(first).group(1) for first in self.blocks))

    def only(self, name):
        """The lines of one package, as a lock of its own."""
        return "".join("\n".join(lines) + "\n" for first, lines in self.blocks.items() if first.startswith(name + "=="))


def say(text):
    """One line on stderr: stdout belongs to what is run afterwards."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def interpreter(asked=None):
    """(path, None) of a Python that can make environments, or (None, why there is none)."""
    reason = f"{asked} is not there" if asked else "Python 3.11 or newer is not installed"
    own = [sys.executable] if sys.version_info >= OLDEST else []
    for name in [asked] if asked else [*own, "python3.13", "python3.12", "python3.11", "python3.14", "python3"]:
        path = shutil.which(name)
        if path:
            status = _quiet([path, "-I", "-c", IS_OLDER + "; import venv, ensurepip"])
            if status == 0:
                return path, None
            reason = "Python 3.11 or newer is not installed" if asked else reason
            if status == 1:
                reason = f"{path} cannot make environments: its venv package is not installed"
    return None, reason


def python_in(folder):
    """An environment's interpreter."""
    return os.path.join(folder, "bin", "python")


def _quiet(command, env=None):
    with contextlib.suppress(OSError):
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=env).returncode
    return 127


def _worked(pid):
    """Processor time of a process in ticks; 0 where it cannot be had, and the clock alone decides."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/stat", "rb") as stat:
        return sum(map(int, stat.read().rpartition(b")")[2].split()[11:13]))
    return 0


class Work:
    """One environment being made: its commands, its log, its progress."""

    def __init__(self, folder, log, wheelhouse=None, python=None, heard=None):
        """Nothing is written yet. `heard` is told every line of progress."""
        self.heard = heard or (lambda text: None)
        self.folder, self.log, self.asked = os.path.abspath(folder), log, python
        self.python = python_in(self.folder)
        self.wheelhouse = os.path.abspath(wheelhouse) if wheelhouse else None
        self.uv = None if os.environ.get("TAO_SKILL_BANK_NO_UV") else pip_and_uv.find_uv()
        try:
            self.settings = pip_and_uv.pip_settings()
        except ValueError as error:
            raise SetUpError(str(error), "mend or remove that file") from None
        self.env = {k: v for k, v in os.environ.items() if not LEADS_ELSEWHERE.fullmatch(k)}
        self.env.update(pip_and_uv.pip_environment(self.settings))
        self.env.update(pip_and_uv.without_cache(self.settings))
        self.env.update(pip_and_uv.uv_environment(self.settings) if self.uv else {})
        self.total, self.fetched, self.shown, self.said_at = 0, 0, "", time.monotonic()
        self.unanswered = self.silent = 0
        self.held = []  # the lock's descriptor, for what is started: it may outlive a set-up that is killed

    @contextlib.contextmanager
    def alone(self):
        """Wait until nobody else works on the folder, and hold others off; what the system refuses is a SetUpError."""
        import fcntl

        try:
            os.makedirs(os.path.dirname(os.path.abspath(self.log)), exist_ok=True)
            with open(self.log, "a", encoding="utf-8") as log:
                try:
                    fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    say(f"another set-up of {self.folder} is at work: waiting until it has ended")
                    fcntl.flock(log, fcntl.LOCK_EX)
                self.held = [log.fileno()]
                log.truncate(0)
                yield
        except OSError as error:
            raise SetUpError(*pip_and_uv.explain(str(error), "set up", self)) from None
        finally:
            self.held = []  # its number is another file's by now

    def make(self):
        """An environment without packages, unless a good one is there."""
        half = os.path.join(self.folder, HALF)
        if os.path.exists(self.python) and not os.path.exists(half) and not self._made_elsewhere():
            status = _quiet([self.python, "-I", "-c", IS_OLDER])
            if status == 3:
                fix = f"remove it (`rm -r '{self.folder}'`) and run this again"
                raise SetUpError(f"{self.folder} holds a Python older than 3.11", fix)
            if status == 0 and (self.uv or _quiet([self.python, "-I", "-m", "pip", "--version"], self.env) == 0):
                return
        path, reason = interpreter(self.asked)
        if path is None and (self.asked or not self.uv):
            fix = "install it (Debian: `apt-get install python3 python3-venv`; macOS: `brew install python`), or uv"
            raise SetUpError(reason, fix)
        made = os.path.exists(os.path.join(self.folder, "pyvenv.cfg"))
        if not made and any(files for *_, files in os.walk(self.folder)):
            raise SetUpError(f"{self.folder} is not empty, and no environment", "name another folder")
        if os.path.isdir(self.folder):
            shutil.rmtree(self.folder)
        by_uv = [self.uv, "venv", "--quiet", "--python", path or ">=3.11"]
        self.show("making the environment")
        self.run([*(by_uv if self.uv else [path, "-I", "-m", "venv"]), self.folder], "make the environment")

    def _made_elsewhere(self):
        """Whether the folder was moved or copied here: its commands still lead to where it was made."""
        with contextlib.suppress(OSError), open(os.path.join(self.folder, "bin", "activate"), encoding="utf-8") as text:
            named = re.search(r"""^ *(?:export )?VIRTUAL_ENV=["']?(/.*?)["']?$""", text.read(), re.MULTILINE)
            return bool(named) and not (os.path.exists(named[1]) and os.path.samefile(named[1], self.folder))
        return False

    def install(self, *what, patience=()):
        """Install by hash from a lock, or the project itself."""
        source = ["--no-index", "--find-links", self.wheelhouse] if self.wheelhouse else []
        tool = [self.python, "-I", "-m", "pip", "install", *PIP, "--no-user", "--no-compile", *patience]
        tool = [self.uv, "pip", "install", "--python", self.python] if self.uv else tool
        before, half, done = self._unpacked(), os.path.join(self.folder, HALF), False
        open(half, "w").close()
        try:
            self.run([*tool, *AS_LOCKED, *source, *what], "install")
            done = True
        finally:
            if done or self._unpacked() == before:
                os.unlink(half)

    def install_lock(self, lock, builder_only=False):
        """What a lock names; what builds first: that small fetch shows whether an index answers at all."""
        builder = lock.only(BUILDER)
        if builder:
            self.total, self.fetched = 1, 0
            with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as first:
                first.write(builder)
                first.flush()
                self.unanswered = 0 if self.wheelhouse else patience()
                self.install("--require-hashes", "-r", first.name, patience=("--retries", "2"))
        self.total, self.fetched = len(lock.names), 1 if builder else 0
        self.unanswered = 0 if self.wheelhouse else 5 * patience()  # uv asks for everything before it says a word
        if not builder_only:
            self.install("--require-hashes", "-r", lock.path)

    def check(self, lock):
        """What is installed is what the lock names, and nothing lacks anything."""
        self.run([self.python, "-I", "-c", COMPARE, lock.path], "compare with the lock")
        by_uv, by_pip = [self.uv, "pip", "check", "--python", self.python], [self.python, "-I", "-m", "pip", "check"]
        self.run(by_uv if self.uv else by_pip, "check")

    def run(self, command, purpose):
        """Run to the end, its output to the log, its progress to stderr."""
        with open(self.log, "a+", encoding="utf-8", errors="replace") as log:
            log.write("$ " + " ".join(command) + "\n")
            log.flush()
            begin = log.tell()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                encoding="utf-8", errors="replace", env=self.env, cwd=os.path.dirname(self.folder) or "/",
                pass_fds=self.held,
            )  # fmt: skip
            done = threading.Event()
            watcher = threading.Thread(target=self._watch, args=(done, process), daemon=True)
            watcher.start()
            try:
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    self._heard(line)
                status = process.wait()
            finally:
                done.set()
                watcher.join()
                if process.poll() is None:
                    process.kill()
                process.stdout.close()
            self.unanswered = 0
            if self.silent:
                what = f"{self.source()} has not answered within {self.silent:g} s"
                raise SetUpError(what, f"{pip_and_uv.MEND_NETWORK}; {self.without_network()}", self.log)
            if status != 0:
                log.seek(begin)
                raise SetUpError(*pip_and_uv.explain(log.read(), purpose, self), log=self.log)

    def _heard(self, line):
        """Show what pip or uv says of a package that it begins with."""
        if not pip_and_uv.NO_ANSWER.match(line):
            self.unanswered = 0
        found = pip_and_uv.BEGUN.match(line)
        if found:
            self.fetched += 1
            self.show(f"fetching {self.fetched} of {self.total}: {found.group(1)} {found.group(2)}")
        elif self.uv and line.startswith("Downloading "):
            self.show("fetching" + line[len("Downloading") :].rstrip())

    def _watch(self, done, process):
        """While nothing is printed: end what waits for a silent index, count what is unpacked, say that it goes on."""
        before, begun = self._unpacked(), time.monotonic()
        worked, idle_since = 0, begun
        while not done.wait(0.5):
            moment, more = time.monotonic(), _worked(process.pid)
            if more > worked:  # on a busy machine pip itself may take long to begin: that is no silence of the index
                worked, idle_since = more, moment
            if 0 < self.unanswered < max(moment - idle_since, (moment - begun) / 5):
                self.silent = self.unanswered
                process.kill()
                return
            now = self._unpacked()
            if now > before and (now == self.total or now - before >= 5):
                before = now
                self.show(f"unpacking {min(now, self.total)} of {self.total}")
            elif time.monotonic() - self.said_at > SILENCE_SEC and self.shown:
                self.show(self.shown)

    def _unpacked(self):
        for top, folders, _ in os.walk(os.path.join(self.folder, "lib")):
            if os.path.basename(top) == "site-packages":
                return sum(name.endswith(".dist-info") for name in folders)
        return 0

    def show(self, text):
        """A line of progress."""
        say("  " + text + (" …" if text == self.shown else ""))
        self.said_at, self.shown = time.monotonic(), text
        self.heard(text)

    def source(self):
        """Where the packages come from, without a password."""
        if self.wheelhouse:
            return f"the wheelhouse {self.wheelhouse}"
        return pip_and_uv.address(self.settings, self.uv)

    def without_network(self):
        """The way where there is none."""
        variable = "WHEELHOUSE" if os.path.basename(self.folder) == ".venv" else "TAO_SKILL_BANK_WHEELHOUSE"
        return f"without a network use a wheelhouse (`make wheelhouse` where there is one, then {variable}=DIR)"


COMPARE = """
import importlib.metadata as metadata, re, sys
from packaging.requirements import Requirement
wrong = []
for line in open(sys.argv[1], encoding="utf-8"):
    if line[:1].isalnum():
        wanted = Requirement(line.strip().rstrip("\\\\").strip())
        if wanted.marker is None or wanted.marker.evaluate():
            try:
                found = metadata.version(wanted.name)
            except metadata.PackageNotFoundError:
                found = "nothing"
            if not wanted.specifier.contains(found if found != "nothing" else "0", prereleases=True):
                wrong.append(f"{wanted.name}: {found} is installed, the lock names {wanted.specifier}")
sys.exit("\\n".join(wrong) or None)
"""


def about(lock, name):
    """What, how large, how long (at 5 MB/s fetched and 10 MB/s unpacked): the line at the beginning."""
    minutes = max(1, round((lock.fetch_mb / 5 + lock.disk_mb / 10) / 60))
    size = f": {lock.fetch_mb} MB to fetch, {lock.disk_mb} MB on disk, about {minutes} min" if lock.fetch_mb else ""
    return f"setting up {name} with {len(lock.names)} packages{size}"


def checked(folder, locks, wheelhouse=None):
    """What can be told before the work begins: the locks as read; SetUpError where it would be in vain."""
    if WINDOWS_HERE:
        raise SetUpError("this is Windows", WINDOWS)
    if wheelhouse and not os.path.isdir(wheelhouse):
        raise SetUpError(f"the wheelhouse {wheelhouse} is not there", "name the folder that `make wheelhouse` filled")
    if not wheelhouse:
        patience()
    read, there = [Lock(path) for path in locks], os.path.abspath(folder)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    free, needed = shutil.disk_usage(there).free >> 20, max([lock.disk_mb for lock in read], default=0)
    if free < needed and not os.path.exists(python_in(folder)):
        raise SetUpError(f"the disk of {there} has {free} MB free, {needed} are needed", "free some space")
    return read


def set_up(folder, locks, project=None, wheelhouse=None, python=None, log=None, heard=None):
    """Make the environment, or bring one up to its locks.

    Raises:
        SetUpError: It could not be done; one line says why and what mends it.
    """
    read, begun = checked(folder, locks, wheelhouse), time.monotonic()
    work = Work(folder, log or os.path.abspath(folder).rstrip(os.sep) + ".log", wheelhouse, python, heard)
    with work.alone():
        for lock in read:
            say(about(lock, folder))
        work.make()
        for lock in read:
            work.install_lock(lock)
        if project:
            work.install(*(["-e", ROOT] if project == "editable" else [ROOT]))
        for lock in read:
            work.check(lock)
        say(f"set up in {time.monotonic() - begun:.0f} s")
    return work


def fill_wheelhouse(folder, locks):
    """Fetch the files that the locks name into a folder; SetUpError as `set_up`."""
    folder = os.path.abspath(folder)  # pip runs elsewhere
    work = Work(folder, folder + ".log")
    work.uv = None  # it has no command that fetches
    with work.alone(), tempfile.TemporaryDirectory() as scratch:
        os.makedirs(folder, exist_ok=True)
        work.folder = os.path.join(scratch, "env")
        work.python = python_in(work.folder)
        read = [Lock(path) for path in locks]
        work.make()
        for lock in read:
            say(f"fetching {len(lock.names)} packages of {lock.path}")
            work.install_lock(lock, builder_only=True)
            command = [work.python, "-I", "-m", "pip", "download", *PIP, *AS_LOCKED]
            work.run([*command, "--require-hashes", "-r", lock.path, "-d", folder], "fetch")
    say(f"{len(os.listdir(folder))} files in {folder}")


def main(arguments):
    """Parse, do it, and end with one line where it cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="+")
    parser.add_argument("--lock", action="append", default=[])
    parser.add_argument("--project", choices=("editable", "copy"))
    parser.add_argument("--wheelhouse", default=os.environ.get("WHEELHOUSE") or None)
    parser.add_argument("--python")
    parser.add_argument("--log")
    given = parser.parse_args(arguments)
    try:
        if given.folder[0] == "wheelhouse" and len(given.folder) == 2:
            fill_wheelhouse(given.folder[1], given.lock or [os.path.join(ROOT, "requirements.lock")])
        elif len(given.folder) == 1:
            set_up(given.folder[0], given.lock, given.project, given.wheelhouse, given.python or None, given.log)
        else:
            parser.error("one folder")
    except SetUpError as error:
        if error.log:
            with open(error.log, encoding="utf-8", errors="replace") as log:
                lines = log.readlines()[-15:]  # what is set in, a traceback say, is for those who read the log
                sys.stderr.write("".join(line for line in lines if not re.match(r"\s|.*Traceback", line)))
        say(f"set-up failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
