"""What happens around the stages, any number of times with the same result: token alignment, report, hand-off."""

from __future__ import annotations

from tao_skill_bank.deft.handoff import write_handoff
from tao_skill_bank.deft.log import sync_log
from tao_skill_bank.deft.run import Run


def close_run(run: Run) -> None:
    """The loop's end: bring the log up to the state, write the hand-off, render the report."""
    sync_log(run.root, run.state)
    write_handoff(run)
    render(run)


def render(run: Run) -> None:
    """Render the report and the iteration summaries from disk."""
    from tao_skill_bank.reports.deft_report import iter_summary, render_report

    for label in run.state.iterations:
        if label != "baseline" and run.state.iterations[label].far_pct is not None:
            iter_summary(run.root, label)
    render_report(run.root)
