"""This machine, as far as it decides which command repairs what a platform lacks: one, for a person to copy.

A platform's own errors name every way out of them. Here the way is chosen: by the operating system, by who asks
(root has no need of sudo), by what starts services. A word in capitals in a command is to be filled in.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What decides which command is right here; tests put other machines in its place."""

    system: str = field(default_factory=platform.system)
    root: bool = field(default_factory=lambda: os.geteuid() == 0)
    systemd: bool = field(default_factory=lambda: Path("/run/systemd/system").is_dir())
    python: str = sys.executable
    which: Callable[[str], str | None] = shutil.which
    has_module: Callable[[str], bool] = lambda name: find_spec(name) is not None

    def as_root(self, command: str) -> str:
        """With sudo, unless root asks."""
        return command if self.root else f"sudo {command}"

    def pip(self, what: str) -> str:
        """`pip install` into the environment that runs this, also where it was made without pip."""
        python = shlex.quote(self.python)
        if self.has_module("pip"):
            return f"{python} -m pip install {what}"
        if self.which("uv"):
            return f"uv pip install --python {python} {what}"
        return f"{python} -m ensurepip && {python} -m pip install {what}"

    def package(self, apt: str, brew: str = "") -> str:
        """The system's package manager; empty where there is none that is known."""
        if self.system == "Darwin":
            return f"brew install {brew}" if brew and self.which("brew") else ""
        if self.which("apt-get"):
            return self.as_root(f"apt-get install -y {apt}")
        return self.as_root(f"dnf install -y {apt}") if self.which("dnf") else ""


@dataclass(frozen=True)
class Complaint:
    """What a platform says of itself.

    Attributes:
        fix: What to do about it; empty where nothing is known.
        lacks: Whether something is lacking; else it is a note.
    """

    text: str
    fix: str = ""
    lacks: bool = True
