"""An extra that a command lacks is installed when the person at the terminal says so, and never otherwise."""

from __future__ import annotations

import shlex
import subprocess
import sys

import click

from tao_skill_bank.commands.out import echo
from tao_skill_bank.core.extras import MissingExtraError


def installed_on_request(error: MissingExtraError) -> bool:
    """Ask at a terminal, then install; False where nobody is there, the answer is no, or it fails."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    echo(f"{error.what}; what installs it: {shlex.join(error.command)}", err=True)
    try:
        if not click.confirm("Install it now?", default=False, err=True):
            return False
    except click.Abort:
        # Ctrl-C or the end of what is typed is no, too.
        echo("", err=True)
        return False
    return subprocess.run(error.command, check=False).returncode == 0
