"""Gap analysis for programs: where a model errs, on data it was tested with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tao_skill_bank.actions.gap_analysis.vcn_aoi import VcnAoiResult
    from tao_skill_bank.actions.gap_analysis.vlm_result import VlmBcqResult

__all__ = ["vcn_aoi", "vlm_bcq"]


def vcn_aoi(
    inference_results_dir: str | Path,
    train_config: str | Path,
    results_dir: str | Path,
    *,
    kpi_media_path: str | Path | None = None,
    threshold: float = -1.0,
    min_recall: float = 1.0,
    top_k_per_label: int | None = 50,
) -> VcnAoiResult:
    """The threshold and the weakest samples of a Visual ChangeNet inference: `gap_analysis vcn_aoi`.

    Args:
        inference_results_dir: The folder that holds `inference.csv`.
        train_config: The train YAML; its `dataset.classify.input_map` and `.image_ext` name a sample's images.
        results_dir: Where the outputs go.
        kpi_media_path: Put before each row's `input_path`; None takes `input_path` as absolute.
        threshold: Zero or more pins the threshold; a negative one means the sweep.
        min_recall: NO_PASS recall that the swept threshold must keep, 0..1.
        top_k_per_label: How many of the weakest samples of each label to keep; None keeps the misclassified ones.

    Raises:
        InputError: Input that cannot be used; nothing is written.
        UnreachableError: No threshold keeps the recall.
    """
    values = dict(locals())
    from tao_skill_bank.actions.gap_analysis.config import VcnAoiConfig
    from tao_skill_bank.actions.gap_analysis.vcn_aoi import analyze_vcn_aoi
    from tao_skill_bank.core.settings import validated

    return analyze_vcn_aoi(validated(VcnAoiConfig, values, "arguments"))


def vlm_bcq(predictions_json: str | Path, results_dir: str | Path, **options: Any) -> VlmBcqResult:
    """The false and missed yes of a video-language model: `gap_analysis vlm_bcq`, whatever the shape of the file.

    Args:
        predictions_json: The evaluation: a file of any of the formats, or a folder.
        results_dir: Where the outputs go; nothing is written where there are no gaps.
        options: Any other key of `gap_analysis vlm_bcq`: `videos_dir`, `format`, `fields`, `truth`, `requests`,
            `annotations_json`, `answer_in`, `labels`, `letters`, `unanswered`, `repeats`, `duplicates`, `report`,
            `strict`.

    Raises:
        InputError: Input that cannot be used; the item is named, nothing is written.
    """
    from tao_skill_bank.actions.gap_analysis.config import VlmBcqConfig
    from tao_skill_bank.actions.gap_analysis.vlm_bcq import analyze_vlm_bcq
    from tao_skill_bank.core.settings import validated

    values = {"predictions_json": predictions_json, "results_dir": results_dir, **options}
    return analyze_vlm_bcq(validated(VlmBcqConfig, values, "arguments"))
