"""`tao-skills studio`: the page that people work in."""

from __future__ import annotations

from pathlib import Path

import click

from tao_skill_bank.commands.options import PATH
from tao_skill_bank.commands.out import echo


@click.command()
@click.argument("workspace", type=PATH, default=Path())
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Where to listen.  [default: the workspace's own]",
)
@click.option("--no-open", is_flag=True, help="Do not open a browser; the address is the first line either way.")
@click.option("--open", "open_at", default="", metavar="PLACE", help="Where in the page to begin: '#/samples?run=…'.")
def cli(workspace: Path, port: int, no_open: bool, open_at: str) -> None:
    """Look at runs and boards of WORKSPACE, correct labels, plan and approve: a page on this machine.

    It listens on loopback only. Whoever has the address, token and all, may use it; it ends with Ctrl-C.
    """
    from tao_skill_bank.studio.serve import serve

    serve(workspace, port=port, open_at=open_at, browser=not no_open, say=lambda line: echo(line))
