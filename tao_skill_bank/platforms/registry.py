"""Which platforms there are: the bank's own, and those of other packages.

A platform of another package is found by its entry point in the group `tao_skill_bank.platforms`: the platform's name,
and the `Platform` class it leads to.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.points import loaded, points

GROUP = "tao_skill_bank.platforms"
# Name -> the class, imported when somebody names it.
_OWN = {
    "local": "local.LocalPlatform",
    "virtualenv": "virtualenv.VirtualenvPlatform",
    "docker": "docker.platform.DockerPlatform",
    "slurm": "slurm.platform.SlurmPlatform",
    "kubernetes": "kubernetes.KubernetesPlatform",
    "brev": "brev.BrevPlatform",
}
OWN = tuple(_OWN)


def others() -> tuple[str, ...]:
    """The platforms of other packages."""
    return tuple(sorted({point.name for point in points(GROUP)} - _OWN.keys()))


def names() -> tuple[str, ...]:
    """Every platform that can be named."""
    return (*OWN, *others())


def own_name(name: str) -> str:
    """The platform's own name for a name or an alias; any other text as it is."""
    if name in OWN:
        return name
    from tao_skill_bank.bank.platforms_catalog import load_catalog

    listed = next((p.name for p in load_catalog().platforms if name in p.aliases), name)
    return listed if listed in OWN else next((o for o in others() if name in platform_class(o).aliases), listed)


def platform_class(name: str) -> Any:
    """The class of a platform, a subclass of `base.Platform`.

    Raises:
        InputError: It is not known (the nearest names are shown), or another package's cannot be loaded.
    """
    if name in _OWN:
        module, _, attribute = _OWN[name].rpartition(".")
        return getattr(import_module(f"tao_skill_bank.platforms.{module}"), attribute)
    if name not in others():
        raise InputError(f"unknown platform {name!r}", where="--platform", fix=did_you_mean(name, names()))
    return _loaded(name)


@cache
def _loaded(name: str) -> Any:
    point = next(point for point in points(GROUP) if point.name == name)
    return loaded(
        point, f"platform {name!r}", lambda one: getattr(one, "name", None) == name and hasattr(one, "Settings")
    )
