"""The real Claude Code, offline: a scripted model drives it through a run; what reached the model is counted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from claude_sessions import (
    PLUGIN,
    PREFIX,
    environment,
    installed_plugin,
    is_reporter,
    load_tools,
    run_session,
    told,
)
from node_clients import client_folder
from plugin_copy import copy_plugin
from ran import ran, said
from scripted_model import Call, Say, Seen

from tao_skill_bank.bank.skills import load_skill, skill_folders

ROOT = Path(__file__).resolve().parents[2]
TARGET = "FAR < 0.1% at recall=100%"
MOST_TOKENS = 3800  # with one poll, as on an idle machine


@pytest.fixture(scope="module")
def claude() -> Path:
    return client_folder("claude") / "claude"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin as it is installed: the tracked files, and an environment that the launcher finds."""
    return installed_plugin(tmp_path_factory.mktemp("plugin") / "tao skill bank")


def arguments(workspace: Path, iterations: int) -> dict[str, Any]:
    settings = ["num_epochs=1", "anomalygen.num_SDG=2"]
    return {"workspace": str(workspace), "kpi_target": TARGET, "max_iterations": iterations, "settings": settings}


class Agent:
    """Follows the skill: plan, start, poll to the end, hand the folder to the reporter."""

    def __init__(self, workspace: Path, iterations: int) -> None:
        self.arguments = arguments(workspace, iterations)
        self.said: list[str] = []

    def __call__(self, seen: Seen) -> Call | Say:
        return self.reporter(seen) if is_reporter(seen) else self.main(seen)

    def main(self, seen: Seen) -> Call | Say:
        if not seen.results:
            return Call("Skill", {"skill": f"{PLUGIN}:tao-run-deft-aoi"})
        load = load_tools(seen, "plan_deft_run", "start_deft_run", "get_deft_status")
        if load is not None:
            return load
        if told(seen, "estimate_minutes") is None:
            return Call(PREFIX + "plan_deft_run", self.arguments)
        started = told(seen, "digest")
        assert started is not None
        if "status" not in started:
            return Call(PREFIX + "start_deft_run", self.arguments)
        if started["status"] != "started":
            return Say(started["status"])
        view = told(seen, "cursor")
        if view is None or view["status"] == "running":
            after = view["cursor"] if view else 0
            status = {"results_dir": started["results_dir"], "after": after, "wait_sec": 25}
            return Call(PREFIX + "get_deft_status", status)
        if not any("reporter" in json.dumps(m) and "tool_use" in json.dumps(m) for m in seen.body["messages"][-2:]):
            if self.said:
                return Say("done")
            self.said.append("reporter")
            asked = {"description": "Report", "prompt": started["results_dir"], "subagent_type": f"{PLUGIN}:reporter"}
            return Call("Agent" if "Agent" in seen.tools else "Task", {**asked, "run_in_background": False})
        return Say("done")

    def reporter(self, seen: Seen) -> Call | Say:
        load = load_tools(seen, "render_report")
        if load is not None:
            return load
        rendered = told(seen, "best_far_pct")
        prompt = re.search(r"(/\S*?/results/run_\w+)", "\n".join(str(m["content"]) for m in seen.body["messages"]))
        assert prompt is not None
        if rendered is None:
            return Call(PREFIX + "render_report", {"results_dir": prompt[1]})
        if sum("best_far_pct" in text for text in seen.results) < 2:
            text = f"The loop ended {rendered['status']}: FAR {rendered['best_far_pct']} %."
            return Call(PREFIX + "render_report", {"results_dir": prompt[1], "narrative": text})
        return Say(f"{rendered['status']} {rendered['path']}")


def approving_plugin(folder: Path) -> Path:
    """A plugin for tests alone, that stands for the person at the gate."""
    (folder / ".claude-plugin").mkdir(parents=True)
    (folder / ".claude-plugin/plugin.json").write_text('{"name": "test-person", "version": "1.0.0"}')
    (folder / "hooks").mkdir()
    answer = {"hookSpecificOutput": {"hookEventName": "Elicitation", "action": "accept", "content": {"approve": True}}}
    (folder / "answer.json").write_text(json.dumps(answer))
    hook = {"type": "command", "command": f"cat '{folder}/answer.json'", "timeout": 10}
    (folder / "hooks/hooks.json").write_text(json.dumps({"hooks": {"Elicitation": [{"hooks": [hook]}]}}))
    return folder


# -- what the client itself says of the plugin ---------------------------------------------------------------------


@pytest.mark.parametrize("manifest", [".", ".claude-plugin/plugin.json", ".claude-plugin/marketplace.json"])
def test_the_client_validates_both_manifests_strictly(
    claude: Path, plugin: Path, tmp_path: Path, manifest: str
) -> None:
    done = ran(
        [str(claude), "plugin", "validate", "--strict", str(plugin / manifest)], env=environment(tmp_path), timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation passed" in done.stdout


def test_it_installs_from_a_local_marketplace_and_shows_its_parts(claude: Path, tmp_path: Path) -> None:
    plugin = copy_plugin(tmp_path / "the bank")

    def say(*words: str) -> str:
        return said([str(claude), "plugin", *words], env=environment(tmp_path), timeout=60)

    say("marketplace", "add", str(plugin))
    say("install", f"{PLUGIN}@{PLUGIN}")
    assert f"{PLUGIN}@{PLUGIN}" in say("list")
    details = say("details", f"{PLUGIN}@{PLUGIN}")
    for part in ("tao-run-deft-aoi", "tao-analyze-gaps-vlm-bcq", "reporter", "SessionStart", "PostToolUse", "tao"):
        assert part in details


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_in_headless_mode_the_gate_needs_a_person_and_nothing_runs(claude: Path, plugin: Path, tmp_path: Path) -> None:
    workspace = tiny.make_workspace(tmp_path / "workspace")
    session = run_session(claude, workspace, tmp_path / "home", Agent(workspace, 1), plugin)
    started = told(session.main, "digest")
    assert started is not None
    assert started["status"] == "needs_approval"
    assert f"--approve {started['digest']}" in started["command"]
    assert not (workspace / "results").exists()
    hooks = [e for e in session.events if e.get("subtype") == "hook_response"]
    assert any("TAO Skill Bank" in e.get("output", "") for e in hooks)
    assert "TAO Skill Bank" in session.main.text
    for skill in (load_skill(folder) for folder in skill_folders(ROOT)):
        assert f"- {PLUGIN}:{skill.name}: {skill.description}" in session.main.text


def test_the_model_hears_of_a_report_it_wrote_that_does_not_hold(claude: Path, plugin: Path, tmp_path: Path) -> None:
    path = tmp_path / "work/RCA_Report.md"
    path.parent.mkdir()

    def decide(seen: Seen) -> Call | Say:
        written = Call("Write", {"file_path": str(path), "content": "# Verdict\n\nAll is well.\n"})
        return Say("done") if seen.results else written

    session = run_session(claude, path.parent, tmp_path / "home", decide, plugin, allow=",Write")
    assert path.read_text() == "# Verdict\n\nAll is well.\n"
    assert "RCA_Report.md does not pass its check" in session.main.text


def test_a_three_iteration_run_from_the_first_words_to_the_report_within_its_tokens(
    claude: Path,
    plugin: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    record_property: Callable[[str, object], None],
) -> None:
    # As short as a person's folder: every result has it.
    workspace = tiny.make_workspace(tmp_path_factory.mktemp("aoi") / "boards")
    person = approving_plugin(tmp_path / "person")
    session = run_session(claude, workspace, tmp_path / "home", Agent(workspace, 3), plugin, person)
    started = told(session.main, "digest")
    assert started is not None
    assert started["status"] == "started", started
    run = Path(started["results_dir"])
    view = told(session.main, "cursor")
    assert view is not None
    assert view["status"] == "complete"
    page = (run / "DEFT_Loop_Report.html").read_text()
    assert list(run.parent.iterdir()) == [run], "the first call started it"
    assert (run / "report_narrative.md").read_text()[:14] == "The loop ended"
    assert "The loop ended" in page
    assert json.loads((run / "deft_state.json").read_text())["approval"]["how"] == "elicitation"
    assert any(is_reporter(s) for s in session.seen)
    texts = project_texts(session.seen)
    tokens = sum(len(text) for parts in texts.values() for text in parts) // 4
    record_property("tokens", tokens)
    shown = {kind: sum(map(len, parts)) // 4 for kind, parts in texts.items()}
    assert all(shown.values()), shown
    polls = sum('"cursor"' in text for text in texts["results"])
    print(f"tokens of this project in a three-iteration run with {polls} polls: {tokens} {shown}")
    # A slow machine is asked more often, and then also shows the log's first lines.
    assert tokens < MOST_TOKENS + 90 * (polls - 1), shown


def project_texts(seen: list[Seen]) -> dict[str, set[str]]:
    """Everything of this project that reached a model, each distinct text once; schemas apart."""
    out: dict[str, set[str]] = {
        k: set() for k in ("hook", "skills", "skill text", "tools", "server", "results", "agent")
    }
    descriptions = json.loads(
        subprocess.run([sys.executable, "-c", _DUMP], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    )
    # Deferred or not: the name and description of every tool count.
    out["tools"] = {f"{PREFIX}{name}\n{text}" for name, text in descriptions["tools"].items()}
    out["server"] = {descriptions["instructions"]}
    for request in seen:
        if is_reporter(request):
            out["agent"].add((ROOT / "agents/reporter.md").read_text().split("---\n", 2)[2])
        for message in request.body["messages"]:
            blocks = (
                message["content"]
                if isinstance(message["content"], list)
                else [{"type": "text", "text": message["content"]}]
            )
            for block in blocks:
                out_of_block(block, out)
    return out


def out_of_block(block: dict[str, Any], out: dict[str, set[str]]) -> None:
    """Sort one block of a message to where it counts."""
    from scripted_model import text_of

    text = text_of([block])
    if block.get("type") == "tool_result":
        if text.startswith(("{", "[Resource link: ")) or "Error executing tool" in text:
            out["results"].add(text)
        return
    hook = re.search(r"TAO Skill Bank \d.*?EXPERIMENT\"\.", text, re.DOTALL)
    if hook:
        out["hook"].add(hook[0])
    if text.startswith("Base directory for this skill") and PLUGIN.split("-")[0] in text:
        out["skill text"].add(text)
    for line in re.findall(rf"^- {PLUGIN}:.*$", text, re.MULTILINE):
        out["agent" if line.startswith(f"- {PLUGIN}:reporter") else "skills"].add(line)


_DUMP = """
import anyio, json
from mcp_server import INSTRUCTIONS
from mcp_server.server import build_server
tools = anyio.run(build_server().list_tools)
print(json.dumps({"tools": {t.name: t.description for t in tools}, "instructions": INSTRUCTIONS}))
"""
