"""`tao-skills roots ...`: the folders that the MCP server's tools may touch, beside those that a client offers."""

from __future__ import annotations

from pathlib import Path

import click

from tao_skill_bank.commands.options import JSON
from tao_skill_bank.commands.out import echo, tell
from tao_skill_bank.core import personal


@click.group()
def cli() -> None:
    """The folders that an agent's tools may read and write in, set once for every client.

    They count beside the folders that a client offers. A server that was started with --root keeps to its own.
    """


@cli.command()
@click.argument("folder", type=Path)
def add(folder: Path) -> None:
    """Let tools read and write in FOLDER and everything below it. Counts at once."""
    echo(f"tools may read and write in {personal.add_root(folder)} (kept in {personal.roots_path()})")


@cli.command("list")
@JSON
def list_(as_json: bool) -> None:
    """Show your folders."""
    found = personal.listed_roots()
    listed = [{"folder": str(path), "exists": there} for path, there in found]
    none = "no folder of your own: tools may touch what their client offers; tao-skills roots add FOLDER adds one"
    lines = [str(path) if there else f"{path} (not there now)" for path, there in found]
    tell({"file": str(personal.roots_path()), "roots": listed}, lines or [none], as_json)


@cli.command()
@click.argument("folder", type=Path)
def remove(folder: Path) -> None:
    """Take FOLDER off the list; nothing in it changes."""
    echo(f"no longer one of your roots: {personal.remove_root(folder)}")
