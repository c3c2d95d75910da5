"""How every tool is opened: a user's error becomes a tool error in one line, a result compact typed content."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, ResourceLink, TextContent, ToolAnnotations
from pydantic import BaseModel, PrivateAttr

from mcp_server.words import all_in_own_words, in_own_words
from tao_skill_bank.core import roots
from tao_skill_bank.core.errors import BankError, InputErrors

MOST_FAULTS = 10
MOST_ERROR = 1500
READ = ToolAnnotations(read_only_hint=True, open_world_hint=False)
# A tool that does not say it only reads is one that writes.
WRITE = ToolAnnotations(destructive_hint=False, open_world_hint=False)
# It sends what it was given to somebody: frames and texts to the endpoint that a spec names.
SEND = ToolAnnotations(destructive_hint=False, open_world_hint=True)
REWRITE = ToolAnnotations(destructive_hint=False, idempotent_hint=True, open_world_hint=False)
END = ToolAnnotations(destructive_hint=True, idempotent_hint=True, open_world_hint=False)


class Held(BaseModel):
    """What carries a call's roots: the folders that it may touch, links resolved."""

    folders: list[Path]


def add(
    server: MCPServer[Any],
    function: Callable[..., Any],
    annotations: ToolAnnotations,
    meta: dict[str, Any] | None = None,
) -> None:
    """Register a function as a tool: its name, its docstring, its arguments, its result model."""
    text = inspect.cleandoc(function.__doc__ or "")
    title = function.__name__.replace("_", " ").capitalize()
    for short in ("Deft", "Vcn", "Vlm", "Kpi", "Rca", "Csv"):
        title = title.replace(short.lower(), short.upper())
    server.add_tool(
        guarded(function), title=title, description=" ".join(text.split()), annotations=annotations, meta=meta
    )


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its errors and results as a client reads them."""
    shown = errors_shown(function)

    arguments = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        value = await shown(*args, **kwargs)
        return as_result(value, arguments) if isinstance(value, BaseModel) else value

    return call


def errors_shown(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, in a thread if it blocks, with a user's errors as tool errors."""
    is_async = inspect.iscoroutinefunction(function)
    arguments = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = functools.partial(function, *args, **kwargs)
            with _held_to_roots([*args, *kwargs.values()]):
                return await bound() if is_async else await anyio.to_thread.run_sync(bound)
        except (BankError, OSError) as error:
            raise ToolError(in_own_words(error_text(error), arguments)) from None

    return call


def _held_to_roots(arguments: Iterable[Any]) -> AbstractContextManager[None]:
    """What the call opens is held to its roots, whichever of its arguments carries them."""
    held = [value.folders for value in arguments if isinstance(value, Held)]
    return roots.granted(held[0]) if held else contextlib.nullcontext()


class Linked(BaseModel):
    """A result that leads to a page: a client can open the run's report by its link."""

    def links(self) -> list[tuple[str, str, str]]:
        """(URI, name, media type) of each."""
        return []


class Beside(BaseModel):
    """A result with something that the host's page is given and no model reads."""

    _beside: dict[str, Any] | None = PrivateAttr(default=None)

    def with_beside(self, beside: dict[str, Any]) -> Self:
        """The same result with it."""
        self._beside = beside
        return self


def as_result(value: BaseModel, arguments: Collection[str] = ()) -> CallToolResult:
    """The model without its empty fields, in a tool's words: structured content, and the same in compact JSON text."""
    content = all_in_own_words(value.model_dump(mode="json", exclude_none=True), arguments)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    links = value.links() if isinstance(value, Linked) else []
    return CallToolResult(
        content=[
            TextContent(type="text", text=text),
            *(ResourceLink(type="resource_link", uri=uri, name=name, mime_type=kind) for uri, name, kind in links),
        ],
        structured_content=content,
        _meta=value._beside if isinstance(value, Beside) else None,
    )


def error_text(error: BankError | OSError) -> str:
    """What went wrong, where, and what to do next; many faults as a few lines."""
    from tao_skill_bank.loop.foreign import ForeignStateError

    if isinstance(error, OSError):
        from tao_skill_bank.core.errors import system_error

        error = system_error(error)
    lines = [error.line()]
    if isinstance(error, ForeignStateError):
        lines += error.said.lines()
    if isinstance(error, InputErrors):
        lines += [fault for fault in error.faults[:MOST_FAULTS] if fault not in lines[0]]
        if len(error.faults) > MOST_FAULTS:
            lines.append(f"and {len(error.faults) - MOST_FAULTS} more")
    text = "\n".join(lines)
    return text if len(text) <= MOST_ERROR else text[: MOST_ERROR - 1] + "…"


def fitting(values: Mapping[str, str], most: int) -> dict[str, str]:
    """As many of the first entries as fit into `most` characters, long names cut; what is left out is counted."""
    kept: dict[str, str] = {}
    for name, value in values.items():
        shown = clip(name, 60)
        most -= len(shown) + len(value) + 6
        if most < 0:
            kept["…"] = f"{len(values) - len(kept)} more"
            break
        kept[shown] = value
    return kept


def clip(text: str, most: int) -> str:
    """One line of at most `most` characters."""
    from tao_skill_bank.core.text import clean

    # Of a text without end only the beginning is looked at.
    flat = " ".join(clean(text[: 20 * most]).split())
    return flat if len(flat) <= most and len(text) <= 20 * most else flat[: most - 1] + "…"
