"""What a check of a plan found: kept in the run's state, so that a report says what was looked at before the start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tao_skill_bank.core import filesystem
from tao_skill_bank.core.errors import InputErrors
from tao_skill_bank.core.text import plural


class Check(BaseModel):
    """One check: `ok`, `warn` (shown, does not stop), `skip` (does not apply), `fail` (stops)."""

    model_config = ConfigDict(extra="forbid")

    name: str
    status: Literal["ok", "warn", "skip", "fail"]
    text: str


def refuse_faults(faults: Sequence[str], workspace: str | Path, most: int) -> None:
    """Refuse a plan for its faults, if it has any; one that several checks met is told once.

    Raises:
        InputErrors: The first `most` of them, a line each, and how many more there are.
    """
    told = list(dict.fromkeys(faults))
    if not told:
        return
    shown = told[:most]
    if len(told) > most:
        shown.append(f"and {len(told) - most} more")
    raise InputErrors(
        f"pre-flight found {plural(len(told), 'fault')}, first: {told[0]}",
        shown,
        where=workspace,
        fix="mend these, then plan again",
    )


def folder_check(name: str, folder: Path, least_bytes: int) -> Check:
    """Whether the folder can do what a run will do in it, tried out; nothing is left behind.

    Raises:
        InputErrors: It cannot, or has less than `least_bytes` of room; a line each.
    """
    found = filesystem.look(folder)
    short = filesystem.room(folder, least_bytes, filesystem.LEAST_FILES, "fail")
    faults = [f.line() for f in (*found, *short) if f.status == "fail"]
    if faults:
        raise InputErrors(faults[0], faults, where=folder)
    if found:
        return Check(name=name, status="warn", text="; ".join(f.line() for f in found))
    return Check(name=name, status="ok", text="locks, renames and exclusive creation tried; enough room and inodes")
