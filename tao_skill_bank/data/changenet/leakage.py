"""The same test image in two splits, told by the file it resolves to, and by its bytes.

Strings do not decide: `A/C1` and `kpi/images/A/C1` may be one file, and a row's label may differ. Goldens may be
shared between splits; a test image may not.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.data.changenet.images import FolderIndex, ImageNaming, Placed, place

if TYPE_CHECKING:
    from tao_skill_bank.data.changenet.tables import PairTable


@dataclass(frozen=True)
class Match:
    """A training row and an evaluation row that show the same image.

    Attributes:
        train_csv: The training table.
        train_row: Position in it, counted from 0.
        eval_row: Position in it, counted from 0.
        other: Its image, links resolved; the same as `image` unless only the bytes are equal.
    """

    train_csv: Path
    train_row: int
    image: Path
    eval_csv: Path
    eval_row: int
    other: Path

    def line(self) -> str:
        """`train.csv row 3 and test.csv row 7 show the same image: /…/C1_SolderLight.png`."""
        pair = f"{self.train_csv} row {self.train_row + 1} and {self.eval_csv} row {self.eval_row + 1}"
        if self.image == self.other:
            return f"{pair} show the same image: {self.image}"
        return f"{pair} have images of equal bytes: {self.image} and {self.other}"


def leaked_paths(
    train_tables: Sequence[PairTable],
    eval_tables: Sequence[PairTable],
    naming: ImageNaming,
    roots: Sequence[Path],
    index: FolderIndex | None = None,
) -> list[Match]:
    """Training rows whose test image, for any lighting, is a test image of an evaluation set.

    `roots` are tried in order; each CSV's own folder is tried last.

    Returns:
        One match a training row and evaluation set, in the order of the tables and their rows.

    Raises:
        InputErrors: A file of a table is missing, or a table mixes roots.
    """
    index = index or FolderIndex()

    def placed(table: PairTable) -> Placed:
        return place(table, naming, [*roots, table.path.parent], index)

    return list(shared_images([placed(t) for t in train_tables], [placed(t) for t in eval_tables]))


def shared_images(train: Sequence[Placed], evaluation: Sequence[Placed]) -> Iterator[Match]:
    """As `leaked_paths`, for tables that were placed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for other in evaluation:
        theirs = pa.concat_arrays(other.images.resolved)
        rows = len(other.table)
        for ours in train:
            first: dict[int, tuple[str, int]] = {}
            for images in ours.images.resolved:
                found = pc.index_in(images, value_set=theirs)
                for row in pc.indices_nonzero(pc.is_valid(found)).to_pylist():
                    first.setdefault(row, (images[row].as_py(), found[row].as_py() % rows))
            for row in sorted(first):
                image, eval_row = first[row]
                yield Match(ours.table.path, row, Path(image), other.table.path, eval_row, Path(image))


def equal_bytes(
    table: PairTable,
    eval_tables: Sequence[PairTable],
    naming: ImageNaming,
    roots: Sequence[Path],
    *,
    index: FolderIndex | None = None,
) -> list[Match]:
    """Rows whose test images are, byte for byte and for every lighting, those of an evaluation row elsewhere.

    Blank crops make this common in real data, so it is a count and a reason to drop new rows, not a leak. Only files
    whose size occurs on both sides are read, in blocks, and each only once. Paths may start at `roots`; each
    CSV's own folder is tried last.

    Returns:
        At most one match a row, in row order; rows that are the very same file are `leaked_paths`' affair.
    """
    index = index or FolderIndex()
    ours = place(table, naming, [*roots, table.path.parent], index)
    others = [place(t, naming, [*roots, t.path.parent], index) for t in eval_tables]
    size_of: dict[str, int] = {}
    own = list(_samples(ours, size_of))
    known: dict[tuple[int, ...], list[tuple[Placed, int, tuple[str, ...]]]] = {}
    for other in others:
        for row, files in enumerate(_samples(other, size_of)):
            known.setdefault(tuple(size_of[file] for file in files), []).append((other, row, files))
    digest = functools.cache(lambda file: fsio.sha256_file(Path(file)))
    digests: dict[tuple[int, ...], dict[tuple[str, ...], list[tuple[Placed, int, tuple[str, ...]]]]] = {}
    matches: list[Match] = []
    for row, files in enumerate(own):
        sizes = tuple(size_of[file] for file in files)
        if sizes not in known:
            continue
        if sizes not in digests:
            group = digests[sizes] = {}
            for entry in known[sizes]:
                group.setdefault(tuple(map(digest, entry[2])), []).append(entry)
        for other, eval_row, theirs in digests[sizes].get(tuple(map(digest, files)), []):
            if theirs != files:
                matches.append(
                    Match(table.path, row, Path(files[0]), other.table.path, eval_row, Path(theirs[0])),
                )
                break
    return matches


def _samples(placed: Placed, size_of: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """The resolved images of every row, one a light; their sizes go to `size_of`."""
    for files in zip(*(images.to_pylist() for images in placed.images.resolved), strict=True):
        for file in files:
            if file not in size_of:
                found = guard.status(file)
                if found is None:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
                size_of[file] = found.st_size
        yield files
