"""What people look at of a run, by its task; handed to whoever works on the run."""

from __future__ import annotations

from pathlib import Path


def render(results_dir: Path) -> None:
    """Write report and summaries of a run from disk."""
    from tao_skill_bank.loop.state import BASELINE
    from tao_skill_bank.reports.deft.report import iter_summary, render_report
    from tao_skill_bank.tasks.registry import load_state

    for label, iteration in load_state(results_dir).iterations.items():
        if label != BASELINE and iteration.far_pct is not None:
            iter_summary(results_dir, label)
    render_report(results_dir)
