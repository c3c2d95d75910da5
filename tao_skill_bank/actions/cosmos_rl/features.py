"""What the stand-in sees: φ of 8 frames at 48x48, and a question as 16 unit numbers."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import numpy.typing as npt

from tao_skill_bank.metrics import FloatArray

_QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_GRID = 4
WORDS = 16
_WORD = re.compile(r"\w+")


def describe(frames: npt.NDArray[np.uint8]) -> FloatArray:
    """φ of a clip, float64 [d].

    Args:
        frames: uint8 [8, 48, 48, 3], RGB.
    """
    rgb = frames.astype(np.float64) / 255.0
    tints = np.maximum(np.median(rgb.reshape(-1, 3), axis=0), 0.02)
    # In units of the clip's own light, so that a darker or a warmer day is still a day.
    rgb = rgb * (0.5 / tints)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = rgb @ np.array((0.299, 0.587, 0.114))
    warm, yellow = red - green, blue - (red + green) / 2
    parts = [np.quantile(plane, _QUANTILES) for plane in (luma, warm, yellow)]
    parts += [np.quantile(warm, (0.95, 0.99, 0.995, 0.999))]
    change = np.abs(np.diff(luma, axis=0))
    rows, columns = np.mgrid[0:1:48j, 0:1:48j]
    weight = change.reshape(len(change), -1).sum(axis=1) + 1e-6
    path = (change * columns).reshape(len(change), -1).sum(axis=1) / weight
    height = (change * rows).reshape(len(change), -1).sum(axis=1) / weight
    steps = np.arange(len(path)) - (len(path) - 1) / 2
    slope = float(steps @ (path - path.mean()) / (steps @ steps))
    parts += [path, [slope, float(height.mean()), float(height.std())], np.log(weight)[[0, -1]], [change.mean()]]
    across = np.gradient(luma, axis=2)[:-1]
    flow = -np.diff(luma, axis=0) * across
    parts.append([flow.mean() * 100.0, *(flow.reshape(len(flow), -1).mean(axis=1) * 100.0)])
    parts += [_grid(change.mean(axis=0)), _grid(luma.mean(axis=0))]
    still = np.median(luma, axis=0)
    front = np.abs(luma - still) > 0.12
    share = front.reshape(len(front), -1).mean(axis=1)
    wide = front.any(axis=1).reshape(len(front), -1).mean(axis=1)
    gaps = np.array([_gap(frame.any(axis=0)) for frame in front]) / 48.0
    parts += [[share.mean(), share.std(), wide.mean(), wide.min(), wide.max()], [gaps.min(), gaps.mean(), gaps.max()]]
    parts.append(_runs(rgb[-2:]))
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])


def words_of(key: str) -> FloatArray:
    """A question as 16 unit numbers, float64 [16]: its words hashed with a sign."""
    found = np.zeros(WORDS, dtype=np.float64)
    for word in _WORD.findall(key):
        digest = hashlib.sha256(word.encode()).digest()
        values = np.frombuffer(digest[:WORDS], dtype=np.uint8).astype(np.float64) - 127.5
        found += values / np.linalg.norm(values)
    size = float(np.linalg.norm(found))
    return found / size if size else found


def _grid(plane: FloatArray) -> FloatArray:
    side = plane.shape[0] // _GRID
    cells: FloatArray = plane.reshape(_GRID, side, _GRID, side).mean(axis=(1, 3))
    return cells.ravel()


def _runs(rgb: FloatArray) -> FloatArray:
    """Foreground against each row's own middle, in the last frames: the longest run of columns, above and below.

    Args:
        rgb: float64 [n, 48, 48, 3].
    """
    off = np.abs(rgb - np.median(rgb, axis=2, keepdims=True)).max(axis=3) > 0.15
    half = off.shape[1] // 2
    found: list[float] = []
    for part in (off[:, :half], off[:, half:]):
        held = part.sum(axis=1) >= 4
        found.append(float(np.mean([_longest(columns) for columns in held])))
        found.append(float(held.mean()) * 48.0)
    return np.array([max(found[0], found[2]), *found]) / 48.0


def _longest(columns: npt.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], columns.astype(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def _gap(columns: npt.NDArray[np.bool_]) -> int:
    """The longest run of empty columns between occupied ones."""
    places = np.flatnonzero(columns)
    return 0 if len(places) < 2 else int(np.diff(places).max()) - 1
