"""What the browser is given: made from the sources here, small, licensed, and from a lock without addresses."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

STUDIO = Path(__file__).resolve().parents[3] / "tao_skill_bank/studio"
MANIFEST = json.loads((STUDIO / "static/manifest.json").read_text(encoding="utf-8"))


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_bundles_are_those_of_the_sources() -> None:
    own = ["package.json", "package-lock.json", "build.mjs"]
    own += sorted(f"src/{path.name}" for path in (STUDIO / "web/src").iterdir())
    assert {name: sha(STUDIO / "web" / name) for name in own} == MANIFEST["sources"], "run `make studio`"
    files = sorted(path.name for path in (STUDIO / "static").iterdir() if path.name != "manifest.json")
    assert {name: sha(STUDIO / "static" / name) for name in files} == MANIFEST["files"], "run `make studio`"


def test_all_that_a_browser_loads_is_under_200_kb() -> None:
    loaded = [name for name in MANIFEST["files"] if name != "LICENSES.txt"]
    assert sum(len(gzip.compress((STUDIO / "static" / name).read_bytes())) for name in loaded) < 200_000


def test_whatever_is_inside_has_its_licence_beside_it() -> None:
    text = (STUDIO / "static/LICENSES.txt").read_text(encoding="utf-8")
    for name in json.loads((STUDIO / "web/package.json").read_text(encoding="utf-8"))["dependencies"]:
        assert f"\n{name} " in text, name


def test_the_lock_names_contents_and_no_address() -> None:
    lock = json.loads((STUDIO / "web/package-lock.json").read_text(encoding="utf-8"))
    packages = {name: about for name, about in lock["packages"].items() if name}
    assert all(about["integrity"].startswith("sha512-") for about in packages.values())
    assert not any("resolved" in about for about in packages.values())


def test_no_file_of_the_page_holds_an_address_to_load_from() -> None:
    for name in ("index.html", "map.html", "studio.css", "map.css"):
        text = (STUDIO / "static" / name).read_text(encoding="utf-8")
        assert "//" not in text.replace("http://www.w3.org/", ""), name


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="npm is not installed")
def test_a_build_anew_gives_the_same_bytes(tmp_path: Path) -> None:
    web = tmp_path / "web"
    shutil.copytree(STUDIO / "web", web, ignore=shutil.ignore_patterns("node_modules"))
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(["npm", "ci", *quiet], cwd=web, check=False, capture_output=True, timeout=200).returncode:
        pytest.skip("npm's registry is not reachable")
    subprocess.run(["npm", "run", "build"], cwd=web, check=True, capture_output=True, timeout=100)
    assert {name: sha(tmp_path / "static" / name) for name in MANIFEST["files"]} == MANIFEST["files"]
