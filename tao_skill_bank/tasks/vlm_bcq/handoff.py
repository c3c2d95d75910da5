"""The hand-off: which model to serve, at which threshold, how it was evaluated."""

from __future__ import annotations

import shlex
from pathlib import Path

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.tasks.vlm_bcq import specs, training
from tao_skill_bank.tasks.vlm_bcq.evaluators import Candidate, write_annotations
from tao_skill_bank.tasks.vlm_bcq.measures import verdict_of
from tao_skill_bank.tasks.vlm_bcq.results import TrainResult
from tao_skill_bank.tasks.vlm_bcq.state import Run
from tao_skill_bank.tasks.vlm_bcq.workspace import need

BEST_MODEL = "best_model.json"
EVALUATE_SPEC = "best_model_evaluate.toml"
SERVE = "serve.txt"
ANNOTATIONS = "best_model_annotations.json"


def write_handoff(run: Run) -> list[Path]:
    """Write what the best model of a complete iteration needs; the same state gives the same bytes."""
    state = run.state
    best = state.best(complete_only=True)
    chosen = None if best is None else best[1].evaluation
    if best is None or chosen is None:
        return []
    label, iteration = best
    trained = iteration.result(TrainResult)
    best_measured = (state.acceptance or {}).get("best") or {}
    accepted = best_measured if best_measured.get("iteration") == label else None
    measured = state.measured(iteration)
    found = verdict_of(state, label)
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
    candidate = Candidate(chosen.kind, chosen.checkpoint)
    if chosen.kind in ("last", "best_val"):
        candidate = training.candidate(chosen.kind, chosen.checkpoint, state.config.model)
    # The copy that the evaluator took: the user's own file may name videos below another folder than the workspace.
    asked = Path(chosen.answers_jsonl).parent / "annotations.json"
    written = [run.root / BEST_MODEL, run.root / EVALUATE_SPEC, run.root / SERVE]
    if not guard.is_file(asked):
        asked = write_annotations(run.root / ANNOTATIONS, need(state.config, "kpi").records, run.workspace)
        written.append(asked)
    spec = specs.evaluate_spec(
        state.config,
        folder=run.root / "best_model_evaluation",
        annotations=asked,
        model=chosen.checkpoint,
        base=candidate.base,
    )
    specs.write(run.root / EVALUATE_SPEC, spec)
    fsio.write_text(run.root / SERVE, serve_line(candidate, rehearsal=bool(found.rehearsal)) + "\n")
    return written


def serve_line(candidate: Candidate, *, rehearsal: bool) -> str:
    """The line that serves a model, or why there is none."""
    if rehearsal:
        return "# a rehearsal: the stand-in cannot be served; run the same plan with cosmos-rl first"
    if candidate.kind == "file":
        return f"# known by its answers alone ({candidate.checkpoint}): serve the model that gave them"
    named = shlex.quote(candidate.base or candidate.checkpoint)
    lora = (
        "" if candidate.base is None else f" --enable-lora --lora-modules {shlex.quote(f'best={candidate.checkpoint}')}"
    )
    return f"vllm serve {named}{lora} --host 127.0.0.1 --max-model-len 16384"
