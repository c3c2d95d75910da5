from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

Row = tuple[str, str, str, str]
HEADER = "input_path,golden_path,label,object_name"


class Bench:
    """A small workspace on disk: images with distinct bytes, CSVs of (input, golden, label, object) rows."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = root / "images"
        self.images.mkdir(parents=True)
        self.lights = ("SolderLight",)

    def image(self, folder: str, name: str, content: str | None = None) -> None:
        for light in self.lights:
            path = self.images / folder / f"{name}_{light}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content or f"{folder}/{name}/{light}")

    def csv(self, name: str, rows: Sequence[Row], *, images: bool = True) -> Path:
        """A CSV; with `images`, the images and goldens of every row are made too."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([HEADER, *(",".join(row) for row in rows)]) + "\n")
        for folder, golden, _, obj in rows if images else ():
            self.image(folder, obj)
            self.image(golden, obj)
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work")
