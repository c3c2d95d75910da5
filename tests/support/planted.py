"""Drawn boards as a workspace of several lightings, clean, and faults planted into it by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from boards import pair
from PIL import Image

SETS = {
    "training": ("train/base/training_set.csv", 30),
    "validation": ("train/base/validation_set.csv", 12),
    "KPI": ("kpi/testing_set.csv", 36),
    "acceptance": ("kpi/acceptance_set.csv", 36),
    "mining pool": ("augmentation/mining_pool/mining_pool.csv", 24),
}
LIGHTS = ("SolderLight", "WhiteLight")
COLUMNS = ("input_path", "golden_path", "label", "object_name", "board")
A_BOARD = 3
"""Parts a board."""


class Planted:
    """A workspace, its rows by set, and its files.

    Args:
        root: A new folder.
        boards: Whether the CSVs say each row's board.
        lights: Lightings.
        ext: Extension of the pictures.
    """

    def __init__(
        self, root: Path, *, boards: bool = True, lights: Sequence[str] = LIGHTS, ext: str = ".png", seed: int = 0
    ) -> None:
        self.root, self.lights, self.ext = root, tuple(lights), ext
        self.columns = COLUMNS if boards else COLUMNS[:4]
        self.rows: dict[str, list[dict[str, str]]] = {}
        rng = np.random.default_rng(seed)
        number = 0
        for name, (_, rows) in SETS.items():
            self.rows[name] = []
            for row in range(rows):
                if row % A_BOARD == 0:
                    number += 1
                folder = f"line1/{number:04d}/"
                label = ("bridge", "missing")[row // 3 % 2] if row % 3 == 0 else "PASS"
                values = (folder, f"golden/{folder}", label, f"C{row}", f"{number:04d}")
                self.rows[name].append(dict(zip(COLUMNS, values, strict=True)))
                self._draw(rng, name, row, label != "PASS")
            self.write(name)
        self._spec()

    def _draw(self, rng: np.random.Generator, name: str, row: int, defect: bool) -> None:
        image, golden = pair(rng, defect)
        noise = rng.integers(0, 20, image.shape)
        for light, dimmed in zip(self.lights, (1.0, 0.45, 0.7, 0.3), strict=False):
            for side, pixels in (("image", image), ("golden", golden)):
                lit = (pixels * dimmed + (noise if side == "image" else 0) + 5).clip(0, 255).astype(np.uint8)
                if dimmed < 0.5:
                    lit = 160 - lit // 2  # another lamp: what was bright is dark
                path = self.file(name, row, side, light)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(lit).save(path)

    def file(self, name: str, row: int, side: str = "image", light: str | None = None) -> Path:
        """One file of a row."""
        values = self.rows[name][row]
        folder = values["input_path" if side == "image" else "golden_path"]
        light = self.lights[0] if light is None else light
        return self.root / "images" / folder / f"{values['object_name']}_{light}{self.ext}"

    def files(self, name: str, row: int, side: str = "image") -> list[Path]:
        """The files of a row, one a lighting."""
        return [self.file(name, row, side, light) for light in self.lights]

    def write(self, name: str) -> Path:
        """Write a set's CSV as its rows are now."""
        path = self.root / SETS[name][0]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, self.columns, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows[name])
        return path

    def copy(self, source: tuple[str, int], target: tuple[str, int]) -> None:
        """Put the bytes of one row's captures in the place of another's."""
        for a, b in zip(self.files(*source), self.files(*target), strict=True):
            b.write_bytes(a.read_bytes())

    def _spec(self) -> None:
        data: dict[str, Any] = {
            "image_ext": self.ext,
            "input_map": {light: n for n, light in enumerate(self.lights)},
            "num_input": len(self.lights),
            "concat_type": "linear",
            "image_width": 64,
            "image_height": 64,
            "batch_size": 4,
            "num_classes": 2,
        }
        spec = {
            "task": "classify",
            "train": {"num_epochs": 2, "classify": {"loss": "ce", "cls_weight": [1.0, 1.0]}},
            "model": {
                "backbone": {"type": "fan_tiny_8_p4_hybrid"},
                "classify": {"difference_module": "learnable"},
            },
            "dataset": {"classify": data},
        }
        path = self.root / "specs" / "baseline_spec.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(spec, sort_keys=False))


def deepen(path: Path, scale: int) -> None:
    """Store a picture in 16 bits, its values times `scale`."""
    pixels = np.asarray(Image.open(path)).astype(np.uint16)
    Image.fromarray(pixels * scale).save(path)


def turn(path: Path, orientation: int) -> None:
    """Store a picture as a camera that was held sideways does: turned, with the tag that turns it back."""
    with Image.open(path) as image:
        undone = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
        turned = image.transpose(undone[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(path, exif=exif.tobytes())


def as_jpeg(pixels: Any, quality: int = 90) -> Any:
    """What is left of pixels that were saved as JPEG."""
    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out), np.float32)


COPYINGS = (
    as_jpeg,
    lambda a: a * 1.04 + 6,
    lambda a: np.roll(a, 1, axis=1),
    lambda a: np.roll(a, (-2, 1), axis=(0, 1)),
    lambda a: as_jpeg(np.roll(a * 0.95 + 8, 1, axis=0)),
)
"""Saved anew, brightened, shifted, and all of it: what makes a near copy of a capture."""


def near_copy(planted: Planted, source: tuple[str, int], target: tuple[str, int], change: Any) -> None:
    """Put one row's captures, changed, in the place of another's."""
    for a, b in zip(planted.files(*source), planted.files(*target), strict=True):
        Image.fromarray(change(np.asarray(Image.open(a), np.float32)).clip(0, 255).astype(np.uint8)).save(b)
