"""What each stage of the DEFT loop finds: the fields under `results.<stage>` of an iteration.

The names are those that other programs read, flat, under the iteration itself.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.state import Result


class TrainResult(Result):
    """train: the spec and the rows it trained with, and who trained."""

    training_spec: str | None = None
    training_csv: str | None = None
    training_rows: int | None = None
    trained: Trained = Field(default_factory=Trained)


class Uncorrected(Result):
    """The same scores by the labels that the customer's CSV has: what corrections of a measured set make of the figure.

    `dropped` rows were not scored, so they are in neither figure.
    """

    relabelled: int
    dropped: int
    threshold: float
    far: Interval
    recall: Interval


class Evaluation(Result):
    """One checkpoint on the KPI set at its threshold; `others` is what the target limits beside FAR and recall."""

    kind: Literal["best_val", "best_far", "latest"]
    checkpoint: str
    inference_csv: str
    threshold: float
    far_pct: float
    far_pct_recall_100: float
    recall_pct: float
    precision_pct: float
    tp: int
    fp: int
    tn: int
    fn: int
    far: Interval
    recall: Interval
    others: dict[str, Interval] = Field(default_factory=dict)
    uncorrected: Uncorrected | None = None

    def measured(self, name: str) -> Interval | None:
        """A measure by its name, where it was taken."""
        return {"FAR": self.far, "recall": self.recall, **self.others}.get(name)

    def value_pct(self, name: str) -> float:
        """The same as a figure.

        Raises:
            KeyError: It was not taken.
        """
        known = {"FAR": self.far_pct, "recall": self.recall_pct}
        return known[name] if name in known else self.others[name].value_pct


class EvaluateResult(Result):
    """evaluate: every checkpoint on the KPI set; the chosen one, and the threshold that is frozen with it.

    FAR is in percent: `far_pct` at the threshold, `far_pct_recall_100` at 100 %.
    """

    evaluations: list[Evaluation] = Field(default_factory=list)
    best_ckpt_path: str
    best_ckpt_kind: Literal["best_val", "best_far", "latest", "pre_seeded"]
    far_pct: float
    far_pct_recall_100: float | None = None
    threshold: float
    val_loss: float | None = None
    inference_csv: str | None = None
    trained: Trained = Field(default_factory=Trained)


class RcaResult(Result):
    """rca: the weakest samples, the threshold they were told by, the defect labels among them."""

    rca_results_dir: str
    rca_gaps_parquet: str
    rca_threshold: float | None = None
    rca_target_defects: list[str] = Field(default_factory=list)


class RoutingResult(Result):
    """routing: which weak samples go to mining, which to the generator; a verdict a label."""

    routing_results_dir: str
    routing_mining_parquet: str
    routing_anomalygen_parquet: str
    routing_verdicts: dict[str, str] = Field(default_factory=dict)


class AnomalygenResult(Result):
    """anomalygen: the synthetic rows, as made."""

    anomalygen_rows_csv: str
    anomalygen_count: int = 0
    anomalygen_by_label: dict[str, int] = Field(default_factory=dict)
    anomalygen_used: list[str] = Field(default_factory=list)


class MiningResult(Result):
    """data_mining: the pool rows that were chosen, the synthetic rows that are left, what the leakage check counted."""

    mining_mined_parquet: str | None = None
    mining_pool_csv: str | None = None
    mining_mined_count: int
    mining_by_label: dict[str, int] = Field(default_factory=dict)
    mining_used: list[str] | None = None
    mining_encoder: str | None = None
    anomalygen_count: int = 0
    anomalygen_by_label: dict[str, int] = Field(default_factory=dict)
    leakage: dict[str, Any] | None = None


class MergeResult(Result):
    """data_merge: the grown training set and where each of its rows comes from."""

    combined_training_csv: str
    provenance_csv: str
    provenance_counts: dict[str, int] = Field(default_factory=dict)
