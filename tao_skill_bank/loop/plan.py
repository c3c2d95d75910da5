"""The plan of a run: every parameter resolved, and the digest by which it is approved.

Planning reads and never writes. The digest is SHA-256 over the canonical JSON of the resolved configuration, the KPI
target, the number of iterations, the order of stages, and the content digests of spec and CSVs; no clock, measurement
or run folder is in it, so the same plan on the same workspace has the same digest at any time, and a changed parameter
another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.kpi_target import KpiTarget
from tao_skill_bank.loop.order import TODAY, StageOrder
from tao_skill_bank.loop.state import DeftState
from tao_skill_bank.platforms import own_name, tao_runs
from tao_skill_bank.tasks.changenet.config import RunConfig, apply_settings, run_config
from tao_skill_bank.tasks.changenet.generator import find_assets

GPU_ITERATION_MINUTES = 33.0
CONTENT_KEYS = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "acceptance_csv", "mining_pool_csv")
_GENERATOR_PATHS = ("defect_spec", "checkpoint_dir", "dataset_dir_source", "base_checkpoints")
_PATH_KEYS = (*CONTENT_KEYS, "images_dir", "backbone_weight_dir", "pregen_dir")


@dataclass(frozen=True)
class Request:
    """What somebody asks for. A run that is taken up keeps whatever is left None.

    Attributes:
        workspace: The workspace folder.
        kpi_target: `FAR < 0.5% at recall=99%`.
        max_iterations: At least 1; or None with a time limit.
        time_limit: `6h`, `90m`: turned into iterations by the estimate.
        platform: Where to run; None for the local one.
        settings: `key=value` texts, in order.
        results_dir: The run folder to make or take up; None for a fresh one.
    """

    workspace: Path | None = None
    kpi_target: str | None = None
    max_iterations: int | None = None
    time_limit: str | None = None
    platform: str | None = None
    settings: Sequence[str] = field(default_factory=tuple)
    results_dir: Path | None = None


@dataclass(frozen=True)
class ResolvedPlan:
    """A request with nothing left open. `contents` maps a CSV's or spec's key to the SHA-256 of its bytes."""

    config: RunConfig
    kpi_target: str
    max_iterations: int
    contents: dict[str, str]
    minutes_per_iteration: float
    order: StageOrder = TODAY

    @property
    def digest(self) -> str:
        """By what the plan is approved."""
        return plan_digest(self.config, self.kpi_target, self.max_iterations, self.contents, self.order)


def plan_digest(
    config: RunConfig, kpi_target: str, max_iterations: int, contents: dict[str, str], order: StageOrder
) -> str:
    """SHA-256 (hex) of a resolved plan."""
    value = {
        "config": config.model_dump(mode="json"),
        "kpi_target": kpi_target,
        "max_iterations": max_iterations,
        "contents": contents,
        "order": order.model_dump(mode="json"),
    }
    return fsio.sha256_text(fsio.canonical_json(value))


def resolve(request: Request, state: DeftState | None = None) -> ResolvedPlan:
    """Fill in everything a request leaves open: from the run that is taken up, else from the workspace and defaults.

    Args:
        request: What is asked for.
        state: The run that is taken up, if one is.

    Raises:
        InputError: No such workspace, a missing input, an unknown key, a target that is not understood, or a change
            that what was measured already does not allow.
    """
    workspace = _workspace_of(request, state)
    if request.kpi_target is None and state is None:
        raise InputError(
            "the KPI target is not named", where="--kpi-target", fix="for example 'FAR < 0.5% at recall=99%'"
        )
    target = KpiTarget.parse(request.kpi_target or (state.kpi_target if state else ""))
    known = discover(workspace) if state is None else state.config.model_dump(mode="json")
    values = apply_settings(known, request.settings)
    if request.platform is not None:
        values["platform"] = own_name(request.platform)
    for key in _PATH_KEYS:
        if values.get(key) is not None:
            values[key] = str(inside_workspace(workspace, Path(str(values[key])), key))
    config = run_config(values, str(workspace))
    for key in ("specs_file", "training_csv", "validation_csv", "kpi_test_csv"):
        if not guard.is_file(Path(getattr(config, key))):
            raise InputError(f"{key} is missing", where=getattr(config, key), fix=f"put it there or --set {key}=PATH")
    config = config.model_copy(update={"anomalygen": _resolved_generator(config)})
    minutes = minutes_per_iteration(config)
    iterations = _iterations(request, minutes, None if state is None else state.max_iterations)
    order = TODAY if state is None else state.order
    plan = ResolvedPlan(config, target.text(), iterations, content_digests(config), minutes, order)
    if state is not None:
        _refuse_what_was_measured(plan, state)
    return plan


def digest_now(state: DeftState) -> str:
    """The digest of a run's plan with today's contents of its spec and CSVs."""
    return plan_digest(state.config, state.kpi_target, state.max_iterations, content_digests(state.config), state.order)


def _workspace_of(request: Request, state: DeftState | None) -> Path:
    if state is None:
        if request.workspace is None:
            raise InputError(
                "the workspace is not named", where="--workspace", fix="name it, or --results-dir of a run to take up"
            )
        return existing_folder(request.workspace)
    own = existing_folder(Path(state.config.workspace))
    if request.workspace is not None and existing_folder(request.workspace) != own:
        raise InputError(
            f"this run belongs to the workspace {own}",
            where=request.results_dir,
            fix="leave --workspace away, or name that one",
        )
    return own


def _refuse_what_was_measured(plan: ResolvedPlan, state: DeftState) -> None:
    """What a run has measured stays comparable: some things may not change under it."""
    where = state.results_dir
    changed = plan.digest != digest_now(state)
    if changed and any(r.stage == state.order.ending and r.status == "ok" for r in state.records()):
        raise InputError("this run is complete, and its plan cannot change", where=where, fix="start a new run")
    if plan.max_iterations < state.current_iteration:
        raise InputError(
            f"iteration {state.current_iteration} has begun, so at most {plan.max_iterations} is too few",
            where=where,
            fix=f"give at least {state.current_iteration}",
        )
    if not any(r.stage == "evaluate" and r.status == "ok" for r in state.records()):
        return
    if KpiTarget.parse(plan.kpi_target).recall != KpiTarget.parse(state.kpi_target).recall:
        raise InputError("the recall was measured at already", where=where, fix="start a new run for another recall")
    for key in ("kpi_test_csv", "specs_file"):
        before = state.plan_digests.get(key)
        if getattr(plan.config, key) != getattr(state.config, key) or (
            before is not None and plan.contents.get(key) != before
        ):
            raise InputError(f"{key} was measured with already", where=where, fix="restore it, or start a new run")


def content_digests(config: RunConfig) -> dict[str, str]:
    """Key → SHA-256 of the file's bytes, for spec and CSVs that the plan names."""
    out: dict[str, str] = {}
    for key in CONTENT_KEYS:
        path = getattr(config, key)
        if path is not None and guard.is_file(Path(path)):
            out[key] = fsio.sha256_file(Path(path))
    if config.anomalygen.mode == "inline":
        spec = find_assets(config).defect_spec
        out["anomalygen.defect_spec"] = fsio.sha256_file(spec)
    return out


def discover(workspace: Path) -> dict[str, Any]:
    """What the workspace's layout says: the inputs that are there, by their usual places."""
    older = workspace / "kpi" / "images"
    values: dict[str, Any] = {
        "workspace": str(workspace),
        "specs_file": str(workspace / "specs" / "baseline_spec.yaml"),
        "training_csv": str(workspace / "train" / "base" / "training_set.csv"),
        "validation_csv": str(workspace / "train" / "base" / "validation_set.csv"),
        "kpi_test_csv": str(workspace / "kpi" / "testing_set.csv"),
        "images_dir": str(
            older if not guard.is_folder(workspace / "images") and guard.is_folder(older) else workspace / "images"
        ),
    }
    optional = {
        "acceptance_csv": workspace / "kpi" / "acceptance_set.csv",
        "mining_pool_csv": workspace / "augmentation" / "mining_pool" / "mining_pool.csv",
        "backbone_weight_dir": workspace / "augmentation" / "backbone",
        "pregen_dir": workspace / "augmentation" / "anomalygen",
    }
    for key, path in optional.items():
        present = guard.is_folder(path / "reconstructed_image") if key == "pregen_dir" else guard.exists(path)
        values[key] = str(path) if present else None
    return values


def existing_folder(path: Path) -> Path:
    """An absolute folder that is there.

    Raises:
        InputError: It is not.
    """
    absolute = path.expanduser().absolute()
    if not guard.is_folder(absolute):
        raise InputError("no such workspace folder", where=absolute, fix="name the folder that holds specs/ and train/")
    return absolute.resolve()


def inside_workspace(workspace: Path, path: Path, key: str) -> Path:
    """A path below the workspace, absolute; relative ones start there.

    Raises:
        InputError: It lies outside, also by `..`.
    """
    absolute = path if path.is_absolute() else workspace / path
    normal = Path(re.sub(r"/+", "/", str(absolute)))
    parts: list[str] = []
    for part in normal.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    clean = Path(*parts)
    if clean != workspace and workspace not in clean.parents:
        resolved = clean.resolve()
        if resolved != workspace and workspace not in resolved.parents:
            raise InputError(f"{key} lies outside the workspace {workspace}", where=path, fix="use a path inside it")
        return resolved
    return clean


def minutes_per_iteration(config: RunConfig) -> float:
    """The estimate an iteration is planned with.

    A GPU iteration of TAO's took 33 minutes on the reference data; a rehearsal on a CPU is far shorter and grows with
    the rows it handles (about 20 ms a training row and epoch-equivalent, 2 ms a scored row).
    """
    if tao_runs(config, "visual_changenet") is not False:
        return GPU_ITERATION_MINUTES
    rows = sum(_line_count(Path(p)) for p in (config.training_csv, config.kpi_test_csv, config.mining_pool_csv) if p)
    return max(0.1, round(rows * 0.0002 + 0.15, 2))


def _line_count(path: Path) -> int:
    try:
        with guard.open_read(path) as handle:
            return sum(block.count(b"\n") for block in iter(lambda: handle.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def _iterations(request: Request, minutes: float, before: int | None) -> int:
    if request.max_iterations is not None and request.time_limit is not None:
        raise InputError("both iterations and a time limit are given", where="--time-limit", fix="give one of them")
    if request.max_iterations is not None:
        if request.max_iterations < 1:
            raise InputError(
                f"max_iterations is {request.max_iterations}", where="--max-iterations", fix="give at least 1"
            )
        return request.max_iterations
    if request.time_limit is None and before is not None:
        return before
    if request.time_limit is None:
        raise InputError(
            "max_iterations is not set, and it has no default",
            where="--max-iterations",
            fix="add --max-iterations N, or --time-limit 6h",
        )
    limit = parse_duration_minutes(request.time_limit)
    fits = int(limit / minutes) - 1
    if fits < 1:
        raise InputError(
            f"{request.time_limit} is too short: the baseline and one iteration take about {2 * minutes:.1f} min",
            where="--time-limit",
            fix="allow more time",
        )
    return fits


def parse_duration_minutes(text: str) -> float:
    """`6h`, `90m`, `1h30m`, `45s` in minutes."""
    match = re.fullmatch(r"\s*(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m)?\s*(?:(\d+)s)?\s*", text.lower())
    if match is None or not any(match.groups()):
        raise InputError(f"not a time: {text!r}", where="--time-limit", fix="write 6h, 90m or 1h30m")
    hours, minutes, seconds = (float(x) if x else 0.0 for x in match.groups())
    return hours * 60 + minutes + seconds / 60


def _resolved_generator(config: RunConfig) -> Any:
    """`auto` becomes pre-generated pairs where there are some, else the local stand-in; paths become absolute."""
    if config.anomalygen.mode != "auto":
        named = {key: getattr(config.anomalygen, key) for key in _GENERATOR_PATHS}
        workspace = Path(config.workspace)
        paths = {
            key: str(inside_workspace(workspace, Path(path), f"anomalygen.{key}"))
            for key, path in named.items()
            if path
        }
        return config.anomalygen.model_copy(update=paths)
    mode = "pregen_ingest" if config.pregen_dir is not None else "local_standin"
    return config.anomalygen.model_copy(update={"mode": mode})
