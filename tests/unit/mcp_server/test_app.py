"""The report as an MCP App: offered to those who ask, bound to its tool, text for everybody else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from server_calls import MODES

from mcp_server.app import REPORT_APP
from mcp_server.server import build_server


@pytest.mark.parametrize("mode", MODES)
def test_the_tool_names_its_page_and_the_page_is_served_as_an_app(finished: Path, mode: str) -> None:
    async def work() -> tuple[Any, Any, Any, Any]:
        async with Client(build_server([finished]), mode=mode) as client:
            tools = (await client.list_tools()).tools
            resources = (await client.list_resources()).resources
            page = (await client.read_resource(REPORT_APP)).contents[0]
            told = await client.call_tool("render_report", {"results_dir": str(finished)})
            return tools, resources, page, told

    tools, resources, page, told = anyio.run(work)
    bound = {tool.name: tool.meta for tool in tools if tool.meta and "ui" in tool.meta}
    assert {name: meta["ui"] for name, meta in bound.items()} == {"render_report": {"resourceUri": REPORT_APP}}
    assert [r.mime_type for r in resources if str(r.uri) == REPORT_APP] == [APP_MIME_TYPE]
    assert page.mime_type == APP_MIME_TYPE
    assert "ui/initialize" in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert told.content[0].text.startswith("{")  # a host without apps reads the same as before
    assert told.structured_content["path"].endswith("DEFT_Loop_Report.html")


def test_the_extension_is_advertised() -> None:
    server = build_server()
    assert EXTENSION_ID in server._lowlevel_server.extensions


def test_starting_the_server_renders_nothing() -> None:
    import subprocess

    code = "import sys; from mcp_server.server import build_server; build_server(); print('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
