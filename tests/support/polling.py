"""Wait for what another process does: a loop without a pause takes the processor from the one that it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def wait_until(asked: Callable[[], Value], seconds: float = 120) -> Value:
    """What it says once that is true, asked every ten milliseconds; an AssertionError where it is not in time."""
    end = time.monotonic() + seconds
    while not (value := asked()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value
