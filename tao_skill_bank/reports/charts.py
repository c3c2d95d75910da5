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

from tao_skill_bank.core.text import clean, limit, percent, score
from tao_skill_bank.metrics import Curve

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RatePoint:
    """A rate with its interval, in percent, under a short axis label.

    `held` was measured on another set; `note` says why it does not hold although its rate does.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    marked: bool = False
    held: bool = False
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A curve: x and y of the same length, drawn in one of the styles `quiet`, `base`, `best`."""

    name: str
    x: FloatArray
    y: FloatArray
    style: str

    @classmethod
    def of(cls, name: str, curve: Curve, style: str) -> Line:
        """Recall over FAR of an operating curve, in percent: the one way in which pages draw it."""
        far, recall = curve.recall_over_far()
        return cls(name, 100 * far, 100 * recall, style)


def nice_ticks(top: float, most: int = 5) -> list[float]:
    """Round numbers from 0 to at least `top`: at most `most` + 1 of them."""
    if not math.isfinite(top) or top <= 0:
        return [0.0, 1.0]
    raw = top / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * (1 - 1e-7))
    count = math.ceil(top / step * (1 - 1e-6))
    return [step * i for i in range(count + 1)]


# Beyond this ratio of the largest rate to the target a linear axis would flatten what matters.
MOST_LINEAR = 8.0


def far_chart(points: Sequence[RatePoint], target_pct: float | None, op: str = "<") -> Markup:
    """FAR of each phase with its interval, against the target; on a square-root axis where the target is far below."""
    if not points:
        return Markup("")
    highest = max([*(p.high if p.high is not None else p.value for p in points), (target_pct or 0.0) * 1.15, 1e-3])
    bent = target_pct is not None and highest > MOST_LINEAR * target_pct
    ticks = _root_ticks(highest) if bent else nice_ticks(highest)
    top = ticks[-1]

    def y(value: float) -> float:
        """Percent from the top of the plot."""
        part = min(max(value, 0.0), top) / top
        return 100.0 - 100.0 * (math.sqrt(part) if bent else part)

    n = len(points)
    xs = [100.0 * (i + 0.5) / n for i in range(n)]
    shapes = [f'<line class="grid" x1="0" x2="100%" y1="{y(t):.3f}%" y2="{y(t):.3f}%"/>' for t in ticks]
    if target_pct is not None:
        at = y(target_pct)
        shapes.append(f'<rect class="goal" x="0" y="{at:.3f}%" width="100%" height="{100 - at:.3f}%"/>')
        shapes.append(f'<line class="goal-line" x1="0" x2="100%" y1="{at:.3f}%" y2="{at:.3f}%"/>')
    run = [(x, p) for x, p in zip(xs, points, strict=True) if not p.held]
    if len(run) > 1:
        shapes.append(
            _curve(np.array([x for x, _ in run]) / 100, 1 - np.array([y(p.value) for _, p in run]) / 100, "run")
        )
    for x, p in zip(xs, points, strict=True):
        if p.low is not None and p.high is not None:
            shapes.append(
                f'<line class="whisker" x1="{x:.3f}%" x2="{x:.3f}%" y1="{y(p.low):.3f}%" y2="{y(p.high):.3f}%"/>'
            )
    for x, p in zip(xs, points, strict=True):
        kind = "dot" + " held" * p.held + " marked" * p.marked + " short" * bool(p.note)
        shapes.append(f'<circle class="{kind}" cx="{x:.3f}%" cy="{y(p.value):.3f}%" r="5"/>')
    every = max(1, math.ceil(n / 12))
    shown = [i for i in range(n) if i % every == 0 or points[i].marked or points[i].held or i == n - 1]
    if n > 12:  # a label next to one that must be there gives way, the more so next to a long one
        reach = [(j, math.ceil(n * 0.16) if points[j].held else 1) for j in range(n) if _must(points, j)]
        shown = [i for i in shown if _must(points, i) or all(abs(i - j) > wide for j, wide in reach)]
    labels = "".join(_span(xs[i], escape(points[i].name)) for i in shown)
    values = "".join(
        f'<span class="val{" marked" if points[i].marked else ""}{" flip" if xs[i] > 72 else ""}" '
        f'style="left:{xs[i]:.3f}%;bottom:{100 - y(points[i].value):.3f}%">'
        f"{escape(percent(points[i].value))}{_note(points[i].note)}</span>"
        for i in range(n)
        if n <= 6 or points[i].marked or points[i].held or i == 0
    )
    goal = ""
    if target_pct is not None:
        place = _free_place(y(target_pct), [(x, y(p.value), x > 72) for x, p in zip(xs, points, strict=True)])
        goal = (
            f'<span class="goal-name {place}" style="bottom:{100 - y(target_pct):.3f}%">'
            f"target {escape(op)} {escape(limit(target_pct))}</span>"
        )
    said = "; ".join(f"{p.name} {percent(p.value)}" + f", {p.note}" * bool(p.note) for p in points)
    about = f"FAR by phase: {said}." + (f" Target {op} {limit(target_pct)}." if target_pct is not None else "")
    axis = "".join(f'<span style="bottom:{100 - y(t):.3f}%">{escape(f"{t:g}")}</span>' for t in ticks)
    return _framed(about, axis, "".join(shapes), labels, goal + values, "tall")


def far_lines(
    runs: Sequence[tuple[str, Sequence[float | None]]], names: Sequence[str], target_pct: float | None
) -> Markup:
    """FAR over iterations, a line a run; `names` label the positions that the runs share."""
    known = [value for _, values in runs for value in values if value is not None]
    if not known:
        return Markup("")
    highest = max([*known, (target_pct or 0.0) * 1.15, 1e-3])
    bent = target_pct is not None and highest > MOST_LINEAR * target_pct
    ticks = _root_ticks(highest) if bent else nice_ticks(highest)
    top, n = ticks[-1], len(names)

    def y(value: float) -> float:
        part = min(max(value, 0.0), top) / top
        return 100.0 - 100.0 * (math.sqrt(part) if bent else part)

    shapes = [f'<line class="grid" x1="0" x2="100%" y1="{y(t):.3f}%" y2="{y(t):.3f}%"/>' for t in ticks]
    if target_pct is not None:
        at = y(target_pct)
        shapes.append(f'<rect class="goal" x="0" y="{at:.3f}%" width="100%" height="{100 - at:.3f}%"/>')
        shapes.append(f'<line class="goal-line" x1="0" x2="100%" y1="{at:.3f}%" y2="{at:.3f}%"/>')
    for i, (_, values) in enumerate(runs):
        places = [((j + 0.5) / n, y(v)) for j, v in enumerate(values) if v is not None]
        if len(places) > 1:
            shapes.append(
                _curve(np.array([x for x, _ in places]), 1 - np.array([v for _, v in places]) / 100, f"r{i % 6}")
            )
        shapes += [f'<circle class="dot r{i % 6}" cx="{100 * x:.3f}%" cy="{v:.3f}%" r="4"/>' for x, v in places]
    every = max(1, math.ceil(n / 14))
    labels = "".join(_span(100 * (j + 0.5) / n, escape(clean(names[j]))) for j in range(0, n, every))
    axis = "".join(f'<span style="bottom:{100 - y(t):.3f}%">{escape(f"{t:g}")}</span>' for t in ticks)
    legend = "".join(
        f'<span class="key line r{i % 6}">{escape(clean(name))}</span>' for i, (name, _) in enumerate(runs)
    )
    said = "; ".join(f"{name} " + ", ".join(percent(v) for v in values if v is not None) for name, values in runs)
    drawn = _framed(f"FAR by iteration: {said}.", axis, "".join(shapes), labels, "", "tall")
    return Markup(f'<div class="legend" aria-hidden="true">{legend}</div>') + drawn


def _free_place(line: float, points: Sequence[tuple[float, float, bool]]) -> str:
    """Where the name of the target hides no point and no value: `right` or `left`, above its line or `below`.

    Args:
        line: Where the target's line lies, percent from the top.
        points: Percent from the left and from the top, and whether the value stands to the left of the point.
    """
    wide, high = 22.0, 9.0

    def hidden(place: str) -> int:
        left = 0.0 if "left" in place else 100.0 - wide
        top = line if "below" in place else line - high
        return sum(
            x + (2 if flipped else 14) > left
            and x - (14 if flipped else 2) < left + wide
            and y + 4 > top
            and y - 4 < top + high
            for x, y, flipped in points
        )

    places = [p for p in ("right", "left", "right below", "left below") if "below" not in p or line + high < 100]
    return min(places, key=hidden)


def _note(text: str) -> Markup:
    return Markup(f"<small>{escape(clean(text))}</small>") if text else Markup("")


def _must(points: Sequence[RatePoint], i: int) -> bool:
    """Whether a point's label may not be left out."""
    return points[i].marked or points[i].held or i in (0, len(points) - 1)


def _root_ticks(highest: float) -> list[float]:
    """Round numbers for a square-root axis, far enough apart to be read, 0 and the top among them."""
    power = 10.0 ** math.floor(math.log10(highest))
    top = next(power * m for m in (1, 2, 3, 4, 5, 6, 8, 10) if power * m >= highest * (1 - 1e-9))
    found = [top]
    for value in sorted((m * 10.0**e for e in range(-6, 4) for m in (1, 2, 5)), reverse=True):
        place = math.sqrt(value / top)
        if value < top and place >= 0.085 and math.sqrt(found[-1] / top) - place >= 0.085:
            found.append(value)
    return [0.0, *reversed(found)]


def score_axis(low: float, high: float) -> FloatArray:
    """Ticks of an axis that holds scores from `low` to `high`: from 0 where none is negative."""
    if low >= 0 and high > 0:
        return np.array(nice_ticks(high, most=4))
    low, high = (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)
    return np.linspace(low, high, 5)


def distribution(
    passes: FloatArray, defects: FloatArray, threshold: float | None, ticks: FloatArray | None = None, bins: int = 48
) -> Markup:
    """How scores lie: PASS above the line, defects below it, the threshold through both. Heights are square roots.

    Args:
        passes: Scores of PASS samples, [n].
        defects: Scores of the others, [m].
        threshold: Where the line is drawn; None draws none.
        ticks: The axis, so that several can be compared; by default it fits these scores.
        bins: Bars over the axis.
    """
    everything = np.concatenate([passes, defects])
    if not len(everything):
        return Markup("")
    held = threshold is not None and math.isfinite(threshold)
    if ticks is None:
        known = [*everything, threshold] if held else everything
        ticks = score_axis(float(np.min(known)), float(np.max(known)))
    low, high = float(ticks[0]), float(ticks[-1])
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
                f'<rect class="bar {kind}" x="{i * width + width * 0.08:.2f}%" y="{y:.2f}%" '
                f'width="{width * 0.84:.2f}%" height="{size:.2f}%"/>'
            )
    over = ""
    if threshold is not None and held:
        x = min(max(100 * (threshold - low) / (high - low), 0.0), 100.0)
        shapes.append(f'<line class="cut" x1="{x:.3f}%" x2="{x:.3f}%" y1="0" y2="100%"/>')
        shapes.append('<line class="cut try" visibility="hidden" x1="0" x2="0" y1="0" y2="100%"/>')
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


@dataclass(frozen=True)
class CurveAxes:
    """Axes in percent: FAR from 0 to `right` (`bent`: by its square root), recall from `floor` to 100."""

    right: float
    floor: float
    bent: bool

    @property
    def x_ticks(self) -> list[float]:
        """Round numbers from 0 to `right`."""
        return _root_ticks(self.right) if self.bent else nice_ticks(self.right)

    def across(self, far: FloatArray) -> FloatArray:
        """Where FAR values lie, 0..1 from the left."""
        part = np.clip(far, 0.0, self.right) / self.right
        return np.sqrt(part) if self.bent else part

    def place(self, far: float, recall: float) -> tuple[float, float]:
        """Where a point lies, in percent from the left and from the top."""
        x = 100 * float(self.across(np.array([far]))[0])
        return x, 100 - 100 * (min(max(recall, self.floor), 100.0) - self.floor) / (100 - self.floor)


def curve_axes(lines: Sequence[Line], target_pct: float | None) -> CurveAxes:
    """Axes that hold all of `lines` up to where each reaches its highest recall."""
    lines = [line for line in lines if len(line.x)]
    reach = max((float(line.x[np.argmax(line.y >= line.y.max() - 1e-9)]) for line in lines), default=1.0)
    reach = max(reach * 1.05, (target_pct or 0) * 1.5, 1.0)
    bent = target_pct is not None and reach > MOST_LINEAR * target_pct
    ticks = _root_ticks(min(reach, 100.0)) if bent else nice_ticks(reach)
    floor = min((float(np.interp(0.0, line.x, line.y)) for line in lines), default=0.0)
    return CurveAxes(ticks[-1], max(f for f in (0.0, 50.0, 75.0, 90.0) if f <= max(floor, 0.0)), bent)


def recall_far(
    lines: Sequence[Line],
    target_pct: float | None,
    recall_pct: float | None,
    axes: CurveAxes | None = None,
    point: tuple[float, float] | None = None,
) -> Markup:
    """Recall over FAR, a curve a phase; the corner that meets the target is shaded.

    Args:
        lines: FAR and recall in percent.
        target_pct: The FAR limit.
        recall_pct: The recall that the target asks for.
        axes: Shared axes; by default they fit `lines`.
        point: (FAR, recall) of the operating point, in percent; a second mark is there for a script to move.
    """
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return Markup("")
    axes = axes or curve_axes(lines, target_pct)
    right, floor = axes.right, axes.floor
    y_ticks = [floor + (100 - floor) * i / 5 for i in range(6)]
    shapes = []
    for tick in y_ticks:
        y = axes.place(0, tick)[1]
        shapes.append(f'<line class="grid" x1="0" x2="100%" y1="{y:.3f}%" y2="{y:.3f}%"/>')
    if target_pct is not None and recall_pct is not None:
        y = axes.place(0, recall_pct)[1]
        # A corner without height is still a goal: it is given enough to be seen.
        shapes.append(
            f'<rect class="goal" x="0" y="{min(y, 0.0):.3f}%" width="{axes.place(target_pct, 0)[0]:.3f}%" '
            f'height="{max(y, 2.5):.3f}%"/>'
        )
    for line in lines:
        keep = line.x <= right * 1.0001
        x, y_values = line.x[keep], np.clip(line.y[keep], floor, 100)
        if len(x):
            # Only the points themselves can be had, so the line between them is a stair.
            x, y_values = np.repeat(x, 2)[1:], np.repeat(y_values, 2)[:-1]
            shapes.append(_curve(axes.across(x), (y_values - floor) / (100 - floor), line.style))
    if point is not None:
        px, py = axes.place(*point)
        shapes.append(f'<circle class="here" cx="{px:.3f}%" cy="{py:.3f}%" r="5"/>')
        shapes.append('<circle class="here try" visibility="hidden" cx="0" cy="0" r="5"/>')
    labels = "".join(_span(axes.place(t, 0)[0], escape(f"{t:g} %" if t else "0")) for t in axes.x_ticks)
    legend = "".join(
        f'<span class="key {style}">{escape(clean(name))}</span>'
        for style, name in {line.style: line.name for line in lines if line.style != "quiet"}.items()
    )
    if any(line.style == "quiet" for line in lines):
        legend += '<span class="key quiet">other iterations</span>'
    about = "Recall over FAR. " + " ".join(
        f"{line.name} reaches recall {percent(float(line.y.max()))} at FAR "
        f"{percent(float(line.x[np.argmax(line.y >= line.y.max() - 1e-9)]))}."
        for line in lines
        if line.style != "quiet"
    )
    axis = "".join(f'<span style="bottom:{100 - axes.place(0, t)[1]:.3f}%">{escape(f"{t:g}")}</span>' for t in y_ticks)
    names = '<span class="axis-name up">recall, %</span><span class="axis-name along">FAR</span>'
    drawn = _framed(about, axis, "".join(shapes), labels, names, "curve-plot" if point else "tall named")
    return Markup(f'<div class="legend" aria-hidden="true">{legend}</div>') + drawn


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


def _framed(about: str, axis: str, shapes: str, labels: str, over: str, kind: str) -> Markup:
    return Markup(
        f'<div class="plot {kind}" role="img" aria-label="{escape(clean(about))}">'
        f'<div class="y-axis" aria-hidden="true">{axis}</div>'
        f'<div class="field"><svg aria-hidden="true" width="100%" height="100%">{shapes}</svg>{over}</div>'
        f'<div class="x-axis" aria-hidden="true">{labels}</div></div>'
    )


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
