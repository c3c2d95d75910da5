"""What somebody asks of the loop: the one model of which commands, tools, scripts and help are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Option:
    """One field of a request, as every door offers it.

    Attributes:
        name: The field.
        flag: As a command has it.
        short: Its short form, where it has one.
        kind: What is given: a path, a number, a text, several texts, or only that it is given.
        text: Its help.
    """

    name: str
    flag: str
    kind: Literal["path", "number", "text", "texts", "flag"]
    text: str
    short: str | None = None


def _said(kind: str, text: str, **more: str) -> dict[str, str]:
    return {"kind": kind, "text": text, **more}


@dataclass(frozen=True)
class Request:
    """What somebody asks for. A run that is resumed keeps whatever is left out.

    Its fields are the options of commands and scripts and the arguments of tools: `options` says which and how.
    """

    workspace: Path | None = field(default=None, metadata=_said("path", "The workspace folder.", short="-w"))
    kpi_target: str | None = field(default=None, metadata=_said("text", "For example: FAR < 0.5% at recall=99%"))
    max_iterations: int | None = field(
        default=None, metadata=_said("number", "Iterations at most; or give a time limit.", short="-n")
    )
    time_limit: str | None = field(default=None, metadata=_said("text", "Instead of iterations: 6h, 90m."))
    platform: str | None = field(
        default=None, metadata=_said("text", "Default local: this machine's CPU, a rehearsal.")
    )
    settings: Sequence[str] = field(default=(), metadata=_said("texts", "KEY=VALUE each.", flag="--set"))
    results_dir: Path | None = field(
        default=None, metadata=_said("path", "A run folder to resume; only what is given changes.")
    )
    task: str | None = field(default=None, metadata=_said("text", "What is improved; default: AOI, or the run's."))
    offline: bool = field(default=False, metadata=_said("flag", "Download nothing."))

    def asked(self) -> list[tuple[Option, Any]]:
        """The options that are given, and their values."""
        found = [(option, getattr(self, option.name)) for option in options()]
        return [(option, value) for option, value in found if value is not None and value is not False and value != ()]


@cache
def options() -> tuple[Option, ...]:
    """The fields of a request in the order of its help."""

    def one(name: str, said: Mapping[str, Any]) -> Option:
        flag = said.get("flag") or f"--{name.replace('_', '-')}"
        return Option(name, flag, said["kind"], said["text"], said.get("short"))

    return tuple(one(given.name, given.metadata) for given in fields(Request))
