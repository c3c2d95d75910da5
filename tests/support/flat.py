"""Results of an iteration by the flat names that other programs read."""

from __future__ import annotations

from typing import Any, get_args

from tao_skill_bank.tasks.changenet.state import RESULTS, Iteration


def put(iteration: Iteration, **values: Any) -> Iteration:
    """Set results by name; what a result needs and is not named is made up. Returns the iteration."""
    for stage, kind in RESULTS.items():
        mine = {key: value for key, value in values.items() if key in kind.model_fields}
        if not mine:
            continue
        found = iteration.results.get(stage)
        if found is None and not set(mine) - {"trained", "anomalygen_count", "anomalygen_by_label"}:
            # A name of several stages belongs to those that ran.
            continue
        missing = {key: _some(info.annotation) for key, info in kind.model_fields.items() if info.is_required()}
        iteration.results[stage] = kind.model_construct(**{**missing, **({} if found is None else vars(found)), **mine})
    return iteration


def _some(kind: Any) -> Any:
    return (get_args(kind) or ({str: "unset", int: 0, float: 0.0}[kind],))[0]
