"""Environments with a pip of one's choice, and the Pythons of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock
from node_clients import CACHE, uv_command

PIPS = (
    "22.3", "22.3.1", "23.0.1", "23.1.2", "23.2.1", "23.3.2", "24.0", "24.1.2", "24.2", "24.3.1",
    "25.0.1", "25.1.1", "25.2", "25.3", "26.0.1", "26.1.2", "26.2.1", "26.3",
)  # fmt: skip
"""The last of every minor version from the oldest that is promised to the newest when this was written."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def pip_wheel(version: str) -> Path:
    """The wheel of a pip, kept in the tests' cache; skips where no index has it."""
    folder = CACHE / "pips"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"pip-{version}-py3-none-any.whl"
    with FileLock(folder / ".lock"):
        if not path.exists():
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--retries",
                "1",
                "-d",
                str(folder),
            ]
            done = subprocess.run([*command, f"pip=={version}"], capture_output=True, text=True, check=False)
            if not path.exists():
                pytest.skip(f"pip {version} could not be fetched: {done.stderr.strip()[-120:]}")
    return path


@cache
def pythons() -> dict[str, str]:
    """Version → interpreter, for those of PYTHONS that are here and can make environments: on the PATH, or pyenv's."""
    found: dict[str, str] = {}
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep) if folder]
    names = [folder / f"python{version}" for folder in places for version in PYTHONS]
    names += [Path("/usr/bin/python3"), *sorted(pyenv.glob("3.1*/bin/python"))]
    ask = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for path in names:
        if path.exists():
            done = subprocess.run([path, "-I", "-c", ask], capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.strip() in PYTHONS:
                found.setdefault(done.stdout.strip(), str(path))
    return found


def environment(folder: Path, python: str, wheel: Path | None) -> Path:
    """An environment with this pip, or with the one that the interpreter brings.

    Skips where this pip does not run on that Python.
    """
    if wheel is None:
        subprocess.run([python, "-I", "-m", "venv", str(folder)], check=True)
        return folder
    subprocess.run([python, "-I", "-m", "venv", "--without-pip", str(folder)], check=True)
    install = [str(folder / "bin/python"), f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{wheel.name} does not run on {python}: {done.stderr.strip()[-80:]}")
    return folder


def versions(folder: Path) -> dict[str, str]:
    """What is installed in an environment."""
    ask = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    done = subprocess.run([folder / "bin/python", "-I", "-c", ask], capture_output=True, text=True, check=True)
    return dict(line.lower().replace("_", "-").split("==") for line in done.stdout.split())


def index_settings() -> dict[str, str]:
    """Variables by which this machine reaches its package index: they are the machine's business, not a home's."""
    kept = ("PIP_", "UV_", "SSL_", "REQUESTS_", "HTTP_", "HTTPS_")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)}


def interpreter_folder(folder: Path, *, uv: bool = False) -> Path:
    """A PATH entry with `python3` (and uv, where asked for) and nothing else of this environment."""
    folder.mkdir()
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "python3").symlink_to(base)
    if uv:
        (folder / "uv").symlink_to(uv_command())
    return folder
