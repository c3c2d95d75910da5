"""Encoders: from image files to vectors of length 1.

`local` is the built-in descriptor and always there. `SigLIP` and `CLIP` are the models TAO data services mines with,
through transformers, when the extra `siglip` is installed and the weights are on disk: nothing is ever downloaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from tao_skill_bank.core import guard, roots
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.fsio import sha256_file
from tao_skill_bank.core.threads import ThreadPool
from tao_skill_bank.data.pictures.decode import ImageError, bomb_warnings_as_errors, load_rgb

AUTO: Final = "auto"
LOCAL: Final = "local"
MODELS: Final = (AUTO, LOCAL, "SigLIP", "CLIP")
DEFAULT_PATHS: Final = {"SigLIP": "google/siglip-base-patch16-224", "CLIP": "openai/clip-vit-base-patch32"}

_WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
_MAX_THREADS: Final = 4
_EXTRA: Final = "install the extra with pip install '.[siglip]' in the tao-skill-bank folder, or set model=local"

Vectors = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True)
class Encoder:
    """Turns image files into vectors.

    Attributes:
        name: Which encoder: `local-descriptor`, `SigLIP google/siglip-base-patch16-224`, …
        version: Changes whenever its vectors would: vectors of different versions are never compared.
        dim: Numbers a vector.
        encode: Paths to float32 [n, dim], every row of length 1, in the order of the paths. The first file (by
            position) that cannot be read raises `ImageError`.
    """

    name: str
    version: str
    dim: int
    encode: Callable[[Sequence[Path]], Vectors]


def get_encoder(name: str = AUTO, *, model_path: str = "", batch_size: int = 64) -> Encoder:
    """An encoder by name.

    Args:
        name: `local`, `SigLIP`, `CLIP` (in any case), or `auto`: SigLIP where it can run without a download,
            otherwise `local`.
        model_path: A folder with a Hugging Face model, or a model's name that is looked up in the Hugging Face
            cache; empty for the usual model of that name.
        batch_size: Images a learned encoder takes at once.

    Raises:
        InputError: An unknown name, weights that are not on disk, or transformers missing.
    """
    known = {m.lower(): m for m in MODELS}
    model = known.get(name.strip().lower())
    if model is None:
        raise InputError(f"unknown model {name!r}", where="model", fix=did_you_mean(name, MODELS))
    if model == AUTO:
        model = "SigLIP" if learned_encoder_ready("SigLIP", model_path) else LOCAL
    if model == LOCAL:
        return _local()
    path = model_path or DEFAULT_PATHS[model]
    return _learned(model, path, find_weights(path), batch_size)


def learned_encoder_ready(model: str = "SigLIP", model_path: str = "") -> bool:
    """Whether that model can run here without a download: transformers installed and the weights on disk."""
    if not all(importlib.util.find_spec(module) for module in ("torch", "transformers")):
        return False
    try:
        find_weights(model_path or DEFAULT_PATHS[model])
    except InputError:
        return False
    return True


def find_weights(model_path: str) -> Path:
    """The folder on disk that holds a model's weights and its config.json.

    Args:
        model_path: A folder, or a Hugging Face name (`google/siglip-base-patch16-224`) to look up in the cache that
            HF_HUB_CACHE or HF_HOME name (else `~/.cache/huggingface/hub`).

    Raises:
        InputError: Nothing there; a TAO checkpoint (`.pth`, `.ckpt`), which only the TAO container can read.
    """
    folder = Path(model_path).expanduser()
    if folder.suffix.lower() in (".pth", ".ckpt"):
        raise InputError(
            f"{folder.name} is a TAO checkpoint, which only TAO data services can load",
            where="model_path",
            fix="run this command in the TAO container, or name a Hugging Face model folder",
        )
    if _holds_weights(folder):
        return folder
    if not guard.is_folder(folder) and model_path.count("/") == 1:
        cached = _hub_cache() / f"models--{model_path.replace('/', '--')}"
        ref = cached / "refs" / "main"
        with roots.own_files():
            names = [guard.read_text(ref).strip()] if guard.is_file(ref) else []
            for snapshot in [cached / "snapshots" / name for name in names]:
                if _holds_weights(snapshot):
                    return snapshot
    raise InputError(
        f"no model weights on disk for {model_path!r}",
        where="model_path",
        fix=f"download them first (hf download {model_path}), or set model=local",
    )


def _local() -> Encoder:
    from tao_skill_bank.actions.mining import descriptor

    side = (descriptor.SIDE, descriptor.SIDE)

    def one(path: Path) -> Vectors:
        return descriptor.describe(np.asarray(load_rgb(path, side)))

    def encode(paths: Sequence[Path]) -> Vectors:
        # Each vector depends on its own file alone, so the number of threads cannot change it.
        rows = _in_order(one, paths)
        return np.stack(rows) if rows else np.empty((0, descriptor.dimension()), dtype=np.float32)

    return Encoder(descriptor.NAME, descriptor.VERSION, descriptor.dimension(), encode)


def _learned(model: str, name: str, folder: Path, batch_size: int) -> Encoder:
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, not {batch_size}", where="batch_size", fix="use 64")
    try:
        import torch
        from transformers import AutoImageProcessor, AutoModel
    except ImportError:
        raise InputError(f"model {model} needs torch and transformers", where="model", fix=_EXTRA) from None
    # Before the library opens the files by their names: none of them may lead out of the roots.
    version = _weights_version(folder)
    try:
        network: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        processor: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot load the model: {_first_line(error)}", where=folder, fix="fix the folder") from None
    if not hasattr(network, "get_image_features"):
        raise InputError(f"{name} has no image encoder", where="model_path", fix="name a CLIP or SigLIP model")

    def encode(paths: Sequence[Path]) -> Vectors:
        parts = []
        for start in range(0, len(paths), batch_size):
            images = _in_order(load_rgb, paths[start : start + batch_size])
            inputs = processor(images=images, return_tensors="pt")
            with torch.inference_mode():
                features = network.get_image_features(**inputs)
            # Newer releases of transformers wrap the vectors in an output object.
            tensor = getattr(features, "pooler_output", features)
            parts.append(_unit(tensor.float().cpu().numpy()))
        return np.concatenate(parts) if parts else np.empty((0, dim), dtype=np.float32)

    dim = int(getattr(network.config, "projection_dim", 0) or network.config.vision_config.hidden_size)
    return Encoder(f"{model} {name}", version, dim, encode)


def _in_order(work: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    """`work` of every path on a few threads; the first failure in the order of the paths is the one raised."""
    threads = min(_MAX_THREADS, os.cpu_count() or 1, len(paths))
    with bomb_warnings_as_errors():
        if threads <= 1:
            return [work(path) for path in paths]
        with ThreadPool(threads) as pool:
            jobs = [pool.submit(work, path) for path in paths]
            try:
                return [job.result() for job in jobs]
            except ImageError:
                pool.shutdown(cancel_futures=True)
                raise


def _unit(rows: NDArray[Any]) -> Vectors:
    wide = rows.astype(np.float64)
    length = np.sqrt(np.add.reduce(wide * wide, axis=1, keepdims=True))
    unit: Vectors = (wide / np.where(length > 0, length, 1.0)).astype(np.float32)
    return unit


def _holds_weights(folder: Path) -> bool:
    return guard.is_file(folder / "config.json") and any(guard.is_file(folder / name) for name in _WEIGHTS)


def _weights_version(folder: Path) -> str:
    """A fingerprint of the model's files, so the same weights in two places count as the same encoder."""
    files = {"config.json", "preprocessor_config.json"}
    with roots.own_files() if _hub_cache() in folder.parents else contextlib.nullcontext():
        files |= {path.name for pattern in ("*.safetensors", "*.bin") for path in guard.matching(folder, pattern)}
        lines = [f"{name} {sha256_file(folder / name)}" for name in sorted(files) if guard.is_file(folder / name)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _hub_cache() -> Path:
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(home).expanduser() / "hub"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
