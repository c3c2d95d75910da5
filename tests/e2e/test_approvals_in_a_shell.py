"""The real Claude Code, its shell allowed: an agent that types an approval gets as far as the person lets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from claude_sessions import PREFIX, Session, installed_plugin, load_tools, run_session, told
from node_clients import client_folder
from scripted_model import Call, Say, Seen

TARGET = "FAR < 0.1% at recall=100%"
# Stands for the person in front of the client: it gets every question, notes it beside the runs there are, and says no
# to the first one and yes to the second.
PERSON = """
import json, sys
from pathlib import Path
from mcp.server.mcpserver import MCPServer
server = MCPServer("person")

@server.tool(structured_output=False)
def ask(tool_name: str, input: dict, tool_use_id: str = "") -> str:
    runs = [str(run) for run in Path(sys.argv[2]).glob("results/run_*")]
    with open(sys.argv[1], "a+") as notes:
        notes.write(json.dumps([tool_name, input, runs]) + "\\n")
        notes.seek(0)
        first = len(notes.readlines()) == 1
    no, yes = {"behavior": "deny", "message": "the person said no"}, {"behavior": "allow", "updatedInput": input}
    return json.dumps(no if first else yes)

server.run()
"""


@pytest.fixture(scope="module")
def claude() -> Path:
    return client_folder("claude") / "claude"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_plugin(tmp_path_factory.mktemp("plugin") / "bank")


class Hasty:
    """An agent that starts a run, is told which command a person types, and types it, `times` times."""

    def __init__(self, workspace: Path, times: int) -> None:
        self.times = times
        settings = ["num_epochs=1", "anomalygen.num_SDG=2"]
        self.arguments = {"workspace": str(workspace), "kpi_target": TARGET, "max_iterations": 1, "settings": settings}

    def __call__(self, seen: Seen) -> Call | Say:
        load = load_tools(seen, "start_deft_run")
        if load is not None:
            return load
        told_so = told(seen, "command")
        if told_so is None:
            return Call(PREFIX + "start_deft_run", self.arguments)
        typed = sum('"name": "Bash"' in json.dumps(message) for message in seen.body["messages"])
        if typed == self.times:
            return Say("done")
        return Call("Bash", {"command": told_so["command"], "description": "Start it"})


def session(claude: Path, plugin: Path, tmp_path: Path, *more: str, times: int = 1) -> Session:
    workspace = tiny.make_workspace(tmp_path / "workspace")
    agent = Hasty(workspace, times)
    return run_session(claude, workspace, tmp_path / "home", agent, plugin, allow=",Bash", more=more)


def test_where_nobody_can_be_asked_the_command_is_not_run(claude: Path, plugin: Path, tmp_path: Path) -> None:
    found = session(claude, plugin, tmp_path)
    assert "this call approves a plan in your place" in found.main.results[-1]
    (result,) = [e for e in found.events if e.get("type") == "result"]
    (denied,) = result["permission_denials"]
    assert "--approve" in denied["tool_input"]["command"]
    assert not (tmp_path / "workspace/results").exists()


@pytest.mark.parametrize("mode", ["default", "acceptEdits", "dontAsk"])
def test_the_person_is_asked_each_time_and_the_answer_counts(
    claude: Path, plugin: Path, tmp_path: Path, mode: str
) -> None:
    (tmp_path / "person.py").write_text(PERSON)
    arguments = [str(tmp_path / "person.py"), str(tmp_path / "asked"), str(tmp_path / "workspace")]
    servers = {"mcpServers": {"person": {"command": sys.executable, "args": arguments}}}
    (tmp_path / "servers.json").write_text(json.dumps(servers))
    more = ["--mcp-config", str(tmp_path / "servers.json"), "--permission-prompt-tool", "mcp__person__ask"]
    found = session(claude, plugin, tmp_path, *more, "--permission-mode", mode, times=2)
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert [tool for tool, _, _ in asked] == ["Bash", "Bash"]
    assert all("--approve" in words["command"] for _, words, _ in asked)
    assert "the person said no" in found.main.results[-2]
    assert [runs for _, _, runs in asked] == [[], []], "what was refused has started nothing"
    (run,) = (tmp_path / "workspace").glob("results/run_*")
    assert json.loads((run / "deft_state.json").read_text())["approval"]["how"] == "flag"
    # The command started it in the background: whoever watches it sees its end.
    watch = [sys.executable, "-m", "tao_skill_bank.cli", "deft", "watch", str(run)]
    shown = subprocess.run(watch, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    engine = (run / "jobs/engine.log").read_text()
    assert shown.returncode == 0, f"{shown.stdout}{shown.stderr}{engine}"
    assert "approved by flag; nobody was asked" in (run / "DEFT_Loop_Report.html").read_text()
