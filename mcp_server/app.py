"""The report for hosts that show MCP Apps: a `ui://` page that is bound to `render_report`; others see its text."""

from __future__ import annotations

from typing import Any

from mcp.server.apps import APP_MIME_TYPE, Apps
from mcp.server.mcpserver.resources import FunctionResource

REPORT_APP = "ui://tao-skill-bank/report.html"
TOOL_META: dict[str, Any] = {"ui": {"resourceUri": REPORT_APP}}


def _page() -> str:
    from tao_skill_bank.reports.app import app_html

    return app_html()


def apps() -> Apps:
    """The extension with its one page, rendered when a host asks for it."""
    found = Apps()
    found.add_resource(
        FunctionResource(
            uri=REPORT_APP,
            name="report_app",
            title="DEFT loop report",
            description="The report of a run, shown beside the answer of render_report.",
            mime_type=APP_MIME_TYPE,
            fn=_page,
        )
    )
    return found
