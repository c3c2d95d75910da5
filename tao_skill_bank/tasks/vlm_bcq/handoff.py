"""The hand-off: which model to serve, at which threshold, how it was evaluated."""

from __future__ import annotations

import shlex
from pathlib import Path

from tao_skill_bank.core import fsio
from tao_skill_bank.tasks.vlm_bcq import specs
from tao_skill_bank.tasks.vlm_bcq.measures import verdict_of
from tao_skill_bank.tasks.vlm_bcq.results import TrainResult
from tao_skill_bank.tasks.vlm_bcq.state import Run

BEST_MODEL = "best_model.json"
EVALUATE_SPEC = "best_model_evaluate.toml"
SERVE = "serve.txt"


def write_handoff(run: Run) -> list[Path]:
    """Write what the best model of a complete iteration needs; the same state gives the same bytes."""
    state = run.state
    best = state.best(complete_only=True)
    chosen = None if best is None else best[1].evaluation
    if best is None or chosen is None:
        return []
    label, iteration = best
    trained = iteration.result(TrainResult)
    accepted = (state.acceptance or {}).get("best")
    measured = state.measured(iteration)
    found = verdict_of(state)
    handed = {
        "checkpoint": chosen.checkpoint,
        "kind": chosen.kind,
        "base_model": state.config.model,
        "iteration": label,
        "measure": state.measure,
        "threshold": chosen.threshold,
        "kpi": None if measured is None else measured.model_dump(mode="json"),
        "acceptance": accepted,
        "train_spec": None if trained is None else trained.train_spec,
        "verdict": found.model_dump(mode="json"),
    }
    fsio.write_json(run.root / BEST_MODEL, handed)
    spec = specs.evaluate_spec(
        state.config,
        folder=run.root / "best_model_evaluation",
        annotations=Path(state.config.kpi),
        model=chosen.checkpoint,
        base=None,
    )
    specs.write(run.root / EVALUATE_SPEC, spec)
    if found.rehearsal:
        line = "# a rehearsal: the stand-in cannot be served; run the same plan with cosmos-rl first\n"
    else:
        line = f"vllm serve {shlex.quote(chosen.checkpoint)} --host 127.0.0.1 --max-model-len 16384\n"
    fsio.write_text(run.root / SERVE, line)
    return [run.root / BEST_MODEL, run.root / EVALUATE_SPEC, run.root / SERVE]
