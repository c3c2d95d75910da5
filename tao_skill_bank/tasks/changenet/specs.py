"""The TAO specs of a run: the user's own, with the run's CSVs, written before every command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.overrides import get, put
from tao_skill_bank.data.changenet.images import (
    SIDES,
    FolderIndex,
    ImageNaming,
    look_up,
    missing_files,
    place,
    root_candidates,
)
from tao_skill_bank.data.changenet.spec import ClassifySpec, classify_spec, load_spec
from tao_skill_bank.data.changenet.tables import PairTable, read_pairs
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.taken import beside


def user_spec(config: RunConfig) -> dict[str, Any]:
    """The user's spec with the run's epochs, batch size and seed."""
    spec = load_spec(Path(config.specs_file))
    if config.num_epochs is not None:
        put(spec, "train.num_epochs", config.num_epochs)
        for key in ("checkpoint_interval", "validation_interval"):
            given = spec.get("train", {}).get(key)
            if isinstance(given, int) and given > config.num_epochs:
                put(spec, f"train.{key}", config.num_epochs)
    if config.batch_size is not None:
        put(spec, "dataset.classify.batch_size", config.batch_size)
    put(spec, "train.seed", config.seed)
    if get(spec, "dataset.classify.input_map") is None:
        # The same to TAO's trainer as its default of null; its gap analysis reads the written spec, and takes no null.
        put(spec, "dataset.classify.input_map", {})
    return spec


def naming_of(config: RunConfig) -> ImageNaming:
    """How images are called, by the user's spec."""
    checked = checked_spec(config)
    return ImageNaming(checked.lights, checked.image_ext)


def checked_spec(config: RunConfig) -> ClassifySpec:
    """The user's spec, as its typed view."""
    return classify_spec(user_spec(config), config.specs_file)


def image_root(config: RunConfig, csv: Path, naming: ImageNaming) -> Path:
    """The one folder under which every row of `csv` resolves: the image root, the workspace, or the CSV's own.

    A corrected copy's own folder is that of the customer's file.
    """
    candidates = root_candidates(Path(config.images_dir), Path(config.workspace), beside(config, csv))
    return place(read_pairs(csv), naming, candidates).root


def train_spec(
    config: RunConfig, training_csv: Path, training_root: Path, validation_csv: Path, validation_root: Path
) -> dict[str, Any]:
    """The spec of a training: the user's, on these CSVs."""
    spec = user_spec(config)
    classify = spec.setdefault("dataset", {}).setdefault("classify", {})
    classify["train_dataset"] = {"csv_path": str(training_csv), "images_dir": str(training_root)}
    classify["validation_dataset"] = {"csv_path": str(validation_csv), "images_dir": str(validation_root)}
    return spec


def inference_spec(config: RunConfig, csv: Path, root: Path) -> dict[str, Any]:
    """The spec of an inference on `csv`: the user's model and data keys, without the training sets."""
    spec = user_spec(config)
    classify = spec.setdefault("dataset", {}).setdefault("classify", {})
    for key in ("train_dataset", "validation_dataset", "test_dataset"):
        classify.pop(key, None)
    classify["infer_dataset"] = {"csv_path": str(csv), "images_dir": str(root)}
    return spec


def write_spec(path: Path, spec: Mapping[str, Any]) -> None:
    """Write a spec as YAML, keys in their own order, atomically."""
    import yaml

    fsio.write_text(path, yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True))


def missing_rows(table: PairTable, naming: ImageNaming, root: Path) -> list[str]:
    """A line for every image or golden of `table` that is not under `root`."""
    index = FolderIndex()
    return missing_files(table, naming, root, [look_up(table, naming, root, side, index) for side in SIDES])


def encoder_spec(config: RunConfig, *, tao: bool) -> dict[str, str]:
    """The spec of the embedding lines: `model`, and where its weights are.

    Args:
        config: The run's configuration.
        tao: Whether TAO's own embedding runs them: it knows `SigLIP` and `CLIP` only, and wants `model_path`.

    Raises:
        InputError: An encoder that TAO does not have, or nobody has.
    """
    from tao_skill_bank.actions.mining.encoders import AUTO, DEFAULT_PATHS, LOCAL, MODELS

    wanted = config.mining.encoder
    model = {m.lower(): m for m in MODELS}.get(wanted.strip().lower())
    if model is None or (tao and model == LOCAL):
        known = [m for m in MODELS if not (tao and m == LOCAL)]
        what = "TAO's embedding has no encoder" if tao else "no encoder"
        raise InputError(f"{what} {wanted!r}", where="mining.encoder", fix=did_you_mean(wanted, known))
    if tao and model == AUTO:
        model = "SigLIP"
    path = config.mining.encoder_path
    path = path or (DEFAULT_PATHS[model] if tao else None)
    return {"model": model} if path is None or model == LOCAL else {"model": model, "model_path": path}
