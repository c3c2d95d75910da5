"""The server in memory, called by the official client in both protocol modes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client
from mcp_types import ElicitResult

from mcp_server.roots import BankServer
from mcp_server.server import build_server

MODES = ("legacy", "2026-07-28")
TARGET = "FAR < 0.1% at recall=100%"


@cache
def _built() -> BankServer:
    return build_server()


def served(*roots: Path) -> BankServer:
    """The server for these folders, as `build_server` makes it; one for the whole process, so one at a time in a test.

    Its tools take 0.1 s to describe, and between calls a server keeps nothing but its folders.
    """
    server = _built()
    server.roots = tuple(root.resolve() for root in roots)
    return server


@dataclass
class Answer:
    """A tool's answer, and the questions a person was asked meanwhile."""

    error: bool
    text: str
    data: dict[str, Any]
    asked: list[str]


def call(
    server: BankServer,
    tool: str,
    arguments: dict[str, Any] | None = None,
    *,
    mode: str = "legacy",
    elicit: ElicitResult | None = None,
    roots: list[str] | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Answer:
    """One call through the real client; `elicit` is the person's answer, None a client that cannot ask.

    `meanwhile` is done while the person reads.
    """
    asked: list[str] = []

    async def ask(_context: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        assert elicit is not None
        meanwhile()
        return elicit

    async def list_roots(_context: Any) -> Any:
        from mcp_types import ListRootsResult, Root

        return ListRootsResult(roots=[Root(uri=uri) for uri in roots or []])

    async def run() -> Any:
        more: dict[str, Any] = {}
        if elicit is not None:
            more["elicitation_callback"] = ask
        if roots is not None:
            more["list_roots_callback"] = list_roots
        async with Client(server, mode=mode, **more) as client:
            return await client.call_tool(tool, arguments or {})

    result = anyio.run(run)
    text = "\n".join(block.text for block in result.content if block.type == "text")
    return Answer(bool(result.is_error), text, result.structured_content or {}, asked)


def ok(answer: Answer) -> dict[str, Any]:
    """The data of an answer that is no error, small, and the same as text."""
    assert not answer.error, answer.text
    assert len(answer.text) < 2000
    assert json.loads(answer.text) == answer.data
    return answer.data


def plan_arguments(workspace: Path, **more: Any) -> dict[str, Any]:
    """The arguments of a plan on the tiny workspace."""
    return {
        "workspace": str(workspace),
        "kpi_target": TARGET,
        "max_iterations": 1,
        "settings": ["num_epochs=1", "anomalygen.num_SDG=2"],
        **more,
    }
