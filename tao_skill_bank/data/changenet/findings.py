"""What the pictures of a run's sets show that a person must know before a training; each says what it looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tao_skill_bank.data.changenet.labels import PASS
from tao_skill_bank.data.changenet.picture_set import POOL, TRAINING, Finding, PictureSet, by_set, number, pairs
from tao_skill_bank.data.pictures.facts import UPRIGHT, Facts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tao_skill_bank.data.changenet.turned import Turned

    Flags = npt.NDArray[np.bool_]


def orientation(tables: Sequence[PictureSet]) -> Finding:
    """EXIF tags that no loader applies; where picture and golden differ by theirs they do not lie on each other."""
    turned, apart = Counter[str](), Counter[str]()
    first = ""
    for one in tables:
        orientation = one.files.orientation
        mine = one.used[orientation[one.used] != UPRIGHT]
        if len(mine) == 0:
            continue
        turned[one.name] = len(mine)
        first = first or one.file_at(int(mine[0]))
        pairs = zip(one.images, one.goldens, strict=True)
        apart[one.name] = sum(int((orientation[image] != orientation[golden]).sum()) for image, golden in pairs)
    if not turned:
        return Finding("orientation", "ok", f"no EXIF orientation in {number(tables)} pictures")
    pairs_text = (
        f"; in {apart.total():,} pairs picture and golden differ by it and do not lie on each other"
        if apart.total()
        else "; pictures and goldens agree in it"
    )
    return Finding(
        "orientation",
        "warn",
        f"{turned.total():,} pictures ({by_set(turned)}) carry an EXIF orientation, which neither TAO's loader nor "
        f"the local network applies: both see them as they are stored{pairs_text}. First {first}. Store them upright "
        "(tao-skills workspace does)",
    )


def shapes(tables: Sequence[PictureSet]) -> Finding:
    """Picture and golden are resized to one square each: of different shapes they do not lie on each other."""
    odd = Counter[str]()
    first = ""
    for one in tables:
        for image, golden in zip(one.images, one.goldens, strict=True):
            ours, theirs = one.files.size[image], one.files.size[golden]
            both = ~(one.files.fault[image] | one.files.fault[golden])
            cross = ours[:, 0] * theirs[:, 1], ours[:, 1] * theirs[:, 0]
            wrong = both & (abs(cross[0] - cross[1]) * 50 > cross[1])
            if wrong.any():
                odd[one.name] += int(wrong.sum())
                row = int(wrong.argmax())
                first = first or (
                    f"{one.where(row)}, {ours[row, 0]} x {ours[row, 1]} beside {theirs[row, 0]} x {theirs[row, 1]}"
                )
    if not odd:
        return Finding("shapes", "ok", f"picture and golden have one shape in {pairs(tables)} pairs")
    return Finding(
        "shapes",
        "warn",
        f"in {odd.total():,} pairs ({by_set(odd)}) picture and golden differ in shape, and are squeezed to one size "
        f"before they are compared. First {first}. Crop them alike",
    )


def kinds(tables: Sequence[PictureSet]) -> Finding:
    """Pictures without colour, of 1 bit or of a palette among others: a model may learn how they were stored."""
    odd: list[str] = []
    looked = 0
    known = dict[tuple[str, int], str]()
    for light in range(max((len(one.images) for one in tables), default=0)):
        for noun, side in (("captures", "images"), ("goldens", "goldens")):
            counts, by_name = Counter[str](), dict[str, Counter[str]]()
            first = dict[str, str]()
            for one in tables:
                sides: list[npt.NDArray[np.int64]] = getattr(one, side)
                files = dict.fromkeys(sides[light].tolist()) if light < len(sides) else {}
                mine = by_name.setdefault(one.name, Counter[str]())
                for file in files:
                    kind = _kind(one.files.facts[file])
                    if kind:
                        mine[kind] += 1
                        first.setdefault(kind, one.file_at(file))
                counts += mine
            looked += counts.total()
            if not counts:
                continue
            (usual, _), *others = counts.most_common()
            known[side, light] = usual
            for kind, count in others:
                where = by_set(Counter({name: found[kind] for name, found in by_name.items()}))
                odd.append(
                    f"{count:,} {noun} are {kind} among {counts[usual]:,} that are {usual} ({where}), {first[kind]}"
                )
            if side == "goldens" and known.get(("images", light), usual) != usual:
                odd.append(f"goldens are {usual}, their captures {known['images', light]}")
    if not odd:
        told = " and ".join(dict.fromkeys(known.values())) or "none"
        return Finding("kinds", "ok", f"captures and goldens are of one kind ({told}; {looked:,} looked at)")
    more = f"; and {len(odd) - _MOST_KINDS} more" if len(odd) > _MOST_KINDS else ""
    fix = "Store all alike: a model may tell parts by how they were stored"
    return Finding("kinds", "warn", f"{'; '.join(odd[:_MOST_KINDS])}{more}. {fix}")


_MOST_KINDS = 4


def _kind(facts: Facts) -> str:
    """How a picture is stored; empty where that says nothing: one colour all over, or no picture at all."""
    if facts.fault is not None or facts.blank:
        return ""
    if facts.mode == "1":
        return "1-bit"
    if facts.mode.startswith("P"):
        return "of a palette"
    return "grey" if facts.grey or facts.mode.startswith(("L", "I", "F")) else "in colour"


def lightings(tables: Sequence[PictureSet]) -> Finding:
    """One lighting's picture under two names, or two pictures whose goldens lie under each other's name."""
    import numpy as np

    lights = max((len(one.images) for one in tables), default=1)
    if lights < 2:
        return Finding("lightings", "ok", "one lighting")
    twice, swapped = Counter[str](), Counter[str]()
    first = ""
    for one in tables:
        files, images = one.files, one.images
        same = np.zeros(len(one), dtype=np.bool_)
        for a in range(len(images)):
            for b in range(a):
                equal = files.pixels[images[a]] == files.pixels[images[b]]
                same |= equal & files.decoded[images[a]] & ~files.blank[images[a]]
        wrong = _nearer_to_another(one) & ~same
        twice[one.name], swapped[one.name] = int(same.sum()), int(wrong.sum())
        if (same | wrong).any():
            first = first or one.where(int((same | wrong).argmax()))
    if not twice.total() and not swapped.total():
        looked = int(tables[0].files.decoded.sum())
        text = f"{lights} lightings a part, told apart in {looked:,} decoded pictures"
        return Finding("lightings", "ok", text if looked else f"{lights} lightings a part; not told apart by headers")
    said = []
    if twice.total():
        said.append(f"{twice.total():,} parts have the same picture under two lightings ({by_set(twice)})")
    if swapped.total():
        said.append(
            f"{swapped.total():,} parts have a picture that looks like the golden of another lighting "
            f"({by_set(swapped)})"
        )
    return Finding("lightings", "warn", f"{'; '.join(said)}. First {first}. Check the names of its files")


def _nearer_to_another(one: PictureSet) -> Flags:
    """Rows with a picture that is far nearer to the golden of another lighting than to its own."""
    import numpy as np

    thumbs = one.files.thumbs
    images = np.stack([thumbs[ids] for ids in one.images]).astype(np.float32)
    goldens = np.stack([thumbs[ids] for ids in one.goldens]).astype(np.float32)
    usable = np.all([one.files.decoded[ids] & ~one.files.fault[ids] for ids in (*one.images, *one.goldens)], axis=0)
    wrong = np.zeros(len(one), dtype=np.bool_)
    for light in range(len(images)):
        own = np.abs(images[light] - goldens[light]).mean(axis=1)
        others = [np.abs(images[light] - goldens[x]).mean(axis=1) for x in range(len(images)) if x != light]
        wrong |= (own > _FAR_GREY) & (np.min(others, axis=0) < own / 3)
    found: Flags = wrong & usable
    return found


_FAR_GREY = 12.0


def contents(tables: Sequence[PictureSet]) -> Finding:
    """Black captures, and rows labelled as a defect whose picture is its golden."""
    import numpy as np

    black, same = Counter[str](), Counter[str]()
    first = ""
    for one in tables:
        files = one.files
        dark = np.zeros(len(one), dtype=np.bool_)
        equal = np.ones(len(one), dtype=np.bool_)
        for image, golden in zip(one.images, one.goldens, strict=True):
            dark |= files.black[image] & (files.thumbs[golden].mean(axis=1) > _FAR_GREY)
            equal &= (files.pixels[image] == files.pixels[golden]) & (files.pixels[image] >= 0)
        defect = np.array([label != PASS for label in one.labels], dtype=np.bool_)
        no_defect = equal & defect
        black[one.name], same[one.name] = int(dark.sum()), int(no_defect.sum())
        if (dark | no_defect).any():
            row = int((dark | no_defect).argmax())
            first = first or f"{one.where(row)}: {files.paths[int(one.images[0][row])]}"
    if not black.total() and not same.total():
        decoded = int(tables[0].files.decoded.sum())
        return Finding("contents", "ok", f"no black capture, no defect that is its own golden ({decoded:,} decoded)")
    said = []
    if black.total():
        said.append(f"{black.total():,} captures are black beside a golden that is not ({by_set(black)})")
    if same.total():
        said.append(f"{same.total():,} rows labelled as a defect show their golden, pixel for pixel ({by_set(same)})")
    return Finding("contents", "warn", f"{'; '.join(said)}. First {first}. Check or remove these rows")


def _samples(one: PictureSet) -> list[tuple[int, ...] | None]:
    """What the captures of each row show, over all lightings; None where they are blank or were not decoded."""
    import numpy as np

    codes = np.stack([one.files.pixels[ids] for ids in one.images], axis=1)
    blank = np.all([one.files.blank[ids] for ids in one.images], axis=0)
    usable = (codes >= 0).all(axis=1) & ~blank
    return [tuple(row) if use else None for row, use in zip(codes.tolist(), usable.tolist(), strict=True)]


def shared_pictures(tables: Sequence[PictureSet]) -> list[tuple[str, int, str, int]]:
    """(set, row, other set, its first row) of rows that show, in every lighting, what a row of an earlier set shows.

    Rows that are the very same file are left out: those are leaks, told by their path. Blank captures are left out as
    well: a crop of bare board looks the same on every board.
    """
    found: list[tuple[str, int, str, int]] = []
    seen: list[tuple[PictureSet, dict[tuple[int, ...], int]]] = []
    for one in tables:
        mine: dict[tuple[int, ...], int] = {}
        for row, sample in enumerate(_samples(one)):
            if sample is None:
                continue
            mine.setdefault(sample, row)
            for other, theirs in seen:
                at = theirs.get(sample)
                if at is not None and any(a[row] != b[at] for a, b in zip(one.images, other.images, strict=True)):
                    found.append((one.name, row, other.name, at))
        seen.append((one, mine))
    return found


def repeated(tables: Sequence[PictureSet]) -> Finding:
    """Rows of one set that show the same pair; under two labels one of them is wrong."""
    repeated, torn = Counter[str](), Counter[str]()
    first = ""
    for one in tables:
        import numpy as np

        goldens = np.stack([one.files.pixels[ids] for ids in one.goldens], axis=1).tolist()
        known: dict[tuple[int, ...], int] = {}
        for row, sample in enumerate(_samples(one)):
            if sample is None:
                continue
            at = known.setdefault((*sample, *goldens[row]), row)
            if at == row:
                continue
            repeated[one.name] += 1
            if one.labels[at] != one.labels[row]:
                torn[one.name] += 1
                first = first or (
                    f"{one.where(at)} is {one.labels[at]!r}, row {row + 1} shows the same and is {one.labels[row]!r}"
                )
    rows = sum(len(one) for one in tables)
    if torn.total():
        text = (
            f"{torn.total():,} rows show, pixel for pixel, what another row of their set shows under another label "
            f"({by_set(torn)}). First {first}. One of the two labels is wrong"
        )
        return Finding("repeated rows", "warn", text)
    if repeated.total():
        text = f"{repeated.total():,} of {rows:,} rows repeat another row of their set ({by_set(repeated)})"
        return Finding("repeated rows", "warn", f"{text}: they count twice. Remove them")
    return Finding(
        "repeated rows", "ok", f"none of {rows:,} rows shows what another of its set shows (blank ones aside)"
    )


def across(tables: Sequence[PictureSet], matches: Sequence[tuple[str, int, str, int]], turned: Turned) -> Finding:
    """Rows of two sets that show the same, over all lightings, and captures that do so turned or mirrored."""
    blank = sum(sum(sample is None for sample in _samples(one)) for one in tables)
    rows = sum(len(one) for one in tables)
    aside = f"{blank:,} blank captures aside" if blank else "no capture is blank"
    aside += f"; {turned.blind:,} of too few grey values to tell a turned one" if turned.blind else ""
    aside += f"; {turned.left:,} that may be turned ones were not compared" if turned.left else ""
    equal, serious = _between(tables, matches, _EQUAL)
    mirrored, grave = _between(tables, turned.matches, "are, turned or mirrored, those of")
    said = [*equal, *mirrored]
    if not said:
        text = f"none of {rows:,} rows shows, pixel for pixel, what a row of another set shows"
        text = f"{text}, nor turned or mirrored ({aside})"
        return Finding("equal pictures", "ok", text)
    text = f"{'; '.join(said)} ({aside})"
    if not serious and not grave:
        return Finding("equal pictures", "ok", text)
    fix = "Take them out of one set: what a model has seen, or another set has measured, proves nothing more"
    return Finding("equal pictures", "warn", f"{text}. {fix}")


def _between(
    tables: Sequence[PictureSet], matches: Sequence[tuple[str, int, str, int]], are: str
) -> tuple[list[str], bool]:
    """What two sets have in common, a text a pair of sets; whether it makes a figure worth less."""
    between: dict[tuple[str, str], set[int]] = {}
    firsts: dict[tuple[str, str], str] = {}
    by_name = {one.name: one for one in tables}
    for name, row, other, there in matches:
        between.setdefault((name, other), set()).add(row)
        firsts.setdefault((name, other), f"{by_name[name].where(row)} and {by_name[other].where(there)}")
    said, serious = [], False
    for (name, other), found in between.items():
        if {name, other} == {TRAINING, POOL}:
            continue
        text = f"{len(found):,} of {len(by_name[name]):,} {name} pictures {are} the {other} set"
        if name == POOL and are == _EQUAL:
            text += " and are never mined"
        elif name == POOL or other == TRAINING or len(found) * _SELDOM > len(by_name[name]):
            serious = True
        said.append(f"{text}, first {firsts[name, other]}")
    return said, serious


_EQUAL = "are pixel for pixel those of"
_SELDOM = 100
"""Evaluation sets that share no more than one picture in so many are not warned of."""
