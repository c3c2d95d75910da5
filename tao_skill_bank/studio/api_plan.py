"""Addresses of plans: what a run would do, with whose yes it starts, what an acceptance set may be opened for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tao_skill_bank import runs
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.models import Strict
from tao_skill_bank.core.overrides import leaves
from tao_skill_bank.data.changenet import spent
from tao_skill_bank.studio.app import Routes, Studio, asked
from tao_skill_bank.tasks.changenet.state import State

if TYPE_CHECKING:
    from starlette.requests import Request


class Wish(Strict):
    """What a plan is asked for; what is left out is as in `like`, the run that it follows."""

    like: str | None = None
    kpi_target: str | None = None
    max_iterations: int | None = Field(default=None, ge=1, le=1000)
    platform: str | None = None
    settings: list[str] = Field(default_factory=list, max_length=200)


class Yes(Wish):
    """A person's yes to the plan of this digest."""

    digest: str
    name: str
    words: list[str] = Field(default_factory=list, max_length=20)


class Look(Strict):
    """A person's click that opens the acceptance pictures of a run."""

    run: str
    who: str


def request_of(studio: Studio, wish: Wish) -> runs.Request:
    """The request of a fresh run in this workspace, with what the earlier run was asked for.

    Raises:
        InputError: There is neither a target nor a run to follow.
    """
    target, iterations, platform, settings = wish.kpi_target, wish.max_iterations, wish.platform, list(wish.settings)
    task = None
    if wish.like is not None:
        state = runs.load_state(studio.workspace.run(wish.like))
        target, iterations = target or state.kpi_target, iterations or state.max_iterations
        platform, task = platform or state.config.platform, state.task
        settings = [*_settings(studio.workspace.root, state, target, iterations, platform), *settings]
    if not target:
        raise InputError("no target", where="kpi_target", fix="write one, such as FAR < 0.5% at recall=99%")
    return runs.Request(
        workspace=studio.workspace.root,
        kpi_target=target,
        max_iterations=iterations or 3,
        platform=platform,
        settings=tuple(settings),
        task=task,
    )


def _settings(workspace: Path, state: Any, target: str, iterations: int, platform: str) -> list[str]:
    """`key=value` of what the earlier run was set to beside the defaults of this workspace."""
    plain = runs.Request(
        workspace=workspace, kpi_target=target, max_iterations=iterations, platform=platform, task=state.task
    )
    usual = dict(leaves(runs.plan_of(plain)[0].config.model_dump(mode="json")))
    own = leaves(state.config.model_dump(mode="json"))
    # A fresh run takes all that was said until now, not what the earlier one took.
    skipped = {"workspace", "platform", "corrections.lines", "corrections.sha256"}
    changed = {k: v for k, v in own if k not in skipped and k in usual and usual[k] != v and v is not None}
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in changed.items()]


def plan(studio: Studio, request: Request) -> dict[str, Any]:
    """The pre-flight of a fresh run; nothing is written."""
    from tao_skill_bank.data.pictures.look import watched

    def tell(done: int, total: int) -> None:
        studio.looking = (done, total)

    wish = asked(request, Wish)
    tell(0, 0)
    with watched(tell):
        found = runs.plan_run(request_of(studio, wish))
    shown: dict[str, Any] = found.model_dump(mode="json")
    return {**shown, "lines": found.lines()}


def looking(studio: Studio, request: Request) -> dict[str, int]:
    """How far the look at the pictures is that a plan waits for."""
    done, total = studio.looking
    return {"done": done, "total": total}


def approve(studio: Studio, request: Request) -> dict[str, str]:
    """Approve a plan with a person's name, recorded as `studio`, and start it."""
    yes = asked(request, Yes)
    if not yes.name.strip():
        raise InputError("says nobody", where="name", fix="write your name: it is recorded with the approval")
    wish = request_of(studio, yes)
    folder = runs.open_run(wish, approve=yes.digest, how="studio", name=yes.name, words=yes.words)
    runs.start_detached(folder)
    return {"run": folder.name}


def acceptance_csv(studio: Studio, run: str) -> Path:
    """The acceptance set of a run.

    Raises:
        InputError: It has none.
    """
    state = runs.load_state(studio.workspace.run(run))
    if not isinstance(state, State) or state.config.acceptance_csv is None:
        raise InputError("has no acceptance set", where=run, fix="name one when you plan a run")
    return Path(state.config.acceptance_csv)


def looks_of(studio: Studio, run: str) -> list[spent.Look]:
    """Who has looked at the acceptance set of a run."""
    try:
        return spent.looks(studio.workspace.root, acceptance_csv(studio, run))
    except BankError:
        return []


def look(studio: Studio, request: Request) -> spent.Look:
    """Open the acceptance pictures of a run: who looks is written down, and the set is spent."""
    wish = asked(request, Look)
    return spent.record_look(studio.workspace.root, acceptance_csv(studio, wish.run), wish.who, wish.run)


ROUTES: Routes = (
    ("/plan", "POST", plan),
    ("/plan/looking", "GET", looking),
    ("/approve", "POST", approve),
    ("/looks", "POST", look),
)
