"""Whether a TAO release takes the spec of an action: its merge, and for the change classifier what comes after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import apply_overrides, get, load_yaml_mapping
from tao_skill_bank.data.changenet.spec import resolve_references
from tao_skill_bank.data.releases.facts import release_named
from tao_skill_bank.data.releases.keys import merge_faults

_CLASSIFIER = "visual_changenet"
_PURPOSES = ("train", "inference", "evaluate")


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        release: The release it was checked against.
        faults: A line each: `key: what is wrong (what to do)`.
        unchecked: What could not be looked at, a line each.
        elsewhere: What the spec means in other releases, a line each.
    """

    release: str
    command: str
    action: str
    faults: list[str]
    unchecked: list[str]
    elsewhere: list[str]


def check_spec(path: Path, overrides: Sequence[str], release: str, command: str, action: str | None = None) -> Checked:
    """Check a spec file with overrides on top.

    Args:
        path: The YAML file.
        overrides: `key=value`, applied in order.
        release: `7.1.0`, or `7.1`.
        command: The TAO command that will get it.
        action: Its action; None: `train` where it has one, else its only one.

    Raises:
        InputError: An unknown release, command or action, an unreadable file or override.
    """
    facts = release_named(release)
    action = action or _only_action(facts.actions(command), command)
    keys = facts.keys(command, action)
    config = load_yaml_mapping(path)
    apply_overrides(config, overrides)
    if keys is None:
        return Checked(facts.version, command, action, [], [f"the keys of {command} {action} are not known"], [])
    faults = merge_faults(config, keys)
    if not faults:
        config = resolve_references(config, path, keys)
        faults = merge_faults(config, keys)
    task = get(config, "task", "not given")
    if command == _CLASSIFIER and action in _PURPOSES and task != "segment":
        return _classifier(config, facts.version, action)
    unchecked = [f"only keys and types were checked: what {command} {action} refuses later was not"]
    return Checked(facts.version, command, action, faults, unchecked, [])


def _classifier(config: dict[str, Any], release: str, action: str) -> Checked:
    from tao_skill_bank.data.changenet.releases import meant_elsewhere
    from tao_skill_bank.data.changenet.spec import spec_faults

    purpose: Any = action
    faults = spec_faults(config, purpose, release)
    typed = not any(": must be " in fault for fault in faults)
    elsewhere = meant_elsewhere(config, purpose, release) if typed else []
    unchecked = [] if typed else ["values of the wrong type: the rules that reckon with them did not run"]
    return Checked(release, _CLASSIFIER, action, faults, unchecked, elsewhere)


def _only_action(actions: list[str], command: str) -> str:
    if "train" in actions:
        return "train"
    if len(actions) == 1:
        return actions[0]
    raise InputError(f"{command} has several actions", where="--action", fix=f"one of {', '.join(actions)}")
