"""What a check of a plan found: kept in the run's state, so that a report says what was looked at before the start."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from tao_skill_bank.core import filesystem
from tao_skill_bank.core.errors import BankError, InputErrors
from tao_skill_bank.core.models import Strict
from tao_skill_bank.core.text import plural
from tao_skill_bank.loop.settings import RunSettings
from tao_skill_bank.platforms import platform_named


class Check(Strict):
    """One check: `ok`, `warn` (shown, does not stop), `skip` (does not apply), `fail` (stops)."""

    name: str
    status: Literal["ok", "warn", "skip", "fail"]
    text: str


class Checks:
    """The checks of a pre-flight in order, and the faults that they found.

    Args:
        summed: Whether a check with several faults is told by its own line, too.
    """

    def __init__(self, *, summed: bool) -> None:
        self.done: list[Check] = []
        self.faults: list[str] = []
        self._summed = summed

    def make(self, check: Callable[[], Check | list[Check]]) -> None:
        """Make one check; what it refuses is a fault."""
        try:
            made = check()
        except BankError as error:
            line, several = error.line(), error.faults if isinstance(error, InputErrors) else []
            if self._summed or not several:
                self.faults.append(line)
            self.faults += [fault for fault in several if not (self._summed and fault in line)]
        else:
            self.done += made if isinstance(made, list) else [made]


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
        fix="fix these, then plan again",
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


def workspace_check(workspace: str) -> Check:
    """Whether a run folder can be made in a workspace."""
    if not os.access(workspace, os.W_OK):
        raise BankError("the workspace is not writable", where=workspace, fix="the run folder is made inside it")
    return Check(name="workspace", status="ok", text=workspace)


def platform_checks(config: RunSettings) -> list[Check]:
    """What the platform itself looks at."""
    return [Check(**found.model_dump()) for found in platform_named(config).checks(config)]
