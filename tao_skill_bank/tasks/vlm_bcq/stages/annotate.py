"""annotate: the failed questions of unlabelled videos, asked of a teacher twice; what both passes agree on is kept."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.core import fsio
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.tasks.vlm_bcq.results import AnnotateResult
from tao_skill_bank.tasks.vlm_bcq.state import Run, Stage


class Annotate(Stage):
    """Nothing while it is off."""

    name = "annotate"
    Result = AnnotateResult

    def folders(self, run: Run, label: str) -> list[Path]:
        """`<iter>/annotate`."""
        return [run.folder(label) / "annotate"]

    def work(self, run: Run, label: str) -> Outcome:
        """Say so."""
        out = run.folder(label) / "annotate"
        fsio.write_text(out / "annotate_summary.txt", "annotate.on is false: nothing was asked\n")
        return Outcome(summary="off", result=AnnotateResult(), promised=[out / "annotate_summary.txt"])
