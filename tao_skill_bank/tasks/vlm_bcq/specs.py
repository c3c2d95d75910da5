"""The files of cosmos-rl and cosmos-embed: the user's or the packaged templates, with the keys that a run sets."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import get, put
from tao_skill_bank.core.tomlio import read_toml, write_toml
from tao_skill_bank.core.yamlio import parse_yaml, read_yaml
from tao_skill_bank.loop.plan import inside_workspace
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig


def base_spec(config: VlmConfig, kind: str) -> dict[str, Any]:
    """The user's `train` or `evaluate` spec, else the packaged template.

    Raises:
        InputError: The user's is no TOML.
    """
    named = getattr(config, f"{kind}_spec")
    if named is not None:
        return read_toml(Path(named))
    folder = resources.files("tao_skill_bank.tasks.vlm_bcq").joinpath("templates")
    return tomllib.loads(folder.joinpath(f"{kind}.toml").read_text("utf-8"))


def train_spec(
    config: VlmConfig, *, folder: Path, start: str, annotations: Path, validation: Path | None
) -> dict[str, Any]:
    """The train spec of one training; annotations name videos relative to the workspace."""
    spec = base_spec(config, "train")
    digest = fsio.sha256_file(annotations)[:16]
    values: dict[str, Any] = {
        "results_dir": str(folder),
        "train.output_dir": str(folder / "output"),
        "train.seed": config.seed,
        "train.resume": False,
        "policy.model_name_or_path": start,
        "custom.train_dataset.annotation_path": str(annotations),
        "custom.train_dataset.media_path": config.workspace,
        "train.train_policy.dataset.name": f"bcq_{digest}",
        "train.ckpt.enable_checkpoint": True,
        "train.ckpt.export_safetensors": True,
        "train.ckpt.save_freq_in_epoch": 1,
    }
    if validation is not None:
        values["custom.val_dataset.annotation_path"] = str(validation)
        values["custom.val_dataset.media_path"] = config.workspace
    for key, value in values.items():
        put(spec, key, value)
    policy = get(spec, "train.train_policy", {})
    if get(spec, "train.train_policy.dataloader_num_workers") == 0:
        policy.pop("dataloader_prefetch_factor", None)
    return spec


def embed_model(config: VlmConfig) -> str:
    """The model that embeds: `inference.checkpoint` of the spec, else its `model.pretrained_model_path`.

    Raises:
        InputError: Neither is there, or a folder that the container would not see.
    """
    where = config.embed_spec or "packaged embed.yaml"
    spec = _embed_base(config)
    found = get(spec, "inference.checkpoint") or get(spec, "model.pretrained_model_path")
    if not isinstance(found, str) or not found.strip():
        raise InputError("names no inference.checkpoint", where=where, fix="name the model that embeds")
    path = Path(found)
    if path.is_absolute():
        if not guard.exists(path):
            raise InputError(f"no such model: {found}", where=where, fix="correct inference.checkpoint")
        inside_workspace(Path(config.workspace), path, "inference.checkpoint")
    return found


def write_embed(path: Path, config: VlmConfig, folder: Path, mode: str, values: Sequence[str]) -> Path:
    """Write the spec of one embedding: distinct videos, or distinct questions."""
    spec = _embed_base(config)
    wanted: dict[str, Any] = {
        "results_dir": str(folder),
        "inference.mode": mode,
        "inference.checkpoint": embed_model(config),
        "inference.query.input_texts": list(values) if mode == "text" else [],
        "inference.query.input_videos": list(values) if mode == "video" else [],
    }
    for key, value in wanted.items():
        put(spec, key, value)
    fsio.write_text(path, yaml.safe_dump(spec, sort_keys=False, allow_unicode=True))
    return path


def _embed_base(config: VlmConfig) -> dict[str, Any]:
    if config.embed_spec is not None:
        spec = read_yaml(Path(config.embed_spec))
    else:
        folder = resources.files("tao_skill_bank.tasks.vlm_bcq").joinpath("templates")
        spec = parse_yaml(folder.joinpath("embed.yaml").read_text("utf-8"), "embed.yaml")
    if not isinstance(spec, dict):
        raise InputError("is no mapping", where=config.embed_spec or "embed.yaml", fix="write keys and values")
    return spec


def check_train_spec(spec: dict[str, Any], rows: int, where: str) -> None:
    """Refuse what would train no step, or crash.

    Raises:
        InputError: A batch that is no multiple of the mini batch or larger than a shard of the rows; `nframes`
            beside `fps`.
    """
    batch = get(spec, "train.train_batch_per_replica")
    mini = get(spec, "train.train_policy.mini_batch")
    shards = get(spec, "policy.parallelism.dp_shard_size", 1)
    shards = shards if isinstance(shards, int) and shards > 0 else 1
    if isinstance(batch, int) and isinstance(mini, int) and mini > 0 and batch % mini:
        what = f"train_batch_per_replica {batch} is no multiple of mini_batch {mini}"
        raise InputError(what, where=where, fix="make it one")
    if isinstance(batch, int) and batch > rows // shards:
        what = f"train_batch_per_replica {batch} is more than the {rows // shards} rows of a shard: no step is trained"
        raise InputError(what, where=where, fix="make it smaller, or add rows")
    vision = get(spec, "custom.vision", {})
    if isinstance(vision, dict) and vision.get("nframes") and vision.get("fps"):
        raise InputError("custom.vision has nframes and fps", where=where, fix="keep one of them")


def evaluate_spec(
    config: VlmConfig, *, folder: Path, annotations: Path, model: str, base: str | None
) -> dict[str, Any]:
    """The evaluate spec of one evaluation; `base` is the model below a LoRA adapter."""
    spec = base_spec(config, "evaluate")
    values: dict[str, Any] = {
        "results_dir": str(folder),
        "task.type": "binary",
        "dataset.annotation_path": str(annotations),
        "dataset.media_dir": config.workspace,
        "model.model_name": model,
        "model.enable_lora": base is not None,
        "model.base_model_path": base or "",
        "model.tp_size": max(1, config.num_gpus),
        "evaluation.limit": -1,
        "evaluation.shard_id": 0,
        "evaluation.skip_saved": False,
        "generation.temperature": 0,
    }
    for key, value in values.items():
        put(spec, key, value)
    return spec


def write(path: Path, spec: dict[str, Any]) -> Path:
    """Write a spec of this run."""
    write_toml(path, spec, "Written by the loop: the workspace's spec with the keys of this run.")
    return path
