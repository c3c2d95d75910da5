"""The settings of the docker platform."""

from __future__ import annotations

from pydantic import Field, field_validator

from tao_skill_bank.core.redaction import redact
from tao_skill_bank.platforms.settings import PlatformSettings


class DockerConfig(PlatformSettings):
    """How `--platform docker` runs command lines.

    Attributes:
        image: One image for every TAO line instead of those of `versions.yaml`, such as the bank's own CPU image.
        host: The engine's address, such as `ssh://user@host`; default: DOCKER_HOST, else this machine's.
        network: The containers' network; default: the engine's own. Always `none` with `offline`.
        mounts: Further folders, read-only: `/folder`, or `/folder:/inside`.
        gpus: `auto` (all for TAO's images, none for `image`), `none`, `all`, or numbers: `'0,1'`.
        secrets: Names of variables whose values containers get, where they are set.
    """

    image: str | None = None
    host: str | None = None
    network: str | None = None
    mounts: list[str] = Field(default_factory=list)
    gpus: str = "auto"
    secrets: list[str] = Field(default_factory=lambda: ["HF_TOKEN"])

    @field_validator("host")
    @classmethod
    def _no_password(cls, value: str | None) -> str | None:
        if value is not None and redact(value) != value:
            raise ValueError("a password would stand in the run's files; give the address in DOCKER_HOST")
        return value
