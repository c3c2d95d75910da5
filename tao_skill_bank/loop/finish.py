"""What happens around the stages, any number of times with the same result: token alignment, report, hand-off."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tao_skill_bank.bank.transcripts import project_dir, transcripts_in
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.loop.log import log_path, sync_log
from tao_skill_bank.loop.run import Run
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.loop.tokens import align_tokens
from tao_skill_bank.tasks.changenet.handoff import write_handoff


def close_run(run: Run) -> None:
    """The loop's end: bring the log up to the state, align tokens, render the report, write the hand-off."""
    sync_log(run.root, run.state)
    _align(run)
    write_handoff(run)
    render(run)


def render(run: Run) -> None:
    """Render the report and the iteration summaries from disk."""
    from tao_skill_bank.reports.deft.report import iter_summary, render_report

    for label, iteration in run.state.iterations.items():
        if label != BASELINE and iteration.far_pct is not None:
            iter_summary(run.root, label)
    render_report(run.root)


def _align(run: Run) -> None:
    """Give the stages the tokens of agents started here or in the workspace; no transcripts, no figures."""
    folders = {project_dir(Path.cwd()), project_dir(run.workspace)}
    files = [path for folder in sorted(folders) if guard.is_folder(folder) for path in transcripts_in(folder)]
    if files:
        with contextlib.suppress(BankError, OSError):
            align_tokens(log_path(run.root), files)
