"""Who may talk to the page: whoever has its address, from this machine, under its own name.

The token stands in the address and nowhere else: no cookie, which every server of this machine would be sent. What
changes something is taken only with the token in a header, which no other site can set.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from tao_skill_bank.core import roots
from tao_skill_bank.core.errors import InputError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
HEADER = b"x-studio-token"
OPEN_TO_ALL = "/static/"
"""The code of the page, which is everybody's, and holds nothing of a workspace."""
_SAFE = ("GET", "HEAD")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "connect-src 'self'; font-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Content-Security-Policy": PAGE_POLICY,
}


class ClosedError(InputError):
    """Boards that nobody has opened yet."""


class Gate:
    """Lets a request through, held to the allowed folders, or answers why not.

    Args:
        app: What answers.
        token: What every request must carry.
        port: Where the server listens.
        folders: What may be opened for an answer.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int, folders: Iterable[Path]) -> None:
        self.app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in (LOOPBACK, "localhost")}
        self._origins = {b"http://" + host for host in self._hosts}
        self._folders = tuple(folders)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            from starlette.responses import PlainTextResponse

            status, text = refused
            await PlainTextResponse(text + "\n", status, headers=HEADERS)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                more = [(n.lower().encode(), v.encode()) for n, v in HEADERS.items() if n.lower().encode() not in there]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        with roots.confined(self._folders):
            await self.app(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if headers.get(b"host") not in self._hosts:
            return 421, "this page is for 127.0.0.1 only"
        path, method = scope["path"], scope["method"]
        if path.startswith(OPEN_TO_ALL) and method in _SAFE:
            return None
        origin = headers.get(b"origin")
        if origin is not None and origin not in self._origins:
            return 403, "asked from another page"
        if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none") and path != "/":
            return 403, "asked from another page"
        given = headers.get(HEADER)
        if given is None and method in _SAFE:
            found = parse_qs(scope["query_string"]).get(b"token")
            given = found[0] if found else None
        if given is None or not hmac.compare_digest(given, self._token):
            return 403, "open the address that tao-skills studio printed: it ends in a token, which this one lacks"
        return None
