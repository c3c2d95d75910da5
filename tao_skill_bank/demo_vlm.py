"""The demo workspace of yes/no questions: drawn traffic videos, laid out as a customer's workspace is.

The story it tells: a model that was trained on days alone. The KPI and acceptance sets hold what the cameras really
send, nights and rain among it; the labelled pool holds mostly days, and a few nights and rainy hours to be found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.extras import pyav
from tao_skill_bank.demo_vlm_scene import DAY, NIGHT, QUESTIONS, RAIN, draw

_RATE = 8
# Without mbtree: its look ahead reads memory that nobody wrote on frames this small, so equal frames gave other bytes.
_CODEC = {"crf": "6", "preset": "veryfast", "threads": "1", "mbtree": "0"}
MEASURED = ((DAY, 0.40), (NIGHT, 0.35), (RAIN, 0.25))
POOL = ((DAY, 0.80), (NIGHT, 0.11), (RAIN, 0.09))


@dataclass(frozen=True)
class Sizes:
    """How many videos each set has."""

    base: int = 120
    kpi: int = 120
    acceptance: int = 120
    pool: int = 400
    pool_videos: int = 60


def make_vlm_workspace(root: Path, seed: int, sizes: Sizes | None = None) -> Path:
    """Draw it. The same seed gives the same bytes.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    sizes = sizes or Sizes()
    rng = np.random.default_rng(seed)
    plan: list[tuple[str, int, Sequence[tuple[str, float]], bool]] = [
        ("base", sizes.base, ((DAY, 1.0),), True),
        ("kpi", sizes.kpi, MEASURED, True),
        ("acceptance", sizes.acceptance, MEASURED, True),
        ("pool", sizes.pool, POOL, True),
        ("pool_videos", sizes.pool_videos, POOL, False),
    ]
    for name, number, mix, labelled in plan:
        if not number:
            continue
        records: list[dict[str, Any]] = []
        for place, condition in enumerate(_conditions(rng, number, mix)):
            scene = draw(rng, condition)
            video = f"{name[0] if labelled else 'u'}{place:04d}.mp4"
            folder = root / name / "media" if labelled else root / name
            write_video(folder / video, scene.frames)
            records += [_record(name, place, video, question, scene.truths[question]) for question in QUESTIONS]
        if labelled:
            fsio.write_text(root / name / "annotations.json", json.dumps(records, indent=1) + "\n")
    return root


def write_video(path: Path, frames: npt.NDArray[np.uint8]) -> None:
    """Frames as an mp4, uint8 [n, h, w, 3].

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    av = pyav()
    guard.make_folder(path.parent)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("libx264", rate=_RATE, options=_CODEC)
        # Colour at full size: a vehicle is a few pixels high.
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv444p"
        stream.thread_count = 1
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _conditions(rng: np.random.Generator, number: int, mix: Sequence[tuple[str, float]]) -> list[str]:
    found = [name for name, share in mix for _ in range(round(number * share))]
    found = (found + [mix[0][0]] * number)[:number]
    rng.shuffle(found)
    return found


def _record(name: str, place: int, video: str, question: str, truth: bool) -> dict[str, Any]:
    return {
        "id": f"{name[0]}{place:04d}-{question}",
        "video": video,
        "conversations": [
            {"from": "human", "value": f"<video>\n{QUESTIONS[question]} Answer with yes or no."},
            {"from": "gpt", "value": "Yes" if truth else "No"},
        ],
    }
