"""The files that clients read to find the bank: one name, one version, and every path they name is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tao_skill_bank.bank.home import bank_root
from tao_skill_bank.bank.skills import skills_faults
from tao_skill_bank.core.version import __version__

NAME = "tao-skill-bank"
LAUNCHER = "scripts/launch.py"
_ROOT_VARIABLE = "${CLAUDE_PLUGIN_ROOT}/"


def bank_faults(root: Path | None = None) -> list[str]:
    """A line for everything wrong with the bank as a plugin: manifests, server entry, hooks, agents, skills."""
    folder = root or bank_root()
    checks = (manifest_faults, server_faults, hook_faults, agent_faults, skills_faults)
    return [fault for check in checks for fault in check(folder)]


def manifest_faults(root: Path) -> list[str]:
    """Name and version in every manifest; the two plugin.json are the same file."""
    found: list[str] = []
    versions: dict[str, Any] = {}
    for name in ("plugin.json", ".claude-plugin/plugin.json", ".codex-plugin/plugin.json"):
        value = _json(root / name, found)
        if value:
            versions[name] = value.get("version")
            if value.get("name") != NAME:
                found.append(f"{name}: name is {value.get('name')!r}, not {NAME!r}")
    market = _json(root / ".claude-plugin/marketplace.json", found)
    for plugin in market.get("plugins", []):
        versions[f"marketplace.json {plugin.get('name')}"] = plugin.get("version")
    project = root / "pyproject.toml"
    if project.is_file():
        match = re.search(r'^version = "([^"]+)"', project.read_text(encoding="utf-8"), re.MULTILINE)
        versions["pyproject.toml"] = match[1] if match else None
    found += [f"{name}: version {v} is not {__version__}" for name, v in versions.items() if v != __version__]
    two = [root / "plugin.json", root / ".claude-plugin/plugin.json"]
    if all(p.is_file() for p in two) and two[0].read_bytes() != two[1].read_bytes():
        found.append(".claude-plugin/plugin.json differs from plugin.json (copy the top-level one)")
    return found


def server_faults(root: Path) -> list[str]:
    """`.mcp.json` names the launcher, by the plugin's own folder."""
    found: list[str] = []
    servers = _json(root / ".mcp.json", found).get("mcpServers")
    if not isinstance(servers, dict) or not servers:
        return [*found, ".mcp.json: no mcpServers"]
    for name, entry in servers.items():
        args = entry.get("args") if isinstance(entry, dict) else None
        if not isinstance(args, list) or not args or args[0] != _ROOT_VARIABLE + LAUNCHER:
            found.append(f".mcp.json {name}: args must begin with {_ROOT_VARIABLE}{LAUNCHER}")
    if not (root / LAUNCHER).is_file():
        found.append(f"{LAUNCHER} is not there")
    return found


def hook_faults(root: Path) -> list[str]:
    """Every hook's command names a file that is there, and has a time limit."""
    found: list[str] = []
    hooks = _json(root / "hooks/hooks.json", found).get("hooks", {})
    for event, groups in hooks.items():
        for entry in (entry for group in groups for entry in group.get("hooks", [])):
            match = re.search(r"\$\{CLAUDE_PLUGIN_ROOT\}/([^\"' ]+)", entry.get("command", ""))
            if match is None or not (root / match[1]).is_file():
                found.append(f"hooks.json {event}: the command names no file of the plugin: {entry.get('command')!r}")
            if not isinstance(entry.get("timeout"), int):
                found.append(f"hooks.json {event}: no timeout")
    return found


def agent_faults(root: Path) -> list[str]:
    """Every agent's frontmatter has a name, a description and its tools."""
    import yaml

    found: list[str] = []
    for path in sorted((root / "agents").glob("*.md")):
        match = re.match(r"---\n(.*?)\n---\n", path.read_text(encoding="utf-8"), re.DOTALL)
        loaded = yaml.safe_load(match[1]) if match else None
        front = loaded if isinstance(loaded, dict) else {}
        missing = [key for key in ("name", "description", "tools") if key not in front]
        if missing:
            found.append(f"agents/{path.name}: frontmatter lacks {', '.join(missing)}")
        elif front["name"] != path.stem:
            found.append(f"agents/{path.name}: name {front['name']!r} is not the file's")
    return found


def _json(path: Path, found: list[str]) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found.append(f"{path.name}: {error}")
        return {}
    if not isinstance(value, dict):
        found.append(f"{path.name}: not an object")
        return {}
    return value
