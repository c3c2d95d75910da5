"""What a monitor knows after everything that was fed: folded line by line out of the record, and kept as a checkpoint.

The record is the truth. `checkpoint.json` is what it came to up to some line, so that a feed reads what was appended
since and no more; where it is missing, torn, of another version or of another record, everything is folded again.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from tao_skill_bank.assurance.monitor_record import (
    FED_FILE,
    RECORD,
    Fed,
    Labelled,
    Lot,
    Settings,
    Sizes,
    read_fed,
    sizes_of,
)
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.appended import last_line
from tao_skill_bank.metrics.drift import FloatArray, rank_score, rank_scores

CHECKPOINT_FILE = "checkpoint.json"
KEPT = 2048
"""After twice as many lots the last of them are the reference of what follows, so that a look costs what it did."""
_VERSION = 2


class History(msgspec.Struct):
    """One part type and lighting since it began or was begun anew.

    Attributes:
        part_type, lighting: Empty where they are not told apart.
        lots, parts, flagged, small, drawn: Counts; the last two of lots.
        small_since: Lots that were too small, since the last one that was not.
        fed: Names of all its lots, those before a restart as well.
        sizes: Of the lots that are held against each other; None while the reference is gathered.
        reference_parts: Of the lots of the reference until then.
        first: How many of the lots below are the reference.
        names: Of the lots that are held against each other.
        statistics: How many a lot has.
        table: Of each lot these, tie-breaks and normal scores, float64 [lots, 3 * statistics], little-endian.
        last: The last lot that was tested.
        over: The logarithm of its evidence over the limit at it.
        alarm: The first lot that passed its limit.
        newest: The lot that was fed last.
    """

    part_type: str
    lighting: str
    fed: set[str]
    statistics: int = 2
    lots: int = 0
    parts: int = 0
    flagged: int = 0
    small: int = 0
    drawn: int = 0
    small_since: int = 0
    sizes: Sizes | None = None
    reference_parts: list[int] = []
    first: int = 0
    names: list[str] = []
    table: bytes = b""
    last: Lot | None = None
    over: float = 0.0
    alarm: Lot | None = None
    newest: str = ""

    @property
    def stratum(self) -> tuple[str, str]:
        """Part type and lighting."""
        return self.part_type, self.lighting

    @property
    def rows(self) -> FloatArray:
        """The table, float64 [lots, 3 * statistics]."""
        return np.frombuffer(self.table, dtype="<f8").reshape(-1, 3 * self.statistics)

    @property
    def scores(self) -> FloatArray:
        """The normal score of each lot among those up to it, float64 [statistics, lots]."""
        return self.rows[:, -self.statistics :].T

    def score(self, values: tuple[float, ...], ties: tuple[float, ...]) -> FloatArray:
        """The normal scores of a lot behind these, float64 [statistics]."""
        k, rows = self.statistics, self.rows
        return rank_score(np.vstack([rows[:, :k], values]).T, np.vstack([rows[:, k : 2 * k], ties]).T)

    def add(self, lot: Lot, settings: Settings, strata: int) -> None:
        """Take in a lot, of a monitor that knew so many strata when it was fed."""
        self.fed.add(lot.lot)
        self.newest = lot.lot
        self.lots += 1
        self.parts += lot.parts
        self.flagged += lot.flagged
        self.drawn += lot.drawn > 0
        if lot.small:
            self.small += 1
            self.small_since += 1
            return
        self.small_since = 0
        self._hold(lot)
        if self.sizes is None:
            self.reference_parts.append(lot.parts)
            if len(self.reference_parts) == settings.reference_lots:
                self._held_against_each_other(sizes_of(self.reference_parts))
        elif len(self.names) >= 2 * max(KEPT, settings.reference_lots):
            self._again(np.arange(len(self.names) // 2, len(self.names)))
        if lot.log_evidence is not None:
            self.last = lot
            self.over = max(lot.log_evidence) - math.log(settings.limit(strata))
            if self.alarm is None and self.over >= 0:
                self.alarm = lot

    def _hold(self, lot: Lot) -> None:
        row = np.array([*lot.values, *lot.ties, *self.score(lot.values, lot.ties)], dtype="<f8")
        self.table += row.tobytes()
        self.names.append(lot.lot)

    def _held_against_each_other(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._again(np.flatnonzero([sizes.least <= parts <= sizes.most for parts in self.reference_parts]))

    def _again(self, kept: npt.NDArray[np.intp]) -> None:
        """Rank these lots alone, as the reference of what follows."""
        k = self.statistics
        rows, names = self.rows[kept], [self.names[at] for at in kept.tolist()]
        rows[:, 2 * k :] = rank_scores(rows[:, :k].T, rows[:, k : 2 * k].T).T
        self.names, self.table = names, rows.tobytes()
        self.first = len(names)


class Stretch(msgspec.Struct):
    """Judged parts since the smallest rate of drawing was last seen to fall, which it did to `least`."""

    least: float
    groups: list[Labelled] = []

    def add(self, found: Labelled) -> None:
        """Count parts in, with those that are alike."""
        for k, group in enumerate(self.groups):
            if (group.rate, group.good, group.flagged) == (found.rate, found.good, found.flagged):
                self.groups[k] = msgspec.structs.replace(group, parts=group.parts + found.parts)
                return
        self.groups.append(found)


class State(msgspec.Struct):
    """All that a monitor knows.

    Attributes:
        settings: SHA-256 of the settings that it was folded with.
        statistics: How many a lot has.
        end: Up to which byte of the record.
        last_line: SHA-256 of the line that ends there: another record has another one.
        digests: Of the files that were fed.
        parts, flagged: Counts, those before a restart as well.
        strata: In the order in which they came.
    """

    settings: str
    statistics: int = 2
    version: int = _VERSION
    end: int = 0
    last_line: str = ""
    digests: set[str] = set()
    lots: set[str] = set()
    parts: int = 0
    flagged: int = 0
    strata: list[History] = []
    stretches: list[Stretch] = []

    def history(self, part_type: str, lighting: str) -> History:
        """That of a stratum; a new one where it is not known."""
        for found in self.strata:
            if found.stratum == (part_type, lighting):
                return found
        return History(part_type, lighting, set(), self.statistics)

    def add(self, line: Fed, settings: Settings) -> None:
        """Take in a line of the record."""
        if line.sha256:
            self.digests.add(line.sha256)
        for at, known in enumerate(self.strata):
            if known.stratum == line.restart:
                self.strata[at] = History(*known.stratum, known.fed, self.statistics)
        for lot in line.lots:
            self.add_lot(lot, settings)
        if line.labelled:
            # What was fed before the smallest rate was recorded has that of its judged parts alone.
            lowest = min([line.least_rate or 1.0, *(group.rate for group in line.labelled)])
            if not self.stretches or lowest < self.stretches[-1].least:
                self.stretches.append(Stretch(lowest))
            for group in line.labelled:
                self.stretches[-1].add(group)

    def add_lot(self, lot: Lot, settings: Settings) -> None:
        """Take in one lot."""
        self.lots.add(lot.lot)
        self.parts += lot.parts
        self.flagged += lot.flagged
        history = self.history(*lot.stratum)
        if not any(known is history for known in self.strata):
            self.strata.append(history)
        history.add(lot, settings, len(self.strata))


def read_state(folder: Path, settings: Settings) -> State:
    """What a monitor knows; a torn last line of its record is left out.

    Raises:
        InputError: A line of the record cannot be read.
    """
    state = _checkpoint(folder, settings)
    fed, end, last = read_fed(folder, state.end)
    for line in fed:
        state.add(line, settings)
    state.end = end
    if last:
        state.last_line = fsio.sha256_text(last.decode())
    return state


def keep(folder: Path, state: State, end: int, line: bytes) -> None:
    """Write the checkpoint after a line that ends at a byte of the record; the caller holds the monitor.

    Where it cannot be written, the next one folds what was appended.
    """
    state.end, state.last_line = end, fsio.sha256_text(line.decode())
    with contextlib.suppress(OSError):
        fsio.write_bytes(folder / CHECKPOINT_FILE, msgspec.json.encode(state))


def _checkpoint(folder: Path, settings: Settings) -> State:
    """The last one that is of this record, or nothing."""
    digest = fsio.sha256_text(settings.model_dump_json())
    try:
        found = msgspec.json.decode(guard.read_bytes(folder / CHECKPOINT_FILE, "checkpoint of a monitor"), type=State)
        if (found.version, found.settings) == (_VERSION, digest) and _ends_there(folder, found):
            return found
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        pass
    return State(digest, len(settings.statistics))


def _ends_there(folder: Path, state: State) -> bool:
    """Whether the record has the line that the checkpoint ends with, where it ends."""
    found = last_line(folder / FED_FILE, RECORD, before=state.end)
    return found is not None and found.endswith(b"\n") and fsio.sha256_text(found[:-1].decode()) == state.last_line
