"""Whether a platform can be reached from here, in one line; nothing is changed."""

from __future__ import annotations

import shutil

from tao_skill_bank.core.errors import BankError


def reach(name: str) -> str:
    """What can be reached of a platform from this machine."""
    if name == "local":
        return "always there"
    if name == "virtualenv":
        return "name its folder: --set virtualenv.bin=DIR"
    if name == "docker":
        return _docker()
    if name == "slurm":
        found = shutil.which("sbatch")
        return f"sbatch is {found}" if found else "no sbatch here; a login node is named by SLURM_HOSTNAME"
    if name == "kubernetes":
        return "manifests are written here; kubectl applies them" + ("" if shutil.which("kubectl") else " (not here)")
    return "listed only"


def _docker() -> str:
    from tao_skill_bank.platforms.docker.checks import gpus_here
    from tao_skill_bank.platforms.docker.engine import Engine

    engine = Engine()
    try:
        facts = engine.facts
    except BankError as error:
        return error.line()
    cards = ", ".join(f"{g.name} {g.memory_gb} GB" for g in gpus_here()) if engine.local else "not looked at"
    return f"Docker {facts.version} ({facts.architecture}) answers, {engine.shown}; GPUs: {cards or 'none'}"
