"""A command of a test: run to its end, nothing on its standard input but what is given, its output kept as text."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def ran(command: Sequence[str | Path], **more: Any) -> subprocess.CompletedProcess[str]:
    """How it ended, whatever its exit status; `more` is of `subprocess.run`."""
    given = {} if "input" in more else {"stdin": subprocess.DEVNULL}
    return subprocess.run(command, capture_output=True, text=True, check=False, **{**given, **more})


# What means the same to a shell and to who splits a line into words: quoted text, and words of these characters.
PLAIN = re.compile(r"""(?:'[^']*'|"[^"$`\\]*"|[\w./:,@%+=-]|[ \t])+""")


def at_a_shell(line: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """A line at a shell. One that asks nothing of the shell is started as its words, without one."""
    plain = PLAIN.fullmatch(line) and not re.match(r"\s*\w+=", line)
    return ran(shlex.split(line), **more) if plain else ran(line, shell=True, **more)


def said(command: Sequence[str | Path], **more: Any) -> str:
    """What a command prints that is to end well."""
    done = ran(command, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
