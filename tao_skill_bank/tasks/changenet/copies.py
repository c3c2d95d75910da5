"""Is an image that looks like another a copy of it? On boards of one design all good parts look alike.

What no two captures share is their noise: what is left of a picture off its edges once its smooth part is taken away.
Of a copy that was saved anew, shifted by a pixel or made brighter the noise of both goes together; of two captures of
one design, or of two defects that look alike, it does not. A copy that was shrunk or smoothed has lost its noise: it is
named among the look-alikes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.tables import write_pairs
from tao_skill_bank.data.pictures.decode import load_rgb

NEAR_FILE = "near_duplicates.csv"
COPY = 0.5
"""From this correlation of what is left on, two captures are one."""
MOST_ALIKE = 8
"""Evaluation images that a new one is compared with: among many alike the nearest need not be the one it copies."""
_BLUR = 4
_SHIFT = 2
_LEAST_NOISE, _FEWEST_PIXELS, _FLAT = 0.5, 200, 6.0

Grey = npt.NDArray[np.float32]


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


def noise_in_common(first: Grey, other: Grey) -> float | None:
    """Correlation of the noise of two captures, the best over shifts of up to two pixels.

    Args:
        first: Grey values [h, w].
        other: Another capture.

    Returns:
        -1 to 1; None where sizes differ or there is next to no noise.
    """
    if first.shape != other.shape or min(first.shape) <= 8 * _SHIFT:
        return None
    (ours, flat), (theirs, smooth) = _noise(first), _noise(other)
    best: float | None = None
    inside = slice(_SHIFT, -_SHIFT)
    for down in range(-_SHIFT, _SHIFT + 1):
        for right in range(-_SHIFT, _SHIFT + 1):
            moved, where = (np.roll(array, (down, right), (0, 1))[inside, inside] for array in (theirs, smooth))
            both = (flat[inside, inside] * where) > 0
            if np.count_nonzero(both) < _FEWEST_PIXELS:
                continue
            a, b = ours[inside, inside][both], moved[both]
            if min(a.std(), b.std()) >= _LEAST_NOISE:
                found = float(np.corrcoef(a, b)[0, 1])
                best = found if best is None else max(best, found)
    return best


def _noise(image: Grey) -> tuple[Grey, Grey]:
    """What a median of 3 x 3 takes away, and 1 where the picture is flat, so that it is noise and no edge, else 0."""
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(image, 1, "symmetric"), (3, 3)), axis=(2, 3))
    down, right = np.gradient(_blurred(image))
    steep = np.hypot(down, right)
    return image - smooth, (steep <= max(_FLAT, float(np.median(steep)))).astype(np.float32)


def _blurred(image: Grey) -> Grey:
    """A Gaussian blur of one pixel, mirrored at the borders."""
    weights = np.exp(-0.5 * np.arange(-_BLUR, _BLUR + 1) ** 2.0)
    weights /= weights.sum()
    height, width = image.shape
    padded = np.pad(image, _BLUR, "symmetric")
    rows = sum(weight * padded[at : at + height] for at, weight in enumerate(weights))
    return np.asarray(sum(weight * rows[:, at : at + width] for at, weight in enumerate(weights)), np.float32)


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
    write_pairs(
        path,
        {
            "new": [shown(a.new, workspace) for a in found],
            "evaluation": [shown(a.evaluation, workspace) for a in found],
            "cosine": [f"{a.cosine:.6f}" for a in found],
            "noise_in_common": ["" if a.noise is None else f"{a.noise:.4f}" for a in found],
        },
    )


def shown(file: str, workspace: Path) -> str:
    """A file as it is named in the workspace."""
    return str(Path(file).relative_to(workspace)) if workspace in Path(file).parents else file
