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

from tao_skill_bank import runs
from tao_skill_bank.demo_vlm import DAY, Sizes, draw, make_vlm_workspace, write_video
from tao_skill_bank.loop.request import Request

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


SMALL = Sizes(base=20, kpi=20, acceptance=16, pool=40, pool_videos=4)
FEW = Sizes(base=8, kpi=8, acceptance=0, pool=20, pool_videos=0)
TARGET = "balanced accuracy >= 99%"


@functools.cache
def drawn(seed: int = 0) -> Path:
    """A small demo workspace, drawn once a process; copy it before anything is written there."""
    return make_vlm_workspace(Path(tempfile.mkdtemp(prefix="bcq-drawn-")) / "w", seed, SMALL)


def workspace(root: Path, seed: int = 0) -> Path:
    """A copy of the small workspace."""
    shutil.copytree(drawn(seed), root, dirs_exist_ok=True)
    return root


def few(root: Path) -> Path:
    """The smallest workspace with every stage in it, drawn anew."""
    return make_vlm_workspace(root, 0, FEW)


def request(workspace: Path, *settings: str, iterations: int = 1, target: str = TARGET, **more: Any) -> Request:
    """A request for the second loop."""
    return Request(
        task="vlm_bcq",
        workspace=workspace,
        kpi_target=target,
        max_iterations=iterations,
        settings=("mining.budget=24", *settings),
        **more,
    )


def approved(wanted: Request) -> Path:
    """A run folder with its plan approved."""
    return runs.open_run(wanted, approve=runs.plan_run(wanted).digest, how="flag")
