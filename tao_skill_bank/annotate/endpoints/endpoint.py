"""What annotation asks of a model behind an interface."""

from __future__ import annotations

from io import BufferedReader
from typing import Any, Protocol

from tao_skill_bank.annotate.endpoints.base import Ask, Batches, FaultError, Reply, Upload
from tao_skill_bank.annotate.endpoints.forms import Forms


class Endpoint(Protocol):
    """A model behind an interface.

    Attributes:
        forms: How it is asked; it changes when the server turns out to know less.
    """

    forms: Forms

    @property
    def name(self) -> str:
        """Where it is, without any key: endpoints of one name share one limiter."""

    @property
    def model(self) -> str:
        """Which model answers."""

    @property
    def timeout(self) -> float:
        """Seconds that one call may take."""

    @property
    def takes_video(self) -> bool:
        """Whether it takes videos by `upload`; else frames are sent."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What shapes its answers; part of a call's key."""

    @property
    def token_setting(self) -> str:
        """The setting that says how long an answer may be at most, below the model's own section."""

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
