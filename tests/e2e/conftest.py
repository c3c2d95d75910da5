"""The real services that tests of this folder start."""

from slurm_cluster import slurm, slurm_cluster

__all__ = ["slurm", "slurm_cluster"]
