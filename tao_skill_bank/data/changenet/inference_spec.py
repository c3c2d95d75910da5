"""The spec a consumer runs the best model with, made from the one it was trained with.

What decides the model's numbers is kept word for word: `model`, `dataset.classify`, and `train.classify.loss`, which
TAO checks when it loads the checkpoint. What belongs to the run is left out or left blank for the consumer.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import get
from tao_skill_bank.data.changenet.spec import load_spec

CHECKPOINT_PATH = "/model/best.pth"
OWN_SETS = ("train_dataset", "validation_dataset", "test_dataset")


def inference_spec(training_spec: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """The consumer's spec.

    Args:
        training_spec: The spec that the best iteration trained with.
        threshold: The frozen decision threshold; it becomes `model.classify.eval_margin`.

    Raises:
        InputError: The training spec has no `model` or `dataset.classify`, or the threshold is not finite.
    """
    if not math.isfinite(threshold):
        raise InputError(f"threshold {threshold} is not a finite number", fix="evaluate the model first")
    model, data = (get(training_spec, key) for key in ("model", "dataset.classify"))
    if not isinstance(model, Mapping) or not isinstance(data, Mapping):
        raise InputError(
            "has no model or no dataset.classify", where="training spec", fix="name the spec the model trained with"
        )
    model, data = copy.deepcopy(dict(model)), copy.deepcopy(dict(data))
    model["classify"] = {**(model.get("classify") or {}), "eval_margin": float(threshold)}
    for name in OWN_SETS:
        data.pop(name, None)
    data["infer_dataset"] = {"csv_path": "", "images_dir": ""}
    data["batch_size"] = 1
    data["workers"] = 1
    data["augmentation_config"] = {**(data.get("augmentation_config") or {}), "augment": False}
    return {
        "task": training_spec.get("task", "classify"),
        "results_dir": "",
        "model": model,
        "dataset": {"classify": data},
        # TAO's default is contrastive, and a checkpoint of the other loss does not load.
        "train": {"classify": {"loss": get(training_spec, "train.classify.loss", "contrastive")}},
        "inference": {"checkpoint": CHECKPOINT_PATH},
    }


def write_inference_spec(best_model: Path, output: Path) -> dict[str, Any]:
    """Write the consumer's spec for a `best_model.json`.

    Args:
        best_model: JSON with at least `threshold` and `training_spec` (a path; relative ones start at the file).
        output: The YAML file.

    Returns:
        The spec that was written.

    Raises:
        InputError: The file cannot be read or lacks a key, or the training spec cannot be used.
    """
    import yaml

    try:
        best = json.loads(guard.read_text(best_model))
    except FileNotFoundError:
        raise InputError("no such file", where=best_model, fix="run the loop to its end first") from None
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", where=best_model, fix="let the loop write it anew") from None
    threshold, path = (best.get(key) if isinstance(best, dict) else None for key in ("threshold", "training_spec"))
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not isinstance(path, str):
        raise InputError("has no threshold or no training_spec", where=best_model, fix="let the loop write it anew")
    spec = inference_spec(load_spec(best_model.parent / path), float(threshold))
    fsio.write_text(output, yaml.safe_dump(spec, sort_keys=False, allow_unicode=True))
    return spec
