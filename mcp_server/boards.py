"""Boards of a run in a conversation: words for everybody, and a page with verdict keys where the host shows one."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal

from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel, Field

from mcp_server.app import BOARD_META
from mcp_server.door import READ, Beside, add
from mcp_server.roots import Allowed

PICTURES = "tao-skill-bank/pictures"


class BoardSeen(BaseModel):
    """One board; `model`: what the threshold makes of it, `said`: how it stands."""

    sample: str
    label: str
    score: float
    model: str
    said: str | None = None


class BoardsShown(Beside):
    """The worst boards of a pile of `of`; a person says what they are, with set_labels."""

    workspace: str
    iteration: str
    threshold: float
    pile: str
    of: int
    boards: list[BoardSeen]
    labels: list[str]
    studio: str
    next_step: str = "set_labels with set kpi, once the person who looked said what a board is"


def show_boards(
    results_dir: Annotated[str, Field(description="The run folder.")],
    allowed: Allowed,
    ctx: Context,
    pile: Annotated[
        Literal["missed", "false_calls", "near"], Field(description="near: nearest to the threshold.")
    ] = "missed",
    most: Annotated[int, Field(description="How many, 12 at most.", ge=1, le=12)] = 6,
) -> BoardsShown:
    """Show a person some KPI boards of a run: the worst missed defects or false calls, to check their labels."""
    from tao_skill_bank.studio.handful import handful

    folder = allowed.path(results_dir, "results_dir")
    found, pictures = handful(folder, pile, most)
    place = shlex.quote(f"#/samples?run={folder.name}&set=kpi")
    told = BoardsShown(
        **found.model_dump(exclude={"run"}), studio=f"tao-skills studio {shlex.quote(found.workspace)} --open {place}"
    )
    # Pictures are for a page, never for a model: they stand beside the answer, and only where a page is shown.
    return told.with_beside({PICTURES: pictures}) if client_supports_apps(ctx) else told


def register(server: MCPServer[Any]) -> None:
    """Add the tool of boards."""
    add(server, show_boards, READ, BOARD_META)
