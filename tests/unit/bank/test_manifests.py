from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tao_skill_bank.bank.manifests import bank_faults

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    for part in ("skills", "hooks", "agents", ".claude-plugin", ".codex-plugin", "scripts"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("plugin.json", ".mcp.json", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_a_copy_of_the_bank_has_no_fault(bank: Path) -> None:
    assert bank_faults(bank) == []


@pytest.mark.parametrize(
    "name",
    ["plugin.json", ".claude-plugin/plugin.json", ".codex-plugin/plugin.json", ".claude-plugin/marketplace.json"],
)
def test_a_version_that_drifts_is_named(bank: Path, name: str) -> None:
    path = bank / name
    path.write_text(path.read_text().replace('"version": "0.1.0"', '"version": "9.9.9"'))
    assert any("version 9.9.9 is not" in fault for fault in bank_faults(bank))


def test_the_two_plugin_manifests_may_not_differ_by_a_byte(bank: Path) -> None:
    path = bank / ".claude-plugin/plugin.json"
    path.write_text(path.read_text() + "\n")
    assert any("differs from plugin.json" in fault for fault in bank_faults(bank))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting"),
        ("[]", "not an object"),
        ("{}", "no mcpServers"),
        ('{"mcpServers": {"a": {"command": "python3", "args": ["launch.py"]}}}', "args must begin with"),
        ('{"mcpServers": {"a": "b"}}', "args must begin with"),
    ],
)
def test_a_malformed_server_entry_is_caught(bank: Path, text: str, said: str) -> None:
    (bank / ".mcp.json").write_text(text)
    assert any(said in fault for fault in bank_faults(bank))


def test_a_hook_whose_file_is_gone_or_that_has_no_time_limit_is_named(bank: Path) -> None:
    (bank / "hooks/session_start.sh").unlink()
    hooks = json.loads((bank / "hooks/hooks.json").read_text())
    del hooks["hooks"]["PostToolUse"][0]["hooks"][0]["timeout"]
    (bank / "hooks/hooks.json").write_text(json.dumps(hooks))
    found = "\n".join(bank_faults(bank))
    assert "hooks.json SessionStart: the command names no file" in found
    assert "hooks.json PostToolUse: no timeout" in found


@pytest.mark.parametrize(
    ("text", "said"), [("# no frontmatter", "lacks name"), ("---\nname: x\ndescription: d\ntools: Read\n---\n", "'x'")]
)
def test_an_agent_without_its_frontmatter_is_named(bank: Path, text: str, said: str) -> None:
    (bank / "agents/reporter.md").write_text(text)
    assert any(said in fault for fault in bank_faults(bank))
