"""What a person reads at a terminal: foreign text shows its escapes instead of working them; JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from typing import Any

import click

from tao_skill_bank.core.text import clean


def echo(text: object, *, nl: bool = True, err: bool = False) -> None:
    """Print text in which labels, names, logs or a job's output may stand."""
    click.echo(clean(text), nl=nl, err=err)


def print_json(value: Any) -> None:
    """Print a model, a dataclass or a plain value as JSON; facts without lists on one line."""
    if hasattr(value, "model_dump_json"):
        click.echo(value.model_dump_json(indent=2))
        return
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    flat = isinstance(plain, dict) and not any(isinstance(inner, dict | list) for inner in plain.values())
    click.echo(json.dumps(plain, indent=None if flat else 2))


def tell(value: Any, lines: Iterable[str], as_json: bool) -> None:
    """Print what a command has to say: for programs as JSON, for people its lines."""
    if as_json:
        print_json(value)
    else:
        echo("\n".join(lines))
