"""What a run is asked to do: every parameter, its default, and how `--set key=value` reaches it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from tao_skill_bank.core.redaction import redact
from tao_skill_bank.loop.settings import RunSettings

DEFAULT_INLINE_LABELS = ["PASS", "EXCESS_SOLDER", "MISSING", "BRIDGE"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AnomalygenConfig(_Strict):
    """Where synthetic defects come from.

    `inline` runs the generator's container; `pregen_ingest` takes pairs the customer made beforehand;
    `local_standin` cuts defects from the run's own NG samples (a stand-in for the generator, labelled as such);
    `none` adds no synthetic rows; `auto` takes pre-generated pairs when the workspace has them, else the stand-in.
    """

    mode: Literal["auto", "inline", "pregen_ingest", "local_standin", "none"] = "auto"
    project: str | None = None
    defect_spec: str | None = None
    checkpoint_dir: str | None = None
    dataset_dir_source: str | None = None
    base_checkpoints: str | None = None
    step: int | None = None
    num_SDG: int = Field(default=20, ge=1)
    container: str = "images.metropolis_sdg.paidf_anomalygen"
    labels: list[str] = Field(default_factory=lambda: list(DEFAULT_INLINE_LABELS))


class MiningFilterConfig(_Strict):
    """Nearest-neighbour mining: neighbours a target, the metric, and the least similarity kept (inclusive)."""

    top_k_per_target: int = Field(default=5, ge=1)
    metric: Literal["cosine"] = "cosine"
    min_similarity: float = Field(default=0.9, ge=-1.0, le=1.0)


class MiningConfig(_Strict):
    """How pool rows are chosen.

    `nearest` takes look-alikes of the weak samples; `hardest` the rows the current model is weakest on; `blend`
    both; `random` and `all` are for measuring only. `budget` is the most rows an iteration adds from the pool.
    `encoder` is `auto`, `local`, `SigLIP` or `CLIP`; TAO's own embedding knows the last two, `auto` is SigLIP there.
    `encoder_path` is the folder of its weights; default: the usual ones of the Hugging Face hub.
    """

    strategy: Literal["nearest", "hardest", "blend", "random", "all"] = "hardest"
    budget: int | None = Field(default=None, ge=1)
    encoder: str = "auto"
    encoder_path: str | None = None


class RoutingConfig(_Strict):
    """Weak labels that no module accepts stop the run unless they are named in `accept_dropped`."""

    accept_dropped: list[str] = Field(default_factory=list)


class PlanConfig(_Strict):
    """How closely a plan looks at the pictures.

    Attributes:
        pictures: `decoded` opens and decodes every picture that was never seen before. `headers` reads their headers
            alone, for a million of them on a slow disk; plan and report then say what was not looked at.
    """

    pictures: Literal["decoded", "headers"] = "decoded"


class CorrectionsConfig(_Strict):
    """Which corrections of labels a run takes.

    `use`: `all`; `unmeasured` leaves the KPI and acceptance sets, by which models are judged, as they are; `none`.
    `lines` and `sha256`: how much of `labels/corrections.jsonl`; a new run takes all of it, and keeps to that.
    """

    use: Literal["all", "unmeasured", "none"] = "all"
    lines: int = Field(default=0, ge=0)
    sha256: str = ""


class RcaConfig(_Strict):
    """Root-cause analysis: weakest samples kept per label."""

    top_k_per_label: int = Field(default=50, ge=1)


class VirtualenvConfig(_Strict):
    """`bin`: the folder with a pip-installed TAO's commands, for `--platform virtualenv`."""

    bin: str | None = None


class _OfAPlatform(_Strict):
    """Settings that engines and clusters take as text: `--set slurm.memory=8000` is as good as `'8000'`."""

    model_config = ConfigDict(coerce_numbers_to_str=True)


def _written(pattern: str, how: str) -> AfterValidator:
    """Text of a grammar that an engine or cluster would refuse only when the first job arrives."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"write {how}")
        return text

    return AfterValidator(check)


_TIME_LIMIT = _written(
    r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|-1|(?i:infinite|unlimited)", "minutes, hours:minutes:seconds or days-hours"
)
_MEMORY = _written(r"\d+[KMGTkmgt]?[Bb]?", "megabytes, or a number with K, M, G or T")
_QUANTITY = _written(r"\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|e\d+)?", "a quantity such as 4, 500m or 32Gi")
_NAMESPACE = _written(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "small letters, digits and '-', at most 63")


class DockerConfig(_OfAPlatform):
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


class SlurmConfig(_OfAPlatform):
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


class KubernetesConfig(_OfAPlatform):
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


class RunConfig(RunSettings):
    """The resolved configuration of a run. Paths are absolute; the run folder is not in it.

    `release` names the TAO release that runs it, where neither an image's tag nor an environment does, and chooses the
    images of that release where they are not named themselves.
    """

    content_keys = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "acceptance_csv", "mining_pool_csv")
    required_keys = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv")
    path_keys = (*content_keys, "images_dir", "backbone_weight_dir", "pregen_dir")
    fixed_keys = ("kpi_test_csv", "specs_file")

    specs_file: str
    training_csv: str
    validation_csv: str
    kpi_test_csv: str
    acceptance_csv: str | None = None
    mining_pool_csv: str | None = None
    images_dir: str
    backbone_weight_dir: str | None = None
    pregen_dir: str | None = None
    release: Annotated[str, BeforeValidator(str)] | None = None
    train_container: str = "images.tao_toolkit.pyt"
    data_services_container: str = "images.tao_toolkit.data_services"
    num_gpus: int = Field(default=1, ge=0)
    batch_size: int | None = Field(default=None, ge=2)
    num_epochs: int | None = Field(default=None, ge=1)
    seed: int = Field(default=1234, ge=0)
    automl_policy: Literal["off"] = "off"
    offline: bool = False
    plan: PlanConfig = Field(default_factory=PlanConfig)
    # Not written where nothing was said, so that a run which was approved before there were corrections stands.
    corrections: CorrectionsConfig = Field(
        default_factory=CorrectionsConfig, exclude_if=lambda value: bool(value == CorrectionsConfig())
    )
    anomalygen: AnomalygenConfig = Field(default_factory=AnomalygenConfig)
    mining_filter: MiningFilterConfig = Field(default_factory=MiningFilterConfig)
    mining: MiningConfig = Field(default_factory=MiningConfig)
    routing: RoutingConfig = Field(default_factory=RoutingConfig)
    rca: RcaConfig = Field(default_factory=RcaConfig)
    virtualenv: VirtualenvConfig = Field(default_factory=VirtualenvConfig)
    docker: DockerConfig = Field(default_factory=DockerConfig)
    slurm: SlurmConfig = Field(default_factory=SlurmConfig)
    kubernetes: KubernetesConfig = Field(default_factory=KubernetesConfig)
