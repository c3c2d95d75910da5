"""What a run asks of an endpoint, and how an endpoint fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from tao_skill_bank.core.clock import SystemClock


@dataclass(frozen=True)
class Frame:
    """A picture of a video (JPEG) and its time in seconds."""

    seconds: float
    jpeg: bytes


@dataclass(frozen=True)
class Clip:
    """A video that the endpoint holds already, whole or from `start` to `end` (seconds)."""

    uri: str
    mime: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Ask:
    """One question to a model: text, what it looks at, and the JSON schema of the answer (None: free text).

    `kind` is what it is for; calls of one kind share what a server takes of their schema. `labelled`: frames are shown
    with their times.
    """

    prompt: str
    frames: tuple[Frame, ...] = ()
    clip: Clip | None = None
    schema: dict[str, Any] | None = None
    kind: str = ""
    labelled: bool = True


@dataclass(frozen=True)
class Reply:
    """An answer, which may hold no text; it is billed all the same.

    Attributes:
        finish: stop, length (cut off) or blocked (the endpoint refuses to answer).
        aside: The field in which the server put text that belongs to no answer (`reasoning_content`); else empty.
    """

    text: str
    finish: Literal["stop", "length", "blocked"]
    input_tokens: int
    output_tokens: int
    aside: str = ""

    def __post_init__(self) -> None:
        # Half of a surrogate pair, as JSON may carry it, can be written to no file.
        object.__setattr__(self, "text", self.text.encode("utf-8", "replace").decode())


@dataclass(frozen=True)
class Upload:
    """A video that an endpoint keeps until `expires` (POSIX seconds)."""

    uri: str
    mime: str
    expires: float


Kind = Literal[
    "throttled",
    "server",
    "network",
    "timeout",
    "malformed",
    "empty",
    "refused",
    "denied",
    "redirected",
    "upload_gone",
    "expired",
    "cancelled",
    "gone",
]
_MOST_TOKENS = 1e12
_MOST_READ = 20_000
PASSING = frozenset({"throttled", "server", "network", "timeout", "malformed", "expired"})
FREE = frozenset({"throttled", "refused", "denied", "redirected", "upload_gone", "expired", "cancelled"})
"""Failures that no vendor bills, where there is no status that says so."""


class FaultError(Exception):
    """A call that brought no answer. Redacted; `kind` says whether another try may help.

    Attributes:
        message: Its beginning, to be shown. `whole`: to be searched, as servers may say the reason behind a long dump.
        sent: False where no connection was ever made: nothing can have been billed.
        usage: Tokens in and out where an answer says them that is none otherwise.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        sent: bool = True,
        usage: tuple[int, int] | None = None,
    ) -> None:
        self.kind = kind
        self.sent = sent
        self.usage = usage
        self.status = status
        self.retry_after = retry_after
        self.whole = " ".join(message.encode("utf-8", "replace").decode().split())[:_MOST_READ]
        self.message = self.whole[:300]
        super().__init__(self.message)


@dataclass(frozen=True)
class BatchLook:
    """How a batch stands.

    Attributes:
        state: working; ended (its results can be fetched, those it has); failed (none will ever be there).
        fault: What became of the calls that have no result, once it ended or failed.
    """

    state: Literal["working", "ended", "failed"]
    fault: FaultError | None = None


@contextmanager
def faults(of: Callable[[Exception], FaultError]) -> Iterator[None]:
    """What a vendor's library raises, as ours."""
    try:
        yield
    except FaultError:
        raise
    except Exception as error:
        raise of(error) from None


class Batches(Protocol):
    """The vendor's way to answer a file of calls within a day for half the price. Every method may raise FaultError."""

    def line(self, name: str, ask: Ask) -> bytes:
        """A call as a line of a batch's file."""

    async def submit(self, path: Path, ticket: str) -> str:
        """Hand a file of lines over; returns the vendor's name of the batch, which carries `ticket`."""

    async def find(self, ticket: str, since: float) -> str | None:
        """The batch that carries `ticket`, if the vendor has taken it on after `since` (POSIX seconds)."""

    async def look(self, batch: str) -> BatchLook:
        """How it stands."""

    async def results(self, batch: str) -> list[tuple[str, Reply | FaultError]]:
        """(name of the line, what came of it). A name is empty where the vendor left it out: the order tells then."""


def kind_of_status(status: int, message: str) -> Kind:
    """What an HTTP status means for the next step."""
    lower = message.lower()
    if status in (401, 403) or "api_key_invalid" in lower or "api key not valid" in lower:
        return "denied"
    if status == 402 or (status == 429 and "insufficient_quota" in lower):
        return "denied"
    if 300 <= status < 400:
        return "redirected"
    if status == 429:
        return "throttled"
    if status == 408:
        return "timeout"
    if status in (409, 425) or status >= 500:
        return "server"
    return "refused"


_NEVER_LEFT = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "ClientConnectorError", "UnsupportedProtocol"}
)


def never_left(error: BaseException | None) -> bool:
    """Whether no connection was made at all, by what the HTTP library says of it."""
    while error is not None:
        if {cls.__name__ for cls in type(error).__mro__} & _NEVER_LEFT:
            return True
        error = error.__cause__
    return False


def redirected(status: int, headers: Mapping[str, str], redact: Callable[[str], str]) -> FaultError | None:
    """A redirect as the refusal that it is here; None where it is none."""
    if not 300 <= status < 400:
        return None
    target = redact(headers.get("location") or "nowhere")
    return FaultError("redirected", f"would send the call on to {target}; redirects are not followed", status=status)


def retry_after_seconds(value: str | None) -> float | None:
    """`Retry-After` as seconds: a number, or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        # `-0000` is a date in UTC that says nothing of a zone.
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - SystemClock().now()).total_seconds())


def tokens(value: object) -> int:
    """A count of tokens as a server reports it; 0 where it reports none, or nothing that can be one."""
    counts = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < _MOST_TOKENS
    return int(value) if counts and isinstance(value, (int, float)) else 0


def details(body: object) -> str:
    """What FastAPI servers say of each field that they refuse, as `loc: msg`; empty where there is nothing of it."""
    found = body.get("detail") if isinstance(body, dict) else None
    if not isinstance(found, list):
        return ""
    said = []
    for entry in found:
        if isinstance(entry, dict) and entry.get("msg"):
            loc = entry.get("loc")
            place = ".".join(str(part) for part in loc) if isinstance(loc, (list, tuple)) else str(loc or "")
            said.append(f"{place}: {entry['msg']}" if place else str(entry["msg"]))
    return "; ".join(said)


def label(seconds: float) -> str:
    """How a frame's time is written beside it."""
    return f"[frame at {seconds:.1f} s]"
