"""The Brev platform: listed, with its credential. It runs only through NVIDIA's optional SDK, and never ran here."""

from __future__ import annotations

import importlib.util
import os
from typing import Any, NoReturn, Self

from tao_skill_bank.errors import BankError, InputError
from tao_skill_bank.platforms.base import JobRecord, JobState, PlatformCheck

CREDENTIAL = "BREV_API_TOKEN"


class BrevPlatform:
    """Says in one line what is lacking. Through this version of the bank nothing is submitted to Brev."""

    name = "brev"
    concurrent = True

    @classmethod
    def of(cls, config: Any) -> Self:
        """It has no settings.

        Raises:
            InputError: The SDK or the credential is not there, or it is and nothing here drives it.
        """
        _refuse()

    def checks(self, config: Any) -> list[PlatformCheck]:
        """As `of`."""
        _refuse()

    def can_run(self, command: str) -> bool:
        """Nothing."""
        return False

    def submit(self, record: JobRecord) -> JobRecord:
        """As `of`."""
        _refuse()

    def status(self, record: JobRecord) -> JobState:
        """As `of`."""
        _refuse()

    def logs(self, record: JobRecord, tail: int = 200) -> str:
        """As `of`."""
        _refuse()

    def cancel(self, record: JobRecord) -> None:
        """As `of`."""
        _refuse()


def _refuse() -> NoReturn:
    where = "--platform brev"
    if importlib.util.find_spec("tao_sdk") is None:
        raise InputError(
            "needs the optional package nvidia-tao-sdk, which is not installed",
            where=where,
            fix="pip install nvidia-tao-sdk, or rent a machine by hand and use --platform docker or slurm.host there",
        )
    if not os.environ.get(CREDENTIAL):
        raise InputError(f"{CREDENTIAL} is not set", where=where, fix="create a token in the Brev console")
    raise BankError(
        "this version lists Brev and does not submit to it",
        where=where,
        fix="submit with nvidia-tao-sdk itself, or use --platform docker with docker.host=ssh://USER@MACHINE",
    )
