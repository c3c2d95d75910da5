"""What a caller needs of a report without opening it."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.core.settings import Frozen
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.loop.verdict import Verdict


class ReportSummary(Frozen):
    """What a caller needs of a report without opening it. Rates in percent; None where there is none yet.

    `best_pct` and `acceptance_pct` are of `measure`, which `asked` limits; FAR and recall stand beside them where the
    task measures them. `missing` counts the artifacts that the page names as gone, None where it looked for none.
    """

    path: str
    status: str
    why: str
    verdict: Verdict
    kpi_target: str
    measure: str
    asked: str | None
    best_iteration: str | None
    best_pct: float | None
    best_interval: Interval | None
    acceptance_pct: float | None
    iterations: int
    missing: int | None = None
    best_far_pct: float | None = None
    best_far: Interval | None = None
    threshold: float | None = None
    acceptance_far_pct: float | None = None
    acceptance_recall_pct: float | None = None


def summary_of(results_dir: Path, path: Path) -> ReportSummary:
    """The summary of a run of any task whose report lies at `path`, out of its state and its verdict."""
    from tao_skill_bank.tasks.registry import load_state, task_named

    state = load_state(results_dir)
    verdict, best = task_named(state.task).verdict(state), state.best()
    # The first claim is of what the target limits.
    decided = verdict.claims[0] if verdict.independent and verdict.claims else None
    return ReportSummary(
        path=str(path),
        status=verdict.head,
        why=verdict.text,
        verdict=verdict,
        kpi_target=state.kpi_target,
        measure=state.measure,
        asked=verdict.claims[0].asked if verdict.claims else None,
        best_iteration=best[0] if best else None,
        best_pct=state.value(best[1]) if best else None,
        best_interval=best[1].interval(state.measure) if best else None,
        acceptance_pct=decided.value_pct if decided and decided.name == state.measure else None,
        iterations=sum(1 for label, it in state.iterations.items() if label != BASELINE and state.is_measured(it)),
    )
