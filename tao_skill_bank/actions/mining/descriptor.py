"""The local image descriptor: what a crop looks like, in 690 numbers, without any trained weights.

It is a stand-in for a learned encoder such as SigLIP and knows nothing of meaning: two crops are near when their
edges, brightness, fine structure and colours lie in the same places. Everything is elementwise arithmetic on one
image of fixed size, so a vector depends on the image alone, not on batches, threads or a BLAS.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

NAME: Final = "local-descriptor"
VERSION: Final = "1"
SIDE: Final = 64

Floats = NDArray[np.float32]

_CELL: Final = 8
_BINS: Final = 8
# One share each, so no single cue decides; their lengths are fixed, so a cosine of the whole is their mean.
_SOFT_GRADIENT: Final = 0.1
_SOFT: Final = 0.05
_BRIGHTNESS: Final = 2.0
# A camera's noise of one or two grey levels lies below these (of 1), real edges lie far above.
_EDGE_FLOOR: Final = 0.03
_DETAIL_FLOOR: Final = 0.015
# Common to all images: it sets the scale of the cosine, so that pairs of circuit-board crops which a person calls
# look-alikes lie above about 0.9, the loop's usual limit; and it is all that an even, mid-grey image has.
_CONSTANT: Final = 1.2


def describe(rgb: NDArray[np.uint8]) -> Floats:
    """The descriptor of one image.

    Args:
        rgb: [64, 64, 3] uint8, red green blue.

    Returns:
        [690] float32 of length 1: edge directions on a 7 x 7 grid of overlapping windows, on a 4 x 4 grid and over
        the whole image (8 directions each); brightness on 8 x 8 cells about its mean, with the mean; light and dark
        fine structure at two scales on 4 x 4 cells; colour on 4 x 4 cells; and a constant.
    """
    pixels = rgb.astype(np.float32) / np.float32(255)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    grey = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    edges = _edge_cells(grey)
    fine = _blur(grey)
    coarse = _blur(_blur(fine))
    cells = _means(grey, SIDE // _CELL)
    mean = cells.mean(dtype=np.float32)
    quarters = _halve(edges)
    groups = (
        _soft(np.sqrt(_overlap(edges)), _SOFT_GRADIENT),
        _soft(np.sqrt(quarters), _SOFT_GRADIENT),
        _soft(np.sqrt(quarters.reshape(_BINS, -1).mean(axis=1)), _SOFT_GRADIENT),
        _soft(np.append(cells - mean, np.float32(_BRIGHTNESS) * (mean - np.float32(0.5))), _SOFT),
        _soft(np.sqrt(np.stack([*_light_and_dark(grey - fine), *_light_and_dark(fine - coarse)])), _SOFT),
        _soft(np.stack([_means(red - grey, 4), _means(blue - grey, 4)]), _SOFT),
        np.array([_CONSTANT], dtype=np.float32),
    )
    whole = np.concatenate(groups).astype(np.float64)
    unit: Floats = (whole / np.sqrt(np.add.reduce(whole * whole))).astype(np.float32)
    return unit


@lru_cache(maxsize=1)
def dimension() -> int:
    """How many numbers a descriptor has."""
    return len(describe(np.zeros((SIDE, SIDE, 3), dtype=np.uint8)))


def _edge_cells(grey: Floats) -> Floats:
    """Mean gradient strength by direction on the 8 x 8 grid of cells: [8 directions, 8, 8]."""
    padded = np.pad(grey, 1, mode="edge")
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    strength = across * across + down * down
    angle = np.arange(_BINS, dtype=np.float32) * np.float32(np.pi / _BINS)
    along = np.cos(angle)[:, None, None] * across + np.sin(angle)[:, None, None] * down
    # The eighth power of the cosine: a smooth vote that neighbouring directions share and opposite ones equal.
    vote = along * along / (strength + np.float32(1e-12))
    vote *= vote
    vote *= vote
    size = np.maximum(np.sqrt(strength) - np.float32(_EDGE_FLOOR), np.float32(0))
    vote *= size / (np.add.reduce(vote, axis=0) + np.float32(1e-9))
    return _means(vote, SIDE // _CELL)


def _means(plane: Floats, cells: int) -> Floats:
    """Means over a grid of `cells` x `cells` equal squares of the last two axes."""
    side = plane.shape[-1] // cells
    tiles = plane.reshape(*plane.shape[:-2], cells, side, cells, side)
    total = np.add.reduce(np.add.reduce(tiles, axis=-1), axis=-2)
    means: Floats = total / np.float32(side * side)
    return means


def _overlap(cells: Floats) -> Floats:
    """Means of all windows of 2 x 2 cells, each half over the next: [8, 8, 8] to [8, 7, 7]."""
    windows: Floats = cells[:, :-1, :-1] + cells[:, 1:, :-1] + cells[:, :-1, 1:] + cells[:, 1:, 1:]
    return windows * np.float32(0.25)


def _halve(cells: Floats) -> Floats:
    """Means of the windows of 2 x 2 cells that do not overlap: [8, 8, 8] to [8, 4, 4]."""
    return _overlap(cells)[:, ::2, ::2]


def _blur(plane: Floats) -> Floats:
    """A small binomial blur (1 4 6 4 1) along both axes, the border repeated."""
    padded = np.pad(plane, 2, mode="edge")
    n = plane.shape[0]
    four, six, scale = np.float32(4), np.float32(6), np.float32(1 / 16)
    rows = padded[0:n] + padded[4 : n + 4] + four * (padded[1 : n + 1] + padded[3 : n + 3]) + six * padded[2 : n + 2]
    rows *= scale
    out: Floats = (
        rows[:, 0:n] + rows[:, 4 : n + 4] + four * (rows[:, 1 : n + 1] + rows[:, 3 : n + 3]) + six * rows[:, 2 : n + 2]
    )
    return out * scale


def _light_and_dark(detail: Floats) -> tuple[Floats, Floats]:
    floor, zero = np.float32(_DETAIL_FLOOR), np.float32(0)
    return _means(np.maximum(detail - floor, zero), 4), _means(np.maximum(-detail - floor, zero), 4)


def _soft(values: Floats, softness: float) -> Floats:
    """Flattened and scaled to length 1, or less where there is hardly anything: noise must not grow to a cue."""
    flat = values.ravel()
    unit: Floats = flat / np.sqrt(np.add.reduce(flat * flat) + np.float32(softness * softness))
    return unit
