"""The pictures of a KPI analysis. Drawn with Pillow, without a display; equal numbers give equal bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import fsio
from tao_skill_bank.metrics import Threshold

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

# Blue and orange are told apart by every kind of colour vision.
PASS_COLOUR = "#0072B2"
NO_PASS_COLOUR = "#D55E00"
UNAVAILABLE = "unavailable: there is no NO_PASS row"
_OPACITY = 140
_LARGE = 1e100
_TEXT, _TITLE = 16, 19
_CELLS = (90, 40, 530, 480)


def draw_distribution(
    path: Path,
    scores: npt.NDArray[np.float64],
    is_pass: npt.NDArray[np.bool_],
    recall_100: Threshold | None,
    bins: int,
) -> None:
    """Histogram of the scores of PASS and NO_PASS rows, with the 100 %-recall threshold.

    Args:
        path: The PNG.
        scores: float64 [n].
        is_pass: bool [n].
        recall_100: The threshold to draw; without one the title says so.
        bins: Bars of the histogram.
    """
    title, marked = f"100 % recall threshold {UNAVAILABLE}", None
    if recall_100 is not None:
        title = far_title(recall_100)
        marked = (f"100 % recall threshold {recall_100.threshold:.6g}", recall_100.threshold)
    with fsio.atomic_file(path) as file:
        draw_scores(file, scores, is_pass, title=title, marked=marked, bins=bins)


def far_title(point: Threshold) -> str:
    """FAR at the threshold of full recall, in words; without a PASS row there is none."""
    passes = point.fp + point.tn
    far = f"{100 * point.far:.4g} %" if passes else "undefined (no PASS row)"
    return f"FAR (good boards flagged) at 100 % recall: {far}"


def draw_scores(
    file: BinaryIO,
    scores: npt.NDArray[np.float64],
    is_pass: npt.NDArray[np.bool_],
    *,
    title: str,
    marked: tuple[str, float] | None,
    bins: int,
    height: int = 540,
) -> None:
    """Histogram of the scores of PASS and NO_PASS rows, counts logarithmic, as a PNG of 960 x `height` pixels.

    Args:
        file: Open for writing.
        scores: float64 [n].
        is_pass: bool [n].
        title: Stands above it.
        marked: Name and score of the dashed line, if there is one.
        bins: Bars of the histogram.
        height: Of the picture.
    """
    image, draw = _canvas(960, height)
    frame = left, top, right, bottom = 72, 40, 945, height - 65
    low, high = float(scores.min()), float(scores.max())
    largest = max(abs(low), abs(high))
    unit = largest if largest > _LARGE else 1.0  # so that no difference of two scores overflows
    scaled, low, high = scores if unit == 1.0 else scores / unit, low / unit, high / unit
    if marked is not None and math.isfinite(marked[1]):
        low, high = min(low, marked[1] / unit), max(high, marked[1] / unit)
    least = max(abs(low), abs(high), 1e-200) * 1e-9
    edges = np.linspace(low, high if high - low > least else low + max(1.0, abs(low)), bins + 1)
    begin, end = float(edges[0]), float(edges[-1])
    rows = [_counts(scaled[mask], begin, end, bins) for mask in (is_pass, ~is_pass)]
    highest = 1.08 * _height(max(int(counts.max()) for counts in rows))
    reach = 1.05 * (end - begin)
    begin -= 0.025 * (end - begin)

    def across(score: float) -> int:  # in units
        return round(left + (right - left) * (score - begin) / reach)

    def up(count: float) -> int:
        return round(bottom - (bottom - top) * _height(count) / highest)

    for counts, colour in zip(rows, (PASS_COLOUR, NO_PASS_COLOUR), strict=True):
        bars, pen = _layer(image)
        for count, start, stop in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
            if count:
                pen.rectangle((across(start), up(count), across(stop) - 1, bottom), fill=_shade(colour))
        image.alpha_composite(bars)
    for score in _ticks(begin, begin + reach):
        draw.line((across(score), bottom, across(score), bottom + 5), fill="black")
        _write(draw, (across(score), bottom + 8), f"{score * unit:g}", "mt")
    for count in [0, *(10**power for power in range(7) if _height(10**power) <= highest)]:
        draw.line((left - 5, up(count), left, up(count)), fill="black")
        _write(draw, (left - 9, up(count)), f"{count:,}", "rm")
    _write(draw, ((left + right) // 2, height - 7), "siamese_score", "mb")
    _upright(image, (4, (top + bottom) // 2), "rows")
    names: list[tuple[str, str | None]] = [
        (f"PASS ({int(is_pass.sum())})", PASS_COLOUR),
        (f"NO_PASS ({int((~is_pass).sum())})", NO_PASS_COLOUR),
    ]
    if marked is not None:
        names.append((marked[0], None))
        at = min(max(across(marked[1] / unit), left), right)
        for y in range(top, bottom, 10):
            draw.line((at, y, at, min(y + 6, bottom)), fill="black", width=2)
    draw.rectangle(frame, outline="black")
    _write(draw, ((left + right) // 2, 30), title, "mb", _TITLE)
    _legend(image, names, right - 8, top + 8)
    _save(image, file)


def draw_confusion(path: Path, point: Threshold | None, name: str) -> None:
    """The 2 x 2 counts of an operating point, shaded by the share of their actual class."""
    image, draw = _canvas(600, 528)
    if point is None:
        _write(draw, (300, 264), f"{name}\n{UNAVAILABLE}", "mm", _TITLE)
        _save_as(image, path)
        return
    counts = np.array([[point.tn, point.fp], [point.fn, point.tp]])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left, top, right, bottom = _CELLS
    width, height = (right - left) // 2, (bottom - top) // 2
    for row in range(2):
        for column in range(2):
            x, y, share = left + column * width, top + row * height, float(shares[row, column])
            draw.rectangle((x, y, x + width - 1, y + height - 1), fill=_blue(share))
            text = f"{counts[row, column]}\n{100 * share:.2f} %"
            _write(draw, (x + width // 2, y + height // 2), text, "mm", colour="white" if share > 0.5 else "black")
    draw.rectangle(_CELLS, outline="black")
    for number, kind in enumerate(("PASS", "NO_PASS")):
        _write(draw, (left + width * number + width // 2, bottom + 8), kind, "mt")
        _upright(image, (62, top + height * number + height // 2), kind)
    _write(draw, ((left + right) // 2, 522), "predicted", "mb")
    _upright(image, (28, (top + bottom) // 2), "actual")
    _write(draw, ((left + right) // 2, 30), f"{name}: threshold {point.threshold:.6g}", "mb", _TITLE)
    _save_as(image, path)


def _counts(values: npt.NDArray[np.float64], low: float, high: float, bins: int) -> npt.NDArray[np.int64]:
    """Rows in each of the equal bins from `low` to `high`."""
    index = ((values - low) * (bins / (high - low))).astype(np.int64)
    return np.bincount(np.clip(index, 0, bins - 1), minlength=bins)


def _height(count: float) -> float:
    """Linear up to one row, then by powers of ten: a class of a hundred is seen beside one of a million."""
    return count if count <= 1 else 1 + math.log10(count)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers of one step within the range, a few and at most ten."""
    step = 10 ** math.floor(math.log10((high - low) / 5))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 10)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _blue(share: float) -> tuple[int, int, int]:
    """From nearly white to dark blue."""
    pale, middle, dark = (247, 251, 255), (66, 146, 198), (8, 48, 107)
    begin, end, part = (pale, middle, 2 * share) if share < 0.5 else (middle, dark, 2 * share - 1)
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(begin, end, strict=True))
    return red, green, blue


def _shade(colour: str) -> tuple[int, int, int, int]:
    from PIL import ImageColor

    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue, _OPACITY


def _canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    from PIL import Image, ImageDraw

    image = Image.new("RGBA", (width, height), "white")
    return image, ImageDraw.Draw(image)


def _layer(image: Image.Image) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A clear sheet to lay upon the picture: what is half transparent lets the other class be seen."""
    from PIL import Image, ImageDraw

    sheet = Image.new("RGBA", image.size, (0, 0, 0, 0))
    return sheet, ImageDraw.Draw(sheet)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, anchor: str, size: int = _TEXT, colour: str = "black"
) -> None:
    lines = text.split("\n")
    for number, line in enumerate(lines):
        y = at[1] + round((number - (len(lines) - 1) / 2) * 1.3 * size)
        draw.text((at[0], y), line, fill=colour, font=_font(size), anchor=anchor)


def _upright(image: Image.Image, at: tuple[int, int], text: str) -> None:
    """Text that runs upwards; `at` is its left edge and its middle."""
    from PIL import Image

    sheet, draw = _canvas(round(_font(_TEXT).getlength(text)) + 4, _TEXT + 6)
    _write(draw, (sheet.width // 2, sheet.height // 2), text, "mm")
    turned = sheet.transpose(Image.Transpose.ROTATE_90)
    image.paste(turned, (at[0], at[1] - turned.height // 2))


def _legend(image: Image.Image, names: list[tuple[str, str | None]], right: int, top: int) -> None:
    """Names with their colours, in the upper right corner; a name without a colour is that of the dashed line."""
    sheet, draw = _layer(image)
    left = right - max(round(_font(_TEXT).getlength(name)) for name, _ in names) - 64
    draw.rounded_rectangle((left, top, right, top + 26 * len(names) + 8), 4, (255, 255, 255, 210), "#cccccc")
    for number, (name, colour) in enumerate(names):
        y = top + 17 + 26 * number
        if colour:
            draw.rectangle((left + 8, y - 6, left + 42, y + 6), fill=_shade(colour))
        else:
            for x in range(left + 8, left + 42, 10):
                draw.line((x, y, x + 6, y), fill="black", width=2)
        _write(draw, (left + 54, y), name, "lm")
    image.alpha_composite(sheet)


def _save_as(image: Image.Image, path: Path) -> None:
    with fsio.atomic_file(path) as file:
        _save(image, file)


def _save(image: Image.Image, file: BinaryIO) -> None:
    image.convert("RGB").save(file, format="PNG")
