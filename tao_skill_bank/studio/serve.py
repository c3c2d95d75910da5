"""Start the page's server on loopback, say where it is, and end it well."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.personal import personal_roots
from tao_skill_bank.studio.access import LOOPBACK
from tao_skill_bank.studio.app import Studio
from tao_skill_bank.studio.routes import build

if TYPE_CHECKING:
    import uvicorn


_FIRST, _PORTS = 20000, 12000
"""Below those that systems give out by themselves."""


@dataclass(frozen=True)
class Served:
    """A server that has a port and does not answer yet: `run` serves until it is told to end."""

    studio: Studio
    server: uvicorn.Server
    bound: socket.socket

    def url(self, open_at: str = "") -> str:
        """The address of the page: whoever has it may use it."""
        place = open_at if open_at.startswith("#") else f"#/{open_at.lstrip('/')}"
        shown = quote(place, safe="#/?&=%:+,.;@!~*()-_")
        return f"http://{LOOPBACK}:{self.studio.port}/?token={self.studio.token}{shown}"

    def run(self) -> None:
        """Serve."""
        with self.bound:
            self.server.run(sockets=[self.bound])


def served(root: Path, port: int = 0) -> Served:
    """A server of a workspace on loopback.

    Args:
        root: The workspace.
        port: 0 takes the workspace's usual one, else a free one.

    Raises:
        InputError: No such folder, or the port is taken.
    """
    import uvicorn

    if not root.is_dir():
        raise InputError("no such folder", where=root, fix="name a workspace")
    bound = _listening(port) if port else _usual(root)
    studio = Studio(root, secrets.token_urlsafe(24), bound.getsockname()[1], tuple(personal_roots()))
    config = uvicorn.Config(
        build(studio),
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    return Served(studio, uvicorn.Server(config), bound)


def serve(root: Path, *, port: int = 0, open_at: str = "", browser: bool = True, say: Callable[[str], None]) -> None:
    """Serve a workspace until somebody interrupts it; the address is the first line that is said.

    Port 0 takes a free one; `open_at`: where in the page to begin, `#/samples?run=…`.

    Raises:
        InputError: As `served`.
    """
    found = served(root, port)
    url = found.url(open_at)
    say(url)
    say(f"studio of {found.studio.workspace.root}; Ctrl-C ends it")
    threading.Thread(target=_warm_up, daemon=True).start()
    if browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.uname().sysname == "Darwin"):
        webbrowser.open(url)
    with contextlib.suppress(KeyboardInterrupt):
        found.run()


def _warm_up() -> None:
    """Import what the first look needs, while the browser starts."""
    import pyarrow.compute
    import pyarrow.csv  # noqa: F401
    from PIL import Image  # noqa: F401


def _usual(root: Path) -> socket.socket:
    """The workspace's own port, where it is free: a browser keeps unsent verdicts by address and port."""
    digest = hashlib.sha256(os.fsencode(root.resolve())).digest()
    try:
        return _listening(_FIRST + int.from_bytes(digest[:4], "big") % _PORTS)
    except InputError:
        return _listening(0)


def _listening(port: int) -> socket.socket:
    # Told as TCP, so that what is small is sent at once.
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((LOOPBACK, port))
        found.listen(128)  # whoever reads the address may ask at once
    except OSError as error:
        found.close()
        raise InputError(
            f"port {port} cannot be had: {error.strerror}", where="--port", fix="name another, or leave it out"
        ) from None
    return found
