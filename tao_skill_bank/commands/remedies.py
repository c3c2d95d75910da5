"""The one command that mends a thing the doctor found lacking, right for this machine: for a person to copy.

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

LOGIN = "export SLURM_HOSTNAME=LOGIN-NODE"
RENTED = "export DOCKER_HOST=ssh://USER@MACHINE"
"""A machine that was rented by hand is an engine elsewhere."""


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


def remedy(name: str, text: str, machine: Machine, source: str) -> str:
    """The command for what a platform said of itself; empty where the platform's own fix is the best there is.

    Args:
        name: The platform.
        text: Its complaint.
        machine: Where it is to be mended.
        source: What pip installs for the extra of this platform.
    """
    if name == "docker":
        return _docker(text, machine)
    if name == "slurm":
        return _slurm(text)
    if name == "kubernetes" and "client" in text:
        return machine.pip(source)
    return RENTED if name == "brev" else ""


def _docker(text: str, machine: Machine) -> str:
    if "does not answer" not in text or os.environ.get("DOCKER_HOST"):
        return ""
    if "Permission denied" in text:
        return "sudo usermod -aG docker $USER && newgrp docker"
    if machine.system == "Darwin":
        return "open -a Docker" if machine.which("docker") else machine.package("", "--cask docker")
    if not machine.which("dockerd"):
        return machine.package("docker.io" if machine.which("apt-get") else "docker")
    return machine.as_root("systemctl start docker" if machine.systemd else "service docker start")


def _slurm(text: str) -> str:
    """A cluster is seldom on the machine one works at: its login node is named."""
    here = ("not installed", "configuration source", "not found", "Unable to resolve")
    return LOGIN if any(mark in text for mark in here) else ""
