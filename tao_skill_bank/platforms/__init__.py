"""Where command lines run: one vocabulary of jobs for every platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tao_skill_bank.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from tao_skill_bank.platforms.base import Platform

KNOWN = ("local", "virtualenv")


def platform_named(config: Any) -> Platform:
    """The platform a run's configuration names.

    Raises:
        InputError: It is not known; the nearest names are shown.
    """
    from tao_skill_bank.platforms.local import LocalPlatform
    from tao_skill_bank.platforms.virtualenv import VirtualenvPlatform

    if config.platform == "local":
        return LocalPlatform()
    if config.platform == "virtualenv":
        return VirtualenvPlatform(config.virtualenv.bin)
    raise InputError(
        f"unknown platform {config.platform!r}", where="--platform", fix=did_you_mean(config.platform, KNOWN)
    )
