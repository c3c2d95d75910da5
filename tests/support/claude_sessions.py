"""Headless sessions of the real Claude Code with the plugin, driven by a scripted model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugin_copy import copy_plugin
from ran import ran
from scripted_model import Call, Say, ScriptedModel, Seen

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "tao-skill-bank"
PREFIX = f"mcp__plugin_{PLUGIN}_tao__"


def installed_plugin(folder: Path) -> Path:
    """The plugin as it is installed: the tracked files, and an environment that the launcher finds."""
    copy_plugin(folder)
    (folder / ".venv").symlink_to(ROOT / ".venv" if (ROOT / ".venv").exists() else Path(sys.prefix))
    return folder


@dataclass
class Session:
    """What a headless session said, and every request the model got."""

    events: list[dict[str, Any]]
    seen: list[Seen]
    faults: list[str]

    @property
    def main(self) -> Seen:
        """The last request of the main conversation."""
        return [s for s in self.seen if not is_reporter(s)][-1]


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_API_KEY": "sk-dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        # A closed port: the client does not wait for an address that cannot be reached.
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        **more,
    }


def run_session(
    claude: Path,
    cwd: Path,
    home: Path,
    decide: Callable[[Seen], Call | Say],
    *plugins: Path,
    allow: str = "",
    more: Sequence[str] = (),
) -> Session:
    """A headless session from its first prompt to its end; `allow`: tools beside the plugin's own."""
    home.mkdir(exist_ok=True)
    with ScriptedModel(decide) as model:
        command = [str(claude), "-p", "run the DEFT loop", "--output-format", "stream-json", "--verbose"]
        command += ["--max-turns", "200", "--allowedTools", f"{PREFIX[:-2]},Skill,Task,Agent{allow}"]
        for folder in plugins:
            command += ["--plugin-dir", str(folder)]
        command += more
        done = ran(command, env=environment(home, ANTHROPIC_BASE_URL=model.url), cwd=cwd, timeout=280)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert model.seen, done.stderr
    assert model.faults == [], model.faults
    return Session(events, model.seen, model.faults)


def is_reporter(seen: Seen) -> bool:
    return "You get the path of a run folder" in seen.system


def load_tools(seen: Seen, *names: str) -> Call | None:
    """Deferred tools have to be asked for first."""
    missing = [PREFIX + name for name in names if PREFIX + name not in seen.tools]
    return (
        Call("ToolSearch", {"query": "select:" + ",".join(missing)}) if missing and "ToolSearch" in seen.tools else None
    )


def told(seen: Seen, word: str) -> dict[str, Any] | None:
    """The newest tool result that is JSON with a key; links stand before or after it on lines of their own."""
    for line in (line for text in reversed(seen.results) for line in text.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and word in value:
            return value
    return None
