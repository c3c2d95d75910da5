"""The real Codex, offline: the plugin from the marketplace, a scripted model, a first call into a project."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from node_clients import client_folder, path_with
from pip_and_uv import pip_settings
from pips import interpreter_folder
from plugin_copy import copy_plugin
from ran import said
from scripted_model import Call, Say
from scripted_responses import Asked, ScriptedResponses

MOST_TURNS = 140
"""Of a second and more each: a server that a busy machine starts late is waited for."""
pytestmark = pytest.mark.timeout(600)


@dataclass
class Codex:
    """A person's Codex: a home of its own, the plugin installed, nothing else set."""

    home: Path
    program: Path
    python: Path
    """The folder with the interpreter that starts the server."""
    settings: str = ""

    def say(self, cwd: Path, *words: str) -> str:
        """What a command prints."""
        return said(
            [str(self.program), *words],
            env={
                "PATH": path_with(self.python),
                "HOME": str(self.home),
                "CODEX_HOME": str(self.home),
            },
            cwd=cwd,
            timeout=240,
        )

    def installs(self, folder: Path) -> None:
        """The plugin, from a marketplace in a folder; its settings are kept beside what the session's model is."""
        self.say(folder, "plugin", "marketplace", "add", str(copy_plugin(folder / "bank")))
        self.say(folder, "plugin", "add", "tao-skill-bank@tao-skill-bank")
        self.settings = "\n" + (self.home / "config.toml").read_text()


@pytest.fixture(scope="module")
def codex(tmp_path_factory: pytest.TempPathFactory) -> Codex:
    folder = tmp_path_factory.mktemp("codex")
    # The interpreter that starts the server has the bank: nothing is made.
    found = Codex(folder / "home", client_folder("codex") / "codex", Path(sys.executable).parent)
    found.home.mkdir()
    found.installs(folder)
    return found


def one_call(codex: Codex, cwd: Path, call: Call, *words: str) -> str:
    """What a tool of the bank answers in a session that does nothing else; the tools come once the server is there."""

    def decide(asked: Asked) -> Call | Say:
        if call.tool in asked.tools:
            called = any(item.get("name") == call.tool for item in asked.body["input"])
            again = called and "not yet: " in asked.results[-1] and len(asked.results) < MOST_TURNS
            return call if again or not called else Say("done")
        return Call("exec_command", {"cmd": "sleep 1"}) if len(asked.results) < MOST_TURNS else Say("no tools")

    with ScriptedResponses(decide) as model:
        (codex.home / "config.toml").write_text(model.config + codex.settings)
        codex.say(cwd, "exec", "--skip-git-repo-check", *words, "look at my jobs")
    assert model.faults == []
    assert any(item.get("name") == call.tool for item in model.seen[-1].body["input"]), "the tool was never offered"
    return model.seen[-1].results[-1]


def test_codex_starts_the_server_in_the_plugins_own_folder(codex: Codex, tmp_path: Path) -> None:
    shown = dict(
        line.strip().split(": ", 1) for line in codex.say(tmp_path, "mcp", "get", "tao").splitlines() if ": " in line
    )
    assert shown["command"] == "python3"
    assert (Path(shown["cwd"]) / shown["args"].split()[0]).is_file()
    assert (Path(shown["cwd"]) / "skills/tao-run-deft-aoi/SKILL.md").is_file()


def test_in_the_first_session_a_tool_takes_a_path_of_the_project_and_none_outside(codex: Codex, tmp_path: Path) -> None:
    project = tmp_path / "my boards"
    project.mkdir()
    assert '{"jobs":{}}' in one_call(codex, project, Call("get_jobs", {"results_dir": str(project)}))
    outside = one_call(codex, project, Call("get_jobs", {"results_dir": str(tmp_path)}))
    assert f"outside the allowed folders ({project})" in outside
    assert "roots add FOLDER" in outside


def test_a_folder_that_codex_was_told_to_work_in_is_the_project(codex: Codex, tmp_path: Path) -> None:
    project = tmp_path / "elsewhere"
    project.mkdir()
    answer = one_call(codex, tmp_path, Call("get_jobs", {"results_dir": str(project)}), "--cd", str(project))
    assert '{"jobs":{}}' in answer


@pytest.mark.slow
def test_where_nothing_is_set_up_the_first_session_makes_the_environment_and_takes_a_path_of_the_project(
    tmp_path: Path,
) -> None:
    """Only `python3` is there; what it needs comes from the person's pip configuration, which Codex hands on."""
    found = Codex(tmp_path / "home", client_folder("codex") / "codex", interpreter_folder(tmp_path / "bin"))
    project = tmp_path / "my boards"
    for folder in (found.home / ".config/pip", project):
        folder.mkdir(parents=True)
    house = os.environ.get("TAO_TEST_WHEELHOUSE")
    settings = {"no-index": "true", "find-links": house} if house else pip_settings()
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (found.home / ".config/pip/pip.conf").write_text(f"[global]\n{lines}")
    found.installs(tmp_path)
    assert '{"jobs":{}}' in one_call(found, project, Call("get_jobs", {"results_dir": str(project)}))
    assert list((found.home / ".cache/tao-skill-bank").glob("env-*/ready"))
