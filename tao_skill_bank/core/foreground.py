"""A command that somebody waits for: the first Ctrl-C, SIGTERM or hang-up lets it come to a safe end, the next ends it.

A handler only notes what was asked for; whoever works asks `asked()` where everything that was done is on disk. The
second time the process ends as by the signal itself, which is no more than a kill at that moment.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

from tao_skill_bank.core.errors import BankError

_WORDS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the end of its terminal"}
E = TypeVar("E", bound=BankError)
_now: _Process | None = None


@dataclass(frozen=True)
class Asked:
    """What a signal asked for.

    Attributes:
        by: What it was, for people.
        status: The exit status by which a shell knows it.
    """

    by: str
    status: int

    def of(self, error: E) -> E:
        """The error with the exit status of the signal."""
        error.exit_code = self.status
        return error


@dataclass
class _Process:
    asked: Asked | None = None


def asked() -> Asked | None:
    """What this process was asked for by a signal; None where nothing was, or nobody listens."""
    return None if _now is None else _now.asked


@contextlib.contextmanager
def stops(first: str, second: Callable[[], str], tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Listen while the block runs. A signal that this process was started to ignore (`nohup`, `&`) stays ignored.

    `first` is said when the process is asked to stop, by `tell` or on standard error; `second` when it ends at once.
    """
    global _now
    if _now is not None:
        # Whoever began first answers for the whole process.
        yield
        return
    process, before = _Process(), {}
    # A terminal that is gone cannot be asked any more whether it is one.
    terminals = [fd for fd in (0, 1, 2) if _is_terminal(fd)]

    def on_signal(number: int, _frame: FrameType | None) -> None:
        which = signal.Signals(number)
        if which == signal.SIGHUP:
            # What is printed from now on has no reader, and must not fail for it.
            _look_away(terminals)
        if process.asked is None:
            process.asked = Asked(_WORDS[which], 128 + number)
            (tell or say)(first)
        elif which != signal.SIGHUP:
            # A shell passes a hang-up on that the kernel sends, too: a second one asks for nothing more.
            with contextlib.suppress(Exception):
                say(second())
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    _now = process
    try:
        for which in _WORDS:
            with contextlib.suppress(ValueError):
                # Only a process's first thread is told; another has its signals from whoever runs it.
                handler = signal.getsignal(which)
                if handler != signal.SIG_IGN:
                    signal.signal(which, on_signal)
                    before[which] = handler
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
        _now = None


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _look_away(terminals: list[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in terminals:
        os.dup2(nothing, fd)
    os.close(nothing)


def say(text: str) -> None:
    """On standard error, past any buffer: a handler may run in the middle of a print. A cursor that is hidden shows."""
    shown = "\033[?25h\r\033[K" if _is_terminal(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{shown}{text}\n".encode(errors="replace"))
