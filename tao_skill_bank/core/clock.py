"""Time, behind a small protocol so that tests need not wait for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

LOG_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class Clock(Protocol):
    """What the engine asks of time."""

    def now(self) -> datetime:
        """The current time in UTC."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(seconds)


def log_time(moment: datetime) -> str:
    """A moment as the log writes it: UTC, `2026-01-31T08:00:00.000000Z`."""
    return moment.astimezone(UTC).strftime(LOG_FORMAT)


def folder_time(moment: datetime) -> str:
    """A moment as folder names carry it: `2026-01-31_080000`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d_%H%M%S")


def log_moment(text: str) -> datetime:
    """The moment that `log_time` wrote.

    Raises:
        ValueError: It is none.
    """
    return datetime.strptime(text, LOG_FORMAT).replace(tzinfo=UTC)
