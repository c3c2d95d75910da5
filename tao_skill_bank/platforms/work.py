"""What a platform is told of what it is to serve. The configuration of a run is one of these, and that of an action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator

from tao_skill_bank.core.models import Strict, first_fault
from tao_skill_bank.platforms import registry
from tao_skill_bank.platforms.docker.settings import DockerConfig
from tao_skill_bank.platforms.kubernetes_settings import KubernetesConfig
from tao_skill_bank.platforms.settings import VirtualenvConfig
from tao_skill_bank.platforms.slurm.settings import SlurmConfig


@dataclass(frozen=True)
class Generator:
    """A generator of synthetic data that may run as a container beside TAO's.

    Attributes:
        image: Its image, or the key of one in `versions.yaml`.
        base_checkpoints: The folder of its base models; None for the usual one in the workspace.
        runs: Whether a run's own stages run it.
    """

    image: str = "images.metropolis_sdg.paidf_anomalygen"
    base_checkpoints: str | None = None
    runs: bool = False


class Work(Strict):
    """Where something is to run, on what, and each platform's own settings. Paths are absolute.

    `release` names the TAO release that runs it, where neither an image's tag nor an environment does, and chooses the
    images of that release where they are not named themselves. `platforms` holds the settings of platforms of other
    packages, by platform.
    """

    workspace: str
    platform: str = "local"
    specs_file: str = ""
    release: Annotated[str, BeforeValidator(str)] | None = None
    train_container: str = "images.tao_toolkit.pyt"
    data_services_container: str = "images.tao_toolkit.data_services"
    num_gpus: int = Field(default=1, ge=0)
    batch_size: int | None = Field(default=None, ge=2)
    offline: bool = False
    virtualenv: VirtualenvConfig = Field(default_factory=VirtualenvConfig)
    docker: DockerConfig = Field(default_factory=DockerConfig)
    slurm: SlurmConfig = Field(default_factory=SlurmConfig)
    kubernetes: KubernetesConfig = Field(default_factory=KubernetesConfig)
    # Not written where there are none, so that what was approved before a platform was installed stands.
    platforms: dict[str, dict[str, Any]] = Field(default_factory=dict, exclude_if=lambda value: not value)

    @field_validator("platforms")
    @classmethod
    def _as_each_says(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        known = cls.elsewhere() if value else {}
        for name in value.keys() - known.keys():
            raise ValueError(f"no platform {name!r} is installed")
        try:
            return {name: known[name].model_validate(own).model_dump(mode="json") for name, own in value.items()}
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None

    @classmethod
    def elsewhere(cls) -> dict[str, type[BaseModel]]:
        """Platform of another package to its settings."""
        return {name: registry.platform_class(name).Settings for name in registry.others()}

    @classmethod
    def looking(cls, config: dict[str, Any], platform: str) -> Work:
        """As much of a written configuration, of whatever task, as it takes to look at jobs that run already.

        Raises:
            ValidationError: The platform's own settings do not fit it.
        """
        own = {key: config[key] for key in ("workspace", platform, "platforms") if key in config}
        return Work.model_validate({"workspace": "", **own, "platform": platform})

    def inputs(self) -> list[tuple[str, str | None]]:
        """(setting, path) of every file and folder that jobs read."""
        return [("specs_file", self.specs_file)]

    def embeds_with(self) -> str | None:
        """The image that embeds videos for a run's own stages, or its key; None where none does."""
        return None

    def generator(self) -> Generator:
        """The generator beside TAO's images."""
        return Generator()
