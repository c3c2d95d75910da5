"""The cluster that sharded commands name by `--platform` and `--set NAME.…`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tao_skill_bank.platforms.slurm.platform import SlurmPlatform


def cluster_of(platform: str, settings: tuple[str, ...], shards: int | None) -> SlurmPlatform | None:
    """The cluster that runs shards; None where this machine does what is asked for.

    Raises:
        InputError: A platform that runs shards without any, or one that runs none; a setting of something else.
    """
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.core.settings import apply_settings, checked_settings
    from tao_skill_bank.platforms import platform_class
    from tao_skill_bank.platforms.work import Work

    found = platform_class(platform)
    if not found.shards:
        return None
    if shards is None:
        raise InputError(f"{platform} runs shards", where="--platform", fix="add --shards N")
    wrong = [text for text in settings if not text.startswith(f"{platform}.")]
    if wrong:
        raise InputError(
            f"not a {platform} setting", where=f"--set {wrong[0]}", fix=f"for example {platform}.partition=main"
        )
    work = {"workspace": str(Path.cwd()), "platform": platform, "num_gpus": 0}
    made: SlurmPlatform = found.of(checked_settings(Work, apply_settings(Work, work, settings), "--set"))
    return made
