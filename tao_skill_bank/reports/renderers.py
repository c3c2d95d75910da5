"""What people look at of a run, by its task; handed to whoever works on the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tao_skill_bank.reports.summary import ReportSummary


def render(results_dir: Path) -> None:
    """Write the report of a run from disk: that of its task, or the plain one where the task has none of its own."""
    from tao_skill_bank.reports.plain import render_plain
    from tao_skill_bank.tasks.registry import task_of

    _OWN.get(task_of(results_dir).name, render_plain)(results_dir)


def summarise(results_dir: Path, narrative: str | None = None) -> ReportSummary:
    """Write the report of a run of any task, and say what is in it.

    Args:
        results_dir: The run folder.
        narrative: A text that becomes part of the page, where the task's page takes one.

    Raises:
        InputError: No run there, or a narrative that the page does not take or support.
    """
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.reports.deft.report import render_report, write_narrative
    from tao_skill_bank.reports.plain import REPORT_FILE
    from tao_skill_bank.reports.summary import summary_of
    from tao_skill_bank.tasks.registry import task_of

    own = _OWN.get(name := task_of(results_dir).name)
    if own is _deft:
        if narrative is not None:
            write_narrative(results_dir, narrative)
        return render_report(results_dir)
    if narrative is not None:
        raise InputError(f"the report of a {name} run takes no narrative", where=results_dir, fix="leave it out")
    render(results_dir)
    return summary_of(results_dir, results_dir / REPORT_FILE)


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
