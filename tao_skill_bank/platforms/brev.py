"""The Brev platform: listed, with its credential, and always refused: nothing here drives NVIDIA's SDK for it.

A submission that no test could ever run would be a guess; a rented machine is an ordinary Docker engine over ssh.
"""

from __future__ import annotations

from typing import Any, NoReturn, Self

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.platforms.base import JobRecord, JobState, PlatformCheck

CREDENTIAL = "BREV_API_TOKEN"


class BrevPlatform:
    """Says in one line that nothing is submitted to Brev, and what to do instead."""

    name = "brev"
    concurrent = True

    @classmethod
    def of(cls, config: Any) -> Self:
        """It has no settings.

        Raises:
            InputError: Always.
        """
        _refuse()

    def checks(self, config: Any) -> list[PlatformCheck]:
        """As `of`."""
        _refuse()

    def can_run(self, command: str) -> bool:
        """Nothing."""
        return False

    def tao_own(self, command: str) -> bool:
        """Nothing runs."""
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
    raise InputError(
        "Brev is listed and never submitted to: nothing here drives NVIDIA's SDK",
        where="--platform brev",
        fix=f"--platform docker with docker.host=ssh://USER@MACHINE, or nvidia-tao-sdk itself with {CREDENTIAL}",
    )
