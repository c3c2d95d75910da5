"""annotate: the failed questions of unlabelled videos, asked of a teacher twice; what both passes agree on is kept."""

from __future__ import annotations

from tao_skill_bank.core import fsio
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.tasks.vlm_bcq.results import AnnotateResult
from tao_skill_bank.tasks.vlm_bcq.state import Run, Stage
from tao_skill_bank.tasks.vlm_bcq.teaching import teach


class Annotate(Stage):
    """Asks a teacher, where that is on."""

    name = "annotate"
    Result = AnnotateResult
    home = "annotate"

    def work(self, run: Run, label: str) -> Outcome:
        """Ask twice and keep what both passes say; or say that it is off."""
        out = self.folder(run, label)
        if run.state.config.annotate.on:
            return teach(run, label, out)
        fsio.write_text(out / "annotate_summary.txt", "annotate.on is false: nothing was asked\n")
        return Outcome(summary="off", result=AnnotateResult(), promised=[out / "annotate_summary.txt"])
