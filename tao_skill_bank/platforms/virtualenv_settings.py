"""The settings of the virtualenv platform."""

from __future__ import annotations

from tao_skill_bank.platforms.settings import PlatformSettings


class VirtualenvConfig(PlatformSettings):
    """`bin`: the folder with a pip-installed TAO's commands, for `--platform virtualenv`."""

    bin: str | None = None
