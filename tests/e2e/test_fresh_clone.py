"""README as a newcomer types it: a fresh clone, an empty home, its commands in order, its report in a browser."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pips import index_settings

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: nothing to clone again"),
]


def block(text: str, beginning: str) -> list[str]:
    """The lines of the console block that begins with a command."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found: str = next(found for found in blocks if found.startswith(beginning))
    return found.splitlines()


def looked_at(report: Path, tmp_path: Path) -> dict[str, Any]:
    """The report as Chromium shows it, with what it said on the console and asked for."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    said: list[str] = []
    asked: list[str] = []
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        shown = {
            "status": page.inner_text("#status"),
            "pictures": page.evaluate("[...document.images].map(i => i.naturalWidth)"),
            "said": said,
            "asked": [url for url in asked if not url.startswith("data:")],
        }
        browser.close()
    return shown


def test_a_newcomer_types_what_the_readme_says_and_reads_the_report(tmp_path: Path) -> None:
    clone = tmp_path / "tao-skill-bank"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    (tmp_path / "home").mkdir()
    environment = {**index_settings(), "HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def typed(line: str) -> str:
        words = shlex.split(line, comments=True)
        done = subprocess.run(words, cwd=clone, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return done.stdout

    readme = (clone / "README.md").read_text(encoding="utf-8")
    assert block(readme, "make demo") == ["make demo", "make test"]
    report = Path(typed("make demo").splitlines()[-1])
    run = report.parent
    assert report.is_file()
    if CHROMIUM.exists():
        shown = looked_at(report, tmp_path)
        assert re.match(r"Rehearsal: (shown|met, not shown|not met|cannot be told)", shown["status"])
        assert shown["said"] == []
        assert shown["asked"] == [report.as_uri()]
        assert len(shown["pictures"]) > 20
        assert min(shown["pictures"]) > 0
    assert "The bank works." in typed(".venv/bin/tao-skills doctor --platform local")
    plan = block(readme, ".venv/bin/tao-skills deft plan")[0].replace(" W ", " demo ")
    assert "plan digest" in typed(plan)
    other = shutil.copytree(run, run.with_name("run_before"))
    lines = [line for line in block(readme, ".venv/bin/tao-skills studio") if " deft " in line]
    assert len(lines) > 5
    for line in lines:
        said = typed(line.replace("OTHER-RUN", str(other)).replace("RUN", str(run)))
        assert run.name in said, line
    # Nothing that is not ignored was written into the clone.
    assert (
        subprocess.run(
            ["git", "-C", str(clone), "status", "--short"], capture_output=True, text=True, check=True
        ).stdout
        == ""
    )
