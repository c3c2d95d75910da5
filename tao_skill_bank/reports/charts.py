"""Charts as HTML and SVG, drawn by arithmetic: no script, no library, no address.

A plot is an SVG without a view box, so that it takes any width while lines and text keep theirs: positions are in
percent of the plot. Axis labels are HTML beside it. Curves stand in a nested SVG that is stretched, with strokes that
do not scale. Every function returns markup with its text escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from tao_skill_bank.reports.text import clean, limit, percent, score

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RatePoint:
    """A rate with its interval, in percent, under a short axis label."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    marked: bool = False


@dataclass(frozen=True)
class Line:
    """A curve: x and y of the same length, drawn in one of the styles `quiet`, `base`, `best`."""

    name: str
    x: FloatArray
    y: FloatArray
    style: str


def nice_ticks(top: float, most: int = 5) -> list[float]:
    """Round numbers from 0 to at least `top`: at most `most` + 1 of them."""
    if not math.isfinite(top) or top <= 0:
        return [0.0, 1.0]
    raw = top / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * (1 - 1e-7))
    count = math.ceil(top / step * (1 - 1e-6))
    return [step * i for i in range(count + 1)]


def far_chart(points: Sequence[RatePoint], target_pct: float | None, op: str = "<") -> Markup:
    """FAR of each phase with its interval, against the target."""
    if not points:
        return Markup("")
    tops = [p.high if p.high is not None else p.value for p in points]
    ticks = nice_ticks(max([*tops, (target_pct or 0.0) * 1.15, 1e-3]))
    top = ticks[-1]
    n = len(points)
    xs = [100.0 * (i + 0.5) / n for i in range(n)]
    shapes = [_grid(ticks, top)]
    if target_pct is not None:
        y = _y(target_pct, top)
        shapes.append(f'<rect class="goal" x="0" y="{y:.3f}%" width="100%" height="{100 - y:.3f}%"/>')
        shapes.append(f'<line class="goal-line" x1="0" x2="100%" y1="{y:.3f}%" y2="{y:.3f}%"/>')
    if n > 1:
        shapes.append(_curve(np.array(xs) / 100, 1 - np.array([_y(p.value, top) for p in points]) / 100, "run"))
    for x, p in zip(xs, points, strict=True):
        if p.low is not None and p.high is not None:
            low, high = _y(p.low, top), _y(p.high, top)
            shapes.append(f'<line class="whisker" x1="{x:.3f}%" x2="{x:.3f}%" y1="{low:.3f}%" y2="{high:.3f}%"/>')
    for x, p in zip(xs, points, strict=True):
        kind = "dot marked" if p.marked else "dot"
        shapes.append(f'<circle class="{kind}" cx="{x:.3f}%" cy="{_y(p.value, top):.3f}%" r="5"/>')
    every = max(1, math.ceil(n / 12))
    shown = [i for i in range(n) if i % every == 0 or points[i].marked or i == n - 1]
    labels = "".join(_span(xs[i], escape(points[i].name)) for i in range(n) if i in shown)
    values = "".join(
        f'<span class="val{" marked" if points[i].marked else ""}{" flip" if xs[i] > 72 else ""}" '
        f'style="left:{xs[i]:.3f}%;bottom:{100 - _y(points[i].value, top):.3f}%">'
        f"{escape(percent(points[i].value))}</span>"
        for i in range(n)
        if n <= 8 or points[i].marked or i in (0, n - 1)
    )
    goal = ""
    if target_pct is not None:
        at = 100 - _y(target_pct, top)
        goal = (
            f'<span class="goal-name" style="bottom:{at:.3f}%">target {escape(op)} {escape(limit(target_pct))}</span>'
        )
    said = "; ".join(f"{p.name} {percent(p.value)}" for p in points)
    about = f"FAR by phase: {said}." + (f" Target {op} {limit(target_pct)}." if target_pct is not None else "")
    return _plot(about, ticks, top, "".join(shapes), labels, over=goal + values, height="tall")


def forest(rows: Sequence[RatePoint], target_pct: float | None) -> Markup:
    """Rates one under the other with their intervals, and the target as a line through all of them."""
    if not rows:
        return Markup("")
    tops = [r.high if r.high is not None else r.value for r in rows]
    ticks = nice_ticks(max([*tops, (target_pct or 0) * 1.25, 1e-3]), most=4)
    top = ticks[-1]
    body = []
    for row in rows:
        x = 100 * row.value / top
        parts = []
        if target_pct is not None:
            parts.append(f'<rect class="goal" x="0" y="0" width="{100 * target_pct / top:.3f}%" height="100%"/>')
            at = 100 * target_pct / top
            parts.append(f'<line class="goal-line" x1="{at:.3f}%" x2="{at:.3f}%" y1="0" y2="100%"/>')
        if row.low is not None and row.high is not None:
            low, high = 100 * row.low / top, 100 * row.high / top
            parts.append(f'<line class="whisker" x1="{low:.3f}%" x2="{high:.3f}%" y1="50%" y2="50%"/>')
        kind = "dot marked" if row.marked else "dot"
        parts.append(f'<circle class="{kind}" cx="{x:.3f}%" cy="50%" r="5"/>')
        body.append(
            f'<div class="forest-name">{escape(row.name)}</div>'
            f'<div class="forest-bar"><svg aria-hidden="true" width="100%" height="100%">{"".join(parts)}</svg></div>'
        )
    axis = "".join(_span(100 * t / top, escape(f"{t:g} %" if t else "0")) for t in ticks)
    said = "; ".join(
        f"{r.name} {percent(r.value)}"
        + (f", interval {percent(r.low)} to {percent(r.high)}" if r.low is not None else "")
        for r in rows
    )
    tail = f" Target {limit(target_pct)}." if target_pct is not None else ""
    return Markup(
        f'<div class="forest" role="img" aria-label="{escape(clean(said + "." + tail))}">{"".join(body)}'
        f'<div></div><div class="x-axis" aria-hidden="true">{axis}</div></div>'
    )


def distribution(passes: FloatArray, defects: FloatArray, threshold: float | None, bins: int = 48) -> Markup:
    """How scores lie: PASS above the line, defects below it, the threshold through both. Heights are square roots."""
    everything = np.concatenate([passes, defects])
    if not len(everything):
        return Markup("")
    low, high = float(everything.min()), float(everything.max())
    if threshold is not None and math.isfinite(threshold):
        low, high = min(low, threshold), max(high, threshold)
    if low >= 0 and high > 0:  # probabilities, as a rule: a round axis from 0
        ticks = np.array(nice_ticks(high, most=4))
        low, high = 0.0, float(ticks[-1])
    else:
        low, high = (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)
        ticks = np.linspace(low, high, 5)
    edges = np.linspace(low, high, bins + 1)
    counts = [np.histogram(x, edges)[0] for x in (passes, defects)]
    most = [max(int(c.max()), 1) for c in counts]
    shapes = ['<line class="zero" x1="0" x2="100%" y1="50%" y2="50%"/>']
    width = 100 / bins
    for kind, count, tallest in zip(("pass", "defect"), counts, most, strict=True):
        for i in np.flatnonzero(count):
            size = max(46 * math.sqrt(int(count[i]) / tallest), 1.2)
            y = 50 - size if kind == "pass" else 50.0
            shapes.append(
                f'<rect class="bar {kind}" x="{i * width + width * 0.08:.3f}%" y="{y:.3f}%" '
                f'width="{width * 0.84:.3f}%" height="{size:.3f}%"/>'
            )
    over = ""
    if threshold is not None and math.isfinite(threshold):
        x = 100 * (threshold - low) / (high - low)
        shapes.append(f'<line class="cut" x1="{x:.3f}%" x2="{x:.3f}%" y1="0" y2="100%"/>')
        side = "right" if x > 60 else "left"
        place = f"right:{100 - x:.3f}%" if x > 60 else f"left:{x:.3f}%"
        over = f'<span class="cut-name {side}" style="{place}">threshold {escape(score(threshold))}</span>'
    labels = "".join(_span(100 * (t - low) / (high - low), escape(f"{t:.3g}")) for t in ticks)
    at = f" threshold {score(threshold)}" if threshold is not None else ""
    about = (
        f"Score distribution: {len(passes)} PASS from {score(passes.min() if len(passes) else None)} to "
        f"{score(passes.max() if len(passes) else None)}, {len(defects)} defects from "
        f"{score(defects.min() if len(defects) else None)} to {score(defects.max() if len(defects) else None)};{at}"
    )
    return Markup(
        f'<div class="plot bare" role="img" aria-label="{escape(about)}"><div class="field"><svg aria-hidden="true" '
        f'width="100%" height="100%">{"".join(shapes)}</svg>{over}</div>'
        f'<div class="x-axis" aria-hidden="true">{labels}</div></div>'
    )


def recall_far(lines: Sequence[Line], target_pct: float | None, recall_pct: float | None) -> Markup:
    """Recall over FAR, a curve a phase; the corner that meets the target is shaded."""
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return Markup("")
    reach = max(float(line.x[np.argmax(line.y >= line.y.max() - 1e-9)]) for line in lines)
    ticks = nice_ticks(max(reach * 1.05, (target_pct or 0) * 1.5, 1.0))
    right = ticks[-1]
    floor = min(float(np.interp(0.0, line.x, line.y)) for line in lines)
    floor = max(f for f in (0.0, 50.0, 75.0, 90.0) if f <= max(floor, 0.0))
    y_ticks = [floor + (100 - floor) * i / 5 for i in range(6)]
    shapes = []
    for tick in y_ticks:
        y = 100 - 100 * (tick - floor) / (100 - floor)
        shapes.append(f'<line class="grid" x1="0" x2="100%" y1="{y:.3f}%" y2="{y:.3f}%"/>')
    if target_pct is not None and recall_pct is not None:
        y = 100 - 100 * (max(recall_pct, floor) - floor) / (100 - floor)
        # A corner without height is still a goal: it is given enough to be seen.
        shapes.append(
            f'<rect class="goal" x="0" y="{min(y, 0.0):.3f}%" width="{100 * target_pct / right:.3f}%" '
            f'height="{max(y, 2.5):.3f}%"/>'
        )
    for line in lines:
        keep = line.x <= right * 1.0001
        x, y_values = line.x[keep], np.clip(line.y[keep], floor, 100)
        if len(x):
            # Only the points themselves can be had, so the line between them is a stair.
            x, y_values = np.repeat(x, 2)[1:], np.repeat(y_values, 2)[:-1]
            shapes.append(_curve(x / right, (y_values - floor) / (100 - floor), line.style))
    labels = "".join(_span(100 * t / right, escape(f"{t:g} %" if t else "0")) for t in ticks)
    named = {line.style: line.name for line in lines if line.style != "quiet"}
    legend = "".join(f'<span class="key {style}">{escape(clean(name))}</span>' for style, name in named.items())
    if any(line.style == "quiet" for line in lines):
        legend += '<span class="key quiet">other iterations</span>'
    about = "Recall over FAR. " + " ".join(
        f"{line.name} reaches recall {percent(float(line.y.max()))} at FAR "
        f"{percent(float(line.x[np.argmax(line.y >= line.y.max() - 1e-9)]))}."
        for line in lines
        if line.style != "quiet"
    )
    return Markup(f'<div class="legend" aria-hidden="true">{legend}</div>') + _plot(
        about,
        y_ticks,
        100.0,
        "".join(shapes),
        labels,
        over="",
        height="tall",
        floor=floor,
    )


def spread(rows: Sequence[tuple[str, float]], total: float) -> Markup:
    """Parts of a whole as one bar: (style, amount) from left to right."""
    whole = max(total, sum(amount for _, amount in rows), 1e-12)
    at, parts = 0.0, []
    for style, amount in rows:
        width = 100 * amount / whole
        if width > 0:
            parts.append(f'<rect class="part {escape(style)}" x="{at:.3f}%" y="0" width="{width:.3f}%" height="100%"/>')
        at += width
    return Markup(f'<svg class="spread" aria-hidden="true" width="100%" height="100%">{"".join(parts)}</svg>')


def cost_bar(before: float | None, after: float | None, top: float) -> Markup:
    """How far a figure moved: a hollow mark where it was, a solid bar to where it is."""
    scale = 100 / top if top > 0 else 0.0
    parts = ['<line class="grid" x1="0" x2="100%" y1="50%" y2="50%"/>']
    if after:
        wide = max(after * scale, 0.6)
        parts.append(f'<rect class="bar cost" x="0" y="25%" width="{wide:.3f}%" height="50%"/>')
    if before is not None:
        parts.append(f'<line class="was" x1="{before * scale:.3f}%" x2="{before * scale:.3f}%" y1="8%" y2="92%"/>')
    return Markup(f'<svg class="spread" aria-hidden="true" width="100%" height="100%">{"".join(parts)}</svg>')


def _plot(
    about: str,
    ticks: Sequence[float],
    top: float,
    shapes: str,
    labels: str,
    *,
    over: str,
    height: str,
    floor: float = 0.0,
) -> Markup:
    axis = "".join(
        f'<span style="bottom:{100 * (t - floor) / (top - floor):.3f}%">{escape(f"{t:g}")}</span>' for t in ticks
    )
    return Markup(
        f'<div class="plot {height}" role="img" aria-label="{escape(clean(about))}">'
        f'<div class="y-axis" aria-hidden="true">{axis}</div>'
        f'<div class="field"><svg aria-hidden="true" width="100%" height="100%">{shapes}</svg>{over}</div>'
        f'<div class="x-axis" aria-hidden="true">{labels}</div></div>'
    )


def _grid(ticks: Sequence[float], top: float) -> str:
    return "".join(
        f'<line class="grid" x1="0" x2="100%" y1="{_y(t, top):.3f}%" y2="{_y(t, top):.3f}%"/>' for t in ticks
    )


def _y(value: float, top: float) -> float:
    """Position of a value in percent from the top of the plot."""
    return 100.0 - 100.0 * min(max(value, 0.0), top) / top


def _curve(x: FloatArray, y: FloatArray, style: str) -> str:
    """A polyline through points in 0..1, y upwards; consecutive equal points are drawn once."""
    places: list[str] = []
    for px, py in zip(np.clip(x, 0, 1), np.clip(y, 0, 1), strict=True):
        place = f"{1000 * px:.1f},{1000 - 1000 * py:.1f}"
        if not places or places[-1] != place:
            places.append(place)
    return (
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">'
        f'<polyline class="curve {style}" points="{" ".join(places)}"/></svg>'
    )


def _span(left: float, text: object) -> str:
    edge = " first" if left < 4 else " last" if left > 96 else ""
    return f'<span class="tick{edge}" style="left:{left:.3f}%">{text}</span>'
