"""The Agent Skills validator and the skills installer: what they make of the bank."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from node_clients import agentskills, client_folder, path_with
from ran import ran

ROOT = Path(__file__).resolve().parents[2]
SKILLS = sorted(p.parent.name for p in ROOT.glob("skills/*/SKILL.md"))


@pytest.mark.parametrize("skill", SKILLS)
def test_a_skill_is_valid_for_the_reference_validator(skill: str) -> None:
    command = [*agentskills(), "validate", str(ROOT / "skills" / skill)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid skill" in done.stdout


def test_the_reference_validator_refuses_what_the_format_does_not_know(tmp_path: Path) -> None:
    folder = tmp_path / "tao-x"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: tao-x\ndescription: d\ntags: a\n---\ntext\n")
    command = [*agentskills(), "validate", str(folder)]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 1


def test_a_skill_that_is_copied_alone_ends_with_one_line_that_says_how_to_install(tmp_path: Path) -> None:
    folder = client_folder("skills")
    env = {**os.environ, "HOME": str(tmp_path), "PATH": path_with(folder), "DISABLE_TELEMETRY": "1"}
    command = [str(folder / "skills"), "add", str(ROOT), "--skill", "tao-run-deft-aoi", "--agent", "claude-code"]
    done = ran([*command, "--yes", "--copy"], env=env, cwd=tmp_path, timeout=120)
    (copied,) = [p.parent for p in tmp_path.rglob("SKILL.md") if not p.is_symlink()]
    assert copied.name == "tao-run-deft-aoi", done.stdout
    scripts = sorted((copied / "scripts").glob("*.py"))
    assert len(scripts) == 8
    for script in scripts:
        done = ran([sys.executable, "-I", "-S", str(script)], env=env)
        assert done.returncode == 2
        assert len((done.stdout + done.stderr).splitlines()) == 1
        assert "pip install" in done.stderr
