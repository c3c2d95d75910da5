"""Pages for hosts that show MCP Apps, each a `ui://` page that is bound to its tool; others see the tool's text.

They show; none approves: what starts work or spends stays the client's question to the person.
"""

from __future__ import annotations

from typing import Any

from mcp.server.apps import APP_MIME_TYPE, Apps
from mcp.server.mcpserver.resources import FunctionResource

from tao_skill_bank.reports.app import app_html, board_html

REPORT_APP = "ui://tao-skill-bank/report.html"
BOARD_APP = "ui://tao-skill-bank/board.html"
TOOL_META: dict[str, Any] = {"ui": {"resourceUri": REPORT_APP}}
BOARD_META: dict[str, Any] = {"ui": {"resourceUri": BOARD_APP}}


def apps() -> Apps:
    """The extension with its pages, each rendered when a host asks for it."""
    found = Apps()
    report = "The report of a run, shown beside the answer of render_report."
    boards = "A handful of boards with a verdict by one key, shown beside the answer of show_boards."
    for uri, name, title, text, page in (
        (REPORT_APP, "report_app", "DEFT loop report", report, app_html),
        (BOARD_APP, "board_app", "Boards", boards, board_html),
    ):
        found.add_resource(
            FunctionResource(uri=uri, name=name, title=title, description=text, mime_type=APP_MIME_TYPE, fn=page)
        )
    return found
