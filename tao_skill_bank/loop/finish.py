"""What happens around the stages, any number of times with the same result: token alignment, report, hand-off."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tao_skill_bank.bank.transcripts import project_dir, transcripts_in
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.loop.log import log_path, sync_log
from tao_skill_bank.loop.run import AnyRun
from tao_skill_bank.loop.task import AnyTask
from tao_skill_bank.loop.tokens import align_tokens


def close_run(task: AnyTask, run: AnyRun) -> None:
    """The loop's end: bring the log up to the state, align tokens, render the report, write the hand-off."""
    sync_log(run.root, run.state)
    _align(run)
    task.close(run)
    run.render(run.root)


def _align(run: AnyRun) -> None:
    """Give the stages the tokens of agents started here or in the workspace; no transcripts, no figures."""
    folders = {project_dir(Path.cwd()), project_dir(run.workspace)}
    files = [path for folder in sorted(folders) if guard.is_folder(folder) for path in transcripts_in(folder)]
    if files:
        with contextlib.suppress(BankError, OSError):
            align_tokens(log_path(run.root), files)
