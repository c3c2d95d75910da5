"""`python -m mcp_server`: serve over stdio, or over streamable HTTP on request."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from pathlib import Path

ROOTS_VARIABLE = "TAO_SKILL_BANK_ROOTS"


def main(arguments: list[str] | None = None) -> int:
    """Parse, build, serve until the client goes."""
    parser = argparse.ArgumentParser(prog="mcp_server", description="The TAO Skill Bank's MCP server.")
    parser.add_argument("--root", action="append", type=Path, help="a folder that calls may touch; may be repeated")
    parser.add_argument("--http", action="store_true", help="streamable HTTP at /mcp instead of stdio")
    parser.add_argument("--host", default="127.0.0.1", help="with --http; other than loopback needs --allow-remote")
    parser.add_argument("--port", type=int, default=8931, help="with --http")
    parser.add_argument("--allow-remote", action="store_true", help="listen beyond this machine; there is no log-in")
    parser.add_argument("--allowed-host", action="append", default=[], help="a Host header to take; may be repeated")
    args = parser.parse_args(arguments)
    roots = args.root or [Path(p) for p in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if p]
    for root in roots:
        if not root.is_dir():
            parser.error(f"--root {root}: no such folder")
    if args.http and not roots:
        parser.error("--http needs --root FOLDER: whoever connects could name any folder as its own root")
    if args.http and not is_loopback(args.host) and not args.allow_remote:
        parser.error(f"--host {args.host} is not loopback: add --allow-remote if that is meant")

    from mcp_server.server import build_server

    server = build_server(roots)
    if not args.http:
        server.run()
        return 0
    from mcp.server.transport_security import TransportSecuritySettings

    names = sorted({"127.0.0.1", "localhost", "[::1]", args.host, *args.allowed_host})
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[host for name in names for host in (name, f"{name}:{args.port}")],
        allowed_origins=[f"{scheme}://{name}:{args.port}" for name in names for scheme in ("http", "https")],
    )
    print(f"serving at http://{args.host}:{args.port}/mcp", file=sys.stderr)
    server.run("streamable-http", host=args.host, port=args.port, transport_security=security)
    return 0


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
