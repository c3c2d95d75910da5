"""The hook before tool use: what stands for a person's word becomes a question, everything else passes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ran import ran

ROOT = Path(__file__).resolve().parents[2]
HOOK = ROOT / "hooks/pre_tool_use.sh"
FLAGS = "approves a plan in your place"
# A shell command of an agent → what the person is asked about it.
ASKED = {
    "tao-skills deft run -w W --kpi-target 'FAR < 1%' -n 3 --approve 0123456789abcdef --detach": FLAGS,
    "tao-skills deft run -w W --yes": FLAGS,
    "cd /w && .venv/bin/tao-skills deft step --results-dir R --yes": FLAGS,
    "/home/me/.local/bin/tao-skills jobs start visual_changenet train --results-dir O --approve=1f": FLAGS,
    "python3 /plugins/bank/scripts/launch.py run tao_skill_bank.cli deft run --yes": FLAGS,
    "python -m tao_skill_bank.cli deft run --yes": FLAGS,
    "uvx --from /bank tao-skills deft run --yes": FLAGS,
    "tao-skills deft run --y''es": FLAGS,
    'tao-ski""lls deft run "--ap"prove 12': FLAGS,
    "tao-skills deft run \\\n  --yes": FLAGS,
    "A=--yes; tao-skills deft run $A": FLAGS,
    "bash -c 'tao-skills deft run --yes'": FLAGS,
    "echo 'tao-skills deft run --yes' > go.sh": FLAGS,
    "python3 -c \"import subprocess; subprocess.run(['tao-skills', 'deft', 'run', '--yes'])\"": FLAGS,
    "A=--ye B=s; tao-skills deft run $A$B": "does not show all it says",
    "tao-skills deft run `cat flag`": "does not show all it says",
    "echo LS15ZXM= | base64 -d | xargs tao-skills deft run": "does not show all it says",
    'eval "tao-skills jobs start tmm x --results-dir O"': "does not show all it says",
    "tao-skills roots add /": "adds a folder",
    "python3 scripts/launch.py run tao_skill_bank.cli roots add /home/me": "adds a folder",
    "tao-skills annotate allow prompts.py": "allows a prompts module",
    "tao-skills annotate run -e spec.yaml --max-cost 5": "that somebody pays for",
    "cat ~/.config/tao-skills/approval.key": "the key that seals your approvals",
    "cp /tmp/k $XDG_CONFIG_HOME/tao-skills/roots": "your own settings",
    "echo / >> ~/.config/tao-skills/roots": "your own settings",
    "TAO_ALLOWED_PROMPTS=00 tao-skills annotate status R": "a variable that stands for your word",
    "TAO_SKILL_BANK_ROOTS=/ python3 scripts/launch.py serve": "a variable that stands for your word",
    "python3 -c 'from tao_skill_bank import runs; runs.open_run(r, approve=d, how=\"tty\")'": "calls a function",
    "python3 - <<E\nfrom tao_skill_bank.loop.approval import sealed\nsealed(a, b, c)\nE": "calls a function",
}
PASSES = (
    "ls",
    "git commit --yes",
    "npx --yes create-thing",
    "apt-get install --yes docker.io",
    "gh pr review --approve",
    "tao-skills deft plan -w W --kpi-target 'FAR < 1%' -n 3",
    "tao-skills deft run -w W --kpi-target 'FAR < 1%' -n 3",
    "tao-skills deft status R && tao-skills deft stop R",
    'tao-skills deft status "$RUN"',
    "tao-skills doctor",
    "tao-skills annotate estimate -e spec.yaml",
    "tao-skills annotate status results",
    "tao-skills roots list",
    "tao-skills roots remove /w",
    "tao-skills jobs list W",
    "grep -rn approve src",
    "cat tao_skill_bank/loop/approval.py",
    "gap_analysis vlm_bcq predictions_json=p.json results_dir=R",
)


def asked(event: Any, path: str | None = None) -> str | None:
    """The question a person gets before a call, or None; the hook ends well whatever it finds."""
    done = ran(
        ["/bin/sh", str(HOOK)],
        input=event if isinstance(event, str) else json.dumps(event),
        timeout=120,
        env={**os.environ, "PATH": path or os.environ["PATH"]},
    )
    assert (done.returncode, done.stderr) == (0, "")
    if not done.stdout:
        return None
    said = json.loads(done.stdout)["hookSpecificOutput"]
    assert (said["hookEventName"], said["permissionDecision"]) == ("PreToolUse", "ask")
    return str(said["permissionDecisionReason"])


def shell(command: str, tool: str = "Bash") -> dict[str, Any]:
    return {"hook_event_name": "PreToolUse", "cwd": "/w", "tool_name": tool, "tool_input": {"command": command}}


@pytest.mark.parametrize(("command", "about"), ASKED.items())
def test_an_agents_own_use_of_a_persons_word_is_asked_about(command: str, about: str) -> None:
    question = asked(shell(command))
    assert question is not None
    assert about in question
    assert "That is your decision" in question
    assert len(question) <= 500


@pytest.mark.parametrize("command", PASSES)
def test_everything_else_is_not_asked_about(command: str) -> None:
    assert asked(shell(command)) is None


@pytest.mark.parametrize("tool", ["PowerShell", "mcp__shell__run", "mcp__terminal__execute"])
def test_other_tools_that_run_commands_are_looked_at_too(tool: str) -> None:
    assert FLAGS in str(asked(shell("tao-skills deft run --yes", tool)))


@pytest.mark.parametrize(
    ("path", "text", "about"),
    [
        ("go.sh", "#!/bin/sh\ntao-skills deft run -w W --yes\n", FLAGS),
        ("Makefile", "go:\n\ttao-skills jobs start a b --approve 12\n", FLAGS),
        ("go.py", "import subprocess\nsubprocess.run(['tao-skills', 'deft', 'run', '--yes'])\n", FLAGS),
        (
            "forge.py",
            "from tao_skill_bank import runs\nruns.open_run(r, approve=d, how='tty')\n",
            "calls a function",
        ),
        ("/home/me/.config/tao-skills/roots", "/\n", "your own settings"),
        (".claude/settings.json", '{"hooks": {"Elicitation": [{"hooks": [{"command": "yes"}]}]}}', "answers questions"),
    ],
)
def test_a_program_that_is_written_is_read_for_the_same(path: str, text: str, about: str) -> None:
    for tool, key in (("Write", "content"), ("Edit", "new_string")):
        event = {"tool_name": tool, "tool_input": {"file_path": path, key: text}}
        assert about in str(asked(event)), tool
    edits = {"file_path": path, "edits": [{"old_string": "", "new_string": text}]}
    assert about in str(asked({"tool_name": "MultiEdit", "tool_input": edits}))


def test_a_text_about_the_flags_is_no_use_of_them() -> None:
    text = "Type `tao-skills deft run --yes` yourself."
    assert asked({"tool_name": "Write", "tool_input": {"file_path": "notes.md", "content": text}}) is None
    assert asked({"tool_name": "Read", "tool_input": {"file_path": "go.sh"}}) is None


def test_the_banks_own_tools_ask_by_themselves() -> None:
    given = {"settings": ["a=--yes"], "note": "tao-skills deft run --yes"}
    assert asked({"tool_name": "mcp__plugin_tao-skill-bank_tao__start_deft_run", "tool_input": given}) is None


@pytest.mark.parametrize(
    "event",
    ["", "{", "[]", "5", '{"tool_name": "Bash", "tool_input": "tao --yes"}', "tao " + "[" * 100_000, "null tao"],
)
def test_what_is_no_call_is_let_alone(event: str) -> None:
    assert asked(event) is None


def test_without_python_what_may_be_an_approval_is_asked_about(tmp_path: Path) -> None:
    for name in ("sh", "cat"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    for command in ("tao-skills deft run --yes", "tao-skills roots add /", "cat approval.key # tao"):
        assert "Allow it only if" in str(asked(shell(command), path=str(tmp_path)))
    assert asked(shell("tao-skills deft status R"), path=str(tmp_path)) is None


def test_a_call_that_names_nothing_of_the_bank_costs_no_interpreter() -> None:
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        asked(shell("ls"))
        took.append(time.perf_counter() - begun)
    python = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run(["python3", "-c", "import json, re"], check=True)
        python.append(time.perf_counter() - begun)
    assert min(took) < min(python)
