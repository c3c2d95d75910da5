"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
SCORE = click.option("--score", metavar="COLUMN", help="The column of the scores; default: siamese_score or score.")


def together(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Several options as one, in the order in which help lists them."""

    def decorated(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorated


CLUSTER = together(
    click.option(
        "--platform",
        type=click.Choice(["local", "slurm"]),
        default="local",
        show_default=True,
        help="Where shards run.",
    ),
    click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A slurm.* setting, as for `deft run`."),
)
