"""What can be said of a Docker engine before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tao_skill_bank.platforms.base import PlatformCheck

if TYPE_CHECKING:
    from tao_skill_bank.platforms.docker import DockerPlatform


def check_docker(platform: DockerPlatform, config: Any) -> list[PlatformCheck]:
    """The engine answers."""
    facts = platform.engine.facts
    return [PlatformCheck(name="platform", status="ok", text=f"Docker {facts.version} on {platform.engine.shown}")]
