"""What an annotation run is asked to do: the models of its spec, checked before any call is paid for."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.models import Frozen
from tao_skill_bank.core.overrides import Schema

LEAST_FRAMES = 4
"""Even of a short piece of a video, unless fewer are allowed."""
STEPS = ("0", "1a", "1b", "1c", "2", "3", "4")
QA_TYPES = (
    "mcq",
    "bcq",
    "open_qa",
    "causal_linkage",
    "temporal_localization",
    "temporal_event_desc",
    "scene_description",
    "event_summary",
)
SECTION = "video_reasoning_annotation"
AUTOLABEL_TYPE = "video_reasoning_annotation"
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv"})
RESOLUTIONS = ("MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH")
# Keys of TAO's other labelling types: a spec written for the container may hold them; they mean nothing here.
FOREIGN_KEYS = (
    "gpu_ids",
    "num_gpus",
    "batch_size",
    "num_workers",
    "mal",
    "grounding_dino",
    "image_grounding",
    "image_referring_expression",
    "vllm_captioning",
    "encryption_key",
    "wandb",
)
KEY_VARIABLES = {"gemini": "GOOGLE_API_KEY", "openai": "OPENAI_API_KEY"}


def _text(value: object) -> object:
    """Text; an override such as `license=4` reaches us as a number, an unset one as None."""
    if value is None:
        return ""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _step_name(value: object) -> object:
    """A step's name; an override such as `steps=[2,3]` reaches us as numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]


class GeminiOptions(Frozen):
    """A Gemini model."""

    api_key: Annotated[SecretStr, BeforeValidator(_text)] = SecretStr("")
    model: Annotated[str, Field(min_length=1)]
    media_resolution: str | None = RESOLUTIONS[0]
    temperature: Temperature = 0.3
    max_output_tokens: Count = 8192
    timeout: Seconds = 120.0

    @field_validator("media_resolution")
    @classmethod
    def _known_resolution(cls, value: str | None) -> str | None:
        if value and value not in RESOLUTIONS:
            raise ValueError(f"must be one of {', '.join(RESOLUTIONS)}, or null")
        return value or None


class OpenAIOptions(Frozen):
    """A model behind an OpenAI-compatible server."""

    api_key: Annotated[SecretStr, BeforeValidator(_text)] = SecretStr("")
    base_url: Text = ""
    model_name: Text = ""
    temperature: Temperature = 0.7
    max_tokens: Count = 4096
    timeout: Seconds = 60.0

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        # The address stands in the journal, in files and in errors; and a mistyped one would be tried for minutes.
        try:
            parts = urlsplit(value)
            good = not value or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
        except ValueError:
            good = False
        if not good:
            raise ValueError("must be an address such as http://127.0.0.1:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must hold no user, password or parameters; the key has its own setting")
        return value


class Tuning(Frozen):
    """How a model is asked beside the usual, whatever its backend; what is set belongs to a call's key."""

    structured: Literal["auto", "json_schema", "json_object", "off"] = "auto"
    thinking: Literal["auto", "off", "low", "medium", "high"] | Annotated[int, Field(ge=1, strict=True)] = "auto"
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(strict=True)] | None = None
    extra_body: dict[str, Any] = Field(default_factory=dict)

    @field_validator("structured", "thinking", mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        # YAML reads off as false.
        return "off" if value is False else value

    @field_validator("extra_body", mode="before")
    @classmethod
    def _own_fields(cls, value: object) -> object:
        taken = sorted(set(value) & set(_OWN_FIELDS)) if isinstance(value, Mapping) else []
        if taken:
            raise ValueError(f"must not hold {', '.join(taken)}: those have settings of their own")
        return value or {}

    @property
    def set(self) -> dict[str, Any]:
        """What is set, for a call's key."""
        unset = Tuning()
        values = {name: getattr(self, name) for name in Tuning.model_fields}
        return {name: value for name, value in values.items() if value != getattr(unset, name)}


_OWN_FIELDS = ("model", "messages", "stream", "n")


class ModelOptions(Tuning):
    """One of the two models of a run, and how it is reached."""

    backend: Literal["gemini", "openai"] = "gemini"
    gemini: GeminiOptions
    openai: OpenAIOptions

    @property
    def tuning(self) -> Tuning:
        """How it is asked beside the usual."""
        return Tuning(**{name: getattr(self, name) for name in Tuning.model_fields})

    @property
    def model(self) -> str:
        """The name of the model that answers."""
        return self.gemini.model if self.backend == "gemini" else self.openai.model_name

    @property
    def vendor(self) -> str:
        """Whose endpoint answers where no other address is named."""
        return "Google" if self.backend == "gemini" else "OpenAI"

    @property
    def address(self) -> str:
        """Where calls go; empty for the vendor's own. Google's SDK takes another from the environment."""
        if self.backend == "openai":
            return self.openai.base_url
        return os.environ.get("GOOGLE_GEMINI_BASE_URL", "")

    @property
    def timeout(self) -> float:
        """Seconds that one call may take."""
        return self.gemini.timeout if self.backend == "gemini" else self.openai.timeout

    @property
    def max_tokens(self) -> int:
        """The longest answer, in tokens."""
        return self.gemini.max_output_tokens if self.backend == "gemini" else self.openai.max_tokens

    def secret(self, private_variable: str) -> str:
        """The key: the command line's, else a parent process's, else the spec's own, else the vendor's variable."""
        own = (self.gemini if self.backend == "gemini" else self.openai).api_key.get_secret_value()
        handed = os.environ.get(f"{private_variable}_{self.backend.upper()}") or os.environ.get(private_variable)
        return handed or own or os.environ.get(KEY_VARIABLES[self.backend], "")


class Workflow(Frozen):
    """Which steps run, and how."""

    steps: tuple[Annotated[str, BeforeValidator(_step_name)], ...] = STEPS
    mode: Literal["auto", "anomaly", "normal"] = "auto"
    max_workers: Count = 4
    max_video_length_sec: Positive = 300.0
    chunk_duration_options: Annotated[tuple[Positive, ...], Field(min_length=1)] = (5, 10, 15, 20, 30)
    max_chunks: Count = 10
    highlight_before_sec: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3.0
    highlight_after_sec: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3.0
    long_video_threshold_sec: Positive = 60.0
    long_video_sample_fps: Positive = 0.5
    long_video_max_frames: Count = 60
    qa_types: tuple[str, ...] = QA_TYPES

    def frames(self, seconds: float) -> int:
        """How many frames stand for a whole video."""
        if seconds <= self.long_video_threshold_sec:
            return self.frames_of_piece(seconds)
        return max(1, min(self.long_video_max_frames, int(seconds * self.long_video_sample_fps)))

    def frames_of_piece(self, seconds: float) -> int:
        """How many frames stand for a part of a video: one a second, but some even of a short one."""
        most = self.long_video_max_frames
        return min(most, max(min(LEAST_FRAMES, most), math.ceil(seconds)))

    @field_validator("steps")
    @classmethod
    def _known_steps(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _all_known(value, STEPS, "step")
        return tuple(step for step in STEPS if step in value)

    @field_validator("qa_types")
    @classmethod
    def _known_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _all_known(value, QA_TYPES, "qa type")
        return tuple(dict.fromkeys(value))


class Data(Frozen):
    """Where the videos are."""

    video_root: Text = ""
    input_jsonl_files: tuple[str, ...] = ()
    filter_field: str | None = None


class JudgeOptions(Frozen):
    """Who is asked by judged checks: a model at the backend of another one, and with its key and settings."""

    like: Literal["vlm", "llm"] = "vlm"
    model: Text = ""
    base_url: Text = ""


class Quality(Frozen):
    """Which generated items may be trained on."""

    choice_letters: Literal["refuse", "keep_order"] = "refuse"
    checks: tuple[Literal["blind", "judge", "time"], ...] = ()
    judge: JudgeOptions = JudgeOptions()

    @field_validator("checks")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))


class AnnotationConfig(Frozen):
    """The section `video_reasoning_annotation` of a spec, and its results folder."""

    results_dir: Path
    vlm: ModelOptions
    llm: ModelOptions
    workflow: Workflow
    data: Data
    quality: Quality = Quality()
    license: Text = ""
    description_extra: Text = ""
    prompts_module: Text = ""

    @property
    def judge(self) -> ModelOptions:
        """The model of judged checks: its own name and address where they are set."""
        own = self.quality.judge
        like: ModelOptions = getattr(self, own.like)
        if like.backend == "gemini":
            gemini = like.gemini.model_copy(update={"model": own.model or like.gemini.model})
            return like.model_copy(update={"gemini": gemini})
        changed = {"model_name": own.model or like.openai.model_name, "base_url": own.base_url or like.openai.base_url}
        return like.model_copy(update={"openai": OpenAIOptions.model_validate({**dict(like.openai), **changed})})

    @property
    def named_models(self) -> dict[str, ModelOptions]:
        """Every model that the run may ask, by its name in the spec."""
        return {"vlm": self.vlm, "llm": self.llm} | ({"judge": self.judge} if self.quality.checks else {})

    @model_validator(mode="after")
    def _models_named(self) -> AnnotationConfig:
        for name in ("vlm", "llm"):
            options: ModelOptions = getattr(self, name)
            if options.backend == "openai" and not options.openai.model_name:
                raise ValueError(f"{name}.openai.model_name is empty: name the model that the server offers")
        return self

    def public(self) -> dict[str, Any]:
        """The configuration as plain data without any key, for files and digests."""
        values = self.model_dump(mode="json")
        for name in ("vlm", "llm"):
            for backend in ("gemini", "openai"):
                values[name][backend]["api_key"] = ""
        return values


@lru_cache(maxsize=1)
def default_text() -> str:
    """The commented default spec."""
    return resources.files(__package__).joinpath("default_spec.yaml").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def schema() -> Schema:
    """The keys that a spec may hold, with their defaults: those of the shipped spec."""
    import yaml

    defaults = yaml.safe_load(default_text())
    free = {f"{SECTION}.{model}.extra_body" for model in ("vlm", "llm")}
    return Schema(defaults=defaults | dict.fromkeys(FOREIGN_KEYS), open_keys=frozenset({*FOREIGN_KEYS, *free}))


def read_config(values: Mapping[str, Any], where: str | Path = "command line") -> AnnotationConfig:
    """A resolved spec as a checked configuration.

    Raises:
        InputError: Another labelling type, or a value that cannot be used; the key is named.
    """
    from tao_skill_bank.core.settings import validated

    kind = values.get("autolabel_type")
    if kind != AUTOLABEL_TYPE:
        raise InputError(
            f"autolabel_type {kind!r} runs in the TAO container only",
            where=where,
            fix=f"write autolabel_type={AUTOLABEL_TYPE}, or run this spec with the container's auto_label",
        )
    section = values.get(SECTION)
    if not isinstance(section, Mapping):
        raise InputError(f"{SECTION} must be a mapping", where=where, fix="start from auto_label default_specs")
    results = values.get("results_dir")
    if not isinstance(results, (str, Path, int)) or isinstance(results, bool) or not str(results).strip():
        raise InputError("results_dir must be a folder", where=where, fix="write results_dir=FOLDER")
    folder = Path(str(results)).expanduser().absolute()
    config = validated(_SpecFile, {SECTION: {**section, "results_dir": folder}}, where).video_reasoning_annotation
    if not config.workflow.steps:
        raise InputError(f"{SECTION}.workflow.steps is empty", where=where, fix=f"name steps of {', '.join(STEPS)}")
    return config


class _SpecFile(Frozen):
    """The nesting of the file, so that an error names the whole key."""

    video_reasoning_annotation: AnnotationConfig


def _all_known(given: tuple[str, ...], known: tuple[str, ...], what: str) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}, {did_you_mean(name, known)}")
