"""What people look at of a run, by its task; handed to whoever works on the run."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tao_skill_bank.reports.summary import ReportSummary

_DEFT = "changenet"
_OWN = {_DEFT: "deft.report", "vlm_bcq": "vlm.page"}
"""Task to the module of its page, which has `render_run` and `run_html`; the plain one where it has none of its own."""


def _task_and_page(results_dir: Path) -> tuple[str, Any]:
    from tao_skill_bank.tasks.registry import task_of

    name = task_of(results_dir).name
    return name, import_module(f"tao_skill_bank.reports.{_OWN.get(name, 'plain')}")


def render(results_dir: Path) -> None:
    """Write the report of a run from disk: that of its task, or the plain one where the task has none of its own."""
    _task_and_page(results_dir)[1].render_run(results_dir)


def summarise(results_dir: Path, narrative: str | None = None) -> ReportSummary:
    """Write the report of a run of any task, and say what is in it.

    Args:
        results_dir: The run folder.
        narrative: A text that becomes part of the page, where the task's page takes one.

    Raises:
        InputError: No run there, or a narrative that the page does not take or support.
    """
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.reports.plain import REPORT_FILE
    from tao_skill_bank.reports.summary import summary_of

    name, own = _task_and_page(results_dir)
    if name == _DEFT:
        if narrative is not None:
            own.write_narrative(results_dir, narrative)
        found: ReportSummary = own.render_report(results_dir)
        return found
    if narrative is not None:
        raise InputError(f"the report of a {name} run takes no narrative", where=results_dir, fix="leave it out")
    own.render_run(results_dir)
    return summary_of(results_dir, results_dir / REPORT_FILE)


def page(results_dir: Path) -> str:
    """The report of a run of any task, as it stands on disk now; writes nothing."""
    html: str = _task_and_page(results_dir)[1].run_html(results_dir)
    return html
