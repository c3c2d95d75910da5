"""The server: one module a group of tools, resources and prompts. Starting it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mcp_server import annotate, app, bank, data, deft, gaps, jobs, prompts, reports, resources, routing
from mcp_server.roots import BankServer
from tao_skill_bank.core.version import __version__

INSTRUCTIONS = (
    "Improves NVIDIA TAO vision models. For the DEFT loop: plan_deft_run, show the person the plan, start_deft_run, "
    "then get_deft_status until it has ended. All paths are absolute. Long work runs in the background and goes on "
    "when this server ends."
)
GROUPS = (bank, gaps, routing, data, jobs, deft, annotate, reports, resources, prompts)


def build_server(roots: Sequence[Path] = ()) -> BankServer:
    """The server with all its tools.

    Args:
        roots: The folders that calls may touch; none: the client's roots, else the working folder.
    """
    server = BankServer(
        "tao-skill-bank",
        title="TAO Skill Bank",
        instructions=INSTRUCTIONS,
        version=__version__,
        log_level="WARNING",
        extensions=[app.apps()],
    )
    server.roots = tuple(root.resolve() for root in roots)
    for group in GROUPS:
        group.register(server)
    return server
