"""Are two pictures one capture? What no two captures share is their noise, and the fine grain of their edges.

A copy that was saved anew, shifted by a pixel or two or made brighter keeps both; two captures of one design, or of two
defects that look alike, do not share them. A copy that was shrunk, turned or smoothed has lost them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    Grey = npt.NDArray[np.float32]

COPY: Final = 0.5
"""From this correlation of what is left on, two captures are one."""
CROP: Final = 64
"""Side of the middle of a picture that its grain is taken from, pixels."""
GRAIN: Final = 2 * (CROP // 4) ** 2
"""Numbers of a grain."""
_BLUR = 4
_SHIFT = 2
_INSIDE = (slice(_SHIFT, -_SHIFT), slice(_SHIFT, -_SHIFT))
_LEAST_NOISE, _FEWEST_PIXELS, _FLAT = 0.5, 200, 6.0
_LEAST_SIDE = 16
_NOISE_STEEP, _MOST_NOISE = 2.5, 4.0


def noise_in_common(first: Grey, other: Grey) -> float | None:
    """Correlation of the noise of two captures, the best over shifts of up to two pixels.

    Args:
        first: Grey values [h, w].
        other: Another capture.

    Returns:
        -1 to 1; None where sizes differ or there is next to no noise.
    """
    import numpy as np

    if first.shape != other.shape or min(first.shape) <= 8 * _SHIFT:
        return None
    (ours, flat), (theirs, smooth) = _noise(first), _noise(other)
    ours, flat = ours[_INSIDE], flat[_INSIDE]
    both = ((moved, (flat * where) > 0) for moved, where in zip(_shifted(theirs), _shifted(smooth), strict=True))
    return _best((ours[of], moved[of]) for moved, of in both if np.count_nonzero(of) >= _FEWEST_PIXELS)


def texture_in_common(first: Grey, other: Grey) -> float | None:
    """Correlation of everything fine in two pictures, edges included, the best over shifts of up to two pixels.

    Two captures of one design share the most of it where they lie alike, so this alone proves nothing: see whether the
    picture goes together with its golden as well.

    Returns:
        -1 to 1; None where sizes differ or one of them is smooth.
    """
    if first.shape != other.shape or min(first.shape) <= 8 * _SHIFT:
        return None
    ours = _fine(first)[_INSIDE].ravel()
    return _best((ours, moved.ravel()) for moved in _shifted(_fine(other)))


def grain_of(grey: Image.Image) -> bytes:
    """A picture's grain: the strengths of the waves in what is fine in its middle, which no shift changes much.

    Args:
        grey: Mode L.

    Returns:
        `GRAIN` numbers of 0 to 255 in the order of frequencies; empty where it is small or smooth.
    """
    import numpy as np

    side = min(CROP, grey.width, grey.height)
    if side < _LEAST_SIDE:
        return b""
    left, top = (grey.width - side) // 2, (grey.height - side) // 2
    middle = np.asarray(grey.crop((left, top, left + side, top + side)), np.float32)
    window = np.hanning(side).astype(np.float32)
    waves = np.abs(np.fft.rfft2(_fine(middle) * window[:, None] * window, (CROP, CROP)))
    half = CROP // 4
    strengths = np.sqrt(np.concatenate([waves[:half, :half], waves[-half:, :half]]))
    strongest = float(strengths.max())
    return b"" if strongest < 1.0 else np.rint(strengths * (255.0 / strongest)).astype(np.uint8).tobytes()


def middle_of(picture: Image.Image) -> Grey:
    """The middle of a picture as grey values, at most twice `CROP` a side."""
    import numpy as np

    width, height = (min(2 * CROP, side) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)).convert("L"), np.float32)


def _shifted(image: Grey) -> Iterator[Grey]:
    """What lies inside the border after each shift of up to two pixels."""
    import numpy as np

    steps = range(-_SHIFT, _SHIFT + 1)
    return (np.roll(image, (down, right), (0, 1))[_INSIDE] for down in steps for right in steps)


def _best(pairs: Iterable[tuple[Grey, Grey]]) -> float | None:
    """The highest correlation of pairs neither of which is smooth."""
    import numpy as np

    rough = ((a, b) for a, b in pairs if min(a.std(), b.std()) >= _LEAST_NOISE)
    return max((float(np.corrcoef(a, b)[0, 1]) for a, b in rough), default=None)


def _fine(image: Grey) -> Grey:
    """What the mean of 3 x 3 takes away."""
    import numpy as np

    padded = np.pad(image, 1, "edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(image - (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, np.float32)


def _noise(image: Grey) -> tuple[Grey, Grey]:
    """What a median of 3 x 3 takes away, and 1 where the picture is flat, so that it is noise and no edge, else 0."""
    import numpy as np

    smooth = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(image, 1, "symmetric"), (3, 3)), axis=(2, 3))
    down, right = np.gradient(_blurred(image))
    steep = np.hypot(down, right)
    # What noise alone makes steep is known from the flattest tenth: of some pictures most is edges.
    flat = max(_FLAT, _NOISE_STEEP * float(np.quantile(steep, 0.1)))
    even = steep <= flat
    # A thin line is flat along its ridge: no pixel counts for more than noise does.
    noise = image - smooth
    most = _MOST_NOISE * float(np.median(np.abs(noise[even]))) if even.any() else 0.0
    return np.clip(noise, -most, most), even.astype(np.float32)


def _blurred(image: Grey) -> Grey:
    """A Gaussian blur of one pixel, mirrored at the borders."""
    import numpy as np

    weights = np.exp(-0.5 * np.arange(-_BLUR, _BLUR + 1) ** 2.0)
    weights /= weights.sum()
    height, width = image.shape
    padded = np.pad(image, _BLUR, "symmetric")
    rows = sum(weight * padded[at : at + height] for at, weight in enumerate(weights))
    return np.asarray(sum(weight * rows[:, at : at + width] for at, weight in enumerate(weights)), np.float32)
