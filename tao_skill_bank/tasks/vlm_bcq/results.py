"""What each stage of the second loop finds: the fields under `results.<stage>` of an iteration."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.state import Result


class Evaluation(Result):
    """One checkpoint on one set.

    Attributes:
        kind: `last`, `best_val`, `base`, `file`, `served`.
        checkpoint: Its folder, the served model's name, or the file that was imported.
        measures: Measure → the figure with its interval, in percent.
        keys: Question key → its table and accuracy.
        why: Why answers are unreadable → how many.
    """

    kind: str
    checkpoint: str
    evaluator: str
    answers_jsonl: str
    predictions_json: str
    table: dict[str, Any]
    measures: dict[str, Interval]
    keys: dict[str, dict[str, Any]] = Field(default_factory=dict)
    unreadable: int
    why: dict[str, int] = Field(default_factory=dict)
    threshold: float | None = None
    at_pct: float | None = None


class EvaluateResult(Result):
    """evaluate: every checkpoint on the KPI set, the chosen one, and the threshold that is frozen with it."""

    evaluations: list[Evaluation]
    answers_jsonl: str
    metrics: str
    threshold: float | None
    best_ckpt_path: str
    best_ckpt_kind: str
    trained: Trained = Field(default_factory=Trained)


class RcaResult(Result):
    """rca: the gaps, and what causes them."""

    rca_results_dir: str
    gaps_parquet: str | None
    causes: list[dict[str, Any]] = Field(default_factory=list)
    doubts: int = 0


class RoutingResult(Result):
    """routing: a verdict a question key."""

    routing_results_dir: str
    routing_verdicts: dict[str, str] = Field(default_factory=dict)
    targets: int = 0


class MiningResult(Result):
    """data_mining: the pool rows that were chosen."""

    mined_parquet: str
    mined_count: int
    mined_ids: list[str] = Field(default_factory=list)
    encoder: str
    yes: int = 0
    by_key: dict[str, int] = Field(default_factory=dict)


class AnnotateResult(Result):
    """annotate: what two passes of a teacher agree on."""

    annotated_jsonl: str | None = None
    kept: int = 0
    asked: int = 0
    control: dict[str, Any] = Field(default_factory=dict)
    spent: dict[str, Any] = Field(default_factory=dict)


class MergeResult(Result):
    """data_merge: the training set of this iteration."""

    train_annotations: str
    val_annotations: str | None = None
    rows: dict[str, int] = Field(default_factory=dict)
    yes_share: float
    leakage: dict[str, Any] = Field(default_factory=dict)


class TrainResult(Result):
    """train: the spec, and what it left."""

    train_spec: str
    served_model: str | None = None
    checkpoints: dict[str, str] = Field(default_factory=dict)
    trained: Trained = Field(default_factory=Trained)
