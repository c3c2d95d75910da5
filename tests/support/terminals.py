"""A command at a real pseudo-terminal, which it is the session of."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence


def _as_from_a_shell(command: Sequence[str], ignores: str | None) -> list[str]:
    """What started the tests may ignore signals, and hands that on: a command has its own view."""
    ignored = [f"--ignore-signal={ignores}"] if ignores else []
    return ["env", "--default-signal=INT", "--default-signal=HUP", *ignored, *command]


class Terminal:
    """A command at a pseudo-terminal of a size."""

    def __init__(
        self,
        command: list[str],
        columns: int = 100,
        rows: int = 30,
        env: Mapping[str, str] | None = None,
        ignores: str | None = None,
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.size(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        whole = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        for name in ("COLUMNS", "LINES"):
            whole.pop(name, None)
        self.child = subprocess.Popen(
            _as_from_a_shell(command, ignores),
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=whole,
            start_new_session=True,
            # It is the terminal of the session: Ctrl-C is typed, and a close is a hang-up.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
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
        """As a window that is closed, or a connection that is lost. Once: a number may be another file's afterwards."""
        handles, self.master, self.slave = (self.master, self.slave), -1, -1
        for handle in handles:
            with contextlib.suppress(OSError):
                os.close(handle)
