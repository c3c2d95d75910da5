"""The score explorer: every iteration's distribution, curve and confusion, and the data to try thresholds on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.metric import Measure, Target
from tao_skill_bank.metrics import Curve, Threshold, confusion_at, thinned_curve
from tao_skill_bank.reports import score_charts
from tao_skill_bank.reports.deft.view import Phase, RunView, share
from tao_skill_bank.tasks.changenet.metric import FAR, RECALL
from tao_skill_bank.tasks.changenet.results import Evaluation

POINTS = 240
FEWER_POINTS = 120  # a phase, once there are many


@dataclass(frozen=True)
class Frame:
    """One iteration of the explorer. `counts` (`tp`, `fp`, …): at its operating point, if it has one."""

    phase: Phase
    distribution: Markup
    curve: Markup
    counts: Evaluation | Threshold | None
    precision: Interval | None
    printed: bool
    start: int
    last: int


@dataclass(frozen=True)
class Explorer:
    """Frames in the order of the run, the overlay of all curves, and the script's data as JSON."""

    frames: tuple[Frame, ...]
    overlay: Markup
    data: Markup
    start: int


def explorer(view: RunView) -> Explorer:
    """Everything the explorer shows. Frames without both classes have no curve."""
    phases = [p for p in view.measured if p.scored is not None]
    if not phases:
        return Explorer((), Markup(""), Markup("[]"), 0)
    ticks = _ticks(phases)
    halves = {
        p.label: (p.scored.scores[p.scored.is_pass], p.scored.scores[~p.scored.is_pass]) for p in phases if p.scored
    }
    highest = [score_charts.highest_bars(*both, ticks) for both in halves.values()]
    most = max(up for up, _ in highest), max(down for _, down in highest)
    limit = POINTS if len(phases) <= 8 else FEWER_POINTS
    curves = {p.label: _curve(p, limit) for p in phases}
    lines = {label: _line(p, curve, view) for p in phases if (curve := curves[p.label]) for label in [p.label]}
    target = view.target
    far_pct, recall_pct = (_asked(target, FAR), _asked(target, RECALL)) if target else (None, None)
    shared = score_charts.curve_axes(list(lines.values()), far_pct)
    ordered = sorted(lines.values(), key=lambda line: ("quiet", "base", "best").index(line.style))
    overlay = score_charts.recall_far(ordered, far_pct, recall_pct, shared)
    frames, data = [], []
    for phase in phases:
        curve, counts = curves[phase.label], _counts(phase)
        drawn = Markup("")
        if curve is not None:
            # The same axes in every frame, so that scrubbing compares.
            own, at = replace(lines[phase.label], style="best"), _place(counts) if counts else None
            drawn = score_charts.recall_far([own], far_pct, recall_pct, shared, at)
            data.append(tryout(phase.title, curve, ticks, shared))
        else:
            data.append({"title": phase.title, "t": []})
        scored = phase.scored
        assert scored is not None
        threshold = phase.record.threshold
        frames.append(
            Frame(
                phase=phase,
                distribution=score_charts.distribution(*halves[phase.label], threshold, ticks, most),
                curve=drawn,
                counts=counts,
                precision=share(counts.tp, counts.tp + counts.fp) if counts and counts.tp + counts.fp else None,
                printed=phase is view.best or phase is view.baseline,
                start=0 if curve is None or threshold is None else int(np.argmin(np.abs(curve.thresholds - threshold))),
                last=0 if curve is None else len(curve) - 1,
            )
        )
    start = next((i for i, p in enumerate(phases) if p is view.best), len(phases) - 1)
    return Explorer(tuple(frames), overlay, embedded(data), start)


def _asked(target: Target, measure: Measure) -> float | None:
    limit = target.limit(measure.name)
    return None if limit is None else limit.limit_pct


def embedded(data: Any) -> Markup:
    """A value as JSON that can stand in a page's script element."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _ticks(phases: list[Phase]) -> Any:
    """One axis for all of them, so that scrubbing compares."""
    lows, highs = [], []
    for phase in phases:
        assert phase.scored is not None
        if len(phase.scored.scores):
            lows.append(float(phase.scored.scores.min()))
            highs.append(float(phase.scored.scores.max()))
        if phase.record.threshold is not None:
            lows.append(phase.record.threshold)
            highs.append(phase.record.threshold)
    return score_charts.score_axis(min(lows, default=0.0), max(highs, default=1.0))


def _curve(phase: Phase, limit: int) -> Curve | None:
    scored, at = phase.scored, phase.record.threshold
    if scored is None or scored.is_pass.all() or not scored.is_pass.any():
        return None
    return thinned_curve(scored.scores, scored.is_pass, keep=() if at is None else (at,), limit=limit)


def _line(phase: Phase, curve: Curve, view: RunView) -> score_charts.Line:
    style = "best" if phase is view.best else "base" if phase is view.baseline else "quiet"
    return score_charts.Line.of(phase.title, curve, style)


def _counts(phase: Phase) -> Evaluation | Threshold | None:
    """As the state has them, else counted in the inference."""
    if phase.evaluation is not None or phase.scored is None or phase.record.threshold is None:
        return phase.evaluation
    return confusion_at(phase.scored.scores, phase.scored.is_pass, phase.record.threshold)


def _place(at: Evaluation | Threshold) -> tuple[float, float]:
    """(FAR, recall) in percent."""
    return 100 * at.fp / max(at.fp + at.tn, 1), 100 * at.tp / max(at.tp + at.fn, 1)


def tryout(title: str, curve: Curve, ticks: Any, axes: score_charts.CurveAxes) -> dict[str, Any]:
    """What the page's script needs of one set of scores: candidate thresholds, ascending, with their errors."""
    return {
        "title": title,
        "t": [float(t) for t in curve.thresholds],
        "fp": [int(x) for x in curve.fp],
        "fn": [int(x) for x in curve.fn],
        "passes": int(curve.fp[0] + curve.tn[0]),
        "defects": int(curve.tp[0] + curve.fn[0]),
        "low": float(ticks[0]),
        "high": float(ticks[-1]),
        "far_top": axes.right,
        "far_bent": axes.bent,
        "recall_floor": axes.floor,
    }
