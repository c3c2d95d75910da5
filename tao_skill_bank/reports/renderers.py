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
    """The report of a run of any task, as it stands on disk now; writes nothing."""
    from tao_skill_bank.reports.plain import plain_html
    from tao_skill_bank.tasks.registry import task_of

    return _PAGES.get(task_of(results_dir).name, plain_html)(results_dir)


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


def _deft_page(results_dir: Path) -> str:
    from tao_skill_bank.reports.deft.report import report_html
    from tao_skill_bank.reports.deft.status import status_of
    from tao_skill_bank.reports.deft.view import RunView

    return report_html(view := RunView(results_dir), status_of(view))


def _vlm_page(results_dir: Path) -> str:
    from tao_skill_bank.reports.vlm.page import run_html

    return run_html(results_dir)


_OWN: dict[str, Callable[[Path], object]] = {"changenet": _deft, "vlm_bcq": _vlm}
_PAGES: dict[str, Callable[[Path], str]] = {"changenet": _deft_page, "vlm_bcq": _vlm_page}
