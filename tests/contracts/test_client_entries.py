"""Every server entry in docs/clients.md, pasted as it stands, starts the server."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ran import ran

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/clients.md").read_text()


def entries() -> dict[str, dict[str, Any]]:
    """Client → its entry for the server, as a program and its words."""
    found: dict[str, dict[str, Any]] = {}
    for section in PAGE.split("\n## ")[1:]:
        for kind, text in re.findall(r"```(json|toml)\n(.*?)```", section, re.DOTALL):
            value = json.loads(text) if kind == "json" else tomllib.loads(text)
            (servers,) = value.values()
            entry = servers["tao"]
            if isinstance(entry["command"], list):  # opencode
                entry = {**entry, "command": entry["command"][0], "args": entry["command"][1:]}
            found[section.splitlines()[0]] = entry
    return found


def test_the_clients_of_the_page_are_these() -> None:
    names = {"Codex", "Gemini CLI", "opencode", "VS Code", "Cursor", "Claude Desktop", "An installed package"}
    assert set(entries()) == names


def test_the_plugins_own_entries_name_the_same_launcher() -> None:
    own = json.loads((ROOT / ".mcp.json").read_text())["mcpServers"]["tao"]
    assert own == {"command": "python3", "args": ["${CLAUDE_PLUGIN_ROOT}/scripts/launch.py", "serve"]}
    codex = json.loads((ROOT / ".codex-plugin/plugin.json").read_text())["mcpServers"]["tao"]
    assert codex == {"command": "python3", "args": ["./scripts/launch.py", "serve"], "cwd": "."}


@pytest.mark.parametrize("client", sorted(entries()))
def test_an_entry_starts_the_server(client: str, tmp_path: Path) -> None:
    entry = entries()[client]
    programs = {"python3": [sys.executable], "tao-skills": [sys.executable, "-m", "tao_skill_bank.cli"]}
    words = [
        word.replace("/path/to/tao-skill-bank", str(ROOT)).replace("/path/to/workspaces", str(tmp_path))
        for word in entry["args"]
    ]
    asked = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    done = ran(
        [*programs[entry["command"]], *words],
        input=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": asked}) + "\n",
        env={**os.environ, "TAO_SKILL_BANK_CACHE": str(tmp_path / "cache")},
        cwd="/",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["serverInfo"]["name"] == "tao-skill-bank"
