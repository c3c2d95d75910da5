"""Charts as HTML and SVG, drawn by arithmetic: no script, no library, no address.

A plot is an SVG without a view box, so that it takes any width while lines and text keep theirs: positions are in
percent of the plot. Axis labels are HTML beside it. Curves stand in a nested SVG that is stretched, with strokes that
do not scale. Every function returns markup with its text escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from tao_skill_bank.core.text import capital, clean, limit, percent, unbroken

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


@dataclass(frozen=True)
class RateAxis:
    """An upright axis of one measure in percent, from 0 to the last of `ticks`; `bent`: by the square root."""

    ticks: list[float]
    bent: bool
    measure: str

    @classmethod
    def of(cls, values: Iterable[float], target_pct: float | None, measure: str) -> RateAxis:
        """The axis that holds `values` and the target; bent where the target lies far below the highest."""
        highest = max([*values, min((target_pct or 0.0) * 1.15, 100.0), 1e-3])
        bent = target_pct is not None and highest > MOST_LINEAR * target_pct
        return cls(root_ticks(highest) if bent else nice_ticks(highest), bent, measure)

    @property
    def name(self) -> str:
        """What stands at the axis."""
        return f"{capital(self.measure)}, %" + ", square-root scale" * self.bent

    def y(self, value: float) -> float:
        """Percent from the top of the plot."""
        part = min(max(value, 0.0), self.ticks[-1]) / self.ticks[-1]
        return 100.0 - 100.0 * (math.sqrt(part) if self.bent else part)

    def grid(self, target_pct: float | None, op: str = "<") -> list[str]:
        """Its lines across the plot, and the goal: what lies on the side of the target that `op` asks for."""
        shapes = [
            f'<line class="grid" x1="0" x2="100%" y1="{self.y(t):.3f}%" y2="{self.y(t):.3f}%"/>' for t in self.ticks
        ]
        if target_pct is not None:
            at = self.y(target_pct)
            top, high = (at, 100 - at) if op.startswith("<") else (0.0, at)
            shapes.append(f'<rect class="goal" x="0" y="{top:.3f}%" width="100%" height="{high:.3f}%"/>')
            shapes.append(f'<line class="goal-line" x1="0" x2="100%" y1="{at:.3f}%" y2="{at:.3f}%"/>')
        return shapes

    def labels(self) -> str:
        """Its figures."""
        return "".join(f'<span style="bottom:{100 - self.y(t):.3f}%">{escape(f"{t:g}")}</span>' for t in self.ticks)

    def title(self) -> str:
        """Its name, over the plot."""
        return f'<span class="axis-name up">{escape(self.name)}</span>'


def rate_chart(points: Sequence[RatePoint], target_pct: float | None, op: str = "<", *, measure: str = "FAR") -> Markup:
    """A measure of each phase with its interval, against the target; on a square-root axis where that is far below."""
    if not points:
        return Markup("")
    axis = RateAxis.of((p.high if p.high is not None else p.value for p in points), target_pct, measure)
    y = axis.y
    n = len(points)
    xs = [100.0 * (i + 0.5) / n for i in range(n)]
    shapes = axis.grid(target_pct, op)
    run = [(x, p) for x, p in zip(xs, points, strict=True) if not p.held]
    if len(run) > 1:
        shapes.append(
            polyline(np.array([x for x, _ in run]) / 100, 1 - np.array([y(p.value) for _, p in run]) / 100, "run")
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
    labels = "".join(tick(xs[i], escape(points[i].name)) for i in shown)
    drawn = [
        Drawn(x, y(p.value), y(p.value if p.high is None else p.high), y(p.value if p.low is None else p.low))
        for x, p in zip(xs, points, strict=True)
    ]
    valued = [i for i in range(n) if n <= 6 or points[i].marked or points[i].held or i == 0]
    texts = [(i, max(len(percent(points[i].value)), len(points[i].note)), bool(points[i].note)) for i in valued]
    joined = [d for d, p in zip(drawn, points, strict=True) if not p.held]
    places, taken = value_places(drawn, texts, joined, None if target_pct is None else y(target_pct))
    values = "".join(
        f'<span class="val{" marked" if points[i].marked else ""} {place}" style="left:{xs[i]:.3f}%;'
        f'{_anchor(drawn[i], place)}">{escape(percent(points[i].value))}{_note(points[i].note)}</span>'
        for i, place in zip(valued, places, strict=True)
    )
    goal = ""
    if target_pct is not None:
        name = f"target {op} {limit(target_pct)}"
        place = _free_place(y(target_pct), [*taken, *(b for d in drawn for b in (d.box, d.whisker))], len(name))
        goal = (
            f'<span class="goal-name {place}" style="bottom:{100 - y(target_pct):.3f}%">{escape(unbroken(name))}</span>'
        )
    said = "; ".join(f"{p.name} {percent(p.value)}" + f", {p.note}" * bool(p.note) for p in points)
    about = f"{capital(measure)} by phase: {said}." + (
        f" Target {op} {limit(target_pct)}." if target_pct is not None else ""
    )
    return framed(about, axis.labels(), "".join(shapes), labels, axis.title() + goal + values, "tall named")


def rate_lines(
    runs: Sequence[tuple[str, Sequence[float | None]]],
    names: Sequence[str],
    target_pct: float | None,
    op: str = "<",
    *,
    measure: str = "FAR",
) -> Markup:
    """A measure over iterations, a line a run; `names` label the positions that the runs share."""
    known = [value for _, values in runs for value in values if value is not None]
    if not known:
        return Markup("")
    axis, n = RateAxis.of(known, target_pct, measure), len(names)
    y = axis.y
    shapes = axis.grid(target_pct, op)
    for i, (_, values) in enumerate(runs):
        places = [((j + 0.5) / n, y(v)) for j, v in enumerate(values) if v is not None]
        if len(places) > 1:
            shapes.append(
                polyline(np.array([x for x, _ in places]), 1 - np.array([v for _, v in places]) / 100, f"r{i % 6}")
            )
        shapes += [f'<circle class="dot r{i % 6}" cx="{100 * x:.3f}%" cy="{v:.3f}%" r="4"/>' for x, v in places]
    every = max(1, math.ceil(n / 14))
    labels = "".join(tick(100 * (j + 0.5) / n, escape(clean(names[j]))) for j in range(0, n, every))
    legend = "".join(
        f'<span class="key line r{i % 6}">{escape(clean(name))}</span>' for i, (name, _) in enumerate(runs)
    )
    said = "; ".join(f"{name} " + ", ".join(percent(v) for v in values if v is not None) for name, values in runs)
    about = f"{capital(measure)} by iteration: {said}."
    drawn = framed(about, axis.labels(), "".join(shapes), labels, axis.title(), "tall named")
    return Markup(f'<div class="legend" aria-hidden="true">{legend}</div>') + drawn


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in percent of a plot."""

# A plot as narrow and as low as it is drawn at its least; a letter, a line of text and a dot in percent of it.
_LETTER, _LINE, _DOT = 2.0, 7.0, 2.6
# The same letter on a telephone, where a plot has some 270 pixels: the name of the target has to be free there too.
_WIDE_LETTER = 2.7
_GAP = 2.2
PLACES = ("right", "left", "above", "below", "above end", "below end", "above start", "below start")


@dataclass(frozen=True)
class Drawn:
    """A point and the ends of its interval, in percent from the left and from the top."""

    x: float
    y: float
    high: float
    low: float

    @property
    def box(self) -> Box:
        """Where the dot lies."""
        return self.x - _DOT, self.y - _DOT, self.x + _DOT, self.y + _DOT

    @property
    def ends(self) -> tuple[float, float]:
        """Where dot and interval end, at the top and at the bottom."""
        return min(self.high, self.y - _DOT), max(self.low, self.y + _DOT)

    @property
    def whisker(self) -> Box:
        """Where the interval lies."""
        return self.x - 0.6, self.high, self.x + 0.6, self.low


def value_places(
    points: Sequence[Drawn],
    texts: Sequence[tuple[int, int, bool]],
    line: Sequence[Drawn] = (),
    target: float | None = None,
) -> tuple[list[str], list[Box]]:
    """Where the value of a point stands so that it covers no dot, no interval and no other value.

    Args:
        points: All points of the plot.
        texts: Of each value: its point, its longest line in letters, and whether it has two lines.
        line: The points that a line joins, which had better be left free too.
        target: Where the target's line lies, percent from the top: it crosses the whole plot.

    Returns:
        One of `PLACES` for each, and the boxes that they take: beside the dot, or beyond an end of its interval.
    """
    steps = np.linspace(0, 1, 25)
    joined = [(a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t) for a, b in pairwise(line) for t in steps.tolist()]
    across = [] if target is None else [(0.0, target - 0.5, 100.0, target + 0.5)]
    taken: list[Box] = []
    places = []
    for i, letters, two in texts:
        boxes = {place: _box(points[i], letters * _LETTER, _LINE * (1 + two), place) for place in PLACES}

        def hidden(place: str, boxes: dict[str, Box] = boxes, own: int = i) -> float:
            box = boxes[place]
            outside = max(0.0, -box[0]) + max(0.0, box[2] - 100) + max(0.0, -_LINE - box[1]) + max(0.0, box[3] - 100)
            dots = sum(_overlap(box, b) for b in (*taken, *(d.box for d in points)))
            beyond = place not in PLACES[:2]  # only beside its own dot may a value lie over its own interval
            others = sum(_overlap(box, d.whisker) for j, d in enumerate(points) if j != own or beyond)
            others += sum(_overlap(box, b) for b in across)
            crossed = sum(box[0] < x < box[2] and box[1] < y < box[3] for x, y in joined)
            return float(200 * outside + 10 * dots + 5 * others + 0.3 * crossed)

        best = min(PLACES, key=hidden)
        places.append(best)
        taken.append(boxes[best])
    return places, taken


def _box(point: Drawn, wide: float, high: float, place: str) -> Box:
    end, _, align = place.partition(" ")
    if end in ("above", "below"):
        left = point.x + {"": -wide / 2, "end": 1.5 - wide, "start": -1.5}[align]
        top = point.ends[0] - _GAP - high if end == "above" else point.ends[1] + _GAP
        return left, top, left + wide, top + high
    left = point.x + _DOT + 0.4 if place == "right" else point.x - _DOT - 0.4 - wide
    return left, point.y - high / 2, left + wide, point.y + high / 2


def _anchor(point: Drawn, place: str) -> str:
    """The style that hangs a value beside its dot, or at an end of its interval."""
    if "below" in place:
        return f"top:{point.ends[1]:.3f}%"
    return f"bottom:{100 - (point.ends[0] if 'above' in place else point.y):.3f}%"


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _free_place(line: float, boxes: Sequence[Box], letters: int) -> str:
    """Where the name of the target hides least of what is drawn: `right` or `left`, above its line or `below`.

    Args:
        line: Where the target's line lies, percent from the top.
        boxes: What is drawn.
        letters: How long the name is.
    """
    wide, high = letters * _WIDE_LETTER, 9.0

    def hidden(place: str) -> float:
        left = 0.0 if "left" in place else 100.0 - wide
        top = line if "below" in place else line - high
        return sum(_overlap((left, top, left + wide, top + high), box) for box in boxes)

    places = [p for p in ("right", "left", "right below", "left below") if "below" not in p or line + high < 100]
    return min(places, key=hidden)


def _note(text: str) -> Markup:
    return Markup(f"<small>{escape(clean(text))}</small>") if text else Markup("")


def _must(points: Sequence[RatePoint], i: int) -> bool:
    """Whether a point's label may not be left out."""
    return points[i].marked or points[i].held or i in (0, len(points) - 1)


def root_ticks(highest: float) -> list[float]:
    """Round numbers for a square-root axis, far enough apart to be read, 0 and the top among them."""
    power = 10.0 ** math.floor(math.log10(highest))
    top = next(power * m for m in (1, 2, 3, 4, 5, 6, 8, 10) if power * m >= highest * (1 - 1e-9))
    found = [top]
    for value in sorted((m * 10.0**e for e in range(-6, 4) for m in (1, 2, 5)), reverse=True):
        place = math.sqrt(value / top)
        if value < top and place >= 0.085 and math.sqrt(found[-1] / top) - place >= 0.085:
            found.append(value)
    return [0.0, *reversed(found)]


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


def framed(about: str, axis: str, shapes: str, labels: str, over: str, kind: str) -> Markup:
    """A plot: what is said of it, its upright axis, its shapes, the axis below, and what lies over."""
    return Markup(
        f'<div class="plot {kind}" role="img" aria-label="{escape(clean(about))}">'
        f'<div class="y-axis" aria-hidden="true">{axis}</div>'
        f'<div class="field"><svg aria-hidden="true" width="100%" height="100%">{shapes}</svg>{over}</div>'
        f'<div class="x-axis" aria-hidden="true">{labels}</div></div>'
    )


def polyline(x: FloatArray, y: FloatArray, style: str) -> str:
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


def tick(left: float, text: object) -> str:
    """A figure under a plot, at `left` percent; those at an end stay within."""
    edge = " first" if left < 4 else " last" if left > 96 else ""
    return f'<span class="tick{edge}" style="left:{left:.3f}%">{text}</span>'
