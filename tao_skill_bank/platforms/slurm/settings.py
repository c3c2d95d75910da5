"""The settings of the slurm platform."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tao_skill_bank.platforms.settings import PlatformSettings, matching

_TIME_LIMIT = matching(
    r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|-1|(?i:infinite|unlimited)", "minutes, hours:minutes:seconds or days-hours"
)
_MEMORY = matching(r"\d+[KMGTkmgt]?[Bb]?", "megabytes, or a number with K, M, G or T")


class SlurmConfig(PlatformSettings):
    """How `--platform slurm` submits.

    Attributes:
        host: The login node, reached over ssh; none: `sbatch` on this host (default: SLURM_HOSTNAME).
        user: The name there (default: SLURM_USER).
        partition: Where jobs go (default: SLURM_PARTITION, else the cluster's own default).
        account: Who is charged.
        gpus: GPUs of a job that trains, infers or embeds; default: `num_gpus` with containers, none without.
        gpu_memory_gb: Memory of one of them, where its name does not tell.
        cpus: CPUs a job.
        memory: Memory a job, as `--mem` takes it.
        time_limit: As `--time` takes it.
        container: `none` runs the bank's own CPU implementation, `pyxis` and `oci` run TAO's containers.
        image: An image or `.sqsh` file instead of those of `versions.yaml`, for `pyxis`.
        bundle: The folder of an OCI bundle that mounts the workspace at the same path, for `oci`.
        python: The interpreter on the nodes that has the bank, for `none`; default: this one.
        pass_env: Names of variables whose values jobs get beside HF_TOKEN and NGC_KEY.
        extra: More arguments of `sbatch`, such as `--constraint=a100`.
        patience_sec: How long a controller that does not answer is waited for.
        lost_grace_sec: How long a job that the controller does not know may still turn up.
    """

    host: str | None = None
    user: str | None = None
    partition: str | None = None
    account: str | None = None
    gpus: int | None = Field(default=None, ge=0)
    gpu_memory_gb: int | None = Field(default=None, ge=1)
    cpus: int | None = Field(default=None, ge=1)
    memory: Annotated[str, _MEMORY] | None = None
    time_limit: Annotated[str, _TIME_LIMIT] | None = None
    container: Literal["none", "pyxis", "oci"] = "none"
    image: str | None = None
    bundle: str | None = None
    python: str | None = None
    pass_env: list[str] = Field(default_factory=list)
    extra: list[str] = Field(default_factory=list)
    patience_sec: float = Field(default=300.0, ge=0.0)
    lost_grace_sec: float = Field(default=15.0, ge=0.0)
