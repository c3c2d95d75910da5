"""`docs/design/dependencies.md` against what is installed: every dependency is there, with what it costs."""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs/design/dependencies.md").read_text(encoding="utf-8")
ROWS = [(m[1], float(m[2])) for m in re.finditer(r"^\| ([a-z][a-z0-9, -]+) \| (?:< )?([\d.]+) \|", TEXT, re.MULTILINE)]
NAMES = [frozenset(names.split(", ")) for names, _ in ROWS]


def required() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}


@cache
def needed(name: str, extras: frozenset[str] = frozenset()) -> frozenset[tuple[str, frozenset[str]]]:
    """What a package asks for here."""
    found = set()
    for line in metadata.requires(name) or []:
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found.add((canonicalize_name(wanted.name), frozenset(wanted.extras)))
    return frozenset(found)


def closure(names: set[str]) -> set[str]:
    """These packages and all that they bring."""
    open_ = [(name, frozenset[str]()) for name in names]
    seen = set(open_)
    while open_:
        for asked in needed(*open_.pop()) - seen:
            seen.add(asked)
            open_.append(asked)
    return {name for name, _ in seen}


@cache
def size_mb(name: str) -> float:
    """What the files of a package take, without compiled bytecode."""
    files = [path.locate() for path in metadata.files(name) or [] if path.suffix != ".pyc"]
    return sum(Path(path).stat().st_size for path in files if Path(path).is_file()) / 1e6


def test_every_dependency_stands_in_one_row_and_no_other_does() -> None:
    stands = [name for row in NAMES for name in row]
    assert sorted(stands) == sorted(required())


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64") or sys.version_info[:2] != (3, 11),
    reason="the figures are of Linux on x86_64 with Python 3.11",
)
@pytest.mark.parametrize(("names", "said"), ROWS)
def test_what_a_dependency_costs_is_its_files_and_those_of_what_it_alone_brings(names: str, said: float) -> None:
    without = required() - set(names.split(", "))
    gone = (closure(required()) - closure(without)) | set(names.split(", "))
    cost = sum(map(size_mb, gone))
    assert abs(cost - said) <= max(0.6, 0.15 * said), f"{names}: {cost:.1f} MB with {sorted(gone)}"
