"""The report of a task that brings no page of its own: verdict, a line a phase with its figures, the stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio
from tao_skill_bank.core.text import duration, percent
from tao_skill_bank.loop.state import AnyState
from tao_skill_bank.reports.page import render_page
from tao_skill_bank.tasks.registry import load_state, task_of

REPORT_FILE = "DEFT_Loop_Report.html"


def render_run(results_dir: Path) -> Path:
    """Write the report of a run from its state; returns its path."""
    path = results_dir / REPORT_FILE
    fsio.write_text(path, run_html(results_dir))
    return path


def run_html(results_dir: Path) -> str:
    """The page as text. Everything out of the state is escaped."""
    task, state = task_of(results_dir), load_state(results_dir)
    phases: list[dict[str, Any]] = []
    for label, iteration in state.iterations.items():
        value = state.value(iteration)
        phases.append({"label": label, "value": "" if value is None else percent(value), **iteration.figures()})
    names = list(dict.fromkeys(name for phase in phases for name in phase if name not in ("label", "value")))
    return render_page(
        "plain_report.html.j2",
        task=task.name,
        state=state,
        verdict=task.verdict(state).line,
        names=names,
        phases=phases,
        stages=stage_rows(state),
    )


def stage_rows(state: AnyState) -> list[tuple[str, str, str, str, str]]:
    """(iteration, stage, status, summary, duration as text) of every ended stage."""
    return [(label, r.stage, r.status, r.summary, duration(r.duration_sec)) for label, r in state.labelled_records()]
