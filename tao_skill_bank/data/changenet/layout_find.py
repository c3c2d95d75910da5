"""Parts out of folders of pictures: what belongs together, by label, name and lighting, and what is lacking."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.labels import PASS, says_good

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Sample:
    """One part: its capture and golden of every lighting, under names that do not change.

    Attributes:
        label: `PASS` or a defect name in lower case.
        folder: Where its captures lie below the pictures folder, label first, `/` between.
        name: File name without lighting and extension.
        board: What must not be shared between two sets.
        captures: One file a lighting.
        goldens: One file a lighting.
    """

    label: str
    folder: str
    name: str
    board: str
    captures: tuple[Path, ...]
    goldens: tuple[Path, ...]


@dataclass
class Found:
    """The parts that are whole, and what could not be made a part of: a line each.

    Attributes:
        samples: Parts with a picture and a golden for every lighting.
        unlit: Files whose name ends in no lighting.
        incomplete: Parts that lack a picture or a golden of a lighting they have otherwise.
        without_golden: Parts without any golden.
        doubled: Pictures that another format has too.
        two_goldens: Parts with two goldens of one name.
        flat: Some part lies in the folder of its label itself.
    """

    samples: list[Sample] = field(default_factory=list)
    unlit: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    without_golden: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    two_goldens: list[str] = field(default_factory=list)
    flat: bool = False


def walk(folder: Path, *, aside: Path) -> dict[str, Path]:
    """Every picture below a folder by its path there with `/` between, in order, but for those below `aside`."""
    found: dict[str, Path] = {}
    apart = aside.resolve()

    def enter(here: Path, within: str, above: frozenset[Path]) -> None:
        real = here.resolve()
        # A link that leads back to a folder it lies in would be walked for ever.
        if real == apart or real in above:
            return
        for entry in list(os.scandir(here)):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                enter(here / entry.name, f"{within}{entry.name}/", above | {real})
            elif Path(entry.name).suffix.lower() in PICTURES:
                found[within + entry.name] = here / entry.name

    enter(folder, "", frozenset())
    return dict(sorted(found.items()))


def not_text(names: Iterable[str]) -> list[str]:
    """What the CSVs cannot hold, made readable."""
    return [
        name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        for name in names
        if not name.isascii() and any("\udc80" <= c <= "\udcff" for c in name)
    ]


def find_samples(
    files: dict[str, Path], goldens: dict[str, Path], lightings: Sequence[str], board: re.Pattern[str] | None
) -> Found:
    """Parts out of pictures and goldens, both as `walk` gives them.

    Args:
        files: Captures, `LABEL/…/NAME_LIGHT.png`.
        goldens: Goldens.
        lightings: How names end; empty: one picture a part.
        board: What finds a part's board in `LABEL/…/NAME`; None: its folder below the label, else itself.

    Raises:
        InputError: A part whose board cannot be found.
    """
    known, doubled = _by_stem(goldens)
    parts: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    found = Found()
    for shown, path in files.items():
        place = PurePosixPath(shown)
        stem, light = _split(place.stem, lightings)
        if len(place.parts) == 1:
            continue
        if light is None:
            found.unlit.append(f"{shown} ends in none of {', '.join(lightings)}")
            continue
        if light in parts[str(place.parent), stem]:
            found.doubled.append(shown)
        parts[str(place.parent), stem][light] = path
    lights = tuple(lightings) or ("",)
    for (folder, name), captures in parts.items():
        lacking = [light for light in lights if light not in captures]
        label, *below = folder.split("/")
        matching = [_golden(known, label, "/".join(below), name, light) for light in lights]
        dark = [light for light, golden in zip(lights, matching, strict=True) if golden is None]
        if len(dark) == len(lights):
            found.without_golden.append(f"{folder}/{name}")
        elif lacking or dark:
            said = [f"no picture of {', '.join(lacking)}"] if lacking else []
            said += [f"no golden of {', '.join(dark)}"] if dark else []
            found.incomplete.append(f"{folder}/{name} has {' and '.join(said)}")
        elif not doubled.isdisjoint(path for path in matching if path is not None):
            found.two_goldens.append(f"{folder}/{name}")
        else:
            found.flat |= not below
            found.samples.append(
                Sample(
                    label=label_of(label),
                    folder=folder,
                    name=name,
                    board=_board(board, folder, name, "/".join(below)),
                    captures=tuple(captures[light] for light in lights),
                    goldens=tuple(path for path in matching if path is not None),
                )
            )
    return found


def label_of(folder: str) -> str:
    """`PASS` for `ok`, `Good`, `PASS`; else the folder's name as TAO wants a label: lower case, no spaces."""
    return PASS if says_good(folder) else re.sub(r"\s+", "_", folder.strip().lower())


def _by_stem(files: dict[str, Path]) -> tuple[dict[str, Path], set[Path]]:
    """Files without their extension, and those of them that stand for several."""
    known: dict[str, Path] = {}
    doubled: set[Path] = set()
    for name, path in files.items():
        if known.setdefault(str(PurePosixPath(name).with_suffix("")), path) is not path:
            doubled.add(known[str(PurePosixPath(name).with_suffix(""))])
    return known, doubled


def _split(stem: str, lightings: Sequence[str]) -> tuple[str, str | None]:
    """Name and lighting of a file; no lightings: the whole name and an empty one."""
    if not lightings:
        return stem, ""
    fitting = [x for x in lightings if stem.endswith(f"_{x}") and len(stem) > len(x) + 1]
    light = max(fitting, key=len, default=None)  # `White_Light` is not `Light` of a part called `..._White`
    return (stem, None) if light is None else (stem[: -len(light) - 1], light)


def _golden(known: dict[str, Path], label: str, below: str, name: str, light: str) -> Path | None:
    end = f"_{light}" if light else ""
    places = [f"{below}/{name}{end}", f"{label}/{below}/{name}{end}", f"{name}{end}", f"{below}{end}"]
    tidy = (str(PurePosixPath(place)).lstrip("/") for place in places)
    only = next(iter(known.values())) if len(known) == 1 and not light else None
    return next((known[place] for place in tidy if place in known), only)


def _board(pattern: re.Pattern[str] | None, folder: str, name: str, below: str) -> str:
    if pattern is None:
        return below or f"{folder}/{name}"
    met = pattern.search(f"{folder}/{name}")
    if met is None:
        raise InputError(f"no board in {folder}/{name}", where="--board", fix="fix the expression, or leave it out")
    return next((text for text in met.groups() if text), met.group(0))
