"""What differs between the spec of a training and that of an inference, so that TAO cannot load the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tao_skill_bank.core.overrides import get
from tao_skill_bank.data.changenet.spec_rules import with_defaults


def inference_mismatch(training: Mapping[str, Any], inference: Mapping[str, Any]) -> list[str]:
    """What differs between two specs that TAO cannot load one's checkpoint for the other with: a line each.

    The classifier's first layer has the training size built in, so another image size, lighting count or
    architecture fails when the checkpoint is loaded.
    """
    first, second = with_defaults(training), with_defaults(inference)
    keys = [
        "task",
        "model.backbone.type",
        "model.backbone.feat_downsample",
        "model.decode_head.feature_strides",
        "model.decode_head.decoder_params.embed_dim",
        "model.decode_head.use_summary_token",
        "model.classify.difference_module",
        "model.classify.learnable_difference_modules",
        "model.classify.embed_dec",
        "model.classify.embedding_vectors",
        "dataset.classify.image_width",
        "dataset.classify.image_height",
        "dataset.classify.num_input",
        "dataset.classify.concat_type",
        "dataset.classify.grid_map",
        "dataset.classify.num_classes",
    ]
    return [
        f"{key}: {get(second, key)!r} at inference, {get(first, key)!r} in training (they must be the same)"
        for key in keys
        if get(first, key) != get(second, key)
    ] + _light_order(first, second)


def _light_order(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Lightings are put together in key order, so the same names in another order are another image."""
    ours, theirs = (list(get(spec, "dataset.classify.input_map") or ()) for spec in (first, second))
    if ours == theirs:
        return []
    return [f"dataset.classify.input_map: {theirs} at inference, {ours} in training (they must be the same)"]
