"""Holding an RCA report against the files it was rendered from."""

from __future__ import annotations

import re
from pathlib import Path

from tao_skill_bank.actions.gap_analysis.vcn_aoi import BREAKDOWN, GAPS, METRICS, THRESHOLD, UNREACHABLE
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.core.text import listed
from tao_skill_bank.reports.rca import tables as rca_tables
from tao_skill_bank.reports.rca.data import IMAGES, REPORT, SPOT_CHECK, RcaData, load_rca
from tao_skill_bank.reports.rca.text import (
    FEWEST_WORDS,
    HEADINGS,
    MOST_WORDS,
    SPOT_CHECK_OPEN,
    UNREACHABLE_HEADINGS,
    heading,
    rows_shown,
)

_THRESHOLD = re.compile(r"threshold:? `([^`]+)`", re.IGNORECASE)
_IMAGE = re.compile(rf"\]\({IMAGES}/([^)]+)\)")


def check_rca(folder: Path) -> list[str]:
    """Everything that is wrong with an RCA folder, a line each; nothing where the report may be passed on.

    Checked: the files are there; `metrics.json` has its keys; the headings stand in their order; the length; sections
    1 and 2 name the threshold of `metrics.json`; every table says what the data says; every label stands with its
    count; every picture that is named is there.
    """
    faults = [f"{name}: missing" for name in _expected(folder) if not guard.is_file(folder / name)]
    if faults:
        return faults
    try:
        data = load_rca(folder)
    except InputError as error:
        return [error.line()]
    text = guard.read_text(folder / REPORT)
    names = HEADINGS if data.metrics is not None else UNREACHABLE_HEADINGS
    faults += _headings(text, names)
    if data.metrics is None:
        quoted = [line.removeprefix(">").strip() for line in text.splitlines() if line.startswith(">")]
        wanted = [line.strip() for line in data.unreachable.splitlines()]
        return faults + ([] if quoted == wanted else [f"{REPORT}: does not quote {UNREACHABLE}"])
    words = len(text.split())
    if not FEWEST_WORDS <= words <= MOST_WORDS:
        faults.append(f"{REPORT}: {words} words, not {FEWEST_WORDS} to {MOST_WORDS}")
    faults += _thresholds(text, data, folder)
    faults += _tables(text, data)
    faults += _labels(text, data)
    if not data.open_spots and SPOT_CHECK_OPEN in text:
        faults.append(f"{REPORT}: section 7 still asks for the spot check, whose verdicts are all set")
    pictures = {*_IMAGE.findall(text), *(s.image for s in data.spots if s.image)}
    faults += [f"{IMAGES}/{name}: missing" for name in sorted(pictures) if not guard.is_file(folder / IMAGES / name)]
    return faults


def open_verdicts(folder: Path) -> list[str]:
    """The pictures of the spot check that have no verdict yet, by name: until there is none nobody has looked.

    Raises:
        InputError: A folder that cannot be read as an analysis.
    """
    return [spot.image for spot in load_rca(folder).open_spots]


def require_finished(folder: Path) -> None:
    """Refuse an RCA folder that does not pass its check, or whose spot check is open.

    Raises:
        InputErrors: With a line for every fault.
        InputError: Pictures without a verdict.
    """
    require_sound(folder)
    waiting = open_verdicts(folder)
    if waiting:
        total = len(load_rca(folder).spots)
        raise InputError(
            f"the numbers are right, but {len(waiting)} of {total} spot-check verdicts are open: {listed(waiting, 3)}",
            where=folder,
            fix="look at each picture in rca_images/ and set `tao-skills rca verdict IMAGE VERDICT`",
        )


def require_sound(folder: Path) -> None:
    """Refuse an RCA folder that does not pass its check.

    Raises:
        InputErrors: With a line for every fault.
    """
    faults = check_rca(folder)
    if faults:
        what = faults[0] if len(faults) == 1 else f"{len(faults)} faults in the report"
        raise InputErrors(what, faults, where=folder, fix="mend the report, or make it anew with `tao-skills rca vcn`")


def _expected(folder: Path) -> tuple[str, ...]:
    if guard.is_file(folder / UNREACHABLE):
        return (REPORT,)
    return (REPORT, GAPS, THRESHOLD, METRICS, BREAKDOWN, SPOT_CHECK)


def _headings(text: str, names: tuple[str, ...]) -> list[str]:
    found = [line for line in text.splitlines() if line.startswith("## ")]
    wanted = [heading(i, names) for i in range(1, len(names) + 1)]
    if found == wanted:
        return []
    absent = [name for name in wanted if name not in found]
    if absent:
        return [f"{REPORT}: no heading {name!r}" for name in absent]
    return [f"{REPORT}: the headings are not {len(wanted)} in their order"]


def _section(text: str, number: int) -> str:
    start = text.find(f"{heading(number)}\n")
    end = text.find(f"{heading(number + 1)}\n") if number < len(HEADINGS) else len(text)
    return text[start : end if end > start else len(text)] if start >= 0 else ""


def _thresholds(text: str, data: RcaData, folder: Path) -> list[str]:
    assert data.metrics is not None
    right = repr(data.metrics.threshold)
    faults = []
    for number in (1, 2):
        found = set(_THRESHOLD.findall(_section(text, number)))
        if found != {right}:
            shown = ", ".join(sorted(found)) or "none"
            faults.append(f"{REPORT}: section {number} names the threshold {shown}, {METRICS} says {right}")
    if guard.read_text(folder / THRESHOLD).strip() != right:
        faults.append(f"{THRESHOLD}: is not the threshold of {METRICS}, {right}")
    return faults


def _tables(text: str, data: RcaData) -> list[str]:
    """Each table must stand in the report line by line as the data renders it."""
    lines = text.splitlines()
    faults = []
    for name, table in rca_tables.all_tables(data, rows_shown(text)).items():
        wanted = table.splitlines()
        if "\n" + table + "\n" in "\n" + text:
            continue
        starts = [i for i, line in enumerate(lines) if line == wanted[0]]
        if not starts:
            faults.append(f"{REPORT}: the table {name!r} is missing")
            continue
        there = lines[starts[0] : starts[0] + len(wanted)] + [""] * len(wanted)
        row = next((i for i, line in enumerate(wanted) if there[i] != line), None)
        if row is None:
            faults.append(f"{REPORT} line {starts[0] + len(wanted) + 1}: the table {name!r} has rows too many")
        else:
            faults.append(f"{REPORT} line {starts[0] + row + 1}: the table {name!r} must say {wanted[row]!r}")
    return faults


def _labels(text: str, data: RcaData) -> list[str]:
    assert data.metrics is not None
    section = _section(text, 6)
    return [
        f"{REPORT}: section 6 does not name the label {name} with its count {x.count}"
        for name, x in data.metrics.per_label.items()
        if f"| {rca_tables.cell(name)} | {x.count} |" not in section
        and f"{rca_tables.cell(name)}: {x.count}" not in section
    ]
