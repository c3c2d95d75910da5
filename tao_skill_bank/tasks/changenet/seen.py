"""Whether somebody had looked at the acceptance set before a run: then it can show nothing of the models made after."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.data.changenet.spent import looks
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.state import State

CHECK = "acceptance set seen"


def seen_checks(config: RunConfig) -> list[Check]:
    """The check of a plan whose acceptance set somebody has looked at; none where nobody has.

    Raises:
        InputError: What was written down of looks cannot be read.
    """
    if config.acceptance_csv is None:
        return []
    found = looks(Path(config.workspace), Path(config.acceptance_csv))
    if not found:
        return []
    who = "; ".join(look.line for look in found[:3])
    text = f"{who}: it is spent, so it shows nothing of a model that is made now; name one that nobody has seen"
    return [Check(name=CHECK, status="warn", text=text)]


def was_seen(state: State) -> bool:
    """Whether the plan that was approved said so."""
    return any(check.name == CHECK for check in state.checked)
