"""What a run is asked to do: every parameter, its default, and how `--set key=value` reaches it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tao_skill_bank.core.models import Strict
from tao_skill_bank.loop.settings import RunSettings
from tao_skill_bank.platforms.work import Generator, Work
from tao_skill_bank.tasks.taken import CorrectionsConfig

DEFAULT_INLINE_LABELS = ["PASS", "EXCESS_SOLDER", "MISSING", "BRIDGE"]


class AnomalygenConfig(Strict):
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


class MiningFilterConfig(Strict):
    """Nearest-neighbour mining: neighbours a target, the metric, and the least similarity kept (inclusive)."""

    top_k_per_target: int = Field(default=5, ge=1)
    metric: Literal["cosine"] = "cosine"
    min_similarity: float = Field(default=0.9, ge=-1.0, le=1.0)


class MiningConfig(Strict):
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


class RoutingConfig(Strict):
    """Weak labels that no module accepts stop the run unless they are named in `accept_dropped`."""

    accept_dropped: list[str] = Field(default_factory=list)


class PlanConfig(Strict):
    """How closely a plan looks at the pictures.

    Attributes:
        pictures: `decoded` opens and decodes every picture that was never seen before. `headers` reads their headers
            alone, for a million of them on a slow disk; plan and report then say what was not looked at.
    """

    pictures: Literal["decoded", "headers"] = "decoded"


class RcaConfig(Strict):
    """Root-cause analysis: weakest samples kept per label."""

    top_k_per_label: int = Field(default=50, ge=1)


class ActionConfig(Work):
    """What a single action is told: what every platform is, and the generator's settings."""

    anomalygen: AnomalygenConfig = Field(default_factory=AnomalygenConfig)

    def generator(self) -> Generator:
        """AnomalyGen, where it runs inline."""
        own = self.anomalygen
        return Generator(own.container, own.base_checkpoints, own.mode == "inline")


class RunConfig(RunSettings, ActionConfig):
    """The resolved configuration of a run. Paths are absolute; the run folder is not in it."""

    content_keys = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "acceptance_csv", "mining_pool_csv")
    required_keys = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv")
    laid_out_by = "folders of good and bad pictures become a workspace by make_workspace, or: tao-skills workspace"
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
    num_epochs: int | None = Field(default=None, ge=1)
    seed: int = Field(default=1234, ge=0)
    automl_policy: Literal["off"] = "off"
    plan: PlanConfig = Field(default_factory=PlanConfig)
    # Not written where nothing was said, so that a run which was approved before there were corrections stands.
    corrections: CorrectionsConfig = Field(
        default_factory=CorrectionsConfig, exclude_if=lambda value: bool(value == CorrectionsConfig())
    )
    mining_filter: MiningFilterConfig = Field(default_factory=MiningFilterConfig)
    mining: MiningConfig = Field(default_factory=MiningConfig)
    routing: RoutingConfig = Field(default_factory=RoutingConfig)
    rca: RcaConfig = Field(default_factory=RcaConfig)

    def inputs(self) -> list[tuple[str, str | None]]:
        """Spec, CSVs, pictures, weights, pairs."""
        return [*super().inputs(), ("mining.encoder_path", self.mining.encoder_path)]
