"""What a person reads at a terminal: foreign text shows its escapes instead of working them."""

from __future__ import annotations

import click

from tao_skill_bank.core.text import clean


def echo(text: object, *, nl: bool = True, err: bool = False) -> None:
    """Print text in which labels, names, logs or a job's output may stand."""
    click.echo(clean(text), nl=nl, err=err)
