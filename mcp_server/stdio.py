"""The wire over stdio: a line that is no message gets the answer that JSON-RPC has for it.

The SDK drops such a line without a word, and a client then waits for its time-out. So lines are looked at before the
SDK reads them. What cannot be a message is answered here with -32700, -32600 or -32602, under the id that it asks with
where one can be found, else null; a malformed notification or answer gets none, as JSON-RPC says.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from mcp_server.roots import BankServer

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


async def serve(server: BankServer) -> None:
    """Serve over this process's stdin and stdout until stdin closes."""
    lines = _Lines()
    # The class has the one method of a text file that the transport uses.
    async with stdio_server(stdin=cast("anyio.AsyncFile[str]", lines)) as (read, write):
        lines.answers = write
        await server.serve_streams(read, write)


class _Lines:
    """The lines of stdin that are messages; the others are answered."""

    def __init__(self) -> None:
        # Children and handlers read nothing from the wire: they find stdin empty.
        wire = os.dup(0)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
        self._file = anyio.wrap_file(os.fdopen(wire, "r", encoding="utf-8", errors="replace", newline="\n"))
        self.answers: Any = None

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line in self._file:
            found = fault(line)
            if found is None:
                yield line
            elif isinstance(found, JSONRPCError):
                await self.answers.send(SessionMessage(found))
            elif found:
                print(f"tao-skill-bank: {found}", file=sys.stderr)


def fault(line: str) -> JSONRPCError | str | None:
    """What is wrong with a line: the answer to it, or a remark where none is due ("": nothing); None for a message."""
    if not line.strip():
        return ""
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
    else:
        # The SDK takes a request whose id is of a wrong kind for a notification, and never answers it.
        if not isinstance(message, JSONRPCNotification) or _id_text(line) is None:
            return None
        return _answer(None, INVALID_REQUEST, "an id is text or a whole number")
    try:
        value = json.loads(line, parse_int=_whole)
    except RecursionError:
        return _answer(_id(line), PARSE_ERROR, "nested too deep to be read")
    except ValueError as error:
        return _answer(_id(line), PARSE_ERROR, f"not JSON: {error}")
    if not isinstance(value, dict):
        return _answer(None, INVALID_REQUEST, "not an object: send one request a line")
    return _wrong(value, reason)


def _wrong(value: dict[str, Any], reason: str) -> JSONRPCError | str:
    """The answer to an object that is no message."""
    asked = value.get("id")
    known = isinstance(asked, str | int) and not isinstance(asked, bool)
    number = asked if known else None
    if "method" not in value and ("result" in value or "error" in value):
        return "an answer that is none was dropped"
    if value.get("jsonrpc") != "2.0":
        return _answer(number, INVALID_REQUEST, 'without "jsonrpc": "2.0"')
    if not isinstance(value.get("method"), str):
        return _answer(number, INVALID_REQUEST, "without a method" if "method" not in value else "method is no text")
    if "id" not in value:
        return "a notification whose params cannot be read was dropped"
    if not known:
        return _answer(None, INVALID_REQUEST, "an id is text or a whole number")
    if "params" in value and not isinstance(value["params"], dict):
        return _answer(number, INVALID_PARAMS, "params is not an object")
    return _answer(number, INVALID_PARAMS, _about(value, reason))


def _about(value: dict[str, Any], reason: str) -> str:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair: a name that is not UTF-8 cannot be sent"
    return reason


def _answer(number: Any, code: int, text: str) -> JSONRPCError:
    kind = {PARSE_ERROR: "Parse error", INVALID_REQUEST: "Invalid request", INVALID_PARAMS: "Invalid params"}[code]
    return JSONRPCError(jsonrpc="2.0", id=number, error=ErrorData(code=code, message=f"{kind}: {text[:300]}"))


def _whole(text: str) -> int:
    """A whole number; one of more digits than Python converts is not read."""
    return int(text) if len(text) < 20 else 0


def _id(line: str) -> str | int | None:
    """The id that a line asks with, however broken the rest is; None where there is none that can be answered."""
    text = _id_text(line)
    try:
        value = json.loads(text) if text is not None and len(text) < 200 else None
    except ValueError:
        return None
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _id_text(line: str) -> str | None:
    """The text of the member `id` of the outermost object; found without recursion, at any depth of the rest."""
    depth, before = 0, ["", ""]
    for match in _TOKEN.finditer(line):
        token = match[0]
        if depth == 1 and before == ['"id"', ":"]:
            return token
        depth += (token in "{[") - (token in "}]")
        before = [before[1], token]
    return None
