"""One action by itself on any platform: planned, checked as a run is, approved by a person, then submitted.

On the `local` platform an action is the bank's own code on this CPU, and needs nobody's approval. Anywhere else it
costs somebody's GPU or runs what a setting names, so a person approves the plan by its digest.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tao_skill_bank.actions.spec_check import Checked, check_spec
from tao_skill_bank.bank.home import CATEGORIES
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.consent import How
from tao_skill_bank.core.errors import InputError, InputErrors, NeedsApprovalError, did_you_mean
from tao_skill_bank.core.overrides import apply_overrides, get
from tao_skill_bank.core.roots import OutsideError
from tao_skill_bank.core.seal import digest_of, identity_of
from tao_skill_bank.core.settings import apply_settings, checked_settings
from tao_skill_bank.core.yamlio import parse_yaml
from tao_skill_bank.data.releases.facts import newest, package_of, release_named, runs_elsewhere
from tao_skill_bank.platforms import own_name, platform_named
from tao_skill_bank.platforms.base import ENDED, JobRecord, Platform, PlatformCheck, new_record, read_records
from tao_skill_bank.platforms.container import in_an_image
from tao_skill_bank.platforms.jobs import ACTION, job_state
from tao_skill_bank.platforms.releases import release_that_runs
from tao_skill_bank.tasks.changenet.config import ActionConfig
from tao_skill_bank.tasks.changenet.generator import AMP, SDG

GENERATOR = "anomalygen"
# A platform that starts workers of its own is theirs to reap: it lives as long as this process.
_STARTED: list[Platform] = []
_TURNS_UP_SEC = 30.0
_MOST_PATH = 4096
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_GENERATOR_LINES = {Path(name).stem: name for name in (AMP, SDG)}
# The commands of data services write the one table that `output_parquet` names, and have no `results_dir`.
_TABLES = {"embedding": "embeddings.parquet", "tmm": "neighbors.parquet"}


@dataclass(frozen=True)
class ActionRequest:
    """What is asked for.

    Attributes:
        folder: A fresh folder for its outputs and its job record.
        root: The folder that jobs may see at most; the workspace is looked for below it.
        settings: `key=value` each, as of a run.
        spec: The spec file, where there is one; its batch size is held against the GPU.
    """

    command: tuple[str, ...]
    folder: Path
    root: Path
    platform: str
    settings: tuple[str, ...] = ()
    spec: Path | None = None


class ActionPlan(BaseModel):
    """What would run. A person approves `digest`: of command, platform, settings, the spec and the files that it names.

    The spec by its bytes; files that it or the command names by size, time and first bytes; folders by their names.
    """

    command: list[str]
    folder: str
    config: dict[str, Any]
    settings: list[str]
    checks: list[PlatformCheck]
    digest: str

    def lines(self) -> list[str]:
        """The plan as text, a line each."""
        out = [f"  command    {' '.join(self.command)}", f"  platform   {self.config['platform']}"]
        out.append(f"  workspace  {self.config['workspace']}")
        out += [f"  setting    {text}" for text in self.settings]
        out += [f"  [{c.status:>4}] {c.name}: {c.text}" for c in self.checks]
        # With the digest in it, a question is another one where anything has changed: no answer carries over.
        return [*out, f"  digest     {self.digest}"]


def command_line(
    category: str, action: str, spec: Path | None, overrides: Mapping[str, str], folder: Path
) -> tuple[str, ...]:
    """The TAO command line of an action; the generator's two commands take `--key value`, all others `key=value`.

    Its outputs go to `folder`; a table goes where an override says, by default there too.

    Raises:
        InputError: The generator has no such command, or was given a spec.
    """
    if category != GENERATOR:
        given = () if spec is None else ("-e", str(spec))
        out = {"results_dir": str(folder)}
        if category in _TABLES:
            out = {"output_parquet": overrides.get("output_parquet", str(folder / _TABLES[category]))}
        return (category, action, *given, *(f"{k}={v}" for k, v in {**overrides, **out}.items()))
    if action not in _GENERATOR_LINES:
        raise InputError(f"no action {action!r}", where=GENERATOR, fix=did_you_mean(action, _GENERATOR_LINES))
    if spec is not None:
        raise InputError("the generator takes no spec", where=str(spec), fix="give overrides only")
    return (_GENERATOR_LINES[action], *(word for k, v in overrides.items() for word in (f"--{k}", v)))


def plan_action(request: ActionRequest) -> ActionPlan:
    """Resolve and check; reads only.

    Raises:
        InputError: An unknown platform or setting, or the platform does not run this command.
        BankError: A pre-flight check of the platform fails.
    """
    return _planned(request)[2]


def check_action(request: ActionRequest) -> None:
    """Refuse a command line of this machine's own that would fail at once; reads only.

    Raises:
        InputError: There is no such action, or its keys are not those of the release.
        InputErrors: TAO refuses the spec.
    """
    _check_own(request, _configured(request))


def _check_own(request: ActionRequest, config: ActionConfig) -> None:
    command, action = request.command[:2]
    if package_of(command) is None or command not in CATEGORIES:
        return
    runs = release_that_runs(config, command)
    if not runs_elsewhere(command, action):
        release_named(runs.release).keys(command, action)
    own = import_module(CATEGORIES[command].partition(":")[0]).ACTIONS
    if action not in own:
        what = f"the bank's own code for this CPU has no {command} {action}, only {', '.join(own)}"
        raise InputError(what, where=f"--platform {config.platform}", fix=_where_it_runs(command))
    if request.spec is not None:
        _refuse_spec(request, runs.release, command, action)


def start_action(request: ActionRequest, approve: str, how: How = "flag") -> JobRecord:
    """Plan again, and submit if that is what was approved.

    Raises:
        NeedsApprovalError: Something changed since; nothing was written.
        InputError: This very command runs in this folder already.
        BankError: As `plan_action`, or the platform refuses the job.
    """
    config, spec, plan = _planned(request)
    if plan.digest != approve:
        raise NeedsApprovalError("the plan is not the approved one", digest=plan.digest, fix="look at it again")
    platform = platform_named(config)
    category, action = request.command[0], request.command[1]
    key = f"manual.{Path(category).stem}" + (f".{action}" if action.isidentifier() else "")
    record = new_record(
        key=key,
        platform=platform.name,
        command=_with_kept_spec(request, spec),
        outputs=[request.folder],
        cwd=request.folder,
        results_dir=request.folder,
    ).model_copy(update={"approved": how})
    platform.plan(record)
    guard.make_folder(request.folder)
    with _alone(request.folder):
        _refuse_other(request.folder / ACTION, config)
        _refuse_twice(record, platform)
        if spec is not None:
            fsio.write_bytes(_kept_spec(request, spec), spec)
        fsio.write_json(request.folder / ACTION, {"config": config.model_dump(mode="json")})
        _STARTED.append(platform)
        return platform.submit(record)


def _kept_spec(request: ActionRequest, spec: bytes) -> Path:
    return request.folder / f"spec_{hashlib.sha256(spec).hexdigest()[:12]}.yaml"


def _with_kept_spec(request: ActionRequest, spec: bytes | None) -> tuple[str, ...]:
    """The command line on the spec as it was approved: a job may wait for hours, and the file be another by then."""
    if spec is None:
        return request.command
    at = request.command.index("-e") + 1
    return (*request.command[:at], str(_kept_spec(request, spec)), *request.command[at + 1 :])


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One start in a folder at a time; the kernel ends it with its process. Without locks there it is not waited."""
    with guard.folder(folder) as fd:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield


def _refuse_twice(record: JobRecord, platform: Platform) -> None:
    """An approval that arrives twice is one job: a second would write the same files at the same time."""
    for other in read_records(Path(record.results_dir)):
        if other.command != record.command or other.platform != record.platform:
            continue
        state = job_state(other)
        if state == "pending" and other.age_sec > _TURNS_UP_SEC:
            # Whoever wrote the record may have been killed before the platform heard of it: let it decide.
            state = platform.status(other)
        if state not in ENDED:
            what = f"this very command is {state} as job {other.uid}"
            raise InputError(
                what, where=record.results_dir, fix="wait for it or cancel it, or name a fresh results_dir"
            )


def _refuse_other(path: Path, config: ActionConfig) -> None:
    """Jobs of one folder share its `action.json`: who looks at them later asks the platform that it names."""
    try:
        before = json.loads(guard.read_text(path)).get("config", {})
    except FileNotFoundError:
        return
    except (ValueError, AttributeError):
        before = {}
    now = config.model_dump(mode="json") | {"specs_file": before.get("specs_file", "")}
    # An earlier version wrote every setting of a run there.
    if {key: value for key, value in before.items() if key in now} != now:
        what = "other jobs of this folder ran on another platform, or with other settings"
        raise InputError(what, where=path, fix="name a fresh results_dir")


def _where_it_runs(command: str) -> str:
    """What to do about a command that a platform does not run."""
    if in_an_image(command):
        return "docker runs it in its image; slurm with slurm.container=pyxis; virtualenv where its folder has it"
    return did_you_mean(command, release_named(newest()).commands)


def release_checks(request: ActionRequest, config: Any, platform: Platform) -> list[PlatformCheck]:
    """What the release that runs an action says of its spec; what cannot be looked at is said.

    Raises:
        InputErrors: TAO refuses the spec, a line a fault.
        InputError: The release has no such action.
    """
    command, action, *_ = (*request.command, "")
    if not platform.asks:
        _check_own(request, config)
    if package_of(command) is None:
        return []
    if not platform.tao_own(command):
        text = f"not checked: of what runs {command} {action} there no release is known (it is no image of NVIDIA's)"
        return [PlatformCheck(name="release", status="warn", text=text)] if platform.asks else []
    runs = release_that_runs(config, command)
    made = [PlatformCheck(name="release", status="ok" if runs.sure else "warn", text=runs.text)]
    if runs_elsewhere(command, action):
        text = f"not checked: {command} {action} is in no package on the Python index, so its keys are not known"
        return [*made, PlatformCheck(name="spec", status="warn", text=text)]
    release_named(runs.release).keys(command, action)  # refuses an action that the release does not have
    if request.spec is None:
        return [*made, PlatformCheck(name="spec", status="skip", text="not checked: none is given")]
    checked = _refuse_spec(request, runs.release, command, action)
    notes = [*checked.unchecked, *checked.elsewhere]
    text = "; ".join([f"TAO {runs.release} takes it for {command} {action}", *notes])
    return [*made, PlatformCheck(name="spec", status="warn" if checked.unchecked else "ok", text=text)]


def _refuse_spec(request: ActionRequest, release: str, command: str, action: str) -> Checked:
    assert request.spec is not None
    overrides = request.command[request.command.index("-e") + 2 :]
    checked = check_spec(request.spec, overrides, release, command, action)
    if checked.faults:
        what = f"TAO {release} refuses the spec: {checked.faults[0]}"
        raise InputErrors(what, checked.faults, where=request.spec, fix="mend it")
    return checked


def workspace_of(folder: Path, root: Path) -> Path:
    """The workspace an output folder lies in: the nearest folder above it that has `specs/`, else `root`."""
    above = [p for p in folder.parents if p == root or root in p.parents]
    return next((p for p in above if guard.is_folder(p / "specs")), root)


def _configured(request: ActionRequest) -> ActionConfig:
    workspace = str(workspace_of(request.folder, request.root))
    values = apply_settings(ActionConfig, {}, request.settings, ActionConfig.elsewhere())
    spec = "" if request.spec is None else str(request.spec)
    fixed = {"workspace": workspace, "specs_file": spec, "platform": own_name(request.platform)}
    return checked_settings(ActionConfig, {**values, **fixed}, "settings")


def _planned(request: ActionRequest) -> tuple[ActionConfig, bytes | None, ActionPlan]:
    """The configuration, the spec as it was read, and the plan."""
    config = _configured(request)
    platform = platform_named(config)
    if not platform.can_run(request.command[0]):
        fix = _where_it_runs(request.command[0])
        raise InputError(f"does not run {request.command[0]!r}", where=f"--platform {config.platform}", fix=fix)
    _refuse_other(request.folder / ACTION, config)
    checks = [*platform.checks(config, only=request.command[0]), *release_checks(request, config, platform)]
    spec_bytes = None if request.spec is None else guard.read_bytes(request.spec)
    said = {
        "command": request.command,
        "folder": str(request.folder),
        "config": config.model_dump(mode="json"),
        "spec": None if spec_bytes is None else hashlib.sha256(spec_bytes).hexdigest(),
        "files": _files_named(request, spec_bytes),
    }
    digest = digest_of(said)[:16]
    return (
        config,
        spec_bytes,
        ActionPlan(
            command=list(request.command),
            folder=str(request.folder),
            config=said["config"],
            settings=list(request.settings),
            checks=checks,
            digest=digest,
        ),
    )


def _files_named(request: ActionRequest, spec: bytes | None) -> dict[str, str]:
    """Every file that the command or its spec names, but its own outputs: path to how it is known again."""
    read = {} if spec is None else parse_yaml(spec.decode("utf-8", "replace"), str(request.spec))
    config: dict[str, Any] = read if isinstance(read, dict) else {}
    for text in request.command:
        with contextlib.suppress(InputError):  # a word, or what the release refuses
            apply_overrides(config, [text])
    named: list[object] = [*request.command, *(text.partition("=")[2] for text in request.command), config]
    own, found = Path(os.path.realpath(request.folder)), dict[str, str]()
    while named:
        value = named.pop()
        if isinstance(value, Mapping):
            named += value.values()
        elif isinstance(value, (list, tuple)):
            named += value
        elif isinstance(value, str) and 0 < len(value) <= _MOST_PATH and value not in found:
            meant = _REFERENCE.sub(lambda key: str(get(config, key[1], key[0])), value)
            if meant != value:
                named.append(meant)
            if "\0" in value or (path := request.folder / value) == request.spec:
                continue
            # As the job will go from its folder, which need not be there yet: `../data.csv` is none of its own.
            real = Path(os.path.realpath(path))
            if own in real.parents:
                continue
            with contextlib.suppress(OutsideError):
                # What lies outside the roots is not looked at; nothing that is held to them can open it later.
                known = identity_of(real)
                found |= {} if known is None else {value: f"{known.size} {known.mtime_ns} {known.head}"}
    return found


def values_of(overrides: Sequence[str]) -> dict[str, str]:
    """`key=value` words as a mapping.

    Raises:
        InputError: One without `=`.
    """
    for text in overrides:
        if "=" not in text.strip("="):
            raise InputError("not an override", where=text, fix="write key=value")
    return {key: value for key, _, value in (text.partition("=") for text in overrides)}
