"""Who has looked at the pictures of an acceptance set: from then on it is spent, and no judge of later models.

A set is known by the bytes of its CSV. A look is a line of `labels/acceptance_looks.jsonl`, appended and never changed.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.appended import append_bytes
from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.models import Frozen
from tao_skill_bank.data.corrections.record import person_named

FILE = "labels/acceptance_looks.jsonl"


class Look(Frozen):
    """One look: at which set (SHA-256 of its CSV), who, when (UTC), in which run."""

    set_sha256: str
    csv: str
    who: str
    when: str
    run: str | None = None

    @property
    def line(self) -> str:
        """`looked at by Ana on 2026-11-28`."""
        return f"looked at by {self.who} on {self.when[:10]}"


def looks_path(workspace: Path) -> Path:
    """Where looks are written down."""
    return workspace / FILE


def looks(workspace: Path, csv: Path) -> list[Look]:
    """Who has looked at a set, oldest first.

    Raises:
        InputError: A line cannot be read.
    """
    try:
        text = guard.read_text(looks_path(workspace), "file of looks")
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            found.append(Look.model_validate_json(line))
        except ValidationError as error:
            where = f"{looks_path(workspace)} line {number}"
            raise InputError(f"is no look: {error.errors()[0]['msg']}", where=where, fix="restore the file") from None
    if not found or not guard.is_file(csv):
        return []
    digest = fsio.sha256_file(csv)
    return [look for look in found if look.set_sha256 == digest]


def record_look(workspace: Path, csv: Path, who: str, run: str | None = None) -> Look:
    """Write down that somebody looks; one who has looked before is not written twice.

    Raises:
        InputError: Nobody is named, the set is not there, or nothing can be written here.
    """
    name = person_named(who)
    if not guard.is_file(csv):
        raise InputError("no such file", where=csv, fix="bring the file back")
    path = looks_path(workspace)
    try:
        with guard.locked(path.with_name(f"{path.name}.lock"), timeout=60, make=True):
            known = next((look for look in looks(workspace, csv) if look.who == name), None)
            if known is not None:
                return known
            when = log_time(SystemClock().now())
            look = Look(set_sha256=fsio.sha256_file(csv), csv=str(csv), who=name, when=when, run=run)
            append_bytes(path, (look.model_dump_json() + "\n").encode())
            return look
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    what = f"a look cannot be written down: {error.strerror}"
    return InputError(what, where=path.parent, fix="make it writable: the pictures open when the look is recorded")
