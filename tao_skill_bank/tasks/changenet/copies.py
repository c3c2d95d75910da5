"""Is an image that looks like another a copy of it? On boards of one design all good parts look alike.

That is told by their noise (`noise_in_common`). A copy that was shrunk or smoothed has lost it: it is named among the
look-alikes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.sheets import write_columns
from tao_skill_bank.data.pictures.decode import load_rgb
from tao_skill_bank.data.pictures.noise import COPY, noise_in_common

NEAR_FILE = "near_duplicates.csv"
MOST_ALIKE = 8
"""Evaluation images that a new one is compared with: among many alike the nearest need not be the one it copies."""


@dataclass(frozen=True)
class Alike:
    """A new image, the evaluation image it is nearly the same as, their cosine, and how far their noise goes together.

    `noise` is None where there is too little of it to tell.
    """

    new: str
    evaluation: str
    cosine: float
    noise: float | None

    @property
    def copy(self) -> bool:
        """The two show one capture."""
        return self.noise is not None and self.noise >= COPY


def told_apart(found: Sequence[tuple[str, str, float]]) -> list[Alike]:
    """Whether new images and evaluation images that look alike are one capture; the likeliest copies first.

    Args:
        found: (new image, evaluation image, cosine); of several for one, the one of most noise in common counts.
    """

    def likely(alike: Alike) -> tuple[float, float, str]:
        return -1.0 if alike.noise is None else alike.noise, alike.cosine, alike.new

    best: dict[str, Alike] = {}
    for new, other, cosine in found:
        alike = Alike(new, other, cosine, _common(new, other))
        if new not in best or likely(alike) > likely(best[new]):
            best[new] = alike
    return sorted(best.values(), key=likely, reverse=True)


def _common(*files: str) -> float | None:
    try:
        first, other = (np.asarray(load_rgb(Path(file)).convert("L"), np.float32) for file in files)
    except InputError:
        return None
    return noise_in_common(first, other)


def write_alike(path: Path, found: Sequence[Alike], workspace: Path) -> None:
    """Write `near_duplicates.csv`: every new image that looks like an evaluation image, and whether it is a copy."""
    write_columns(
        path,
        {
            "new": [shown(a.new, workspace) for a in found],
            "evaluation": [shown(a.evaluation, workspace) for a in found],
            "cosine": [f"{a.cosine:.6f}" for a in found],
            "noise_in_common": [None if a.noise is None else round(a.noise, 4) for a in found],
        },
    )


def shown(file: str, workspace: Path) -> str:
    """A file as it is named in the workspace."""
    return str(Path(file).relative_to(workspace)) if workspace in Path(file).parents else file
