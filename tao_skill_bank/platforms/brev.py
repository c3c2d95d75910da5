"""The Brev platform: listed, with its credential, and always refused: nothing here drives NVIDIA's SDK for it.

A submission that no test could ever run would be a guess; a rented machine is an ordinary Docker engine over ssh.
"""

from __future__ import annotations

from typing import NoReturn, Self

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.platforms.base import JobRecord, JobState, Platform
from tao_skill_bank.platforms.machine import Complaint, Machine
from tao_skill_bank.platforms.work import Work

CREDENTIAL = "BREV_API_TOKEN"
RENTED = "export DOCKER_HOST=ssh://USER@MACHINE"


class BrevPlatform(Platform):
    """Says in one line that nothing is submitted to Brev, and what to do instead."""

    name = "brev"
    concurrent = True

    @classmethod
    def of(cls, config: Work) -> Self:
        """It has no settings.

        Raises:
            InputError: Always.
        """
        _refuse()

    @classmethod
    def reach(cls) -> str:
        """Nothing of it."""
        return "listed only"

    @classmethod
    def explained(cls, found: Complaint, machine: Machine, source: str) -> Complaint:
        """A machine that was rented by hand is an engine elsewhere."""
        text = "this version does not submit to it; rent a machine by hand and use --platform docker there"
        return Complaint(text, RENTED, lacks=False)

    def submit(self, record: JobRecord) -> JobRecord:
        """As `of`."""
        _refuse()

    def status(self, record: JobRecord) -> JobState:
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
