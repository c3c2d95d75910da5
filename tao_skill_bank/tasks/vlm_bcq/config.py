"""What a run over yes/no answers is asked to do: every parameter and its default."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tao_skill_bank.core.models import Strict
from tao_skill_bank.loop.settings import RunSettings
from tao_skill_bank.tasks.taken import CorrectionsConfig

Evaluator = Literal["auto", "cosmos_rl", "endpoint", "standin", "file"]
Trainer = Literal["auto", "cosmos_rl", "standin", "external"]


class EndpointConfig(Strict):
    """A server that speaks the OpenAI protocol; the variable of its key is named, never the key."""

    base_url: str | None = None
    model_name: str | None = None
    api_key_env: str | None = None
    max_tokens: int = Field(default=16, ge=1)
    frames: int = Field(default=8, ge=1, le=64)
    logprobs: bool = True
    max_workers: int = Field(default=4, ge=1, le=64)


class EvaluateConfig(Strict):
    """Who answers, and how an answer is read.

    Attributes:
        by: `auto`: the stand-in where the platform is this machine's, else cosmos-rl.
        predictions: Label → a file of an evaluation that exists, for `file`.
        endpoint: Who is asked, for `endpoint`.
        max_calls: Calls to the endpoint at most, over the whole run.
        max_cost: What they may cost at most, in the currency of the prices.
        prices: A table of prices before the shipped one.
        max_unreadable: Share of answers without a yes or no above which the run stops.
        answer_in: Where in a response its answer stands.
    """

    by: Evaluator = "auto"
    predictions: dict[str, str] = Field(default_factory=dict)
    endpoint: EndpointConfig = Field(default_factory=EndpointConfig)
    max_calls: int | None = Field(default=None, ge=1)
    max_cost: float | None = Field(default=None, ge=0.0)
    prices: str | None = None
    max_unreadable: float = Field(default=0.10, ge=0.0, le=1.0)
    answer_in: Literal["auto", "anywhere", "after_think", "answer_tag"] = "auto"


class TrainConfig(Strict):
    """Who trains, on what, from where.

    Attributes:
        by: `auto`: the stand-in where it evaluates, cosmos-rl where that does, else somebody else (`external`).
        start: From the base model, or from the best one so far.
        include_base: Whether the base's rows are trained on again.
        served: Label → the model that was trained elsewhere and is served, for `external`.
    """

    by: Trainer = "auto"
    start: Literal["base", "previous"] = "base"
    include_base: bool = False
    served: dict[str, str] = Field(default_factory=dict)


class MiningConfig(Strict):
    """How pool rows are chosen; `random` and `all` are for measuring only.

    Attributes:
        encoder: `auto`: ready-made embeddings where they are there; cosmos-embed in its container where cosmos-rl
            evaluates and `specs/embed.yaml` is there; else an image encoder over 8 frames.
        budget: Rows an iteration adds at most; default: 2 a target, at most 2,000.
        video_weight: Share of the video in a pair's similarity.
    """

    strategy: Literal["nearest", "random", "all"] = "nearest"
    modality: Literal["both", "video", "text"] = "both"
    video_weight: float = Field(default=0.7, ge=0.0, le=1.0)
    encoder: Literal["auto", "frames", "cosmos_embed"] = "auto"
    top_k: int = Field(default=5, ge=1)
    budget: int | None = Field(default=None, ge=1)


class RoutingConfig(Strict):
    """Question keys that nothing can give more of stop the run unless they are named here."""

    accept_dropped: list[str] = Field(default_factory=list)


class LeakageConfig(Strict):
    """Pool rows that an evaluation's row equals stop the plan, or are left out and counted."""

    drop_pool: bool = False


def _nothing_said(of: CorrectionsConfig) -> bool:
    return of == CorrectionsConfig()


class SecondConfig(Strict):
    """The endpoint of the second pass, where it is another."""

    base_url: str | None = None
    model_name: str | None = None
    api_key_env: str | None = None


class AnnotateConfig(Strict):
    """Asking a teacher the failed questions of unlabelled videos.

    Attributes:
        on: Whether it is done.
        videos: Pool videos an iteration asks about at most.
        base_url, model_name, api_key_env: The teacher.
        second: The second pass's, where it is another.
        review: `required` waits for a person before anything is merged; `done`: they have looked, and what they
            refused up to now is left out; later iterations of the run do not wait.
        reviewed: How much of the corrections they had written then.
        max_calls: Calls at most, over the whole run.
        max_cost: What they may cost at most.
    """

    on: bool = False
    videos: int = Field(default=50, ge=1)
    base_url: str | None = None
    model_name: str | None = None
    api_key_env: str | None = None
    second: SecondConfig = Field(default_factory=SecondConfig)
    review: Literal["none", "required", "done"] = "none"
    reviewed: CorrectionsConfig = Field(default_factory=CorrectionsConfig, exclude_if=_nothing_said)
    max_calls: int | None = Field(default=None, ge=1)
    max_cost: float | None = Field(default=None, ge=0.0)


class EmbeddingsConfig(Strict):
    """Ready-made embeddings: tables with `filepath`, `embedding` and `modality`."""

    kpi: str | None = None
    pool: str | None = None
    pool_videos: str | None = None


class VlmConfig(RunSettings):
    """The resolved configuration of a run. Paths are absolute; the run folder is not in it."""

    content_keys = (
        "kpi",
        "acceptance",
        "pool",
        "base",
        "val",
        "predictions",
        "train_spec",
        "evaluate_spec",
        "embed_spec",
    )
    required_keys = ("kpi",)
    path_keys = (*content_keys, "pool_videos", "model")
    # Vectors of two models are never searched together.
    fixed_keys = ("kpi", "evaluate_spec", "predictions", "embed_spec", "embed_container")

    kpi: str
    acceptance: str | None = None
    pool: str | None = None
    pool_videos: str | None = None
    base: str | None = None
    val: str | None = None
    predictions: str | None = None
    model: str | None = None
    train_spec: str | None = None
    evaluate_spec: str | None = None
    embed_spec: str | None = None
    train_container: str = "images.tao_toolkit.deft_cosmos_reason"
    embed_container: str = "images.tao_toolkit.cosmos_embed"
    batch_size: int | None = Field(default=None, ge=1)
    seed: int = Field(default=1234, ge=0)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    mining: MiningConfig = Field(default_factory=MiningConfig)
    routing: RoutingConfig = Field(default_factory=RoutingConfig)
    leakage: LeakageConfig = Field(default_factory=LeakageConfig)
    annotate: AnnotateConfig = Field(default_factory=AnnotateConfig)
    embeddings: EmbeddingsConfig = Field(default_factory=EmbeddingsConfig)
    # Not written where nothing was said, so that a run which was approved before stands.
    corrections: CorrectionsConfig = Field(default_factory=CorrectionsConfig, exclude_if=_nothing_said)

    def embeds(self) -> bool:
        """Whether cosmos-embed makes the vectors in its container; ready-made ones come first."""
        made = self.embeddings
        return self.mining.encoder == "cosmos_embed" and not (made.kpi is not None and made.pool is not None)

    def embeds_with(self) -> str | None:
        """cosmos-embed's image, where it makes the vectors."""
        return self.embed_container if self.embeds() else None

    def evaluation_files(self) -> dict[str, Path]:
        """Label → the evaluation that exists, of `evaluate.predictions`."""
        return {label: Path(path) for label, path in sorted(self.evaluate.predictions.items())}
