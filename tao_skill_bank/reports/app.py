"""The report as a page for chat hosts that show MCP Apps: the report's own style and script, filled by the host."""

from __future__ import annotations

from tao_skill_bank.core.version import __version__
from tao_skill_bank.reports.page import render_page, script


def app_html() -> str:
    """The page as one HTML document; it holds no run, and asks the host for the one that was rendered."""
    return render_page("app.html.j2", version=__version__, report=script("report.js").text, app=script("app.js").text)
