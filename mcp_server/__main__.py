"""`python -m mcp_server`: serve over stdio, or over streamable HTTP on request."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.personal import personal_roots
from tao_skill_bank.core.roots import VARIABLE
from tao_skill_bank.core.version import __version__

ROOTS_VARIABLE = "TAO_SKILL_BANK_ROOTS"
TOOLSETS_VARIABLE = "TAO_SKILL_BANK_TOOLSETS"
PORT = 8931


def main(arguments: list[str] | None = None, prog: str = "mcp_server") -> int:
    """Parse, build, serve until the client goes."""
    parser = _Parser(
        prog=prog,
        description="Start the MCP server: over stdio, for a client that starts it itself, or over HTTP.",
        epilog=f"Without --root: the folders of {ROOTS_VARIABLE}, else those that the client offers (or the folder it "
        "was started in) and those of `tao-skills roots`.",
    )
    parser.add_argument("--version", action="version", version=f"{prog} {__version__}")
    parser.add_argument(
        "--root", action="append", type=Path, metavar="FOLDER", help="the only folder that calls may touch; repeatable"
    )
    parser.add_argument(
        "--http",
        nargs="?",
        type=_port,
        const=PORT,
        metavar="PORT",
        help=f"streamable HTTP at /mcp, default port {PORT}",
    )
    parser.add_argument(
        "--toolsets",
        default=os.environ.get(TOOLSETS_VARIABLE, ""),
        metavar="NAMES",
        help=f"tools that few need, offered too: bookkeeping, images, thresholds, specs (also by {TOOLSETS_VARIABLE})",
    )
    parser.add_argument("--host", default="127.0.0.1", help="with --http; other than loopback needs --allow-remote")
    parser.add_argument("--port", type=_port, help=argparse.SUPPRESS)
    parser.add_argument("--allow-remote", action="store_true", help="listen beyond this machine; there is no log-in")
    parser.add_argument("--allowed-host", action="append", default=[], help="a Host header to take; may be repeated")
    args = parser.parse_args(arguments)
    roots = args.root or [Path(p) for p in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if p]
    for root in roots:
        if not root.is_dir():
            parser.error(f"--root {root}: no such folder")
    toolsets = [name.strip() for name in args.toolsets.split(",") if name.strip()]
    if args.http is None:
        if args.port is not None:
            parser.error("--port needs --http")
        return _serve(roots, toolsets=toolsets)
    try:
        roots = roots or personal_roots()
    except BankError as error:
        parser.error(error.line())
    if not roots:
        parser.error("--http needs --root FOLDER (or `tao-skills roots add FOLDER`): whoever connects could name any")
    if not is_loopback(args.host) and not args.allow_remote:
        parser.error(f"--host {args.host} is not loopback: add --allow-remote if that is meant")

    return _serve(roots, args.host, args.port or args.http, args.allowed_host, toolsets)


class _Parser(argparse.ArgumentParser):
    """A mistake is one line."""

    def error(self, message: str) -> NoReturn:
        """Say it and end with 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def _serve(
    roots: list[Path], host: str = "", port: int = 0, more_hosts: Sequence[str] = (), toolsets: Sequence[str] = ()
) -> int:
    """Serve until the client goes: over stdio, or over HTTP where a host is given."""
    from mcp_server.server import build_server

    # What carries no folders of its own opens none but the bank's files.
    os.environ.setdefault(VARIABLE, "[]")
    try:
        server = build_server(roots, toolsets)
    except BankError as error:
        print(f"mcp_server: {error.line()}", file=sys.stderr)
        return 2
    if not host:
        server.run()
        return 0
    from mcp.server.transport_security import TransportSecuritySettings

    names = sorted({"127.0.0.1", "localhost", "[::1]", host, *more_hosts})
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[with_port for name in names for with_port in (name, f"{name}:{port}")],
        allowed_origins=[f"{scheme}://{name}:{port}" for name in names for scheme in ("http", "https")],
    )
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        print(
            f"mcp_server: cannot listen at {host}:{port}: {reason}; give another: --http PORT, --host ADDRESS",
            file=sys.stderr,
        )
        return 2
    print(f"serving at http://{host}:{port}/mcp", file=sys.stderr)
    server.run("streamable-http", host=host, port=port, transport_security=security)
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to 65535")
    return int(text)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
