"""From an empty home to a connected server: the real client, the real package index, a bank nobody may write to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from node_clients import client_folder
from pips import index_settings, interpreter_folder
from plugin_copy import copy_plugin
from ran import said
from scripted_model import Call, Say, ScriptedModel, Seen

NAME = "tao-skill-bank"
TOOL = f"mcp__plugin_{NAME}_tao__get_jobs"
STATUS = f"mcp__plugin_{NAME}_tao__get_set_up_status"
MOST_TURNS = 40


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with what it holds: modes alone do not stop a super-user from writing."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def looking_at(project: Path) -> Callable[[Seen], Call | Say]:
    """A model that waits for the set-up, then asks for the jobs of the person's project, and says whether it could."""

    def decide(seen: Seen) -> Call | Say:
        if any('{"jobs":{}}' in text for text in seen.results):
            return Say("connected")
        if len(seen.results) >= MOST_TURNS:
            return Say("not connected")
        said = next((text for text in reversed(seen.results) if "environment" in text or "ready: " in text), "")
        if STATUS in seen.tools and not said.startswith("ready"):
            return Call(STATUS, {"wait_sec": 50})
        if TOOL in seen.tools:
            return Call(TOOL, {"results_dir": str(project)})
        if "ToolSearch" in seen.tools:
            return Call("ToolSearch", {"query": f"select:{TOOL},{STATUS}"})
        return Call("Bash", {"command": "sleep 1"})

    return decide


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "uv", [pytest.param(False, id="python3 alone", marks=pytest.mark.slow), pytest.param(True, id="uv")]
)
def test_the_first_session_of_all_waits_for_the_set_up_and_calls_a_tool_of_the_project(
    request: pytest.FixtureRequest, tmp_path: Path, uv: bool
) -> None:
    source = copy_plugin(tmp_path / "market")
    claude = client_folder("claude") / "claude"
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    path = f"{interpreter_folder(tmp_path / 'bin', uv=uv)}:/usr/bin:/bin"
    with ScriptedModel(looking_at(work)) as model:
        env = {
            **index_settings(),
            "PATH": path,
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "sk-dummy",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

        def say(*words: str) -> str:
            return said([str(claude), *words], env=env, cwd=work, timeout=280)

        say("plugin", "marketplace", "add", str(source))
        say("plugin", "install", f"{NAME}@{NAME}")
        (cached,) = (home / ".claude/plugins/cache").glob(f"*/{NAME}/*")
        before = contents(cached)
        subprocess.run(["chmod", "-R", "a-w", str(cached)], check=True)
        request.addfinalizer(lambda: subprocess.run(["chmod", "-R", "u+w", str(cached)], check=True))
        ask = ("-p", "hello", "--output-format", "json", "--allowedTools", f"{TOOL.rpartition('__')[0]},Bash")
        first = json.loads(say(*ask))["result"]
        print("tools of the first session:", *(sorted(t for t in seen.tools if NAME in t)[:3] for seen in model.seen))
        assert model.faults == []
        assert first == "connected"
        assert "being prepared for its first start" in model.seen[0].text
        asked = len(model.seen)
        assert json.loads(say(*ask))["result"] == "connected"
        assert 'MCP tools: ready (server "tao")' in model.seen[asked].text
        assert not any(STATUS in seen.tools for seen in model.seen[asked:])
        assert contents(cached) == before
