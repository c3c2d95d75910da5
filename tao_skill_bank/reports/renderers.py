"""What people look at of a run, by its task; handed to whoever works on the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def render(results_dir: Path) -> None:
    """Write the report of a run from disk: that of its task, or the plain one where the task has none of its own."""
    from tao_skill_bank.reports.plain import render_plain
    from tao_skill_bank.tasks.registry import task_of

    _OWN.get(task_of(results_dir).name, render_plain)(results_dir)


def page(results_dir: Path) -> str:
    """The report of a run whose task is not ChangeNet's, as it stands on disk now; writes nothing."""
    from tao_skill_bank.reports.plain import plain_html
    from tao_skill_bank.reports.vlm.page import run_html
    from tao_skill_bank.tasks.registry import task_of

    return (run_html if task_of(results_dir).name == "vlm_bcq" else plain_html)(results_dir)


def _deft(results_dir: Path) -> None:
    from tao_skill_bank.loop.state import BASELINE
    from tao_skill_bank.reports.deft.report import iter_summary, render_report
    from tao_skill_bank.tasks.registry import load_state

    for label, iteration in load_state(results_dir).iterations.items():
        if label != BASELINE and iteration.far_pct is not None:
            iter_summary(results_dir, label)
    render_report(results_dir)


def _vlm(results_dir: Path) -> None:
    from tao_skill_bank.reports.vlm.page import render_run

    render_run(results_dir)


_OWN: dict[str, Callable[[Path], object]] = {"changenet": _deft, "vlm_bcq": _vlm}
