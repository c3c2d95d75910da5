"""What a monitor has on disk: what it watches, and a line for every file that was fed.

`monitor.json` says what is watched; `fed.jsonl` has a line for every file, written whole or not at all, under a lock.
What a crash tore off is moved aside, and that file is fed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from filelock import Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tao_skill_bank.core import guard
from tao_skill_bank.core.appended import append_bytes, last_line, move_last_line_aside, size_of
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.metrics.drift import limit_for

SETTINGS_FILE, FED_FILE = "monitor.json", "fed.jsonl"
Statistic = Literal["level", "tail", "spread"]
STATISTICS: tuple[Statistic, ...] = ("level", "tail", "spread")
"""Of a lot's scores the median, the 95th percentile and the distance of the quartiles: what happens to the usual part,
to those near the line, and to how alike parts are."""
_BEYOND = 1.25
_LOCK_SEC = 60.0
RECORD = "record of a monitor"


class Record(BaseModel):
    """A part of what is written and read; nothing but its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Settings(Record):
    """What a monitor watches."""

    format: Literal["tao-skill-bank-monitor"] = "tao-skill-bank-monitor"
    version: Literal[1] = 1
    threshold: float
    target: str | None = None
    reference_lots: int = Field(25, ge=2, le=10_000)
    lots_to_false_alarm: float = Field(1000.0, ge=10, le=1e300)
    least_parts: int = Field(20, ge=1)
    statistics: tuple[Statistic, ...] = ("level", "tail")
    """Of a lot; a monitor that says nothing here was started when there were these two."""
    score: str | None = None
    certificate: str | None = None
    started_by: str = ""
    started_at: str = ""

    def limit(self, strata: int) -> float:
        """The evidence at which a detector alarms where so many part types and lightings are watched."""
        return limit_for(self.lots_to_false_alarm, strata * len(self.statistics))


class Lot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One lot of one part type and lighting.

    Attributes:
        part_type, lighting: Empty where they are not told apart.
        flagged: How many lie above the threshold.
        ties: A number for each, drawn when it was fed: equal statistics are ordered by it.
        log_evidence: Of each detector after this lot; None in the reference and for a lot that is too small to test.
        starts: The first lot of the most likely change, by name, for each detector.
        rises: Whether values lie higher since, for each.
        small: Too few parts to test.
        drawn: Of how many of its parts, drawn by chance, the statistics are; 0: of all.
    """

    lot: str
    part_type: str = ""
    lighting: str = ""
    parts: int
    flagged: int
    values: tuple[float, ...] = ()
    ties: tuple[float, ...] = ()
    log_evidence: tuple[float, ...] | None = None
    starts: tuple[str, ...] | None = None
    rises: tuple[bool, ...] | None = None
    small: bool = False
    drawn: int = 0

    @property
    def stratum(self) -> tuple[str, str]:
        """Part type and lighting."""
        return self.part_type, self.lighting


@dataclass(frozen=True)
class Sizes:
    """How many parts lots may have whose statistics are held against each other: their spread depends on it."""

    least: float
    most: float
    usual: int


def sizes_of(reference_parts: Sequence[int]) -> Sizes:
    """From the lots of a reference: from their 10th to their 90th percentile, and a quarter beyond either end."""
    parts = sorted(reference_parts)
    odd = len(parts) // 10
    return Sizes(parts[odd] / _BEYOND, parts[-1 - odd] * _BEYOND, parts[len(parts) // 2])


class Labelled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Parts that a person judged, all alike: drawn at one rate, all good or all defects, all flagged or all passed."""

    rate: float
    good: bool
    flagged: bool
    parts: int


class Fed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One line: a file that was fed, or a stratum that begins anew.

    `late` names two lots of one part type and lighting, both of the file or the first the last one before it, of which
    the second is by its date the earlier one. `least_rate` is the smallest rate at which a part of the file would have
    been drawn for a label; None: not recorded.
    """

    at: str
    by: str
    file: str = ""
    sha256: str = ""
    lots: tuple[Lot, ...] = ()
    late: tuple[str, str] | None = None
    labelled: tuple[Labelled, ...] = ()
    least_rate: float | None = None
    restart: tuple[str, str] | None = None
    note: str = ""


def stratum_name(part_type: str, lighting: str) -> str:
    """`C under white`, `all parts`."""
    return (part_type or "all parts") + (f" under {lighting}" if lighting else "")


def read_settings(folder: Path) -> Settings:
    """What a monitor watches.

    Raises:
        InputError: There is none, or it cannot be read.
    """
    path = folder / SETTINGS_FILE
    try:
        return Settings.model_validate_json(guard.read_bytes(path, "monitor"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("no monitor here", where=folder, fix="make one: tao-skills monitor start FOLDER") from None
    except ValidationError:
        raise InputError("is no monitor of this version", where=path, fix="restore it, or start another") from None


def read_fed(folder: Path, since: int = 0) -> tuple[list[Fed], int, bytes]:
    """What was fed behind the byte `since`, in order, where it ends, and its last line; a torn last line is left out.

    Raises:
        InputError: A line cannot be read.
    """
    path = folder / FED_FILE
    try:
        with guard.open_read(path, RECORD) as handle:
            handle.seek(since)
            data = handle.read()
    except FileNotFoundError:
        return [], 0, b""
    lines = data.split(b"\n")[:-1]
    end = since + sum(len(line) + 1 for line in lines)
    try:
        # In one go: a long history is read where no checkpoint is there.
        fed = msgspec.json.decode(b"[" + b",".join(lines) + b"]", type=list[Fed])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        for n, line in enumerate(lines, start=1):
            try:
                msgspec.json.decode(line, type=Fed)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                where = f"{path} line {n}" if not since else f"{path} line {n} behind byte {since}"
                raise InputError("cannot be read", where=where, fix="restore the file") from None
        raise InputError("cannot be read", where=path, fix="restore the file") from None
    return fed, end, lines[-1] if lines else b""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a monitor; one feeder does.

    Raises:
        BankError: Another one holds it for longer than a minute.
    """
    try:
        with guard.locked(folder / f"{FED_FILE}.lock", timeout=_LOCK_SEC):
            yield
    except Timeout:
        raise BankError("another feeder holds the monitor", where=folder, fix="try again when it is done") from None


def append(folder: Path, line: Fed) -> tuple[int, bytes]:
    """Write a line, whole and synced, or nothing; where it ends, and its bytes. The caller holds the monitor."""
    path = folder / FED_FILE
    torn = last_line(path, RECORD)
    if torn is not None and not torn.endswith(b"\n"):
        move_last_line_aside(path, RECORD)
    written = msgspec.json.encode(line)
    append_bytes(path, written + b"\n")
    return size_of(path, RECORD), written
