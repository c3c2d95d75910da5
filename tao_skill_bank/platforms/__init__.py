"""Where command lines run: one vocabulary of jobs for every platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tao_skill_bank.core.errors import BankError, InputError, did_you_mean
from tao_skill_bank.platforms.registry import OWN as KNOWN
from tao_skill_bank.platforms.registry import names, own_name, platform_class

if TYPE_CHECKING:
    from tao_skill_bank.platforms.base import Platform
    from tao_skill_bank.platforms.work import Work

__all__ = ["KNOWN", "names", "own_name", "platform_class", "platform_named", "tao_runs"]


def platform_named(config: Work) -> Platform:
    """The platform a configuration names.

    Raises:
        InputError: It is not known (the nearest names are shown), or its settings do not suffice.
    """
    name = own_name(config.platform)
    if name not in names():
        where, fix = "--platform", did_you_mean(config.platform, names())
        raise InputError(f"unknown platform {config.platform!r}", where=where, fix=fix)
    found: Platform = platform_class(name).of(config)
    return found


def tao_runs(config: Work, command: str) -> bool | None:
    """Whether NVIDIA's own implementation runs `command` for a run; None where its platform cannot be set up."""
    try:
        return platform_named(config).tao_own(command)
    except BankError:
        return None
