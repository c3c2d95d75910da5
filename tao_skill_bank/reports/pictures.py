"""Pictures inside a report: small, inlined, and never a reason for a report to fail."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

from tao_skill_bank.core import guard

MOST_PIXELS = 50_000_000
EDGE = 144


def find_picture(roots: Sequence[Path], folder: str, name: str) -> Path | None:
    """The first `root/folder/name` that is a file; an absolute folder stands for itself."""
    if "\0" in folder or "\0" in name:
        return None
    for root in roots:
        path = root / folder / name
        try:
            if guard.is_file(path):
                return path
        except OSError:  # a name longer than the file system takes
            return None
    return None


def data_uri(path: Path | None, edge: int = EDGE) -> str | None:
    """A picture as a `data:` address, shrunk to at most `edge` pixels a side; None where it cannot be shown."""
    found = None if path is None else shrunk(path, edge, quality=92, method=4)
    return None if found is None else "data:image/webp;base64," + base64.b64encode(found).decode("ascii")


def shrunk(
    path: Path, edge: int, *, most_pixels: int = MOST_PIXELS, lossless_to: int = 0, **written: int
) -> bytes | None:
    """A picture as WebP with no side longer than `edge`; None where it cannot be read, or is larger than is read.

    Args:
        path: The picture, in any format that Pillow reads.
        edge: In pixels.
        most_pixels: A larger one is not decoded.
        lossless_to: One whose longer side is at most so many pixels loses nothing.
        written: As Pillow writes WebP: `quality`, `method`.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with guard.open_read(path, "image") as handle, Image.open(handle) as opened:
                if opened.width * opened.height > most_pixels:
                    return None
                opened.draft("RGB", (edge, edge))
                image = opened.convert("RGB")
        if max(image.size) > edge:
            image.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        image.save(out, format="WEBP", lossless=max(image.size) <= lossless_to, **written)
    except Exception:  # decoders raise many kinds of errors on broken files; a page shows a gap instead
        return None
    return out.getvalue()
