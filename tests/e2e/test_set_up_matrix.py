"""The whole lock with every pip from 22.3 up, on every Python of this machine, beside newer versions of everything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from node_clients import uv_command
from pips import PIPS, PYTHONS, environment, pip_wheel, pythons, versions
from ran import ran
from wheels import Index

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return Index(tmp_path_factory.mktemp("index"), ROOT / "requirements.lock")


def interpreter(version: str) -> str:
    found = pythons().get(version)
    if found is None:
        pytest.skip(f"Python {version} is not on this machine")
    return found


def settings(index: Index) -> dict[str, str]:
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.simple.as_uri(), "PIP_FIND_LINKS": ""}


def set_up(folder: Path, index: Index, python: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    """As the Makefile calls it: the bank itself is built too."""
    env = {**os.environ, **settings(index), "PATH": path}
    command = [sys.executable, str(ROOT / "scripts/set_up.py"), str(folder), "--lock", str(index.lock)]
    command += ["--python", python, "--project", "editable"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def wanted(index: Index) -> dict[str, set[str]]:
    """Name → the versions the lock allows; which one, the markers say, and the set-up has compared that."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^(\S+?)==(\S+)", index.lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def check(folder: Path, index: Index) -> None:
    found = versions(folder)
    expected = wanted(index)
    other = {name: found[name] for name in found.keys() & expected.keys() if found[name] not in expected[name]}
    assert other == {}
    elsewhere = {name for name in expected if name not in found}
    assert elsewhere <= {"httpx2-jsfetch", "pywin32"}
    assert "tao-skill-bank" in found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("pip", [*PIPS, "its own"])
def test_whichever_pip_sets_it_up_what_the_lock_names_is_installed(
    tmp_path: Path, index: Index, python: str, pip: str
) -> None:
    command = interpreter(python)
    folder = environment(tmp_path / "env", command, None if pip == "its own" else pip_wheel(pip))
    done = set_up(folder, index, command)
    assert done.returncode == 0, done.stderr[-1500:]
    check(folder, index)


@pytest.mark.parametrize("python", PYTHONS)
def test_with_uv_the_same_is_installed_on_every_python(tmp_path: Path, index: Index, python: str) -> None:
    uv = uv_command()
    done = set_up(tmp_path / "env", index, interpreter(python), f"{uv.parent}:/usr/bin:/bin")
    assert done.returncode == 0, done.stderr[-1500:]
    check(tmp_path / "env", index)


@pytest.mark.parametrize("pip", PIPS)
def test_with_a_resolver_the_same_index_stops_the_pips_before_23_3(tmp_path: Path, index: Index, pip: str) -> None:
    folder = environment(tmp_path / "env", interpreter("3.11"), pip_wheel(pip))
    python = str(folder / "bin/python")
    env = {**os.environ, **settings(index)}
    build = ["--no-deps", "--no-build-isolation", "--find-links", str(index.files)]
    setuptools = next(iter(wanted(index)["setuptools"]))
    first = [python, "-m", "pip", "install", "--quiet", *build, f"setuptools=={setuptools}"]
    subprocess.run(first, env=env, check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--no-build-isolation", "--use-pep517"]
    done = ran([*install, "--require-hashes", "-r", str(index.lock)], env=env)
    refused = "all requirements must have their versions pinned" in done.stderr
    assert refused == (tuple(map(int, pip.split(".")[:2])) < (23, 3)), done.stderr[-600:]
