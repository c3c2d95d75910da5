"""What every platform's settings have in common. Each platform's own model lies beside it."""

from __future__ import annotations

import re

from pydantic import AfterValidator, BaseModel, ConfigDict


class PlatformSettings(BaseModel):
    """Settings below a platform's name: `--set slurm.memory=8000` is as good as `'8000'`."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


def matching(pattern: str, how: str) -> AfterValidator:
    """Text of a grammar that an engine or cluster would refuse only when the first job arrives."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"write {how}")
        return text

    return AfterValidator(check)


class VirtualenvConfig(PlatformSettings):
    """`bin`: the folder with a pip-installed TAO's commands, for `--platform virtualenv`."""

    bin: str | None = None
