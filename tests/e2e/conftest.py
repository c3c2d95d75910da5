"""The real services that tests of this folder start."""

from docker_engine import bank_image, docker_daemon
from slurm_cluster import slurm, slurm_cluster

__all__ = ["bank_image", "docker_daemon", "slurm", "slurm_cluster"]
