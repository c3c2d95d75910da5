"""What the call journal keeps: answers, the ledger of everything that was sent, open batches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recorded:
    """An answer as the journal keeps it. Tokens are the endpoint's own count; `cost` in USD, None if unknown."""

    key: str
    kind: str
    video: str
    endpoint: str
    model: str
    text: str
    finish: str
    input_tokens: int
    output_tokens: int
    cost: float | None
    seconds: float
    at: str


@dataclass(frozen=True)
class BatchedCall:
    """A call that stands in a batch; `worst` is what it may cost at most, in USD."""

    key: str
    kind: str
    video: str
    worst: float


@dataclass(frozen=True)
class OpenBatch:
    """A batch whose answers are not in the journal yet.

    Attributes:
        ticket: Our name of it, which the vendor's batch carries.
        id: The vendor's name; None where it is not known whether the vendor ever took it on.
        at: When it was to be sent, POSIX seconds.
        calls: In the order of its lines.
    """

    ticket: str
    endpoint: str
    model: str
    id: str | None
    at: float
    calls: tuple[BatchedCall, ...]


@dataclass(frozen=True)
class Entry:
    """A call as the ledger knows it before it leaves: `worst` is what it may cost at most, in USD.

    Attributes:
        id: Its own; a call that is asked again has another one.
        batch: The ticket of the batch that it goes with, None for a direct call.
    """

    id: str
    key: str
    endpoint: str
    model: str
    worst: float
    batch: str | None = None


@dataclass(frozen=True)
class Settled:
    """What became of a call.

    Attributes:
        outcome: answered, empty, or the kind of its failure.
        cost: USD as far as its answer says; None where the price is unknown.
        unknown: Whether nobody knows what it was billed: it keeps its worst cost then.
    """

    outcome: str
    cost: float | None = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    unknown: bool = False


@dataclass(frozen=True)
class Totals:
    """What a results folder has used so far.

    Attributes:
        answers, seconds: Answers that are kept, and the time they took.
        calls: Everything that was sent, answered or not.
        cost: USD of what is settled.
        unpriced: Settled calls whose price is unknown.
        may_cost, unknown: USD at most of those calls of which nobody knows what they were billed, and their number.
        in_flight_cost, in_flight: The same of calls that are sent and not settled yet, open batches among them.
    """

    answers: int
    seconds: float
    calls: int
    input_tokens: int
    output_tokens: int
    cost: float
    unpriced: int
    may_cost: float
    unknown: int
    in_flight_cost: float
    in_flight: int
