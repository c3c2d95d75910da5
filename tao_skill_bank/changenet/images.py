"""Where a row's images are: their names by lighting, the root they stand under, what they resolve to.

Existence is decided by one `scandir` a folder and set look-ups in arrow, never by a stat a file: a million rows
cost about what listing their folders costs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tao_skill_bank.errors import InputError, InputErrors

if TYPE_CHECKING:
    import pyarrow as pa

    from tao_skill_bank.changenet.tables import PairTable

Side = Literal["input_path", "golden_path"]
SIDES: tuple[Side, Side] = ("input_path", "golden_path")
NOUN = {"input_path": "image", "golden_path": "golden"}


@dataclass(frozen=True)
class ImageNaming:
    """How an image file is called: `{object_name}_{light}{image_ext}`, without `_{light}` if there are no lights.

    Attributes:
        lights: The keys of `dataset.classify.input_map`, in order; empty for single-image data.
        image_ext: Extension with its dot: `.png`.
    """

    lights: tuple[str, ...]
    image_ext: str

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What follows the object name, one a light: `_SolderLight.png`."""
        return tuple(f"_{light}{self.image_ext}" for light in self.lights) or (self.image_ext,)

    def files(self, root: Path, folder: str, object_name: str) -> list[Path]:
        """The image files of one row, one a light, in key order.

        Args:
            root: The image root.
            folder: The row's `input_path` or `golden_path`; an absolute one stands for itself.
            object_name: The row's object name.
        """
        return [root / folder / f"{object_name}{suffix}" for suffix in self.suffixes]


@dataclass
class FolderIndex:
    """What is in each folder, listed once and remembered. Share one index between the tables of a data set.

    The listing is a snapshot: make a new index to see files that were written later.
    """

    _listings: dict[str, _Listing] = field(default_factory=dict)
    scans: int = 0

    def listing(self, folder: str) -> _Listing:
        """The files of one folder; a folder that is missing or unreadable has none."""
        # `a/../b` is not `b` where `a` is a link: only the file system can tell.
        key = os.path.realpath(folder) if ".." in folder.split("/") and "\0" not in folder else os.path.normpath(folder)
        found = self._listings.get(key)
        if found is None:
            self.scans += 1
            found = self._listings[key] = _scan(key)
        return found


@dataclass(frozen=True)
class _Listing:
    names: list[str]
    real: str
    links: dict[str, str]


def _scan(folder: str) -> _Listing:
    names: list[str] = []
    links: dict[str, str] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    target = os.path.realpath(entry.path)
                    if not os.path.isfile(target):
                        continue
                    links[entry.name] = target
                elif not entry.is_file():
                    continue
                names.append(entry.name)
    except (OSError, ValueError):
        return _Listing([], folder, {})
    return _Listing(names, os.path.realpath(folder), links)


@dataclass(frozen=True)
class Sought:
    """One side (images or goldens) of a table, looked up under one root.

    Attributes:
        side: `input_path` or `golden_path`.
        found: For each suffix of the naming, an arrow boolean array [rows]: the file is there.
        resolved: For each suffix, an arrow string array [rows]: the file with every link resolved; null where
            it is missing. Empty unless it was asked for.
    """

    side: Side
    found: list[pa.Array]
    resolved: list[pa.Array]

    def complete(self) -> bool:
        """Every row has its file for every light."""
        import pyarrow.compute as pc

        return all(pc.all(mask, min_count=0).as_py() for mask in self.found)

    def row_found(self) -> pa.Array:
        """[rows]: the row has its file for every light."""
        import pyarrow.compute as pc

        mask = self.found[0]
        for other in self.found[1:]:
            mask = pc.and_(mask, other)
        return mask


def look_up(
    table: PairTable,
    naming: ImageNaming,
    root: Path,
    side: Side,
    index: FolderIndex,
    *,
    resolve: bool = False,
) -> Sought:
    """Look for the images (or goldens) of every row under `root`.

    Args:
        table: The rows.
        naming: Lights and extension.
        root: The folder that `input_path` and `golden_path` are relative to.
        side: Which of the two.
        index: Folder listings; folders seen before are not listed again.
        resolve: Also give the resolved path of every file.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    folders, names = _split(table, side)
    distinct = pc.unique(folders)
    codes = pc.cast(pc.index_in(folders, distinct), pa.string())
    listings = [index.listing(os.path.join(root, folder)) for folder in distinct.to_pylist()]
    counts = [len(listing.names) for listing in listings]
    files = pa.array([name for listing in listings for name in listing.names], type=pa.string())
    owners = _repeat([str(i) for i in range(len(listings))], counts)
    there = pc.binary_join_element_wise(owners, files, "/")
    targets = None
    if resolve:
        real = _repeat([listing.real for listing in listings], counts)
        targets = pc.binary_join_element_wise(real, files, "/")
        if any(listing.links for listing in listings):
            links = pa.array(
                [listing.links.get(name) for listing in listings for name in listing.names], type=pa.string()
            )
            targets = pc.coalesce(links, targets)
    found: list[pa.Array] = []
    resolved: list[pa.Array] = []
    for suffix in naming.suffixes:
        wanted = pc.binary_join_element_wise(codes, pc.binary_join_element_wise(names, suffix, ""), "/")
        if targets is None:
            found.append(pc.is_in(wanted, value_set=there))
        else:
            where = pc.index_in(wanted, value_set=there)
            found.append(pc.is_valid(where))
            resolved.append(pc.take(targets, where))
    return Sought(side, found, resolved)


@dataclass(frozen=True)
class Placed:
    """A table whose files were all found under one root.

    Attributes:
        table: The rows.
        root: The folder its paths start at.
        images: The look-up of the images.
        goldens: The look-up of the goldens.
    """

    table: PairTable
    root: Path
    images: Sought
    goldens: Sought


def choose_root(
    table: PairTable, naming: ImageNaming, candidates: Sequence[Path], index: FolderIndex | None = None
) -> Path:
    """The first candidate under which every image and golden of the file is there.

    The usual candidates are the image root, the workspace, and the CSV's own folder (`root_candidates`).

    Args:
        table: The rows.
        naming: Lights and extension.
        candidates: Folders to try, in order; the same folder twice (also by a link) is tried once.
        index: Folder listings to share.

    Raises:
        InputErrors: No candidate has every file. Where each row resolves under one of them but not all under
            the same, the error says the file mixes roots; else it names the missing files of every row.
    """
    return place(table, naming, candidates, index).root


def place(
    table: PairTable,
    naming: ImageNaming,
    candidates: Sequence[Path],
    index: FolderIndex | None = None,
    *,
    resolve: bool = False,
) -> Placed:
    """As `choose_root`, and what was found there; with `resolve` the resolved path of every file too."""
    index = index or FolderIndex()
    roots = _distinct(candidates)
    if not roots:
        raise InputError("no folder to look for images in", where=table.path, fix="name the image root")
    looks: list[tuple[Path, list[Sought]]] = []
    for root in roots:
        images, goldens = (look_up(table, naming, root, side, index, resolve=resolve) for side in SIDES)
        if images.complete() and goldens.complete():
            return Placed(table, root, images, goldens)
        looks.append((root, [images, goldens]))
    raise _no_root(table, naming, looks)


def root_candidates(images_dir: Path | None, workspace: Path | None, csv: Path) -> list[Path]:
    """Where the paths of a CSV may start, in the order they are tried."""
    return [folder for folder in (images_dir, workspace, csv.parent) if folder is not None]


def missing_files(table: PairTable, naming: ImageNaming, root: Path, sides: Iterable[Sought]) -> list[str]:
    """A line for every missing image and golden, in row order: `row 7: golden … is missing`."""
    import pyarrow.compute as pc

    lines: list[tuple[int, int, str]] = []
    for rank, sought in enumerate(sides):
        folders = table.column(sought.side)
        for mask, suffix in zip(sought.found, naming.suffixes, strict=True):
            for row in pc.indices_nonzero(pc.invert(mask)).to_pylist():
                file = os.path.join(root, folders[row], table.object_name[row] + suffix)
                lines.append((row, rank, f"row {row + 1}: {NOUN[sought.side]} {file} is missing"))
    return [line for _, _, line in sorted(lines)]


def _no_root(table: PairTable, naming: ImageNaming, looks: list[tuple[Path, list[Sought]]]) -> InputErrors:
    import pyarrow.compute as pc

    placed = [pc.and_(sides[0].row_found(), sides[1].row_found()) for _, sides in looks]
    counts = [pc.sum(mask, min_count=0).as_py() for mask in placed]
    best = max(range(len(looks)), key=lambda i: (counts[i], -i))
    anywhere = placed[0]
    for mask in placed[1:]:
        anywhere = pc.or_(anywhere, mask)
    if pc.all(anywhere, min_count=0).as_py():
        elsewhere = [
            f"row {row + 1}: resolves under {next(looks[i][0] for i in range(len(looks)) if placed[i][row].as_py())}"
            for row in pc.indices_nonzero(pc.invert(placed[best])).to_pylist()
        ]
        return InputErrors(
            f"mixes roots: {counts[best]} rows resolve under {looks[best][0]}, not {elsewhere[0]}",
            elsewhere,
            where=table.path,
            fix="write every input_path and golden_path relative to one folder",
        )
    root, sides = looks[best]
    faults = missing_files(table, naming, root, sides)
    tried = ", ".join(str(folder) for folder, _ in looks)
    return InputErrors(
        f"{len(faults)} image file{'s' if len(faults) > 1 else ''} missing, first: {faults[0]}",
        faults,
        where=table.path,
        fix=f"copy the files there or remove the rows; tried {tried}",
    )


def _split(table: PairTable, side: Side) -> tuple[pa.Array, pa.Array]:
    """Folder and file stem of every row; an object name with a slash moves its folders to the folder."""
    import pyarrow.compute as pc

    folders, names = table.arrow(side), table.arrow("object_name")
    slashed = pc.match_substring(names, "/")
    if not pc.any(slashed, min_count=0).as_py():
        return folders, names
    full = pc.binary_join_element_wise(folders, names, "/")
    deeper = pc.replace_substring_regex(full, r"/[^/]*$", "")
    return (
        pc.if_else(slashed, deeper, folders),
        pc.if_else(slashed, pc.replace_substring_regex(names, r"^.*/", ""), names),
    )


def _repeat(values: list[str], counts: list[int]) -> pa.Array:
    """`values[i]` repeated `counts[i]` times."""
    import numpy as np
    import pyarrow as pa

    return pa.array(values, type=pa.string()).take(pa.array(np.repeat(np.arange(len(values)), counts)))


def _distinct(folders: Sequence[Path]) -> list[Path]:
    seen: dict[str, Path] = {}
    for folder in folders:
        seen.setdefault(os.path.realpath(folder), folder)
    return list(seen.values())
