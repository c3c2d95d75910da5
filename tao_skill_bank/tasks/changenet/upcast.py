"""States of version 3 as today's: the flat keys of an iteration become the results of the stages that ended ok."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tao_skill_bank.loop.state import FORMAT, VERSION, Result
from tao_skill_bank.tasks.changenet.results import (
    AnomalygenResult,
    EvaluateResult,
    MergeResult,
    MiningResult,
    RcaResult,
    RoutingResult,
    TrainResult,
)

RESULTS: Mapping[str, type[Result]] = {
    "train": TrainResult,
    "evaluate": EvaluateResult,
    "rca": RcaResult,
    "routing": RoutingResult,
    "anomalygen": AnomalygenResult,
    "data_mining": MiningResult,
    "data_merge": MergeResult,
}
# What every run of version 3 went through, whatever the order is today.
ORDER = {
    "baseline": ["train", "evaluate"],
    "iteration": ["routing", "anomalygen", "data_mining", "data_merge", "train", "evaluate"],
    "between": ["rca"],
    "ending": "loop_stop",
}
ENDING = "loop_stop"
_OF_THE_END = ("acceptance", "stop_reason", "best_iteration")


def upcast(raw: dict[str, Any], task: str) -> dict[str, Any]:
    """A state of version 3 as JSON of today's; `raw` is not changed."""
    iterations = {
        label: _iteration(iteration, raw) if isinstance(iteration, dict) else iteration
        for label, iteration in (raw.get("iterations") or {}).items()
    }
    state = {**raw, "format": FORMAT, "version": VERSION, "task": task, "order": ORDER, "iterations": iterations}
    state.pop("acceptance", None)
    return state


def results_of(flat: Mapping[str, Any], done: Collection[str]) -> dict[str, dict[str, Any]]:
    """The results of the stages that are done, out of the flat keys of an iteration."""
    return {
        stage: {key: flat[key] for key in kind.model_fields if flat.get(key) is not None}
        for stage, kind in RESULTS.items()
        if stage in done
    }


def _iteration(raw: dict[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    records = [record for record in raw.get("stages") or () if isinstance(record, dict)]
    done = {str(record.get("stage")) for record in records if record.get("status") == "ok"}
    results = results_of(raw, done)
    if ENDING in done:
        results[ENDING] = {key: state.get(key) for key in _OF_THE_END}
    if raw.get("best_ckpt_kind") == "pre_seeded":
        return {**raw, "results": results, "given_checkpoint": raw.get("best_ckpt_path")}
    return {**raw, "results": results}
