"""The configurations of the two mining commands: TAO data services' keys, checked before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from tao_skill_bank.actions.gap_analysis.config import Number, PathField
from tao_skill_bank.actions.mining.encoders import AUTO, Encoder, get_encoder
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.models import Frozen
from tao_skill_bank.core.settings import schema_of, validated

__all__ = [
    "IMAGE_EMBEDDINGS_SCHEMA",
    "NEAREST_NEIGHBORS_SCHEMA",
    "ImageEmbeddingsConfig",
    "NearestNeighborsConfig",
    "validated",
]


def _text(value: object) -> object:
    """Text; a number, a boolean or nothing (`model_path=null`) as an override writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def _count(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number of at least 1")
    return value


def _names(value: object) -> object:
    """Column names: a list, or text with commas."""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    text: Any = _text(value)
    return tuple(part.strip() for part in text.split(",") if part.strip())


Text = Annotated[str, BeforeValidator(_text)]
Count = Annotated[int, BeforeValidator(_count)]


class ImageEmbeddingsConfig(BaseModel):
    """What `embedding image_embeddings` is asked to do.

    Attributes:
        input_parquet: Table with a `filepath` column.
        output_parquet: Where the embeddings go.
        model: `auto`, `local`, `SigLIP` or `CLIP`.
        model_path: Hugging Face model folder or name; empty for the usual one.
        model_config_path: TAO's spec of a TAO checkpoint, which only TAO itself can load; refused where set.
        batch_size: Images a learned encoder takes at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    input_parquet: PathField
    output_parquet: PathField
    model: Text = AUTO
    model_path: Text = ""
    model_config_path: Text = ""
    batch_size: Count = 64

    def encoder(self) -> Encoder:
        """The encoder that is asked for.

        Raises:
            InputError: It cannot run here.
        """
        if self.model_config_path:
            raise InputError(
                "belongs to a TAO checkpoint, which only TAO data services can load",
                where="model_config_path",
                fix="run this command in the TAO container, or leave the key out",
            )
        return get_encoder(self.model, model_path=self.model_path, batch_size=self.batch_size)


class NearestNeighborsConfig(Frozen):
    """What `tmm nearest_neighbors` is asked to do; the keys are those of `neighbors.nearest_neighbors`."""

    source_parquet: PathField
    target_parquet: PathField
    output_parquet: PathField
    topn: Count = 5
    knn_metric: Text = "euclidean"
    source_embed_column_name: Text = "embedding"
    target_embed_column_name: Text = "embedding"
    filter_by_label: Text = "false"
    distance_threshold: Number = -1.0
    group_by: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()

    def arguments(self) -> dict[str, Path | str | int | float | tuple[str, ...]]:
        """The keyword arguments of `nearest_neighbors`."""
        return dict(self)


IMAGE_EMBEDDINGS_SCHEMA = schema_of(ImageEmbeddingsConfig)
NEAREST_NEIGHBORS_SCHEMA = schema_of(NearestNeighborsConfig)
