"""The releases that are known, and the facts of one: commands, actions, keys, refusals, outputs, status fields.

`facts/<version>.json` is written by `scripts/releases.py` from the wheels on the Python index; nothing in it is
written by hand.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.data.releases.keys import Keys

_FOLDER = "facts"
_NUMBER = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Release:
    """The facts of one release.

    Attributes:
        version: `7.1.0`.
    """

    version: str
    raw: Mapping[str, Any]

    @property
    def commands(self) -> Mapping[str, Mapping[str, Any]]:
        """Command → its package, its actions, and actions that only other containers have (`elsewhere`)."""
        found: Mapping[str, Mapping[str, Any]] = self.raw["commands"]
        return found

    @property
    def classifier(self) -> Mapping[str, Any]:
        """What the change classifier does that no key shows: backbones, status fields, when the loss is checked."""
        found: Mapping[str, Any] = self.raw["classifier"]
        return found

    @property
    def backbones(self) -> tuple[str, ...]:
        """Every value that `model.backbone.type` may have."""
        return tuple(dict.fromkeys(name for names in self.classifier["backbones"].values() for name in names))

    def actions(self, command: str) -> list[str]:
        """The actions of a command.

        Raises:
            InputError: This release has no such command.
        """
        return list(self._command(command)["actions"])

    def elsewhere(self, command: str) -> list[str]:
        """Actions that NVIDIA's service lists for a command and the wheels do not hold (deploy)."""
        return list(self._command(command).get("elsewhere", ()))

    def keys(self, command: str, action: str | None = None) -> Keys | None:
        """The keys that an action's spec may hold; None where the facts do not have them.

        Args:
            command: For example `visual_changenet`.
            action: For example `train`; None: the command's first.

        Raises:
            InputError: No such command or action in this release.
        """
        known = self._command(command)["actions"]
        action = next(iter(known)) if action is None else action
        if action not in known:
            fix = (
                f"it runs in another container: {action}"
                if action in self.elsewhere(command)
                else did_you_mean(action, known)
            )
            raise InputError(f"{command} has no action {action!r} in TAO {self.version}", where=command, fix=fix)
        return _keys_of(self.version, known[action].get("schema"))

    def schema(self, name: str) -> Mapping[str, Mapping[str, Any]] | None:
        """Dotted key → facts of a configuration class; None where it could not be read."""
        found: Mapping[str, Mapping[str, Any]] | None = self.raw["schemas"].get(name, {}).get("keys")
        return found

    def _command(self, command: str) -> Mapping[str, Any]:
        if command not in self.commands:
            fix = did_you_mean(command, self.commands)
            raise InputError(f"TAO {self.version} has no command {command!r}", where="release", fix=fix)
        return self.commands[command]


@functools.cache
def known() -> tuple[str, ...]:
    """The versions that are known, oldest first."""
    folder = resources.files(__package__).joinpath(_FOLDER)
    found = [p.name.removesuffix(".json") for p in folder.iterdir() if p.name.endswith(".json")]
    return tuple(sorted(found, key=ordered))


RELEASE_VARIABLE = "TAO_SKILLS_RELEASE"
"""By what release a job of this machine's own network reads its spec: the one that its plan was checked as."""


def newest() -> str:
    """The newest known version."""
    return known()[-1]


def ordered(version: str) -> tuple[int, int, int]:
    """`7.1.0` as numbers that compare."""
    found = _NUMBER.match(version)
    return (0, 0, 0) if found is None else (int(found[1]), int(found[2]), int(found[3] or 0))


def package_of(command: str) -> str | None:
    """The package that has a command in any known release (`nvidia-tao-pytorch`, `nvidia-tao-ds`); None for others."""
    found = (release_named(v).commands.get(command) for v in reversed(known()))
    return next((str(facts["package"]) for facts in found if facts is not None), None)


def runs_elsewhere(command: str, action: str) -> bool:
    """Whether an action of a command is in no package of a known release, but NVIDIA's service lists it (deploy)."""
    releases = [release_named(v) for v in known() if command in release_named(v).commands]
    return any(action in r.elsewhere(command) for r in releases) and not any(
        action in r.actions(command) for r in releases
    )


def in_force(release: str, since: str | None, until: str | None) -> bool:
    """Whether a rule that holds from `since` on and before `until` holds in `release`."""
    here = ordered(release)
    return (since is None or here >= ordered(since)) and (until is None or here < ordered(until))


def release_named(text: str, where: str = "--release") -> Release:
    """The facts of a release; `7.1` stands for its newest `7.1.x`.

    Raises:
        InputError: It is not known; the known ones are named.
    """
    wanted = text.strip().removeprefix("v")
    matches = [v for v in known() if v == wanted or (re.fullmatch(r"\d+\.\d+", wanted) and v.startswith(f"{wanted}."))]
    if not matches:
        fix = f"one of {', '.join(known())}; a newer one becomes known by make releases"
        raise InputError(f"TAO release {text!r} is not known", where=where, fix=fix)
    return _load(matches[-1])


def release_in(reference: str) -> str | None:
    """The known release that an image's tag or a version string names (`…/tao-toolkit:7.2.0-data-services`)."""
    tag = reference.rsplit("/", 1)[-1].partition("@")[0]
    found = _NUMBER.match(tag.partition(":")[2] if ":" in tag else tag)
    if found is None:
        return None
    version = ".".join(part or "0" for part in found.groups())
    return version if version in known() else None


@functools.cache
def _load(version: str) -> Release:
    text = resources.files(__package__).joinpath(_FOLDER, f"{version}.json").read_text(encoding="utf-8")
    return Release(version, json.loads(text))


@functools.cache
def _keys_of(version: str, schema: str | None) -> Keys | None:
    found = _load(version).schema(schema) if schema else None
    return None if found is None else Keys.of(found)
