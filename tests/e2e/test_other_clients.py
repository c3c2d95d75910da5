"""The real Gemini CLI and opencode, offline: the server in their settings by hand, a first call into a project."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from node_clients import client_folder, path_with
from ran import ran
from scripted_chat import ChatAsked, ScriptedChat
from scripted_gemini import GeminiAsked, ScriptedGemini
from scripted_model import Call, Say

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow  # each client is some 300 MB to fetch


def server(root: Path) -> list[str]:
    """The command that docs/clients.md gives; the interpreter has the bank, so that nothing is made for it."""
    return [sys.executable, str(ROOT / "scripts/launch.py"), "serve", "--root", str(root)]


def first_call(call: Call) -> Callable[[Any], Call | Say]:
    """Call the tool as soon as it is offered, then end; a client that lists its tools late is kept going meanwhile."""

    def decide(asked: ChatAsked | GeminiAsked) -> Call | Say:
        if not any(name.endswith(call.tool) for name in asked.tools):
            return Say(f"not offered: {sorted(asked.tools)}")
        return Say("done") if asked.results else call

    return decide


def run(command: list[str], cwd: Path, **env: str) -> str:
    """What the client prints; its environment holds nothing of the person's who runs the tests."""
    done = ran(command, env=env, cwd=cwd, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def gemini(cwd: Path, home: Path, call: Call) -> str:
    """What a tool answers in a session of Gemini CLI."""
    folder = client_folder("gemini")
    command, *words = server(cwd)
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False},
        "mcpServers": {"tao": {"command": command, "args": words, "timeout": 60000, "trust": True}},
    }
    (home / ".gemini").mkdir(parents=True)
    (home / ".gemini/settings.json").write_text(json.dumps(settings))
    with ScriptedGemini(first_call(call)) as model:
        said = run(
            [str(folder / "node"), str(folder / "gemini"), "-m", "gemini-2.5-flash", "-p", "look at my jobs"],
            cwd,
            PATH=path_with(folder),
            HOME=str(home),
            GEMINI_API_KEY="none",
            GOOGLE_GEMINI_BASE_URL=model.url,
            GEMINI_CLI_TRUST_WORKSPACE="true",
        )
    assert model.faults == []
    assert model.seen[-1].results, said
    return model.seen[-1].results[-1]


def opencode(cwd: Path, home: Path, call: Call) -> str:
    """What a tool answers in a session of opencode."""
    folder = client_folder("opencode")
    home.mkdir()
    with ScriptedChat(first_call(call)) as model:
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": f"{model.url}/v1", "apiKey": "none"},
            "models": {"scripted": {}},
        }
        settings = {
            "provider": {"own": provider},
            "autoupdate": False,
            "share": "disabled",
            "mcp": {"tao": {"type": "local", "command": server(cwd), "timeout": 60000}},
        }
        (home / "opencode.json").write_text(json.dumps(settings))
        said = run(
            [str(folder / "opencode"), "run", "--model", "own/scripted", "look at my jobs"],
            cwd,
            PATH=os.environ["PATH"],
            HOME=str(home),
            OPENCODE_CONFIG=str(home / "opencode.json"),
            OPENCODE_DISABLE_MODELS_FETCH="1",
        )
    assert model.faults == []
    assert model.seen[-1].results, said
    return model.seen[-1].results[-1]


@pytest.mark.parametrize("client", [gemini, opencode])
def test_a_client_makes_a_call_in_its_first_session_and_is_kept_out_of_other_folders(
    client: Callable[[Path, Path, Call], str], tmp_path: Path
) -> None:
    project = tmp_path / "my boards"
    project.mkdir()
    answer = client(project, tmp_path / "home", Call("get_jobs", {"results_dir": str(project)}))
    assert '"jobs":{}' in answer.replace("\\", "")
    outside = client(project, tmp_path / "another home", Call("get_jobs", {"results_dir": str(tmp_path)}))
    assert "outside the allowed folders" in outside
