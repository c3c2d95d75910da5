"""Pages for chat hosts that show MCP Apps: the report, with its own style and script, and a handful of boards."""

from __future__ import annotations

from tao_skill_bank.core.version import __version__
from tao_skill_bank.reports.page import render_page, script


def app_html() -> str:
    """The page as one HTML document; it holds no run, and asks the host for the one that was rendered."""
    parts = {name: script(f"{name}.js").text for name in ("report", "host", "app")}
    return render_page("app.html.j2", version=__version__, **parts)


def board_html() -> str:
    """The page of a handful of boards; it holds none, and the host hands it those that the tool found."""
    parts = {name: script(f"{name}.js").text for name in ("host", "board")}
    return render_page("board.html.j2", version=__version__, **parts)
