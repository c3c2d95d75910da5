"""Drawn boards for the local ChangeNet: striped pairs, some with a blot that the golden does not have."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

LIGHTS = ("SolderLight",)


def pair(rng: np.random.Generator, defect: bool, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Image and golden, uint8 [size, size]."""
    golden = np.zeros((size, size), np.uint8)
    for start in range(int(rng.integers(0, 8)), size, 12):
        golden[:, start : start + 5] = 220
    image = np.roll(golden, int(rng.integers(-1, 2)), axis=1)
    if defect:
        y, x = rng.integers(size // 16, size - size // 4, 2)
        image[y : y + 10, x : x + 10] = 255 - image[y : y + 10, x : x + 10]
    return image, golden


def write_set(
    root: Path, name: str, rows: int, *, seed: int, lights: Sequence[str] = LIGHTS, mode: str = "L", ext: str = ".png"
) -> Path:
    """Draw `rows` pairs (every third a blot) under `root/images`, list them in `root/<name>.csv`."""
    rng = np.random.default_rng(seed)
    path = root / f"{name}.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["input_path", "golden_path", "label", "object_name", "board"])
        for row in range(rows):
            defect = row % 3 == 0
            writer.writerow([f"{name}/", f"golden/{name}/", "blot" if defect else "PASS", f"C{row}", f"{row:03d}"])
            for light in lights or ("",):
                suffix = f"_{light}" if light else ""
                for folder, array in zip((name, f"golden/{name}"), pair(rng, defect), strict=True):
                    file = root / "images" / folder / f"C{row}{suffix}{ext}"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(array).convert(mode).save(file)
    return path


def spec(root: Path, *, lights: Sequence[str] = LIGHTS, batch: int = 8, epochs: int = 2) -> dict[str, Any]:
    """A TAO spec for the sets `train`, `val` and `test` under `root`."""

    def dataset(name: str) -> dict[str, str]:
        return {"csv_path": str(root / f"{name}.csv"), "images_dir": str(root / "images")}

    return {
        "task": "classify",
        "results_dir": str(root / "out"),
        "train": {"num_epochs": epochs, "classify": {"loss": "ce", "cls_weight": [1.0, 1.0]}},
        "model": {
            "backbone": {"type": "fan_tiny_8_p4_hybrid"},
            "classify": {"difference_module": "learnable", "eval_margin": 0.5},
        },
        "dataset": {
            "classify": {
                "train_dataset": dataset("train"),
                "validation_dataset": dataset("val"),
                "infer_dataset": dataset("test"),
                "image_ext": ".png",
                "input_map": {light: number for number, light in enumerate(lights)},
                "num_input": max(1, len(lights)),
                "concat_type": "linear",
                "image_width": 64,
                "image_height": 64,
                "batch_size": batch,
                "num_classes": 2,
            }
        },
    }


def make(root: Path, *, lights: Sequence[str] = LIGHTS, **more: Any) -> Path:
    """The three sets and their spec; returns the spec file."""
    root.mkdir(parents=True, exist_ok=True)
    for seed, (name, rows) in enumerate((("train", 24), ("val", 12), ("test", 18))):
        write_set(root, name, rows, seed=seed, lights=lights)
    path = root / "spec.yaml"
    path.write_text(yaml.safe_dump(spec(root, lights=lights, **more), sort_keys=False))
    return path
