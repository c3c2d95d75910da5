"""Where command lines run: one vocabulary of jobs for every platform."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core.errors import BankError, InputError, did_you_mean

if TYPE_CHECKING:
    from tao_skill_bank.platforms.base import Platform

# Name -> the class, imported when a run names it. Each has `of(config)` and `checks(config)`, see `base.Platform`.
_CLASSES = {
    "local": "local.LocalPlatform",
    "virtualenv": "virtualenv.VirtualenvPlatform",
    "docker": "docker.platform.DockerPlatform",
    "slurm": "slurm.platform.SlurmPlatform",
    "kubernetes": "kubernetes.KubernetesPlatform",
    "brev": "brev.BrevPlatform",
}
KNOWN = tuple(_CLASSES)


def own_name(name: str) -> str:
    """The platform's own name for a name or an alias of the catalogue; any other text as it is."""
    if name in KNOWN:
        return name
    from tao_skill_bank.bank.platforms_catalog import load_catalog

    return next((p.name for p in load_catalog().platforms if name in p.aliases), name)


def platform_named(config: Any) -> Platform:
    """The platform a run's configuration names.

    Raises:
        InputError: It is not known (the nearest names are shown), or its settings do not suffice.
    """
    name = own_name(config.platform)
    if name not in _CLASSES:
        raise InputError(
            f"unknown platform {config.platform!r}", where="--platform", fix=did_you_mean(config.platform, KNOWN)
        )
    module, _, attribute = _CLASSES[name].rpartition(".")
    found: Platform = getattr(import_module(f"tao_skill_bank.platforms.{module}"), attribute).of(config)
    return found


def tao_runs(config: Any, command: str) -> bool | None:
    """Whether NVIDIA's own implementation runs `command` for a run; None where its platform cannot be set up."""
    try:
        return platform_named(config).tao_own(command)
    except BankError:
        return None
