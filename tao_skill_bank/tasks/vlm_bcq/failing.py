"""What the model before answers wrongly, and where each question of it goes."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.core.errors import GateError, StageFailedError
from tao_skill_bank.data.bcq import answers
from tao_skill_bank.data.bcq.answers import Answered
from tao_skill_bank.tasks.vlm_bcq.state import Run
from tao_skill_bank.tasks.vlm_bcq.workspace import need

MINING, ANNOTATE, DROPPED = "mining", "annotate", "dropped"


def targets_of(run: Run, label: str) -> list[Answered]:
    """The failed readable pairs of the model before, each (content, key) once.

    Raises:
        GateError: Gate `no_weak_samples`: nothing failed; or `unreadable`, where some answers cannot be read.
    """
    before = run.previous(label)
    evaluation = run.state.iteration(before).evaluation
    if evaluation is None:
        raise StageFailedError("nothing was evaluated", where=before, fix="run evaluate first")
    rows = answers.read_answers(Path(evaluation.answers_jsonl), need(run.state.config, "kpi").by_id)
    seen: dict[tuple[str, str], Answered] = {}
    for row in rows:
        if row.wrong is not None:
            seen.setdefault((row.record.content, row.record.key), row)
    if not seen:
        lost = sum(row.answer is None for row in rows)
        gate, what = ("unreadable", f"only {lost} unreadable answers are wrong") if lost else (
            "no_weak_samples", "no readable answer is wrong")  # fmt: skip
        fix = "fix what makes them unreadable" if lost else "nothing is left to mine for; set another target"
        raise GateError(gate, what, where=evaluation.answers_jsonl, fix=fix)
    return list(seen.values())
