"""What the analyses may be asked for: of these, keys, help, tools and checks are made. Help imports no pydantic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tao_skill_bank.core.asked import Reads, Said, schema_of


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


def _share(value: object) -> object:
    if not 0 <= float(str(_number(value))) <= 1:
        raise ValueError("must be a number from 0 to 1")
    return value


def _count(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number of at least 1, or null for every misclassified sample")
    return value


PathField = Annotated[Path, Reads(_path)]
Number = Annotated[float, Reads(_number)]
OptionalPathField = Annotated[Path | None, Reads(_optional_path)]


@dataclass(frozen=True, kw_only=True)
class VcnAoiConfig:
    """What `gap_analysis vcn_aoi` is asked to do."""

    inference_results_dir: Annotated[PathField, Said("The folder that holds inference.csv.")]
    train_config: Annotated[
        PathField,
        Said("Train YAML with dataset.classify.input_map and image_ext.", tool="The train YAML."),
    ]
    results_dir: Annotated[PathField, Said("Where the outputs go.")]
    kpi_media_path: Annotated[
        OptionalPathField,
        Said(
            "Put before each row's input_path; without it input_path is absolute.",
            tool="Image root put before input_path.",
        ),
    ] = None
    min_recall: Annotated[float, Reads(_share), Said("NO_PASS recall the sweep keeps, 0 to 1.", tool="")] = 1.0
    threshold: Annotated[Number, Said("0 or more pins it; negative sweeps.", tool="0 or more pins it.")] = -1.0
    top_k_per_label: Annotated[
        int | None,
        Reads(_count),
        Said("Weakest samples of each label; null: every misclassified one.", tool="null: every misclassified row."),
    ] = 50


def _off(value: object) -> object:
    """YAML reads `off` as false."""
    return "off" if value is False else value


def _text_fields(value: object) -> object:
    """Role → path; a path such as `0` reaches us as a number."""
    if not isinstance(value, Mapping):
        raise ValueError("must name roles: fields.response=KEY")
    return {str(role): str(path) for role, path in value.items()}


@dataclass(frozen=True, kw_only=True)
class VlmReading:
    """How evaluation files are read, whatever their shape."""

    results_dir: Annotated[PathField, Said("Where the outputs go.")]
    videos_dir: Annotated[OptionalPathField, Said("What relative video_id values are resolved against.")] = None
    format: Annotated[
        str, Said("auto, tao, cosmos, hallusion, lmms, batch, llava, pope, vlmevalkit, mme or table.")
    ] = "auto"
    fields: Annotated[
        dict[str, str],
        Reads(_text_fields),
        Said(
            "Where video_id, question, response, gt, id or score lies: fields.response=choices[0].text; "
            "fields.root=KEY: which list of an object holds the items.",
            metavar="ROLE",
        ),
    ] = field(default_factory=dict)
    truth: Annotated[OptionalPathField, Said("File of right answers, joined by id, else by line.")] = None
    requests: Annotated[OptionalPathField, Said("The requests of a batch, joined by custom_id.")] = None
    annotations_json: Annotated[OptionalPathField, Said("Annotations whose ids the video_id values are.")] = None
    answer_in: Annotated[
        str | list[str],
        Said("anywhere, after_think, answer_tag, boxed or last; several in turn: answer_tag,last."),
    ] = "anywhere"
    labels: Annotated[
        str | list[str | bool],
        Said("POSITIVE,NEGATIVE with | between alternatives, or en, de, fr, es, zh, ja, ko."),
    ] = "yes,no"
    letters: Annotated[
        Literal["auto", "question", "off"],
        Reads(_off),
        Said("auto, question (letters are choices of the question) or off."),
    ] = "auto"
    unanswered: Annotated[Literal["error", "skip"], Said("error, or skip: missing answers count as unparseable.")] = (
        "error"
    )
    repeats: Annotated[Literal["first", "all"], Said("first, or all: every response of an item is a sample.")] = "first"
    duplicates: Annotated[
        Literal["keep", "first", "error"], Said("A sample with video and question of one before: keep, first or error.")
    ] = "keep"


@dataclass(frozen=True, kw_only=True)
class VlmBcqConfig(VlmReading):
    """What `gap_analysis vlm_bcq` is asked to do; `strict`: a sample that has to be skipped is an error."""

    predictions_json: Annotated[
        PathField,
        Said("JSON in any packing, CSV, TSV, parquet, xlsx, or a folder; .gz and .zst are read as such."),
    ]
    report: Annotated[
        Literal["gaps", "always"], Said("gaps, or always: the report is written where there are no gaps too.")
    ] = "gaps"
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class VlmCompareConfig(VlmReading):
    """What `gap_analysis vlm_compare` is asked to do."""

    a: Annotated[PathField, Said("The evaluation before.")]
    b: Annotated[PathField, Said("The evaluation after, of the same samples.")]


_READING: dict[str, Any] = {
    "renamed": {"output_dir": "results_dir"},
    "open_keys": frozenset({"fields"}),
    "text_keys": frozenset({"labels", "answer_in", "fields"}),
}
VCN_AOI_SCHEMA = schema_of(VcnAoiConfig, renamed={"output_dir": "results_dir"})
VLM_BCQ_SCHEMA = schema_of(VlmBcqConfig, **_READING)
VLM_COMPARE_SCHEMA = schema_of(VlmCompareConfig, **_READING)
