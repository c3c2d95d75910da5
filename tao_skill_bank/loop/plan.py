"""The plan of a run: every parameter resolved, and the digest by which it is approved.

Planning reads and never writes. The digest is SHA-256 over the canonical JSON of the resolved configuration, the KPI
target, the number of iterations, the order of stages, and the content digests of spec and CSVs; no clock, measurement
or run folder is in it, so the same plan on the same workspace has the same digest at any time, and a changed parameter
another.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tao_skill_bank.bank.scope import found_in, refusal
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import canonical_json
from tao_skill_bank.core.overrides import leaves
from tao_skill_bank.core.redaction import redact
from tao_skill_bank.core.settings import apply_settings, checked_settings
from tao_skill_bank.loop.machine import is_complete
from tao_skill_bank.loop.request import Request, ResolvedPlan, plan_digest
from tao_skill_bank.loop.settings import RunSettings
from tao_skill_bank.loop.state import AnyState
from tao_skill_bank.loop.task import AnyTask
from tao_skill_bank.platforms import own_name


def resolve(task: AnyTask, request: Request, state: AnyState | None = None) -> ResolvedPlan:
    """Fill in everything a request leaves open: from the run that is resumed, else from the workspace and defaults.

    Raises:
        InputError: No such workspace, a missing input, an unknown key, a target that is not understood, or a change
            that what was measured already does not allow.
    """
    workspace = _workspace_of(request, state)
    if request.kpi_target is None and state is None:
        example = task.State.grammar.example
        raise InputError("the KPI target is not named", where="--kpi-target", fix=f"for example {example!r}")
    target = task.target(request.kpi_target or (state.kpi_target if state else ""))
    known = task.discover(workspace) if state is None else state.config.model_dump(mode="json")
    values = apply_settings(task.Config, known, request.settings, task.Config.elsewhere())
    if request.platform is not None:
        values["platform"] = own_name(request.platform)
    if request.offline:
        values["offline"] = True
    for key in task.Config.path_keys:
        if values.get(key) is not None:
            values[key] = str(inside_workspace(workspace, Path(str(values[key])), key))
    config = checked_settings(task.Config, values, str(workspace))
    for key in task.Config.required_keys:
        if not guard.is_file(Path(getattr(config, key))):
            raise _missing(task.Config, key, getattr(config, key), workspace)
    config = task.settled(config)
    minutes = task.minutes(config)
    iterations = _iterations(request, minutes, None if state is None else state.max_iterations)
    order = task.order if state is None else state.order
    contents, said = content_digests(task, config), _settings_of(task, workspace, config)
    plan = ResolvedPlan(task.name, config, target, iterations, contents, minutes, order, said)
    if state is not None:
        _refuse_what_was_measured(task, plan, state)
    return plan


def _settings_of(task: AnyTask, workspace: Path, config: RunSettings) -> tuple[str, ...]:
    """Every setting that neither the workspace's layout nor a default says: what a person has to see to approve it."""
    values = {**task.discover(workspace), "platform": config.platform}
    try:
        plain = task.settled(checked_settings(task.Config, values, str(workspace))).model_dump(mode="json")
    except InputError:
        # The layout alone is no plan; then everything is shown.
        plain = {}
    usual = dict(leaves(plain))
    said = leaves(config.model_dump(mode="json"))
    return tuple(
        f"{key}={redact(value if isinstance(value, str) else canonical_json(value))}"
        for key, value in said
        if key not in ("workspace", "platform") and (key not in usual or usual[key] != value)
    )


def _missing(config: type[RunSettings], key: str, path: str, workspace: Path) -> InputError:
    """An input that is not there; where the folder looks to be for another kind of model, that is what is said."""
    other = found_in(workspace)
    if other is not None:
        what = f"{key} is missing, and the folder looks like {other.name}: {refusal(other)}"
        return InputError(what, where=workspace, fix=f"name another folder, or --set {key}=PATH")
    laid = f"; {config.laid_out_by}" if config.laid_out_by else ""
    return InputError(f"{key} is missing", where=path, fix=f"put it there or --set {key}=PATH{laid}")


def digest_now(task: AnyTask, state: AnyState) -> str:
    """The digest of a run's plan with today's contents of its files."""
    contents = content_digests(task, state.config)
    return plan_digest(task.name, state.config, state.kpi_target, state.max_iterations, contents, state.order)


def _workspace_of(request: Request, state: AnyState | None) -> Path:
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


def _refuse_what_was_measured(task: AnyTask, plan: ResolvedPlan, state: AnyState) -> None:
    """What a run has measured stays comparable: some things may not change under it."""
    where = state.results_dir
    changed = plan.digest != digest_now(task, state)
    if changed and is_complete(state):
        raise InputError("this run is complete, and its plan cannot change", where=where, fix="start a new run")
    if plan.max_iterations < state.current_iteration:
        raise InputError(
            f"iteration {state.current_iteration} has begun, so at most {plan.max_iterations} is too few",
            where=where,
            fix=f"give at least {state.current_iteration}",
        )
    if not any(state.is_measured(iteration) for iteration in state.iterations.values()):
        return
    if not task.comparable(state.kpi_target, plan.kpi_target):
        raise InputError("the recall was measured at already", where=where, fix="start a new run for another recall")
    for key in task.Config.fixed_keys:
        before = state.plan_digests.get(key)
        if getattr(plan.config, key) != getattr(state.config, key) or (
            before is not None and plan.contents.get(key) != before
        ):
            raise InputError(f"{key} was measured with already", where=where, fix="restore it, or start a new run")


def content_digests(task: AnyTask, config: RunSettings) -> dict[str, str]:
    """Key to SHA-256 of the file's bytes, for files that the plan names and that are there; and the task's seals."""
    files = {key: fsio.sha256_file(path) for key, path in task.contents(config).items() if guard.is_file(path)}
    return {**files, **task.seals(config)}


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
    # Two slashes in front would stay two.
    clean = Path(os.path.normpath(f"/{str(absolute).lstrip('/')}"))
    if clean != workspace and workspace not in clean.parents:
        resolved = clean.resolve()
        if resolved != workspace and workspace not in resolved.parents:
            raise InputError(f"{key} lies outside the workspace {workspace}", where=path, fix="use a path inside it")
        return resolved
    return clean


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
    fits = int(round(limit / minutes, 6)) - 1  # what fits exactly fits, whatever the last bit says
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
