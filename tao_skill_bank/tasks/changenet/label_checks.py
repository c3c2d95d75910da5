"""What a plan says of the corrections it takes of its boards' labels."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.request import OwnWord
from tao_skill_bank.tasks import label_checks as checks
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.sets import applied
from tao_skill_bank.tasks.changenet.taken import KEY_OF
from tao_skill_bank.tasks.registry import load_state

_NAMED = checks.Named(files="the CSVs", file="the CSV", look="picture", shown="Before and after stand in the report. ")


def label_checks(config: RunConfig) -> tuple[list[Check], list[OwnWord]]:
    """The checks of a plan's corrections, and the word that those of the measured sets need.

    Raises:
        InputError: The file of corrections cannot be read, or is not what it was.
    """
    sets = [name for name, key in KEY_OF.items() if getattr(config, key) is not None]
    before = checks.newest_config(Path(config.workspace), load_state)
    return checks.label_checks(config, _NAMED, lambda: {n: applied(config, n)[1].changes for n in sets}, before)
