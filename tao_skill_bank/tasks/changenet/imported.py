"""A run of the published loop as a copy in the bank's own format: it can be looked at, reported and compared.

The run itself is only read. What its flat keys say is taken over where a stage's result is whole. A FAR whose scores
are on disk is counted anew at its threshold, so that it has its interval; scores that contradict it are not taken over,
and that is said. The copy names the run it was made of as the place it was made in: like every copy it can be read and
not worked on. Nobody is known to have approved it, nor who trained.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.roots import OutsideError
from tao_skill_bank.core.text import clean, is_number
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.loop.foreign import ForeignStateError
from tao_skill_bank.loop.log import LogLine, log_path, read_log
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.loop.order import StageOrder
from tao_skill_bank.loop.state import (
    IterationStatus,
    Result,
    StageRecord,
    is_iteration_label,
    iteration_number,
    read_json,
    state_path,
)
from tao_skill_bank.platforms import registry
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.metric import GRAMMAR
from tao_skill_bank.tasks.changenet.results import EvaluateResult, MergeResult, MiningResult, RcaResult
from tao_skill_bank.tasks.changenet.scores import evaluate
from tao_skill_bank.tasks.changenet.state import ORDER, Iteration, State
from tao_skill_bank.tasks.changenet.trained import found_trained

NOT_TOLD = "not told"
SAME_FAR_PP = 0.01
"""Figures that are written with two digits differ by less."""
_TAKEN: dict[str, type[Result]] = {
    "evaluate": EvaluateResult,
    "rca": RcaResult,
    "data_mining": MiningResult,
    "data_merge": MergeResult,
}
# What makes a stage's result worth reading; without it the stage has not come that far.
_SIGN = {
    "evaluate": "far_pct",
    "rca": "rca_gaps_parquet",
    "data_mining": "mining_mined_count",
    "data_merge": "combined_training_csv",
}
_OWN = ("evaluations", "trained")
_ENDED = ("complete", "stopped", "failed")
_CONFIG = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "images_dir", "workspace")
_MORE = ("mining_pool_csv", "backbone_weight_dir", "num_epochs", "batch_size", "num_gpus")


@dataclass(frozen=True)
class Told:
    """Another program's run in the bank's own terms, and a line for whatever was not taken over; nothing is written."""

    state: State
    log: list[LogLine]
    left: list[str]


@dataclass
class Imported:
    """The copy, and a line for whatever was not taken over."""

    folder: Path
    left: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """As text."""
        always = "not known: who approved it, and who trained its models unless a checkpoint says so"
        return [str(self.folder), *self.left, always]


def import_run(source: Path, folder: Path, task: str) -> Imported:
    """Write a copy of another program's run into a new folder; `source` is only read.

    Args:
        source: The run folder with the published loop's `deft_state.json`.
        folder: Where the copy goes: a folder that is not there yet, outside of `source`.
        task: The task it is of.

    Raises:
        InputError: The run is the bank's own, its target cannot be read, or the folder is there. Nothing is written.
    """
    source, folder = Path(os.path.realpath(source)), Path(os.path.realpath(folder))
    told = told_run(source, task)
    if source in (folder, *folder.parents):
        raise InputError("lies in the run that is to be read only", where=folder, fix="name a folder elsewhere")
    if guard.entry(folder) is not None:
        raise InputError("is there already", where=folder, fix="name a folder that is not there yet")
    guard.make_folder(folder)
    fsio.write_text(log_path(folder), "".join(f"{line.json_line()}\n" for line in told.log))
    fsio.write_json(state_path(folder), told.state.model_dump(mode="json"))
    return Imported(folder, told.left)


def told_run(source: Path, task: str) -> Told:
    """What another program's run says, without a copy of it.

    Raises:
        InputError: The run is the bank's own, or its target cannot be read.
    """
    left: list[str] = []
    state = _state(_foreign(source), source, task, left)
    return Told(state, _log(source, state, left), left)


def _foreign(source: Path) -> dict[str, Any]:
    """The state as JSON, which is another program's."""
    try:
        read_json(source)
    except ForeignStateError:
        found: dict[str, Any] = json.loads(guard.read_text(state_path(source), "state"))
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            fix = "mend what stands there as half of a character"
            raise InputError("holds text that is not valid", where=state_path(source), fix=fix) from None
        return found
    raise InputError("a run of the bank's own", where=source, fix="report and compare it where it lies")


def _state(raw: Mapping[str, Any], source: Path, task: str, left: list[str]) -> State:
    target = _target(raw, source)
    labelled = raw.get("iterations")
    iterations: dict[str, Iteration] = {}
    for label, value in (labelled if isinstance(labelled, Mapping) else {}).items():
        if not (isinstance(label, str) and is_iteration_label(label) and isinstance(value, Mapping)):
            left.append(f"iterations.{_shown(label)}: neither baseline nor iter<N> with keys of its own")
            continue
        iterations[label] = _iteration(label, value, source, target, left)
    last = max((iteration_number(label) for label in iterations), default=0)
    most, status = raw.get("max_iterations"), raw.get("status")
    said = f"imported from a run of another program (state version {_shown(raw.get('version'))}, {_shown(status)})"
    reason = raw.get("stop_reason")
    return State(
        task=task,
        order=StageOrder.model_validate(ORDER),
        started_at=_shown(raw.get("started_at") or ""),
        kpi_target=str(raw["kpi_target"]),
        results_dir=str(source),
        max_iterations=max(_whole(most), last, 1),
        current_iteration=last,
        status=status if status in _ENDED else "stopped",
        stop_reason=f"{_shown(reason)}; {said}" if isinstance(reason, str) and reason else said,
        config=_config(raw, source, left),
        iterations=iterations,
    )


def _target(raw: Mapping[str, Any], source: Path) -> Target:
    asked = raw.get("kpi_target")
    if not isinstance(asked, str):
        raise InputError("no kpi_target", where=state_path(source), fix="deft status tells what it says")
    return GRAMMAR.parse(asked)


def _iteration(label: str, value: Mapping[str, Any], source: Path, target: Target, left: list[str]) -> Iteration:
    results = {}
    for stage, kind in _TAKEN.items():
        if value.get(_SIGN[stage]) is None:
            continue
        flat = {key: _placed(key, value[key], source) for key in kind.model_fields if value.get(key) is not None}
        if stage == "evaluate":
            flat = _evaluated(label, {k: v for k, v in flat.items() if k not in _OWN}, target, left)
        elif stage == "rca":
            flat.setdefault("rca_results_dir", str(Path(str(flat["rca_gaps_parquet"])).parent))
        try:
            results[stage] = kind.model_validate(flat)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            left.append(f"{label}: {stage} not taken over: {'.'.join(map(str, first['loc']))}: {first['msg']}")
    status, completed = value.get("status"), value.get("stage_completed")
    told = {"stage_completed": completed} if completed in (*_TAKEN, "train", "routing", "anomalygen") else {}
    return Iteration(
        status=status if status in get_args(IterationStatus) else "complete" if "evaluate" in results else "pending",
        results=results,
        **told,
    )


def _evaluated(label: str, flat: dict[str, Any], target: Target, left: list[str]) -> dict[str, Any]:
    """The result of an evaluation; with its counts where its scores are there and say the same."""
    kinds = get_args(EvaluateResult.model_fields["best_ckpt_kind"].annotation)
    kind = flat.get("best_ckpt_kind")
    checkpoint = Path(str(flat.get("best_ckpt_path", NOT_TOLD)))
    there = checkpoint.is_absolute() and _is_file(checkpoint)
    flat |= {
        "best_ckpt_path": str(checkpoint),
        "best_ckpt_kind": kind if kind in kinds else "pre_seeded",
        "trained": found_trained(checkpoint) if there else Trained(),
    }
    csv, threshold, far = flat.get("inference_csv"), flat.get("threshold"), flat["far_pct"]
    if not (is_number(threshold) and is_number(far)):
        return flat
    try:
        if not isinstance(csv, str) or not guard.is_file(Path(csv)):
            left.append(f"{label}: its scores are not on disk: FAR has no interval, and recall is not known")
            return flat
        found = evaluate("latest", checkpoint, Path(csv), target, threshold)
    except BankError as error:
        left.append(f"{label}: its scores cannot be read: {error.line()}")
        return flat
    if abs(found.far_pct - far) > SAME_FAR_PP:
        left.append(
            f"{label}: the state says FAR {far:g} %, its scores {found.far_pct:g} % at threshold {threshold:g}: "
            "the state's figure stands, without an interval"
        )
        return flat
    return {**flat, "evaluations": [found]}


def _is_file(path: Path) -> bool:
    """Whether it is a file that may be opened here."""
    with suppress(OutsideError):
        return guard.is_file(path)
    return False


def _config(raw: Mapping[str, Any], source: Path, left: list[str]) -> RunConfig:
    """The settings that are the bank's too; the paths that are not told name nothing that is there."""
    said = raw.get("config")
    known = said if isinstance(said, Mapping) else {}
    made: dict[str, Any] = {key: str(source / NOT_TOLD / key) for key in _CONFIG}
    for key in (*_CONFIG, *_MORE, "platform"):
        value = known.get(key)
        if value is None or (key == "platform" and value not in registry.names()):
            continue
        try:
            RunConfig.model_validate({**made, key: _placed(key, value, source)})
        except ValidationError:
            left.append(f"config.{key}: {_shown(value)} is nothing that is known here")
        else:
            made[key] = _placed(key, value, source)
    missing = [key for key in _CONFIG if known.get(key) is None]
    if missing:
        left.append(f"not told: {', '.join(missing)}")
    return RunConfig.model_validate(made)


def _log(source: Path, state: State, left: list[str]) -> list[LogLine]:
    """The lines of its log, as far as they are of iterations that were taken over; the state holds them as records."""
    try:
        lines = sorted((x for x in read_log(log_path(source)) if x.iter in state.iterations), key=lambda x: x.seq)
    except BankError as error:
        left.append(f"its log is not taken over: {error.line()}")
        return []
    if len({line.seq for line in lines}) < len(lines):
        left.append("its log is not taken over: a number stands twice")
        return []
    for line in lines:
        own = {key: getattr(line, key) for key in StageRecord.model_fields}
        state.iterations[line.iter].stages.append(StageRecord.model_validate(own))
    return lines


def _placed(key: str, value: Any, source: Path) -> Any:
    """A path of the run as an absolute one; anything else as it stands."""
    is_path = key.endswith(("_csv", "_path", "_dir", "_parquet", "_file")) or key == "workspace"
    return str(source / value) if is_path and isinstance(value, str) and value else value


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _shown(value: Any) -> str:
    return " ".join(clean(str(value)[:160]).split())
