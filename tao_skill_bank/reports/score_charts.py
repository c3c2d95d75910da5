"""Charts of scores: how they lie, and recall over FAR. Drawn as `charts` draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from tao_skill_bank.core.text import clean, percent, score, whole
from tao_skill_bank.metrics import Curve
from tao_skill_bank.reports import charts

FloatArray = npt.NDArray[np.float64]
BINS = 48


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


def score_axis(low: float, high: float) -> FloatArray:
    """Ticks of an axis that holds scores from `low` to `high`: from 0 where none is negative."""
    if low >= 0 and high > 0:
        return np.array(charts.nice_ticks(high, most=4))
    low, high = (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)
    return np.linspace(low, high, 5)


def distribution(
    passes: FloatArray,
    defects: FloatArray,
    threshold: float | None,
    ticks: FloatArray | None = None,
    most: tuple[int, int] | None = None,
) -> Markup:
    """How scores lie: PASS above the line, defects below it, the threshold through both.

    Heights are square roots of counts, each side up to its own highest bar; the upright axis says the counts.

    Args:
        passes: Scores of PASS samples, [n].
        defects: Scores of the others, [m].
        threshold: Where the line is drawn; None draws none.
        ticks: The axis, so that several can be compared; by default it fits these scores.
        most: The counts that the two sides hold, for the same reason; by default those of the highest bars.
    """
    everything = np.concatenate([passes, defects])
    if not len(everything):
        return Markup("")
    held = threshold is not None and math.isfinite(threshold)
    if ticks is None:
        known = [*everything, threshold] if held else everything
        ticks = score_axis(float(np.min(known)), float(np.max(known)))
    low, high = float(ticks[0]), float(ticks[-1])
    counts = bars_of(passes, defects, ticks)
    most = most or highest_bars(passes, defects, ticks)
    shapes = ['<line class="zero" x1="0" x2="100%" y1="50%" y2="50%"/>']
    width = 100 / BINS
    for kind, count, tallest in zip(("pass", "defect"), counts, most, strict=True):
        for i in np.flatnonzero(count):
            size = max(_height(int(count[i]), tallest), 1.2)
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
    labels = "".join(charts.tick(100 * (t - low) / (high - low), escape(f"{t:.3g}")) for t in ticks)
    at = f" threshold {score(threshold)}" if threshold is not None else ""
    bars = f"{most[0] if len(passes) else 0} PASS and {most[1] if len(defects) else 0} defects"
    about = (
        f"Score distribution: {len(passes)} PASS from {score(passes.min() if len(passes) else None)} to "
        f"{score(passes.max() if len(passes) else None)}, {len(defects)} defects from "
        f"{score(defects.min() if len(defects) else None)} to {score(defects.max() if len(defects) else None)};{at}"
        f"; at most {bars} a bar, by square root"
    )
    counted = '<span style="bottom:50%">0</span>'
    for up, highest, values in ((1, most[0], passes), (-1, most[1], defects)):
        counted += "".join(
            f'<span style="bottom:{50 + up * _height(n, highest):.2f}%">{whole(n)}</span>'
            for n in (count_ticks(highest) if len(values) else ())
        )
    return charts.framed(about, counted, "".join(shapes), labels, over, "bare")


def bars_of(passes: FloatArray, defects: FloatArray, ticks: FloatArray) -> list[npt.NDArray[np.int64]]:
    """Samples a bar, PASS and defects, over the axis of `ticks`."""
    edges = np.linspace(float(ticks[0]), float(ticks[-1]), BINS + 1)
    return [np.histogram(x, edges)[0].astype(np.int64) for x in (passes, defects)]


def highest_bars(passes: FloatArray, defects: FloatArray, ticks: FloatArray) -> tuple[int, int]:
    """The samples of the highest bar of either side, at least 1."""
    first, second = (max(int(c.max()), 1) for c in bars_of(passes, defects, ticks))
    return first, second


def _height(count: int, tallest: int) -> float:
    """How high a bar is, in percent of the plot."""
    return 46 * math.sqrt(count / tallest)


def count_ticks(tallest: int) -> list[int]:
    """Counts for the axis of a histogram: the highest bar's, and a round one about half as high as drawn."""
    power = 10 ** math.floor(math.log10(tallest))
    rounds = [m * p for p in (power // 10, power) for m in (1, 2, 5) if 0.12 <= m * p / tallest <= 0.42]
    return [*rounds[:1], tallest]


@dataclass(frozen=True)
class CurveAxes:
    """Axes in percent: FAR from 0 to `right` (`bent`: by its square root), recall from `floor` to 100."""

    right: float
    floor: float
    bent: bool

    @property
    def x_ticks(self) -> list[float]:
        """Round numbers from 0 to `right`."""
        return charts.root_ticks(self.right) if self.bent else charts.nice_ticks(self.right)

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
    bent = target_pct is not None and reach > charts.MOST_LINEAR * target_pct
    ticks = charts.root_ticks(min(reach, 100.0)) if bent else charts.nice_ticks(reach)
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
            shapes.append(charts.polyline(axes.across(x), (y_values - floor) / (100 - floor), line.style))
    if point is not None:
        px, py = axes.place(*point)
        shapes.append(f'<circle class="here" cx="{px:.3f}%" cy="{py:.3f}%" r="5"/>')
        shapes.append('<circle class="here try" visibility="hidden" cx="0" cy="0" r="5"/>')
    labels = "".join(charts.tick(axes.place(t, 0)[0], escape(f"{t:g} %" if t else "0")) for t in axes.x_ticks)
    legend = "".join(
        f'<span class="key {style}">{escape(clean(name))}</span>'
        for style, name in {line.style: line.name for line in lines if line.style != "quiet"}.items()
    )
    if any(line.style == "quiet" for line in lines):
        legend += '<span class="key quiet">other iterations</span>'
    scale = ", square-root scale" * axes.bent
    about = f"Recall over FAR{scale}. " + " ".join(
        f"{line.name} reaches recall {percent(float(line.y.max()))} at FAR "
        f"{percent(float(line.x[np.argmax(line.y >= line.y.max() - 1e-9)]))}."
        for line in lines
        if line.style != "quiet"
    )
    axis = "".join(f'<span style="bottom:{100 - axes.place(0, t)[1]:.3f}%">{escape(f"{t:g}")}</span>' for t in y_ticks)
    names = '<span class="axis-name up">recall, %</span>'
    names += f'<span class="axis-name along">FAR{scale}</span>'
    drawn = charts.framed(about, axis, "".join(shapes), labels, names, "curve-plot" if point else "tall named")
    return Markup(f'<div class="legend" aria-hidden="true">{legend}</div>') + drawn
