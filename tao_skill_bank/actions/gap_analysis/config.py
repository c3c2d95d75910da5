"""The configurations of the two analyses: what the command lines may say, checked before anything is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tao_skill_bank.core.models import Frozen
from tao_skill_bank.core.settings import schema_of


def _path(value: object) -> object:
    """A path as written; an override such as `results_dir=2024` reaches us as a number."""
    if isinstance(value, bool) or value is None:
        raise ValueError("must be a path")
    if isinstance(value, (int, float)):
        value = str(value)
    if not isinstance(value, (str, Path)) or not str(value).strip() or "\0" in str(value):
        raise ValueError("must be a path")
    return Path(value).expanduser()


def _optional_path(value: object) -> object:
    """A path, or None where the value is empty."""
    return None if value is None or (isinstance(value, str) and not value.strip()) else _path(value)


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("must be a finite number")
    return float(value)


def _count(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number of at least 1, or null for every misclassified sample")
    return value


PathField = Annotated[Path, BeforeValidator(_path)]
Number = Annotated[float, BeforeValidator(_number)]
OptionalPathField = Annotated[Path | None, BeforeValidator(_optional_path)]


class VcnAoiConfig(Frozen):
    """What `gap_analysis vcn_aoi` is asked to do.

    Attributes:
        inference_results_dir: The folder that holds `inference.csv`.
        train_config: The train YAML; its `dataset.classify.input_map` and `.image_ext` name a sample's images.
        results_dir: Where the outputs go.
        kpi_media_path: Put before each row's `input_path`; None takes `input_path` as absolute.
        threshold: Zero or more pins the threshold; a negative one means the sweep.
        min_recall: NO_PASS recall that the swept threshold must keep, 0..1.
        top_k_per_label: How many of the weakest samples of each label to keep; None keeps the misclassified ones.
    """

    inference_results_dir: PathField
    train_config: PathField
    results_dir: PathField
    kpi_media_path: OptionalPathField = None
    threshold: Number = -1.0
    min_recall: Annotated[Number, Field(ge=0.0, le=1.0)] = 1.0
    top_k_per_label: Annotated[int | None, BeforeValidator(_count)] = 50


def _off(value: object) -> object:
    """YAML reads `off` as false."""
    return "off" if value is False else value


def _text_fields(value: object) -> object:
    """Role → path; a path such as `0` reaches us as a number."""
    if not isinstance(value, dict):
        raise ValueError("must name roles: fields.response=KEY")
    return {str(role): str(path) for role, path in value.items()}


class VlmReading(Frozen):
    """How evaluation files are read, whatever their shape.

    Attributes:
        results_dir: Where the outputs go.
        videos_dir: What relative `video_id` values are resolved against; None: the working folder.
        format: `auto`, or the name of a format.
        fields: Role (video_id, question, response, gt, id, score; root) → path in an item.
        truth: A file of right answers.
        requests: The requests of a batch.
        annotations_json: Annotations that `video_id`s are ids of.
        answer_in: Where a response's answer stands, one mode or several to try in turn.
        labels: What yes and no are called.
        letters: Whether letters are lines of the question's choices; `auto`: where the format has them.
        unanswered: A missing answer is an error, or skipped as unparseable.
        repeats: Of several responses of an item the first counts, or all.
        duplicates: Samples with video and question of one before are kept, left out, or an error.
    """

    results_dir: PathField
    videos_dir: OptionalPathField = None
    format: str = "auto"
    fields: Annotated[dict[str, str], BeforeValidator(_text_fields)] = Field(default_factory=dict)
    truth: OptionalPathField = None
    requests: OptionalPathField = None
    annotations_json: OptionalPathField = None
    answer_in: str | list[str] = "anywhere"
    labels: str | list[str | bool] = "yes,no"
    letters: Annotated[Literal["auto", "question", "off"], BeforeValidator(_off)] = "auto"
    unanswered: Literal["error", "skip"] = "error"
    repeats: Literal["first", "all"] = "first"
    duplicates: Literal["keep", "first", "error"] = "keep"


class VlmBcqConfig(VlmReading):
    """What `gap_analysis vlm_bcq` is asked to do.

    Attributes:
        predictions_json: The evaluation: a file of any of the formats, or a folder.
        report: The report is written where there are gaps, or always.
        strict: A sample that has to be skipped is an error.
    """

    predictions_json: PathField
    report: Literal["gaps", "always"] = "gaps"
    strict: bool = False


class VlmCompareConfig(VlmReading):
    """What `gap_analysis vlm_compare` is asked to do.

    Attributes:
        a: The evaluation before.
        b: The evaluation after, of the same samples.
    """

    a: PathField
    b: PathField


_READING: dict[str, Any] = {
    "renamed": {"output_dir": "results_dir"},
    "open_keys": frozenset({"fields"}),
    "text_keys": frozenset({"labels", "answer_in", "fields"}),
}
VCN_AOI_SCHEMA = schema_of(VcnAoiConfig, renamed={"output_dir": "results_dir"})
VLM_BCQ_SCHEMA = schema_of(VlmBcqConfig, leave_out=("strict",), **_READING)
VLM_COMPARE_SCHEMA = schema_of(VlmCompareConfig, **_READING)
