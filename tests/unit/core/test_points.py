"""What other packages bring, as a long process sees it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tao_skill_bank.core.points import points

GROUP = "tao_skill_bank.platforms"


def install(site: Path, name: str) -> Path:
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {name}:Platform\n")
    changed(site)
    return info


def changed(site: Path) -> None:
    """A second later than before: what is written within one tick of the clock has one time on some disks."""
    later = site.stat().st_mtime_ns + 1_000_000_000
    os.utime(site, ns=(later, later))


def brought() -> set[str]:
    return {point.name for point in points(GROUP)}


def test_a_package_is_found_when_it_is_installed_and_gone_when_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    before = brought()
    monkeypatch.syspath_prepend(str(site))
    assert brought() == before
    first = install(site, "one_that_comes")
    assert brought() == before | {"one_that_comes"}
    install(site, "another")
    assert brought() == before | {"one_that_comes", "another"}
    shutil.rmtree(first)
    changed(site)
    assert brought() == before | {"another"}


def test_a_package_beside_the_program_is_found_from_its_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    install(here, "beside")
    elsewhere.mkdir()
    monkeypatch.syspath_prepend("")
    monkeypatch.chdir(elsewhere)
    assert "beside" not in brought()
    monkeypatch.chdir(here)
    assert "beside" in brought()
    monkeypatch.chdir(elsewhere)
    assert "beside" not in brought()
