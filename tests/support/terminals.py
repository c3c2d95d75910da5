"""A command at a real pseudo-terminal, which it is the session of."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping


def _as_from_a_shell(ignores: signal.Signals | None) -> None:
    """It is the terminal of the session: Ctrl-C is typed, a close is a hang-up; the tests may ignore both."""
    for which in (signal.SIGINT, signal.SIGHUP):
        signal.signal(which, signal.SIG_IGN if which == ignores else signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A command at a pseudo-terminal of a size."""

    def __init__(
        self,
        command: list[str],
        columns: int = 100,
        rows: int = 30,
        env: Mapping[str, str] | None = None,
        ignores: signal.Signals | None = None,
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.size(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        whole = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        for name in ("COLUMNS", "LINES"):
            whole.pop(name, None)
        self.child = subprocess.Popen(
            command,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=whole,
            start_new_session=True,
            preexec_fn=lambda: _as_from_a_shell(ignores),
        )

    def size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, holds: Callable[[str], bool], patience: float = 30.0) -> str:
        """Read until what was said holds; what was said since the last call."""
        end, said = time.monotonic() + patience, ""
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    said += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    break
            if holds(said):
                return said
            if self.child.poll() is not None and not select.select([self.master], [], [], 0.1)[0]:
                break
        assert holds(said), said[-2000:]
        return said

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """The exit status, once everything was read."""
        code = self.child.wait(60)
        self.close()
        return code

    def close(self) -> None:
        """As a window that is closed, or a connection that is lost."""
        for handle in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(handle)
