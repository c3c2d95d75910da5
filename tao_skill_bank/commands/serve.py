"""`tao-skills serve`: the MCP server, from any install."""

from __future__ import annotations

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def cli(arguments: tuple[str, ...]) -> None:
    """Start the MCP server: over stdio, or over HTTP on this machine with --http [PORT]."""
    from mcp_server.__main__ import main

    raise SystemExit(main(list(arguments), prog="tao-skills serve"))
