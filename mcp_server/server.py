"""The server: one module a group of tools, resources and prompts. Starting it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mcp_server import (
    INSTRUCTIONS,
    annotate,
    app,
    around,
    bank,
    boards,
    data,
    deft,
    gaps,
    jobs,
    labels,
    prompts,
    reports,
    resources,
    thresholds,
)
from mcp_server.roots import BankServer
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.version import __version__

GROUPS = (bank, around, gaps, data, labels, boards, thresholds, jobs, deft, annotate, reports, resources, prompts)
TOOLSETS = {
    "bookkeeping": ("log_stage", "align_tokens", "write_handoff"),
    "images": ("list_images",),
    "thresholds": ("get_monitor_status",),
    "specs": ("check_spec",),
    "quality": ("get_annotation_quality",),
    "boards": ("show_boards",),
}
"""What few need: offered where it is asked for (`boards` also to hosts that show their page), answered all the same."""
EARLIER = (
    "list_platforms",
    "set_rca_verdict",
    "step_deft_run",
    "write_rca_report",
    "embed_images",
    "get_job_status",
    "list_jobs",
    "get_job_logs",
)
"""Names of earlier versions: answered, and never offered."""


def build_server(roots: Sequence[Path] = (), toolsets: Sequence[str] = ()) -> BankServer:
    """The server with all its tools.

    Args:
        roots: The folders that calls may touch; none: the client's roots, else the working folder.
        toolsets: Names of `TOOLSETS` to offer beside the usual tools.

    Raises:
        InputError: There is no such toolset.
    """
    if unknown := sorted(set(toolsets) - set(TOOLSETS)):
        raise InputError(f"no toolset {unknown[0]!r}", where="toolsets", fix=f"known: {', '.join(TOOLSETS)}")
    server = BankServer(
        "tao-skill-bank",
        title="TAO Skill Bank",
        instructions=INSTRUCTIONS,
        version=__version__,
        log_level="WARNING",
        extensions=[app.apps()],
    )
    server.roots = tuple(root.resolve() for root in roots)
    apart = {name for kind, names in TOOLSETS.items() if kind not in toolsets for name in names}
    server.unlisted = frozenset(apart.union(EARLIER))
    server.with_page = frozenset(apart.intersection(TOOLSETS["boards"]))
    for group in GROUPS:
        group.register(server)
    return server
