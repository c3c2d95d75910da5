"""Which paths a call may name: absolute ones inside the roots of the server or of its client."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes, urlsplit

from mcp.server.apps import client_supports_apps
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, ListRoots, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    CallToolResult,
    InputRequiredResult,
    ListRootsResult,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
)
from pydantic import ValidationError

from mcp_server import FOLDER_OF_SESSION
from mcp_server.door import Held, clip, errors_shown
from mcp_server.schemas import slim, slim_output
from mcp_server.words import program
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.personal import personal_roots
from tao_skill_bank.core.roots import is_personal

MOST_SHOWN = 300
MOST_ARGUMENT = 65_536
"""Characters of an argument, all that it holds together; paths end at 4,096."""
MOST_PATH = 4096
"""No system opens a longer one; resolving a path of megabytes takes minutes."""


class BankServer(MCPServer[None]):
    """The server with the roots it was started with; without any, those of the client and of the person count."""

    roots: tuple[Path, ...] = ()
    unlisted: frozenset[str] = frozenset()
    """Tools that are answered and not offered: names of earlier versions, and what few need."""

    with_page: frozenset[str] = frozenset()
    """Of those, tools that are offered to a host which shows their page."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[None, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; an argument that it does not have is refused, one of the wrong kind is named in one line."""
        known = {tool.name: tool.input_schema["properties"] for tool in await self.all_tools()}
        if name not in known:
            raise ToolError(f"Unknown tool: {clip(name, 60)}")
        if extra := sorted(set(arguments) - set(known[name])):
            unknown = clip(extra[0], 60)
            raise ToolError(f"no argument {unknown!r} in {name} ({did_you_mean(unknown, known[name])})")
        if (large := too_large(arguments)) is not None:
            raise ToolError(f"{name}: {large}")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(f"{name}: {_wrong_arguments(error.__cause__)}") from error.__cause__
            raise

    async def run_stdio_async(self) -> None:
        """Serve over stdio; what is no message is answered too."""
        from mcp_server.stdio import serve

        await serve(self)

    async def serve_streams(self, read: Any, write: Any) -> None:
        """Serve one client over a pair of streams."""
        server = self._lowlevel_server
        options = server.create_initialization_options(experimental_capabilities={FOLDER_OF_SESSION: {}})
        await server.run(read, write, options)

    async def list_tools(self) -> list[Tool]:
        """The tools that a client is offered."""
        return [tool for tool in await self.all_tools() if tool.name not in self.unlisted]

    async def _handle_list_tools(
        self, ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        found = await super()._handle_list_tools(ctx, params)
        if self.with_page and client_supports_apps(ctx):
            found.tools += [tool for tool in await self.all_tools() if tool.name in self.with_page]
        return found

    async def all_tools(self) -> list[Tool]:
        """All tools, their schemas without repetition."""
        tools = await super().list_tools()
        return [
            tool.model_copy(
                update={"input_schema": slim(tool.input_schema), "output_schema": slim_output(tool.output_schema)}
            )
            for tool in tools
        ]


class Roots(Held):
    """The folders a call may touch."""

    remedy: str = "start the server with --root FOLDER"
    """What a person does to allow another folder; a tool cannot."""

    def path(self, text: str, name: str) -> Path:
        """A path that a caller named, links resolved.

        Raises:
            InputError: It is not absolute, holds `..` or a NUL, lies outside the roots, also by a link, or is neither a
                file nor a folder.
        """
        if len(text) > MOST_PATH:
            raise InputError(f"{name} has {len(text):,} characters", where=name, fix="give a plain path")
        if "\0" in text:
            raise InputError(f"{name} holds a NUL character", where=name, fix="give a plain path")
        given = Path(text)
        if not given.is_absolute() or ".." in given.parts:
            shown = clip(repr(text), MOST_SHOWN)
            raise InputError(f"{name} is not an absolute path without '..': {shown}", fix="give the absolute path")
        try:
            resolved = given.resolve()
        except (OSError, RuntimeError, UnicodeEncodeError):
            # A link that leads to itself, a name that is too long, half a surrogate pair.
            shown = clip(repr(text), MOST_SHOWN)
            raise InputError(f"{name} leads nowhere: {shown}", fix="give the path of a file or folder") from None
        if is_personal(resolved):
            raise InputError(f"{name} leads to the user's own settings, which no tool touches", fix="name another path")
        if not any(resolved == root or root in resolved.parents for root in self.folders):
            some = ", ".join(clip(str(root), MOST_SHOWN) for root in self.folders[:5]) or "there is none"
            more = f" and {len(self.folders) - 5} more" if len(self.folders) > 5 else ""
            raise InputError(
                f"{name} lies outside the allowed folders ({some}{more})",
                where=clip(text, MOST_SHOWN),
                fix=f"use a path inside; to allow another folder, the person can {self.remedy}",
            )
        if resolved.exists() and not (resolved.is_file() or resolved.is_dir()):
            # Reading a pipe would wait for ever.
            raise InputError(f"{name} is neither a file nor a folder", where=clip(text, MOST_SHOWN), fix="name a file")
        return resolved

    def optional(self, text: str | None, name: str) -> Path | None:
        """The same, where nothing may be given."""
        return None if text is None else self.path(text, name)


def too_large(arguments: dict[str, Any]) -> str | None:
    """What of a call's arguments is larger than any that has a meaning: looked at before it is resolved or shown."""
    for name, argument in arguments.items():
        room, rest = MOST_ARGUMENT, [argument]
        while rest:
            value = rest.pop()
            room -= len(value) if isinstance(value, str) else 8
            if isinstance(value, dict):
                rest += [*value.keys(), *value.values()][: MOST_ARGUMENT + 1]
            elif isinstance(value, list):
                rest += value[: MOST_ARGUMENT + 1]
            if room < 0:
                return f"{clip(name, 60)} is too large: at most {MOST_ARGUMENT:,} characters are read"
    return None


def _wrong_arguments(error: ValidationError) -> str:
    faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
    return clip("; ".join(faults), 600)


def client_roots(ctx: Context) -> ListRoots | ListRootsResult:
    """Ask the client for its roots, unless the server has its own or the client has none to give."""
    capabilities = ctx.client_capabilities
    if own_roots(ctx) or capabilities is None or capabilities.roots is None:
        return ListRootsResult(roots=[])
    return ListRoots()


def allowed_roots(ctx: Context, listed: Annotated[ListRootsResult, Resolve(client_roots)]) -> Roots:
    """The folders this call may touch."""
    named = [_folder(str(root.uri)) for root in listed.roots]
    return roots_of(ctx, [f for f in named if f is not None])


def session_folder(ctx: Context) -> list[Path]:
    """The folder that the client says its session works in; a model has no say in it."""
    said = (ctx.request_context.meta or {}).get(FOLDER_OF_SESSION)
    uri = said.get("sandboxCwd") if isinstance(said, dict) else None
    folder = _folder(uri) if isinstance(uri, str) else None
    return [folder] if folder is not None and _is_project(folder) else []


def roots_of(ctx: Context, offered: list[Path]) -> Roots:
    """Those the server was started with; else what the client offers or works in, and the person's own.

    Raises:
        InputError: The person's list cannot be used.
    """
    started_with = own_roots(ctx)
    if started_with:
        return Roots(folders=list(started_with))
    folders = dict.fromkeys([*(offered or session_folder(ctx) or working_folder()), *personal_roots()])
    return Roots(folders=list(folders), remedy=f"type: {shlex.join([*program(), 'roots', 'add'])} FOLDER")


def own_roots(ctx: Context) -> tuple[Path, ...]:
    """The roots the server was started with."""
    server = ctx.mcp_server
    return server.roots if isinstance(server, BankServer) else ()


def working_folder() -> list[Path]:
    """The project a client started the server for.

    Some clients start a plugin's server in the plugin's folder; the project is then where they were started.
    """
    for given in (os.environ.get("CLAUDE_PROJECT_DIR"), os.getcwd(), os.environ.get("PWD")):
        folder = Path(given).resolve() if given else None
        if folder is not None and _is_project(folder):
            return [folder]
    return []


def _is_project(folder: Path) -> bool:
    """Never the whole file system, nor a bank: neither this one nor a client's copy of the plugin."""
    is_bank = (folder / "plugin.json").is_file() and (folder / "mcp_server").is_dir()
    return folder.is_dir() and folder != Path(folder.anchor) and not is_bank


def _folder(uri: str) -> Path | None:
    """The folder that a `file:` address names; None for one that names none on this machine, or not it alone.

    A sign that begins a query or a fragment would cut a name short: what is left names another folder.
    """
    try:
        parts = urlsplit(uri)
        path = os.fsdecode(unquote_to_bytes(parts.path))
        here = parts.scheme == "file" and parts.netloc in ("", "localhost") and "?" not in uri and "#" not in uri
        return Path(path).resolve() if here and os.path.isabs(path) else None
    except (ValueError, OSError, RuntimeError):
        return None


Allowed = Annotated[Roots, Resolve(errors_shown(allowed_roots))]
