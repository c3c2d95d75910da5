"""Runs side by side: what differs in their plans, how what they limit went, what each cost, where each ended."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from tao_skill_bank.core.consent import approved
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import write_text
from tao_skill_bank.core.overrides import leaves
from tao_skill_bank.core.settings import Frozen
from tao_skill_bank.core.text import capital, clean, duration, listed, percent, points, score, tokens, whole
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.foreign import ForeignStateError
from tao_skill_bank.loop.metric import Measure
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.reports import charts
from tao_skill_bank.reports.deft.report import CONTENTS
from tao_skill_bank.reports.deft.status import rate, status_of
from tao_skill_bank.reports.deft.view import Phase, RunView
from tao_skill_bank.reports.page import render_page, script
from tao_skill_bank.tasks.changenet.imported import told_run
from tao_skill_bank.tasks.changenet.metric import FAR, GRAMMAR, RECALL
from tao_skill_bank.tasks.registry import FIRST

MOST_RUNS = 12
# What differs between any two runs and says nothing about their plans.
_NOISE = {"workspace"}


class PhaseFigures(Frozen):
    """One phase of one run; rates in percent."""

    phase: str
    far_pct: float | None
    far: Interval | None
    goal_pct: float | None
    goal: Interval | None
    threshold: float | None
    training_rows: int | None
    real_added: int | None
    synthetic_added: int | None


class RunFigures(Frozen):
    """One run. `tokens` is None where none were aligned; `seconds` is time in stages."""

    name: str
    results_dir: str
    status: str
    why: str
    verdict: Verdict
    approval: str | None
    kpi_target: str
    best_iteration: str | None
    best_far_pct: float | None
    best_far: Interval | None
    best_goal_pct: float | None
    best_goal: Interval | None
    threshold: float | None
    acceptance_far: Interval | None
    acceptance_goal: Interval | None
    acceptance_recall: Interval | None
    phases: list[PhaseFigures]
    seconds: int
    tokens: int | None
    rows_added: int


class Difference(Frozen):
    """One setting of the plans that is not the same in all runs; a value a run, as text."""

    key: str
    values: list[str]


class Comparison(Frozen):
    """Runs in the order they were named; `cautions` say what makes them hard to compare.

    `measure` is what the targets of all limit, else FAR; `goal` figures are of it.
    """

    measure: str
    runs: list[RunFigures]
    differences: list[Difference]
    cautions: list[str]


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Read runs and set them side by side; runs of another program's loop too, as far as they tell.

    Raises:
        InputError: Fewer than two or more than `MOST_RUNS` folders, one twice, or one without a readable state.
    """
    if not 2 <= len(folders) <= MOST_RUNS:
        raise InputError(f"{len(folders)} runs", where="deft compare", fix=f"name 2 to {MOST_RUNS} run folders")
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        twice = next(folder for folder in resolved if resolved.count(folder) > 1)
        raise InputError("named twice", where=twice, fix="name each run once")
    names = _names(resolved)
    read = [_read(name, folder) for name, folder in zip(names, resolved, strict=True)]
    views = [view for view, _ in read]
    limited = {view.state.measure for view in views}
    measure = limited.pop() if len(limited) == 1 else FAR.name
    runs = [_figures(name, view, measure) for name, view in zip(names, views, strict=True)]
    cautions = [*_cautions(views, measure), *(line for _, said in read for line in said)]
    return Comparison(measure=measure, runs=runs, differences=_differences(views), cautions=cautions)


def _read(name: str, folder: Path) -> tuple[RunView, list[str]]:
    """A run; of another program's what cannot be known of it, too."""
    try:
        return RunView(folder), []
    except ForeignStateError:
        told = told_run(folder, FIRST)
    known = f"{name} is a run of another program: who approved it, and who trained its models, is not known."
    return RunView(folder, told), [known, *(f"{name}: {line}." for line in told.left)]


def _names(folders: Sequence[Path]) -> list[str]:
    """Folder names, with the parents' where two are the same."""
    for depth in range(1, 8):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names


def _goal(view: RunView, phase: Phase, measure: str) -> tuple[Interval | None, float | None]:
    return view.goal_of(phase) if measure == view.state.measure else (phase.far, phase.record.far_pct)


def _figures(name: str, view: RunView, measure: str) -> RunFigures:
    status, best, accepted = status_of(view), view.best, view.accepted("best")
    goal, goal_pct = _goal(view, best, measure) if best else (None, None)
    spent = sum(line.token_total for line in view.lines)
    phases = [
        PhaseFigures(
            phase=p.label,
            far_pct=p.record.far_pct,
            far=p.far,
            goal_pct=value,
            goal=found,
            threshold=p.record.threshold,
            training_rows=p.rows,
            real_added=p.record.mining_mined_count,
            synthetic_added=p.record.anomalygen_count,
        )
        for p in view.phases
        for found, value in [_goal(view, p, measure)]
    ]
    return RunFigures(
        name=name,
        results_dir=str(view.root),
        status=status.wording,
        why=status.why,
        verdict=view.verdict,
        approval=None if view.state.approval is None else approved(view.state.approval.how),
        kpi_target=view.state.kpi_target,
        best_iteration=best.label if best else None,
        best_far_pct=best.record.far_pct if best else None,
        best_far=best.far if best else None,
        best_goal_pct=goal_pct,
        best_goal=goal,
        threshold=best.record.threshold if best else None,
        acceptance_far=accepted.far if accepted else None,
        acceptance_goal=accepted.figures.get(measure) if accepted else None,
        acceptance_recall=accepted.recall if accepted else None,
        phases=phases,
        seconds=sum(line.duration_sec for line in view.lines),
        tokens=spent or None,
        rows_added=sum((p.real_added or 0) + (p.synthetic_added or 0) for p in phases),
    )


def _differences(views: Sequence[RunView]) -> list[Difference]:
    flat = [_flat(view) for view in views]
    keys = list(dict.fromkeys(key for plan in flat for key in plan))
    found = []
    for key in keys:
        values = [plan.get(key, "–") for plan in flat]
        if len(set(values)) > 1:
            found.append(Difference(key=key, values=values))
    return found


def _flat(view: RunView) -> dict[str, str]:
    """The plan as `mining.strategy` → `hardest`; paths inside the workspace are relative to it."""
    state = view.state
    plan: dict[str, str] = {"kpi_target": state.kpi_target, "max_iterations": str(state.max_iterations)}
    home = state.config.workspace.rstrip("/") + "/"
    for name, value in leaves(state.config.model_dump(mode="json")):
        if name not in _NOISE and value != {}:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            plan[name] = clean(text.removeprefix(home))
    for key, digest in state.plan_digests.items():
        plan[f"contents of {f'the {CONTENTS[key]}' if key in CONTENTS else key}"] = digest[:12]
    return plan


def _cautions(views: Sequence[RunView], measure: str) -> list[str]:
    """What stands against reading one figure against another."""
    found = []
    if len({view.state.plan_digests.get("kpi_test_csv") for view in views}) > 1:
        found.append(f"The KPI sets differ, so {measure} is not measured on the same samples.")
    limited = sorted({view.state.measure for view in views})
    if len(limited) > 1:
        found.append(f"The targets limit {listed(limited)}; FAR is shown of all, each at its own target's threshold.")
    elif len({view.target.constraints if view.target else None for view in views}) > 1:
        found.append(
            "The targets ask for different recalls, and FAR is read at the recall."
            if measure == FAR.name
            else f"The targets ask for different things beside {measure}, and it is read where they hold."
        )
    if len({view.verdict.rehearsal for view in views if view.measured}) > 1:
        whose = "is the bank's own network's, not TAO's"
        found.append(f"Not all were trained by the same: a rehearsal's {measure} {whose}.")
    shown = [_goal(view, view.best, measure) for view in views if view.best is not None]
    best, same = [interval for interval, _ in shown if interval is not None], len({value for _, value in shown}) == 1
    if len(best) == len(views) and not same and max(f.low_pct for f in best) <= min(f.high_pct for f in best):
        found.append(f"The 95 % intervals of the best {measure} figures overlap: the difference may be chance.")
    return found


def lines(comparison: Comparison) -> list[str]:
    """The comparison as text for a terminal."""
    # A figure is never shortened; names and paths are.
    measure = comparison.measure
    figures = [rate(f) for run in comparison.runs for f in (run.best_goal, run.acceptance_goal, run.acceptance_far)]
    figures += [rate(run.acceptance_recall) for run in comparison.runs]
    width = max(min(max(12, *(len(run.name) for run in comparison.runs)), 36), *map(len, figures))
    label = max(14, len(f"acceptance {measure}"), *(len(d.key) for d in comparison.differences))

    def row(name: str, cells: Sequence[str]) -> str:
        return f"{name:<{label}}  " + "  ".join(f"{_short(cell, width):>{width}}" for cell in cells).rstrip()

    runs = comparison.runs
    out = [row("", [run.name for run in runs]), row("status", [run.status for run in runs])]
    out.append(row(f"best {measure}", [rate(run.best_goal, run.best_goal_pct) for run in runs]))
    out.append(row("in", [run.best_iteration or "–" for run in runs]))
    if any(run.acceptance_far for run in runs):
        out.append(row(f"acceptance {measure}", [rate(run.acceptance_goal) for run in runs]))
        if measure != FAR.name:
            out.append(row("  FAR", [rate(run.acceptance_far) for run in runs]))
        if measure != RECALL.name:
            out.append(row("  recall", [rate(run.acceptance_recall) for run in runs]))
    out += ["", f"{capital(measure)} per iteration"]
    for phase in _phases(comparison):
        cells = [next((percent(p.goal_pct) for p in run.phases if p.phase == phase), "") for run in runs]
        out.append(row(f"  {phase}", cells))
    out += ["", "cost", row("  time", [duration(run.seconds) for run in runs])]
    out.append(row("  tokens", [tokens(run.tokens) for run in runs]))
    out.append(row("  rows added", [whole(run.rows_added) for run in runs]))
    out += ["", "what differs in the plan" if comparison.differences else "the plans are the same"]
    out += [row(d.key, d.values) for d in comparison.differences]
    out += ["", *[f"{run.name}: {run.verdict.line}{f' ({run.approval})' if run.approval else ''}" for run in runs]]
    if comparison.cautions:
        out += ["", *[f"note: {text}" for text in comparison.cautions]]
    return out


def _phases(comparison: Comparison) -> list[str]:
    every = {p.phase for run in comparison.runs for p in run.phases}
    return sorted(every, key=lambda label: 0 if label == "baseline" else int(label.removeprefix("iter")))


def _short(text: str, width: int) -> str:
    """Both ends of a text that is too long: paths differ at either."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[-(width - 1 - head) :]}"


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the comparison as one offline page; returns `path`."""
    write_text(path, page_html(comparison))
    return path


def page_html(comparison: Comparison) -> str:
    """The comparison as one HTML document."""
    phases = _phases(comparison)
    base = {run.name: next((p.goal_pct for p in run.phases if p.phase == "baseline"), None) for run in comparison.runs}
    known = [run.best_goal_pct for run in comparison.runs if run.best_goal_pct is not None]
    return render_page(
        "compare.html.j2",
        found=comparison,
        phases=phases,
        figure=_figure(comparison, phases),
        cell={(run.name, p.phase): p for run in comparison.runs for p in run.phases},
        base=base,
        measure=comparison.measure,
        beside=comparison.measure not in (FAR.name, RECALL.name),
        leading=(min if _named(comparison.measure).at_most else max)(known, default=None),
        moved=lambda run: points(_moved(run.best_goal_pct, base[run.name])),
        score_text=score,
        script=script("report.js"),
    )


def _figure(comparison: Comparison, phases: Sequence[str]) -> Markup:
    """What the targets limit, over the iterations, a line a run."""
    lines_ = []
    for run in comparison.runs:
        values = {p.phase: p.goal_pct for p in run.phases}
        lines_.append((run.name, [values.get(phase) for phase in phases]))
    targets = {run.kpi_target for run in comparison.runs}
    asked = None
    if len(targets) == 1:
        with contextlib.suppress(InputError):
            asked = GRAMMAR.parse(targets.pop()).limit(comparison.measure)
    target = (None, "<") if asked is None else (asked.limit_pct, asked.op)
    names = ["base", *[p.removeprefix("iter") for p in phases[1:]]]
    return charts.rate_lines(lines_, names, *target, measure=comparison.measure)


def _named(name: str) -> Measure:
    return next(measure for measure in GRAMMAR.measures if measure.name == name)


def _moved(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
