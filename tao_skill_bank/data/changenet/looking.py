"""The pictures of a run's sets, looked at: what each file is, and what that means for the rows that name it.

Faults are what TAO refuses late or swallows (a picture that does not decode, values that it cuts off); warnings are
what a person must know before a training (`findings`). Whatever was not looked at is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet import findings
from tao_skill_bank.data.changenet.images import Placed
from tao_skill_bank.data.changenet.picture_set import POOL, TRAINING, Files, Finding, PictureSet, most
from tao_skill_bank.data.changenet.turned import turned_copies
from tao_skill_bank.data.pictures.look import Looked, look
from tao_skill_bank.data.pictures.memory import Memory
from tao_skill_bank.data.pictures.noise import COPY, GRAIN, middle_of, noise_in_common, texture_in_common

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ids = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float32]


MOST_COMPARED = 400
"""Pairs that are opened again, those first that stand out most among the pictures of their set."""
_ALIKE, _NEAREST = 0.97, 3
_COMMON = 0.98
"""From this likeness to another picture of its own set on, a picture's edges are those of a common shape."""
_SAME_EDGES, _OTHER_EDGES = 0.95, 0.8
_CHUNK = 2048
_NAMED = 3


@dataclass(frozen=True)
class Near:
    """A row whose picture is all but that of a row of an earlier set."""

    name: str
    row: int
    other: str
    there: int


def near_copies(tables: Sequence[PictureSet]) -> Finding:
    """Rows of two sets that show one capture; rows with equal pixels are left out, as they are told as such."""
    found, looked, left, blind = _searched(tables)
    said = f"{looked:,} pictures by the grain of their middle"
    if blind:
        said += f"; {blind:,} more are too smooth or small to tell"
    if left:
        said += f"; of the pairs of one grain only the {MOST_COMPARED:,} most alike were compared, {left:,} were not"
    if not looked:
        return Finding("near copies", "warn", f"not looked for: all {blind:,} pictures are too smooth or small to tell")
    if not found:
        text = f"no picture was found to be another set's, saved anew, brighter or shifted by up to two pixels ({said}"
        text += (
            "; a copy that lost its noise, to JPEG say, shows only where its edges are not its golden's; one that was "
        )
        text += "resized, cropped, or turned and then saved with loss does not show)"
        return Finding("near copies", "ok", text)
    by_name = {one.name: one for one in tables}
    pairs = list({(near.name, near.row): near for near in reversed(found)}.values())[::-1]
    counts = Counter((near.name, near.other) for near in pairs)
    totals = [
        f"{count:,} of {len(by_name[name]):,} {name} pictures are all but those of the {other} set"
        for (name, other), count in counts.items()
    ]
    named = [f"{by_name[n.name].where(n.row)} and {by_name[n.other].where(n.there)}" for n in pairs[:_NAMED]]
    more = f" and {len(pairs) - _NAMED:,} more" if len(pairs) > _NAMED else ""
    fix = "Look at them, and take them out of one set: what a model has seen proves nothing"
    return Finding("near copies", "warn", f"{'; '.join(totals)}: {', '.join(named)}{more} ({said}). {fix}")


def _searched(tables: Sequence[PictureSet]) -> tuple[list[Near], int, int, int]:
    """What was found; how many pictures were looked at; pairs that were not compared; pictures that tell nothing."""
    import numpy as np

    if not tables:
        return [], 0, 0, 0
    files = tables[0].files
    grains, known = _grains(files)
    mine = {one.name: _captures(one) for one in tables}
    every = np.unique(np.concatenate(list(mine.values())))
    usable = {name: ids[known[ids]] for name, ids in mine.items()}
    shared = _equal_elsewhere(files, mine)
    pairs: list[tuple[float, float, PictureSet, int, PictureSet, int]] = []
    for at, one in enumerate(tables):
        own = usable[one.name]
        fresh = own[~shared[own]]
        for other in tables[:at]:
            if {one.name, other.name} == {TRAINING, POOL}:
                continue
            near = list(_nearest(grains, fresh, usable[other.name]))
            held = _closest(grains, [a for _, a, _ in near], own)
            for (score, a, b), common in zip(near, held, strict=True):
                if score > common:
                    pairs.append(((1 - score) / (1 - common), common, one, a, other, b))
    pairs.sort(key=lambda pair: (pair[0], pair[3], pair[5]))
    compared = Comparison(files)
    found: dict[tuple[str, int], Near] = {}
    for _, common, one, a, other, b in pairs[:MOST_COMPARED]:
        row, light = _first(one, a)
        golden = None if common >= _COMMON else int(one.goldens[light][row])
        if compared.one_capture(a, b, golden):
            found.setdefault((one.name, a), Near(one.name, row, other.name, _first(other, b)[0]))
    order = {one.name: at for at, one in enumerate(tables)}
    nears = sorted(found.values(), key=lambda near: (order[near.name], near.row))
    return nears, int(known[every].sum()), max(0, len(pairs) - MOST_COMPARED), int((~known[every]).sum())


class Comparison:
    """Pictures opened again, as few at a time as their pairs need."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._grey = lru_cache(maxsize=64)(self._open)

    def one_capture(self, a: int, b: int, golden: int | None) -> bool:
        """Whether two files show one capture.

        `golden` is that of `a`; None where edges tell nothing.
        """
        first, other = self._grey(a), self._grey(b)
        if first is None or other is None:
            return False
        texture = texture_in_common(first, other)
        if texture is None or texture < COPY:
            return False
        noise = noise_in_common(first, other)
        if noise is not None and not COPY / 2 < noise < COPY:
            return noise >= COPY
        if golden is None or texture < _SAME_EDGES:
            return False
        design = self._grey(golden)
        return design is not None and (texture_in_common(first, design) or 0.0) <= _OTHER_EDGES

    def _open(self, at: int) -> Floats | None:
        from PIL import Image

        from tao_skill_bank.data.pictures.decode import load_rgb

        try:
            picture: Image.Image = load_rgb(Path(self._files.paths[at]))
        except InputError:
            return None
        return middle_of(picture)


def _grains(files: Files) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """[files, GRAIN], and which files have one."""
    import numpy as np

    known = np.array([bool(f.grain) for f in files.facts], dtype=np.bool_)
    nothing = bytes(GRAIN)
    joined = b"".join(f.grain or nothing for f in files.facts)
    return np.frombuffer(joined, np.uint8).reshape(-1, GRAIN), known


def _captures(one: PictureSet) -> Ids:
    import numpy as np

    return np.unique(np.concatenate(one.images))


def _equal_elsewhere(files: Files, mine: dict[str, Ids]) -> npt.NDArray[np.bool_]:
    """Files whose pixels stand in several sets."""
    import numpy as np

    sets = [np.unique(files.pixels[ids]) for ids in mine.values()]
    values, counts = np.unique(np.concatenate(sets), return_counts=True)
    shared: npt.NDArray[np.bool_] = np.isin(files.pixels, values[counts > 1])
    return shared


def _unit(grains: npt.NDArray[np.uint8]) -> Floats:
    import numpy as np

    values = grains.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit: Floats = values / np.maximum(lengths, 1e-6)
    return unit


def _nearest(grains: npt.NDArray[np.uint8], ours: Ids, theirs: Ids) -> Iterator[tuple[float, int, int]]:
    """(Cosine, file, other file) of the few of `theirs` that each of `ours` is most like, where they are alike."""
    import numpy as np

    for start in range(0, len(ours), _CHUNK):
        mine = ours[start : start + _CHUNK]
        unit = _unit(grains[mine])
        best = np.full((len(mine), _NEAREST), -1.0, np.float32)
        which = np.full((len(mine), _NEAREST), -1, np.int64)
        for begin in range(0, len(theirs), _CHUNK):
            others = theirs[begin : begin + _CHUNK]
            scores = np.hstack([best, unit @ _unit(grains[others]).T])
            ids = np.hstack([which, np.broadcast_to(others, (len(mine), len(others)))])
            top = np.argpartition(-scores, _NEAREST - 1, axis=1)[:, :_NEAREST]
            best, which = np.take_along_axis(scores, top, 1), np.take_along_axis(ids, top, 1)
        for row, place in zip(*np.nonzero(best >= _ALIKE), strict=True):
            yield float(best[row, place]), int(mine[row]), int(which[row, place])


def _closest(grains: npt.NDArray[np.uint8], asked: Sequence[int], own: Ids) -> list[float]:
    """How much those files are like that other file of their set which they are most like: -1 to 1."""
    import numpy as np

    out: list[float] = []
    for start in range(0, len(asked), _CHUNK):
        mine = np.array(asked[start : start + _CHUNK], np.int64)
        unit, best = _unit(grains[mine]), np.full(len(mine), -1.0)
        for begin in range(0, len(own), _CHUNK):
            others = own[begin : begin + _CHUNK]
            scores = unit @ _unit(grains[others]).T
            scores[mine[:, None] == others[None, :]] = -1.0
            best = np.maximum(best, scores.max(axis=1))
        out += best.tolist()
    return out


def _first(one: PictureSet, file: int) -> tuple[int, int]:
    """The first row and lighting of a set whose picture a file is."""
    import numpy as np

    places = [(int(rows[0]), light) for light, ids in enumerate(one.images) if len(rows := np.flatnonzero(ids == file))]
    return min(places)


@dataclass
class LookedSets:
    """What looking at the pictures of some sets found.

    Attributes:
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
        _summary(files, looked, decoded),
        findings.orientation(tables),
        findings.shapes(tables),
        findings.kinds(tables),
        findings.lightings(tables),
        findings.contents(tables),
    ]
    if decoded:
        found.matches = findings.shared_pictures(tables)
        across = findings.across(tables, found.matches, turned_copies(tables))
        found.findings += [findings.repeated(tables), across, near_copies(tables)]
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


def _summary(files: Files, looked: Looked, decoded: int) -> Finding:
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
