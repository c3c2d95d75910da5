"""A run whose folder or workspace was moved or renamed goes on where it lies now, under an approval of its own.

What a run holds names files by absolute paths. First everything that is known by a digest (data, specs, checkpoints) is
compared with what lies at the new place; nothing is changed before a person has approved the plan as it is there. Then
the paths in the run's own tables and files are brought up, any number of times with the same result, and the state
last: killed in between, the same command does the rest.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.arrow import write_parquet
from tao_skill_bank.core.consent import How
from tao_skill_bank.core.errors import BusyError, InputError, NeedsApprovalError
from tao_skill_bank.loop.approval import approver
from tao_skill_bank.loop.log import LOG_FILE
from tao_skill_bank.loop.opening import accept, folder_lock, require_words
from tao_skill_bank.loop.plan import content_digests, resolve
from tao_skill_bank.loop.request import PreFlight, Request
from tao_skill_bank.loop.state import AnyState, keep_earlier, load_state, read_header, state_path
from tao_skill_bank.loop.task import AnyTask

_TEXTS = (".yaml", ".yml", ".toml", ".json", ".jsonl", ".csv", ".txt")
_KEPT = ("abandoned", "replaced", "jobs")
_HISTORY = ("deft_state.json", LOG_FILE)
"""History: it says what was, where it was."""


def moved_state(task: AnyTask, folder: Path, workspace: Path | None = None) -> tuple[AnyState, AnyState]:
    """The state as it was written, and the same with the paths of where it lies now. Writes nothing.

    Without `workspace`: where it lay in relation to the run, or where it was.

    Raises:
        InputError: The run was not moved, its original is still there, or a file is not what it was: the first one.
    """
    folder = Path(os.path.realpath(folder))
    state = load_state(folder, task)
    before, base = Path(state.results_dir), Path(state.config.workspace)
    if before.resolve() == folder:
        raise InputError("this run lies where it was made", where=folder, fix="go on with deft run --results-dir")
    if guard.exists(state_path(before)) and read_header(before).started_at == state.started_at:
        raise InputError(
            f"this is a copy, and its original still lies in {before}",
            where=folder,
            fix="work on the original, or remove it; a copy can be read and reported",
        )
    now = _workspace_now(folder, before, base, workspace)
    rename = _renaming([(str(before), str(folder)), (str(base), str(now))])
    moved: AnyState = task.State.model_validate(_mapped(state.model_dump(mode="json"), rename), context=task.results)
    _verify(task, state, moved)
    return state, moved


def plan_adoption(task: AnyTask, folder: Path, workspace: Path | None = None) -> PreFlight:
    """Verify a run that was moved and run every check of its plan where it lies now; writes nothing.

    Raises:
        InputError: As `moved_state`; or a check failed.
    """
    _, moved = moved_state(task, folder, workspace)
    return task.pre_flight(resolve(task, Request(), moved))


def adopt(
    task: AnyTask, folder: Path, workspace: Path | None, *, approve: str | None, how: How, words: Sequence[str] = ()
) -> Path:
    """Let a run that was moved go on where it lies now; returns its folder.

    `words`: what a person said beside it, of what the plan asks a word of its own for.

    Raises:
        NeedsApprovalError: It is not approved; its `digest` is the one to approve. Nothing was changed.
        BusyError: Somebody works on it, or changed it meanwhile.
        InputError: As `moved_state`.
    """
    state, moved = moved_state(task, folder, workspace)
    plan = resolve(task, Request(), moved)
    checked = task.pre_flight(plan)
    if approve != plan.digest:
        raise NeedsApprovalError(
            "the run as it lies here is not approved yet" if approve is None else "another plan was approved",
            digest=plan.digest,
            fix=f"read the plan, then add --approve {plan.digest}",
        )
    require_words(checked, words)
    root = Path(moved.results_dir)
    with folder_lock(root, "adoption"):
        if load_state(root, task) != state:
            raise BusyError("the run changed while it was looked at", where=root, fix="look again")
        renames = [(state.results_dir, moved.results_dir), (state.config.workspace, moved.config.workspace)]
        for path in _files(root):
            _bring_up(path, _renaming(renames), [old for old, _ in renames])
        keep_earlier(root, moved)
        accept(moved, plan, checked, how, approver())
    return root


def _workspace_now(folder: Path, before: Path, base: Path, named: Path | None) -> Path:
    found = base if named is None else Path(os.path.realpath(named))
    if named is None and base not in folder.parents and base in before.parents:
        between = before.parent.relative_to(base).parts
        if not between or folder.parent.parts[-len(between) :] == between:
            found = folder.parents[len(between)]
    if found not in folder.parents:
        raise InputError(
            f"the run does not lie in the workspace {found}", where=folder, fix="name it: --workspace FOLDER"
        )
    return found


def _verify(task: AnyTask, state: AnyState, moved: AnyState) -> None:
    """Everything that the run knows by a digest is still that; what differs first is named."""
    files, found = task.contents(moved.config), content_digests(task, moved.config)
    for key, digest in state.plan_digests.items():
        if found.get(key) != digest:
            what = "is missing" if key not in found else "is not what it was when the plan was approved"
            raise InputError(
                f"{key} {what}", where=files.get(key), fix="restore it; a run goes on with its own data alone"
            )
    for name, path, digest in task.known_files(moved):
        if not guard.is_file(path) or fsio.sha256_file(path) != digest:
            what = "is not the file that was measured" if guard.is_file(path) else "is missing"
            raise InputError(f"{name} {what}", where=path, fix="restore it, or start a new run")


def _renaming(pairs: list[tuple[str, str]]) -> Callable[[str], str]:
    """A function that gives paths in a text their new beginning; a path that only begins alike stays."""
    known = dict(pairs)
    longest = sorted(known, key=len, reverse=True)
    old = re.compile(r"(?<![\w./-])(" + "|".join(map(re.escape, longest)) + r")(?=$|[/\"'\s,;:)\]])")
    return lambda text: old.sub(lambda match: known[match[1]], text)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(one, change) for key, one in value.items()}
    return [_mapped(one, change) for one in value] if isinstance(value, list | tuple) else value


def _files(folder: Path) -> Iterator[Path]:
    for path in guard.children(folder):
        about = guard.entry(path)
        if path.is_symlink() or about is None or path.name in _KEPT or path.name.startswith("."):
            continue
        if guard.is_folder(path):
            yield from _files(path)
        elif path.suffix in (*_TEXTS, ".parquet") and not path.name.startswith(_HISTORY):
            yield path


def _bring_up(path: Path, change: Callable[[str], str], old: list[str]) -> None:
    data = guard.read_bytes(path)
    if path.suffix != ".parquet":
        if any(name.encode() in data for name in old):
            with contextlib.suppress(UnicodeDecodeError):
                text = data.decode()
                if (new := change(text)) != text:
                    fsio.write_text(path, new)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    rows = table.to_pylist()
    if (mapped := _mapped(rows, change)) != rows:
        write_parquet(path, pa.Table.from_pylist(mapped, schema=table.schema))
