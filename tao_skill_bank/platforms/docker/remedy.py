"""The command that brings an engine back, right for this machine."""

from __future__ import annotations

import os

from tao_skill_bank.platforms.machine import Machine


def remedy(text: str, machine: Machine) -> str:
    """The command; empty where the platform's own fix is the best there is."""
    if "does not answer" not in text or os.environ.get("DOCKER_HOST"):
        return ""
    if "Permission denied" in text:
        return "sudo usermod -aG docker $USER && newgrp docker"
    if machine.system == "Darwin":
        return "open -a Docker" if machine.which("docker") else machine.package("", "--cask docker")
    if not machine.which("dockerd"):
        return machine.package("docker.io" if machine.which("apt-get") else "docker")
    return machine.as_root("systemctl start docker" if machine.systemd else "service docker start")
