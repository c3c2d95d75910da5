"""From the rows of a CSV to the bytes that the local ChangeNet sees; every fault names the row and the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tao_skill_bank.actions.visual_changenet.network import IMAGE_SIZE, Pairs
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.core.text import plural
from tao_skill_bank.core.threads import ThreadPool
from tao_skill_bank.data.changenet.images import ImageNaming, place
from tao_skill_bank.data.changenet.labels import label_fault
from tao_skill_bank.data.changenet.tables import PASS, PairTable, read_pairs
from tao_skill_bank.data.pictures.decode import ImageError, bomb_warnings_as_errors, load_rgb


@dataclass(frozen=True)
class PairSet:
    """The rows of one CSV and where their images are.

    Attributes:
        images: [rows][lights] the captures.
        goldens: [rows][lights] the goldens.
        is_defect: bool [rows].
    """

    table: PairTable
    images: list[list[Path]]
    goldens: list[list[Path]]
    is_defect: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.table)


def open_set(csv: Path, images_dir: Path, naming: ImageNaming, *, check_labels: bool = True) -> PairSet:
    """Read a CSV and find every image of every row, before any is decoded.

    With `check_labels` a label that is neither exactly `PASS` nor a lower-case defect name is refused.

    Raises:
        InputErrors: Missing images or goldens, labels in another spelling: a line a row.
    """
    table = read_pairs(csv)
    if check_labels:
        _check_labels(table)
    root = place(table, naming, [images_dir]).root
    folders = (table.input_path, table.golden_path)
    names = table.object_name
    images, goldens = (
        [naming.files(root, folder, name) for folder, name in zip(side, names, strict=True)] for side in folders
    )
    return PairSet(table, images, goldens, np.array([label != PASS for label in table.label], dtype=np.bool_))


def read_images(pairs: PairSet, channels: int | None, rows: Sequence[int] | None = None, workers: int = 1) -> Pairs:
    """The images of `rows` (all of them by default), resized to 64 x 64.

    Args:
        pairs: The set.
        channels: 1 makes grey of colour; 3 keeps colour; None: 1 if every image is grey, else 3.
        rows: Positions, counted from 0.
        workers: Threads that decode.

    Returns:
        uint8 [rows, lights, 2, 64, 64, channels].

    Raises:
        InputError: An image that is damaged, or has too many pixels; row and file are named.
    """
    chosen = range(len(pairs)) if rows is None else rows
    if workers > 1:
        with bomb_warnings_as_errors(), ThreadPool(workers) as pool:
            loaded = list(pool.map(lambda row: _row(pairs, row, channels), chosen))
    else:
        loaded = [_row(pairs, row, channels) for row in chosen]
    if channels is None:
        channels = max((row.shape[-1] for row in loaded), default=1)
    lights = len(pairs.images[0])
    out = np.empty((len(loaded), lights, 2, IMAGE_SIZE, IMAGE_SIZE, channels), np.uint8)
    for number, row in enumerate(loaded):
        out[number] = row  # a grey row fills all three channels of a colour set
    return out


def _row(pairs: PairSet, row: int, channels: int | None) -> npt.NDArray[np.uint8]:
    """[lights, 2, 64, 64, 1 or 3]; with `channels` None grey rows have one channel."""
    sides = [
        [_image(pairs, row, files[light], channels) for files in (pairs.images[row], pairs.goldens[row])]
        for light in range(len(pairs.images[row]))
    ]
    both = np.array(sides, np.uint8)
    if channels is None and (both[..., :1] == both).all():
        return both[..., :1]
    return both


def _image(pairs: PairSet, row: int, path: Path, channels: int | None) -> npt.NDArray[np.uint8]:
    try:
        image = load_rgb(path, (IMAGE_SIZE, IMAGE_SIZE))
    except ImageError as error:
        raise InputError(
            f"{path}: {error.what}", where=pairs.table.where(row), fix="replace the image or remove the row"
        ) from None
    if channels == 1:
        # For equal channels this is the channel itself, exactly.
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image)


def _check_labels(table: PairTable) -> None:
    wrong = {label: fault for label in set(table.label) if (fault := label_fault(label)) is not None}
    faults = [f"row {row}: label {wrong[label]}" for row, label in enumerate(table.label, start=1) if label in wrong]
    if faults:
        raise InputErrors(
            f"{plural(len(faults), 'label')} misspelt, first: {faults[0]}",
            faults,
            where=table.path,
            fix="PASS in capitals, defects in lower case, no spaces around",
        )
