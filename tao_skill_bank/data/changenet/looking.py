"""The pictures of a run's sets, looked at: what each file is, and what that means for the rows that name it.

Faults are what TAO refuses late or swallows (a picture that does not decode, values that it cuts off); warnings are
what a person must know before a training (`findings`). Whatever was not looked at is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tao_skill_bank.data.changenet import findings
from tao_skill_bank.data.changenet.images import Placed
from tao_skill_bank.data.changenet.near import near_copies
from tao_skill_bank.data.changenet.picture_set import Files, Finding, PictureSet, most
from tao_skill_bank.data.pictures.look import Looked, look
from tao_skill_bank.data.pictures.memory import Memory

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ids = npt.NDArray[np.int64]


@dataclass
class LookedSets:
    """What looking at the pictures of some sets found.

    Attributes:
        findings: In a fixed order.
        faults: Set → a line for everything that must be fixed before a run.
        pictures: How many different files the rows name.
        looked: The facts of every file, and how many were opened.
        decoded: How many were decoded; the rest by their headers alone.
        matches: Rows with the same picture in two sets: (set, row, set, row), blank ones left out.
    """

    findings: list[Finding]
    faults: dict[str, list[str]]
    pictures: int
    looked: Looked
    decoded: int
    matches: list[tuple[str, int, str, int]] = field(default_factory=list)


def look_at_sets(
    sets: Mapping[str, Placed],
    *,
    decode: bool = True,
    memory: Memory | None = None,
) -> LookedSets:
    """Look at every picture that the rows of some sets name.

    Args:
        sets: Name (`training`, `KPI`, …) → its rows and where their files are.
        decode: Decode them, or read headers alone where a picture was never decoded before.
        memory: What was found out before.
    """
    import pyarrow as pa

    arrays = [array for placed in sets.values() for side in (placed.images, placed.goldens) for array in side.resolved]
    if not arrays:
        return LookedSets([], {}, 0, Looked(), 0)
    encoded = pa.concat_arrays(arrays).dictionary_encode()
    paths: list[str] = encoded.dictionary.to_pylist()
    looked = look(paths, decode=decode, memory=memory)
    files = Files(paths, looked.facts)
    ids = encoded.indices.to_numpy().astype("int64")
    tables: list[PictureSet] = []
    at = 0
    for name, placed in sets.items():
        sides: list[list[Ids]] = []
        for side in (placed.images, placed.goldens):
            lights = []
            for array in side.resolved:
                lights.append(ids[at : at + len(array)])
                at += len(array)
            sides.append(lights)
        tables.append(PictureSet(name, placed, (sides[0], sides[1]), files))
    decoded = int(files.decoded.sum())
    found = LookedSets([], {}, len(paths), looked, decoded)
    for one in tables:
        lines = [*_damaged(one), *_deep(one)]
        if lines:
            found.faults[one.name] = lines
    found.findings = [
        _summary(tables, files, looked, decoded),
        findings.orientation(tables),
        findings.shapes(tables),
        findings.lightings(tables),
        findings.contents(tables),
    ]
    if decoded:
        found.matches = findings.shared_pictures(tables)
        found.findings += [findings.repeated(tables), findings.across(tables, found.matches), near_copies(tables)]
    return found


def _damaged(one: PictureSet) -> list[str]:
    lines = []
    for file in one.used[one.files.fault[one.used]].tolist():
        row, noun, rows = one.place_of(file)
        others = f" (in {rows} rows)" if rows > 1 else ""
        lines.append(f"row {row + 1}: {noun} {one.files.paths[file]} {one.files.facts[file].fault}{others}")
    return lines


def _deep(one: PictureSet) -> list[str]:
    """Values that 8 bits do not hold; and 16-bit colour of which the loaders' upper 8 bits are next to nothing."""
    lines = []
    used, facts = one.used, one.files.facts
    cut = used[one.files.cut_off[used]].tolist()
    fix = "convert them to 8 bits by one scale for all, as tao-skills workspace does"
    if cut:
        highest = max(facts[file].highest or 0 for file in cut)
        lines.append(
            f"{len(cut):,} of {len(used):,} pictures hold values up to {highest}, of which TAO cuts off all above 255, "
            f"first {one.file_at(cut[0])} ({fix})"
        )
    colour = [file for file in used.tolist() if facts[file].mode == "RGB" and facts[file].bits == 16]
    if colour and all((highest := facts[file].highest) is not None and highest < 16 for file in colour):
        lines.append(
            f"{len(colour):,} of {len(used):,} pictures are 16-bit colour of 12 bits or fewer; every loader keeps the "
            f"upper 8, which leaves them black, first {one.file_at(colour[0])} ({fix})"
        )
    return lines


def _summary(tables: Sequence[PictureSet], files: Files, looked: Looked, decoded: int) -> Finding:
    total = len(files.paths)
    sound = int((~files.fault).sum())
    sizes = Counter(f"{f.width} x {f.height}" for f in files.facts if f.fault is None)
    kinds = Counter(f"{f.format} {f.mode}, {f.bits} bit" for f in files.facts if f.fault is None)
    # Not how many were remembered: a person is asked about one text, however often it is planned.
    text = f"{total:,} pictures: {most(sizes)}; {most(kinds)}"
    if looked.problem is not None:
        text += f"; nothing is remembered for the next plan ({looked.problem})"
    if decoded < total:
        missed = total - decoded
        text = (
            f"{text}. {missed:,} were looked at by their headers alone: whether they decode, hold values above 255, or "
            "are the same in two sets was not looked at"
        )
        return Finding("pictures", "warn", text)
    pages = sum(f.pages > 1 for f in files.facts)
    if pages:
        return Finding("pictures", "warn", f"{text}. {pages:,} hold several pictures, of which only the first is read")
    return Finding("pictures", "ok", f"{text}; {sound:,} decode")
