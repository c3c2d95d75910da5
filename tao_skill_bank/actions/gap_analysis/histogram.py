"""The score histogram as a PNG: PASS and NO_PASS scores, and the threshold between them.

Drawn with Pillow: importing a plotting library costs several times as long as the analysis of a thousand rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

SIZE = (960, 460)
BINS = 60
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 24, 64, 56
_INK, _GREY, _GRID = (34, 40, 49), (104, 112, 122), (228, 231, 235)
# Blue and orange: told apart by colour-blind eyes too; NO_PASS is drawn hollow besides.
_PASS, _NO_PASS = (66, 133, 190), (214, 110, 20)


def draw_histogram(
    file: BinaryIO, scores: npt.NDArray[np.float64], is_pass: npt.NDArray[np.bool_], threshold: float
) -> None:
    """Write the histogram; counts stand on a logarithmic axis, because defects are few and the tail is the point."""
    from PIL import Image, ImageDraw, ImageFont

    low, high = float(min(scores.min(), threshold)), float(max(scores.max(), threshold))
    if high - low <= max(abs(low), abs(high)) * 1e-9 + 1e-100:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    counts = [_counts(scores[mask], low, high) for mask in (is_pass, ~is_pass)]
    top = max(1, int(max(c.max() for c in counts)))

    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image, "RGBA")
    font, bold = ImageFont.load_default(14), ImageFont.load_default(17)
    width, height = SIZE[0] - _LEFT - _RIGHT, SIZE[1] - _TOP - _BOTTOM

    def x_of(score: float) -> float:
        return _LEFT + width * (score - low) / (high - low)

    def y_of(count: float) -> float:
        return _TOP + height * (1 - math.log10(1 + count) / math.log10(1 + top))

    _axes(draw, font, low, high, top, x_of, y_of)
    base = _TOP + height
    for values, colour, hollow in ((counts[0], _PASS, False), (counts[1], _NO_PASS, True)):
        for i in np.flatnonzero(values):
            box = (x_of(edges[i]) + 0.5, y_of(values[i]), x_of(edges[i + 1]) - 0.5, base)
            draw.rectangle(box, fill=(*colour, 60 if hollow else 190), outline=colour if hollow else None, width=2)
    x = x_of(threshold)
    draw.line((x, _TOP - 8, x, base), fill=_INK, width=2)
    label = f"threshold {threshold:.6g}"
    side = x - 6 - draw.textlength(label, font) if x > SIZE[0] - 200 else x + 6
    draw.text((side, _TOP - 14), label, fill=_INK, font=font)
    passes = int(np.count_nonzero(is_pass))
    draw.text((_LEFT, 10), "siamese_score", fill=_INK, font=bold)
    right = SIZE[0] - _RIGHT
    for text, colour in (
        (f"NO_PASS ({len(scores) - passes:,})", _NO_PASS),
        (f"PASS ({passes:,})", _PASS),
    ):
        right -= int(draw.textlength(text, font))
        draw.text((right, 12), text, fill=_INK, font=font)
        right -= 20
        draw.rectangle((right, 14, right + 13, 27), fill=colour)
        right -= 24
    image.save(file, format="PNG", optimize=False)


def _counts(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.int64]:
    """Samples a bin; bins are equal, so an index costs a multiplication and no search."""
    index = ((values - low) * (BINS / (high - low))).astype(np.int64)
    return np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)


def _axes(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    low: float,
    high: float,
    top: int,
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
) -> None:
    right, base = SIZE[0] - _RIGHT, SIZE[1] - _BOTTOM
    for power in range(math.floor(math.log10(top)) + 1):
        y = y_of(10**power)
        draw.line((_LEFT, y, right, y), fill=_GRID)
        text = f"{10**power:,}"
        draw.text((_LEFT - 8 - draw.textlength(text, font), y - 9), text, fill=_GREY, font=font)
    draw.line((_LEFT, base, right, base), fill=_GREY)
    draw.text((_LEFT - 18, base - 9), "0", fill=_GREY, font=font)
    for tick in _ticks(low, high):
        x = x_of(tick)
        draw.line((x, base, x, base + 5), fill=_GREY)
        text = f"{tick:g}"
        draw.text((x - draw.textlength(text, font) / 2, base + 8), text, fill=_GREY, font=font)
    draw.text((_LEFT, SIZE[1] - 24), "samples per bin, logarithmic", fill=_GREY, font=font)


def _ticks(low: float, high: float) -> list[float]:
    """About eight round numbers between two values."""
    raw = (high - low) / 8
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw)
    first = math.ceil(low / step)
    return [float(f"{n * step:.12g}") for n in range(first, math.floor(high / step) + 1)]
