"""A command of a test: run to its end, nothing on its standard input but what is given, its output kept as text."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def ran(command: Sequence[str | Path], **more: Any) -> subprocess.CompletedProcess[str]:
    """How it ended, whatever its exit status; `more` is of `subprocess.run`."""
    given = {} if "input" in more else {"stdin": subprocess.DEVNULL}
    return subprocess.run(command, capture_output=True, text=True, check=False, **{**given, **more})


def said(command: Sequence[str | Path], **more: Any) -> str:
    """What a command prints that is to end well."""
    done = ran(command, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
