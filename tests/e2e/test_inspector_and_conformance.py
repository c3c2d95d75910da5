"""The protocol's own tools against the server: MCP Inspector over stdio, the conformance scenarios over HTTP."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_clients import client_folder, path_with
from polling import wait_until
from ran import ran

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = (
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "completion-complete",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
)

OWN_EXAMPLES = (
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-with-logging",
    "tools-call-error",
    "tools-call-with-progress",
    "tools-call-sampling",
    "tools-call-elicitation",
    "json-schema-2020-12",
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
    "server-sse-polling",
    "resources-read-text",
    "resources-read-binary",
    "resources-templates-read",
    "prompts-get-simple",
    "prompts-get-with-args",
    "prompts-get-embedded-resource",
    "prompts-get-with-image",
)
"""They call a tool, resource or prompt (`test_…`, `test://…`) that the suite's own example server has."""
NOT_OFFERED = ("logging-set-level", "resources-subscribe", "resources-unsubscribe")
"""They are for a capability that this server does not declare."""


def inspect(root: Path, *words: str, started: tuple[str, ...] | None = None) -> dict[str, Any]:
    """What the inspector prints; its exit status is 0 even on errors, so only the content counts."""
    folder = client_folder("inspector")
    server = ("-m", "mcp_server", "--root", str(root)) if started is None else started
    done = ran(
        [str(folder / "mcp-inspector"), "--cli", sys.executable, *server, *words],
        env={**os.environ, "PATH": path_with(folder), "PYTHONPATH": str(ROOT)},
        cwd=root,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :]) if "{" in done.stdout else {}
    assert found, done.stderr
    return found


def test_the_inspector_lists_every_tool(tmp_path: Path) -> None:
    import anyio

    from mcp_server.server import build_server

    listed = inspect(tmp_path, "--method", "tools/list")["tools"]
    assert [tool["name"] for tool in listed] == [tool.name for tool in anyio.run(build_server().list_tools)]


def test_the_inspector_calls_a_tool_and_sees_an_error_as_one(tmp_path: Path) -> None:
    call = ("--method", "tools/call", "--tool-name")
    good = inspect(tmp_path, *call, "check_platform", "--tool-arg", "platform=local")
    assert "local" in json.dumps(good["structuredContent"])
    bad = inspect(tmp_path, *call, "get_deft_status", "--tool-arg", f"results_dir={tmp_path}")
    assert bad["isError"]
    assert "no run here" in bad["content"][0]["text"]


def test_in_the_first_session_a_tool_takes_a_path_of_the_project_the_inspector_was_started_in(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    call = ("--method", "tools/call", "--tool-name", "get_jobs", "--tool-arg")
    started = ("-m", "tao_skill_bank.cli", "serve")
    good = inspect(tmp_path / "project", *call, f"results_dir={tmp_path}/project", started=started)
    assert good["structuredContent"] == {"jobs": {}}
    outside = inspect(tmp_path / "project", *call, f"results_dir={tmp_path}", started=started)
    assert "outside the allowed folders" in outside["content"][0]["text"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server over streamable HTTP on loopback, where there is a client to ask it."""
    client_folder("conformance")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = tmp_path_factory.mktemp("served")
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_server", "--http", "--port", str(port), "--root", str(root)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(port) or process.poll() is not None, 200)
        assert process.poll() is None
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(timeout=120)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_server_passes_a_conformance_scenario(url: str, tmp_path: Path, scenario: str) -> None:
    folder = client_folder("conformance")
    done = ran(
        [str(folder / "node"), str(folder / "conformance"), "server", "--url", url, "--scenario", scenario],
        env={**os.environ, "PATH": path_with(folder)},
        cwd=tmp_path,
        timeout=90,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    passed = re.search(r"Passed: (\d+)/(\d+), (\d+) failed", said)
    assert passed is not None, said
    assert passed[1] == passed[2] != "0", said
    assert passed[3] == "0", said


def test_a_scenario_is_run_or_the_clients_page_says_why_not(tmp_path: Path) -> None:
    folder = client_folder("conformance")
    done = subprocess.run(
        [str(folder / "node"), str(folder / "conformance"), "list"],
        env={**os.environ, "PATH": path_with(folder)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    known = re.findall(r"^  - (\S+)", done.stdout.partition("Client scenarios")[0], re.MULTILINE)
    assert sorted(known) == sorted((*SCENARIOS, *OWN_EXAMPLES, *NOT_OFFERED))
    page = (ROOT / "docs/clients.md").read_text()
    assert [name for name in known if f"`{name}`" not in page] == []
