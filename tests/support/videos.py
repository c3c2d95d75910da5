"""Videos for tests, made by PyAV: a square that moves over a plain ground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def make_video(
    path: Path,
    seconds: float = 2.0,
    fps: int = 8,
    seed: int = 0,
    size: tuple[int, int] = (64, 48),
    codec: str = "mpeg4",
) -> Path:
    """A video in which picture i has brightness 40 + (i * 7) % 180 in its upper left corner."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(max(1, round(seconds * fps))):
            picture = np.full((height, width, 3), (seed * 37) % 200, np.uint8)
            picture[:16, :16] = 40 + (i * 7) % 180
            x = (i * 3 + seed) % (width - 12)
            picture[20:32, x : x + 12] = 250
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def make_videos(folder: Path, number: int, seconds: float = 2.0, fps: int = 4) -> list[Path]:
    """`number` different videos."""
    return [make_video(folder / f"v{i:04d}.mp4", seconds, fps, seed=i) for i in range(number)]
