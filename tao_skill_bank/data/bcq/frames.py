"""Frames of a video as pictures for people: JPEG files with their times."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio
from tao_skill_bank.data.bcq.clips import stills

SHOWN = 4
_SIDE = 256


def write_frames(path: Path, folder: Path, name: str) -> list[dict[str, Any]]:
    """Four spread frames as `<name>_<n>.jpg`; returns file names and seconds."""
    from PIL import Image

    found = []
    for place, (seconds, pixels) in enumerate(stills(path, SHOWN, _SIDE)):
        held = io.BytesIO()
        Image.fromarray(pixels).save(held, "JPEG", quality=85)
        file = f"{name}_{place}.jpg"
        fsio.write_bytes(folder / file, held.getvalue())
        found.append({"file": file, "seconds": round(seconds, 2)})
    return found
