"""What annotation asks of a model behind an interface."""

from __future__ import annotations

from io import BufferedReader
from typing import Any, Protocol

from tao_skill_bank.annotate.endpoints.base import Ask, Batches, FaultError, Reply, Upload
from tao_skill_bank.annotate.endpoints.forms import Forms


class Endpoint(Protocol):
    """A model behind an interface.

    Attributes:
        name: Where it is, without any key: endpoints of one name share one limiter.
        model: Which model answers.
        timeout: Seconds that one call may take.
        takes_video: Whether it takes videos by `upload`; else frames are sent.
        parameters: What shapes its answers; part of a call's key.
        token_setting: The setting that says how long an answer may be at most, below the model's own section.
        forms: How it is asked; it changes when the server turns out to know less.
    """

    name: str
    model: str
    timeout: float
    takes_video: bool
    parameters: dict[str, Any]
    token_setting: str
    forms: Forms

    def adapted(self, fault: FaultError, ask: Ask, form: str) -> bool:
        """Whether a refusal of a request in `form` is met by another form: then it is to be asked again."""

    def connected(self) -> object:
        """The SDK's client, made (and the SDK loaded) when it is first needed."""

    @property
    def batches(self) -> Batches:
        """Its way to take many calls at once."""

    async def ask(self, ask: Ask) -> Reply:
        """Ask once: one request, whatever comes of it.

        Raises:
            FaultError: No answer came.
        """

    async def upload(self, name: str, file: BufferedReader) -> Upload:
        """Hand over a video that is open for reading.

        Raises:
            FaultError: It was not taken.
        """

    async def close(self) -> None:
        """Close the connections."""
