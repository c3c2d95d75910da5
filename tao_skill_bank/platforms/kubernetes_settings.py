"""The settings of the kubernetes platform."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tao_skill_bank.platforms.settings import PlatformSettings, matching

_QUANTITY = matching(r"\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|e\d+)?", "a quantity such as 4, 500m or 32Gi")
_NAMESPACE = matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "small letters, digits and '-', at most 63")


class KubernetesConfig(PlatformSettings):
    """How `--platform kubernetes` describes a Job.

    Attributes:
        namespace: Where Jobs are made.
        claim: The PersistentVolumeClaim that holds the workspace, mounted at the workspace's path.
        host_path: A folder of the nodes to mount there instead; the workspace itself where neither is named.
        sub_path: The workspace's folder within the claim.
        image: An image instead of those of `versions.yaml`.
        pull_secret: The secret that pulls it.
        secret: The Kubernetes secret that holds HF_TOKEN and NGC_KEY under these names.
        gpus: GPUs of a job that trains, infers or embeds; default: `num_gpus`.
        gpu_memory_gb: Memory of one of them.
        cpus: CPUs a job, as Kubernetes writes it.
        memory: Memory a job, as Kubernetes writes it.
        time_limit_sec: After this a Job is ended.
        service_account: As which a Job's pod runs.
        node_selector: `key=value` labels of the nodes that may run it.
        context: The context of the kubeconfig; default: the current one.
    """

    namespace: Annotated[str, _NAMESPACE] = "default"
    claim: str | None = None
    host_path: str | None = None
    sub_path: str | None = None
    image: str | None = None
    pull_secret: str | None = None
    secret: str | None = None
    gpus: int | None = Field(default=None, ge=0)
    gpu_memory_gb: int | None = Field(default=None, ge=1)
    cpus: Annotated[str, _QUANTITY] = "4"
    memory: Annotated[str, _QUANTITY] = "32Gi"
    time_limit_sec: int = Field(default=86400, ge=1)
    service_account: str | None = None
    node_selector: list[str] = Field(default_factory=list)
    context: str | None = None
