"""The cluster that sharded commands name by `--set slurm.…`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tao_skill_bank.platforms.slurm.platform import SlurmPlatform


def slurm_of(settings: tuple[str, ...]) -> SlurmPlatform:
    """The SLURM platform that `--set slurm.…` describes."""
    from types import SimpleNamespace

    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.core.settings import apply_settings, checked_settings
    from tao_skill_bank.platforms.slurm.platform import SlurmPlatform
    from tao_skill_bank.tasks.changenet.config import RunConfig, SlurmConfig

    wrong = [text for text in settings if not text.startswith("slurm.")]
    if wrong:
        raise InputError("not a slurm setting", where=f"--set {wrong[0]}", fix="for example slurm.partition=main")
    values = apply_settings(RunConfig, {}, settings).get("slurm", {})
    given = checked_settings(SlurmConfig, values, "--set", "slurm.")
    return SlurmPlatform.of(SimpleNamespace(slurm=given, num_gpus=0, workspace=str(Path.cwd())))
