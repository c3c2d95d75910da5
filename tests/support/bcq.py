"""Annotations of drawn clips for tests: a handful of videos, drawn once a process, and records as a test wants them."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tao_skill_bank.demo_vlm import write_video
from tao_skill_bank.demo_vlm_scene import DAY, draw

ASKED = "Is one of the vehicles red? Answer with yes or no."


@functools.cache
def clips(number: int = 12) -> list[Path]:
    """`number` different day clips."""
    folder = Path(tempfile.mkdtemp(prefix="bcq-clips-"))
    rng = np.random.default_rng(5)
    for place in range(number):
        write_video(folder / f"{place}.mp4", draw(rng, DAY).frames)
    return [folder / f"{place}.mp4" for place in range(number)]


def record(id: str, video: Any, answer: str = "Yes", asked: str = ASKED, **more: Any) -> dict[str, Any]:
    """One LLaVA record."""
    turns = [{"from": "human", "value": f"<video>\n{asked}"}, {"from": "gpt", "value": answer}]
    return {"id": id, "video": video, "conversations": turns, **more}


def write_set(root: Path, name: str, records: Any, videos: Sequence[int] = ()) -> Path:
    """Write `<root>/<name>/annotations.json`, and clips as `<name>/media/<n>.mp4`."""
    media = root / name / "media"
    media.mkdir(parents=True, exist_ok=True)
    for place in videos:
        shutil.copy(clips()[place], media / f"{place}.mp4")
    path = root / name / "annotations.json"
    path.write_text(json.dumps(records))
    return path
