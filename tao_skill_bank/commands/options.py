"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from tao_skill_bank.core.asked import Option, options

Function = TypeVar("Function", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
SCORE = click.option("--score", metavar="COLUMN", help="The column of the scores; default: siamese_score or score.")


def together(*parts: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Several options as one, in the order in which help lists them."""

    def decorated(function: Function) -> Function:
        for part in reversed(parts):
            function = part(function)
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
_KINDS: dict[str, dict[str, Any]] = {
    "path": {"type": PATH},
    "number": {"type": int},
    "amount": {"type": float},
    "text": {},
    "texts": {"multiple": True},
    "table": {"multiple": True},
    "flag": {"is_flag": True},
}


def request_options(model: type, *, without: Collection[str] = ()) -> Callable[[Function], Function]:
    """The fields of a request as the options and arguments of a command, but for those that it has otherwise."""
    return together(*(_parameter(option) for option in options(model) if option.name not in without))


def _parameter(option: Option) -> Callable[[Function], Function]:
    said, choices = option.said, get_args(option.value) if get_origin(option.value) is Literal else ()
    how = {"type": click.Choice(choices)} if choices else _KINDS[option.kind]
    if not option.flag:
        several = {"nargs": -1} if how.get("multiple") else how
        return click.argument(option.name, metavar=said.metavar, **several)
    names = [name for name in (said.short, option.flag, option.name) if name is not None]
    more: dict[str, Any] = {} if option.default in (None, (), {}, False, "") else {"default": option.default}
    more |= {"show_default": True} if more else {}
    return click.option(*names, help=said.text, metavar=said.metavar, required=option.required, **how, **more)
