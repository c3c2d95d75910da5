"""`docs/design/dependencies.md` against what is installed: every dependency is there, with what it costs."""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from wheels import closure, size_mb

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs/design/dependencies.md").read_text(encoding="utf-8")
ROWS = [(m[1], float(m[2])) for m in re.finditer(r"^\| ([a-z][a-z0-9, -]+) \| (?:< )?([\d.]+) \|", TEXT, re.MULTILINE)]
NAMES = [frozenset(names.split(", ")) for names, _ in ROWS]


def required() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}


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
