"""The hand-off: which model to deploy, at which threshold, with which spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.data.changenet.inference_spec import inference_spec
from tao_skill_bank.data.changenet.spec import load_spec
from tao_skill_bank.data.changenet.spec_rules import with_defaults
from tao_skill_bank.loop.metric import Limit, Target
from tao_skill_bank.tasks.changenet.measures import verdict_of
from tao_skill_bank.tasks.changenet.specs import write_spec
from tao_skill_bank.tasks.changenet.state import Iteration, Run

BEST_MODEL = "best_model.json"
INFERENCE_SPEC = "best_model_inference_spec.yaml"


def write_handoff(run: Run) -> list[Path]:
    """Write `best_model.json` and `best_model_inference_spec.yaml`; nothing where no complete iteration has a model.

    The best is the lowest FAR among the complete iterations; the spec is the one that iteration trained with.
    The same state gives the same bytes, so that it may be called again at any time.
    """
    best = run.state.best(complete_only=True)
    if best is None:
        return []
    label, iteration = best
    if iteration.best_ckpt_path is None or not guard.is_file(Path(iteration.best_ckpt_path)):
        return []
    config = run.state.config
    training_spec = Path(iteration.training_spec or config.specs_file)
    spec = load_spec(training_spec)
    backbone = (spec.get("model") or {}).get("backbone") or {}
    full = with_defaults(spec)["model"]["backbone"]
    threshold = iteration.threshold
    if threshold is None:
        return []
    found, approval = verdict_of(run.state, label), run.state.approval
    # The spec's backbone is TAO's; on a rehearsal nothing of it was trained.
    path = None if found.rehearsal or not isinstance(backbone, dict) else backbone.get("pretrained_backbone_path")
    handed = {
        "checkpoint": iteration.best_ckpt_path,
        "threshold": threshold,
        "far_pct": iteration.far_pct,
        "iteration": label,
        "backbone": path,
        # Containers mount the workspace at its own path, so a path means the same inside.
        "backbone_container_path": path,
        "backbone_type": full["type"],
        "backbone_frozen": bool(full["freeze_backbone"]),
        "metric_contract": _contract(run.state.target),
        "metric_result": _result(run.state.target, iteration),
        "images_dir": config.images_dir,
        "training_spec": str(training_spec),
        "platform": config.platform,
        "approval": None if approval is None else approval.model_dump(exclude={"seal"}),
        "contents": run.state.plan_digests,
        "verdict": found.model_dump(mode="json"),
    }
    fsio.write_json(run.root / BEST_MODEL, handed)
    write_spec(run.root / INFERENCE_SPEC, inference_spec(spec, threshold))
    return [run.root / BEST_MODEL, run.root / INFERENCE_SPEC]


def _contract(target: Target) -> dict[str, Any]:
    """What is measured, which way, how far, and what its threshold must keep."""
    return {
        **_limit(target.goal),
        "direction": "minimize" if target.measure.at_most else "maximize",
        "constraints": [_limit(limit) for limit in target.constraints],
        "set": target.set,
        "text": target.text(),
    }


def _limit(limit: Limit) -> dict[str, Any]:
    return {"metric": limit.name, "operator": limit.op, "limit_pct": limit.limit_pct}


def _result(target: Target, iteration: Iteration) -> dict[str, Any] | None:
    """The figure that the contract names, of this model on that set, with its interval; None if it was not taken."""
    chosen = iteration.evaluation
    measured = None if chosen is None else chosen.measured(target.measure.name)
    if chosen is None or measured is None:
        return None
    value = chosen.value_pct(target.measure.name)
    return {
        "metric": target.measure.name,
        "value_pct": value,
        "low_pct": measured.low_pct,
        "high_pct": measured.high_pct,
        "successes": measured.successes,
        "trials": measured.trials,
        "set": target.set,
        "met": target.met(value),
    }
