"""The configurations of the two mining commands: TAO data services' keys, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tao_skill_bank.actions.gap_analysis.config import Number, PathField
from tao_skill_bank.core.asked import Reads, Said, schema_of
from tao_skill_bank.core.errors import InputError

if TYPE_CHECKING:
    from tao_skill_bank.actions.mining.encoders import Encoder


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


Text = Annotated[str, Reads(_text)]
Count = Annotated[int, Reads(_count)]


@dataclass(frozen=True, kw_only=True)
class ImageEmbeddingsConfig:
    """What `embedding image_embeddings` is asked to do."""

    input_parquet: Annotated[PathField, Said("Table with a filepath column.")]
    output_parquet: Annotated[PathField, Said("filepath, embedding, and the input's other columns.", tool="")]
    model: Annotated[
        Text,
        Said(
            "SigLIP, CLIP, local (built in, no weights), auto: SigLIP where it can run, else local.",
            tool="auto, SigLIP, CLIP or local.",
        ),
    ] = "auto"
    model_path: Annotated[
        Text,
        Said(
            "Hugging Face model: a folder, or a name that is already in the cache; never downloaded; default: "
            "google/siglip-base-patch16-224, openai/clip-vit-base-patch32.",
            tool=False,
        ),
    ] = ""
    model_config_path: Annotated[
        Text, Said("Spec of a TAO checkpoint: only TAO data services can load those.", tool=False)
    ] = ""
    batch_size: Annotated[Count, Said("Images a learned encoder takes at once.", tool=False)] = 64

    def encoder(self) -> Encoder:
        """The encoder that is asked for.

        Raises:
            InputError: It cannot run here.
        """
        from tao_skill_bank.actions.mining.encoders import get_encoder

        if self.model_config_path:
            raise InputError(
                "belongs to a TAO checkpoint, which only TAO data services can load",
                where="model_config_path",
                fix="run this command in the TAO container, or leave the key out",
            )
        return get_encoder(self.model, model_path=self.model_path, batch_size=self.batch_size)


@dataclass(frozen=True, kw_only=True)
class NearestNeighborsConfig:
    """What `tmm nearest_neighbors` is asked to do; the keys are those of `neighbors.nearest_neighbors`."""

    source_parquet: Annotated[PathField, Said("The pool: filepath, embedding.", tool="The pool, embedded.")]
    target_parquet: Annotated[
        PathField, Said("The images to find look-alikes of.", tool="What to find look-alikes of, embedded.")
    ]
    output_parquet: Annotated[
        PathField,
        Said("filepath, similarity (cosine) or distance, target; mining_summary.txt beside it.", tool=""),
    ]
    topn: Annotated[Count, Said("Neighbours a target.", tool="")] = 5
    knn_metric: Annotated[Text, Said("euclidean, cosine, manhattan.", tool="")] = "euclidean"
    source_embed_column_name: Annotated[Text, Said("Column of the source's vectors.", tool=False)] = "embedding"
    target_embed_column_name: Annotated[Text, Said("Column of the target's vectors.", tool=False)] = "embedding"
    filter_by_label: Annotated[
        Text,
        Said(
            "false; after (or true): drop neighbours of another label once found; within: search among images of the "
            "target's own label.",
            tool="",
        ),
    ] = "false"
    distance_threshold: Annotated[
        Number,
        Said(
            "Drop pairs farther apart; cosine distance is 1 - cosine; negative: keep all.",
            tool="Cosine: 1 - similarity; negative keeps all.",
        ),
    ] = -1.0
    group_by: Annotated[
        tuple[str, ...],
        Reads(_names),
        Said("Columns that must be equal for a pair, such as lighting (not a key of TAO's own command).", tool=False),
    ] = ()


IMAGE_EMBEDDINGS_SCHEMA = schema_of(ImageEmbeddingsConfig)
NEAREST_NEIGHBORS_SCHEMA = schema_of(NearestNeighborsConfig)
