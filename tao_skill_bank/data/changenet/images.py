"""Where a row's images are: their names by lighting, the root they stand under, what they resolve to.

Existence is decided by one `scandir` a folder and set look-ups in arrow, never by a stat a file: a million rows
cost about what listing their folders costs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tao_skill_bank.core import guard, roots
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.core.text import plural

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tao_skill_bank.data.changenet.tables import PairTable

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
    folder: str
    names: list[str]
    real: str
    links: dict[str, str]


def _scan(folder: str) -> _Listing:
    names: list[str] = []
    links: dict[str, str] = {}
    try:
        with guard.folder(folder) as at, os.scandir(at) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
                elif entry.is_symlink():
                    target = os.path.realpath(os.path.join(folder, entry.name))
                    if _leads_to_file(target):
                        links[entry.name] = target
                        names.append(entry.name)
    except (OSError, ValueError):
        return _Listing(folder, [], folder, {})
    return _Listing(folder, names, os.path.realpath(folder), links)


def _leads_to_file(target: str) -> bool:
    try:
        return guard.is_file(target)
    except roots.OutsideError:
        # Whoever opens it is told which folder it lies in; other files of this one are none the worse.
        return True


@dataclass(frozen=True)
class _Files:
    """The files of some folders, end to end; a file is known by its position."""

    listings: list[_Listing]

    @cached_property
    def names(self) -> pa.Array:
        """[files]: file names."""
        import pyarrow as pa

        return pa.array([name for listing in self.listings for name in listing.names], type=pa.string())

    @cached_property
    def owners(self) -> npt.NDArray[np.int64]:
        """[files]: position of the folder."""
        import numpy as np

        return np.repeat(np.arange(len(self.listings)), [len(listing.names) for listing in self.listings])

    @cached_property
    def resolved(self) -> pa.Array:
        """[files]: paths with every link resolved."""
        import pyarrow as pa
        import pyarrow.compute as pc

        folders = pa.array([listing.real for listing in self.listings], type=pa.string())
        paths = pc.binary_join_element_wise(folders.take(pa.array(self.owners)), self.names, "/")
        if not any(listing.links for listing in self.listings):
            return paths
        links = [listing.links.get(name) for listing in self.listings for name in listing.names]
        return pc.coalesce(pa.array(links, type=pa.string()), paths)

    @cached_property
    def identity(self) -> npt.NDArray[np.int64]:
        """[files]: a number, equal for names of the same file."""
        import numpy as np

        plain = not any(listing.links for listing in self.listings)
        if plain and len({listing.real for listing in self.listings}) == len(self.listings):
            return np.arange(len(self.owners))
        return np.asarray(self.resolved.dictionary_encode().indices.to_numpy(), dtype=np.int64)


@dataclass(frozen=True)
class Sought:
    """One side (images or goldens) of a table, looked up under one root.

    Attributes:
        side: `input_path` or `golden_path`.
    """

    side: Side
    _files: _Files
    _where: list[npt.NDArray[np.int64]]

    @cached_property
    def found(self) -> list[pa.Array]:
        """For each suffix of the naming, an arrow boolean array [rows]: the file is there."""
        import pyarrow as pa

        return [pa.array(where >= 0) for where in self._where]

    @cached_property
    def resolved(self) -> list[pa.Array]:
        """For each suffix, an arrow string array [rows]: the file with every link resolved; null if missing."""
        import pyarrow as pa

        return [self._files.resolved.take(pa.array(where, mask=where < 0)) for where in self._where]

    def identity(self, light: int = 0) -> npt.NDArray[np.int64]:
        """[rows]: a number for each row's file, equal where two rows have the same file; for complete look-ups."""
        return self._files.identity[self._where[light]]

    def complete(self) -> bool:
        """Every row has its file for every light."""
        return all(bool((where >= 0).all()) for where in self._where)

    def row_found(self) -> pa.Array:
        """[rows]: the row has its file for every light."""
        import pyarrow.compute as pc

        mask = self.found[0]
        for other in self.found[1:]:
            mask = pc.and_(mask, other)
        return mask


def look_up(table: PairTable, naming: ImageNaming, root: Path, side: Side, index: FolderIndex) -> Sought:
    """Look for the images (or goldens) of every row under `root`.

    Folders that `index` has seen are not listed again.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    folders, names = (array.dictionary_encode() for array in _split(table, side))
    listings: dict[str, int] = {}
    files = _Files([])
    of_folder = np.empty(len(folders.dictionary), dtype=np.int64)
    for i, folder in enumerate(folders.dictionary.to_pylist()):
        listing = index.listing(os.path.join(root, folder))
        if listing.folder not in listings:
            listings[listing.folder] = len(files.listings)
            files.listings.append(listing)
        of_folder[i] = listings[listing.folder]
    # A file is a number: its folder's times the number of names, plus its name's.
    width = max(1, len(names.dictionary))
    wanted = of_folder[folders.indices.to_numpy()] * width + names.indices.to_numpy()
    where: list[npt.NDArray[np.int64]] = []
    for suffix in naming.suffixes:
        known = pc.binary_join_element_wise(names.dictionary, pa.scalar(suffix), "")
        codes = pc.index_in(files.names, value_set=known)
        present = np.flatnonzero(pc.is_valid(codes).to_numpy(zero_copy_only=False))
        keys = files.owners[present] * width + pc.fill_null(codes, -1).to_numpy()[present]
        where.append(_positions(wanted, keys, present, len(files.listings) * width))
    return Sought(side, files, where)


def _positions(
    wanted: npt.NDArray[np.int64], keys: npt.NDArray[np.int64], values: npt.NDArray[np.int64], limit: int
) -> npt.NDArray[np.int64]:
    """For every wanted key the value that stands beside it in `keys`, or -1; all keys are below `limit`."""
    import numpy as np

    if limit <= 4 * (len(wanted) + len(keys)) + 1024:
        table = np.full(limit, -1, dtype=np.int64)
        table[keys] = values
        return table[wanted]
    order = np.argsort(keys)
    keys, values = keys[order], values[order]
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    return np.where(keys[at] == wanted, values[at], -1) if len(keys) else np.full(len(wanted), -1, dtype=np.int64)


@dataclass(frozen=True)
class Placed:
    """A table whose files were all found under one root.

    Attributes:
        root: The folder its paths start at.
    """

    table: PairTable
    root: Path
    images: Sought
    goldens: Sought


def place(
    table: PairTable, naming: ImageNaming, candidates: Sequence[Path], index: FolderIndex | None = None
) -> Placed:
    """The table under the first candidate that has every image and golden of the file.

    The usual candidates are the image root, the workspace, and the CSV's own folder (`root_candidates`). The same
    folder twice (also by a link) is tried once.

    Raises:
        InputErrors: No candidate has every file. Where each row resolves under one of them but not all under
            the same, the error says the file mixes roots; else it names the missing files of every row.
    """
    index = index or FolderIndex()
    roots = _distinct(candidates)
    if not roots:
        raise InputError("no folder to look for images in", where=table.path, fix="name the image root")
    looks: list[tuple[Path, list[Sought]]] = []
    for root in roots:
        images, goldens = (look_up(table, naming, root, side, index) for side in SIDES)
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
        f"{plural(len(faults), 'image file')} missing, first: {faults[0]}",
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


def _distinct(folders: Sequence[Path]) -> list[Path]:
    seen: dict[str, Path] = {}
    for folder in folders:
        seen.setdefault(os.path.realpath(folder), folder)
    return list(seen.values())
