"""What a workspace says of a run: its inputs by their usual places, who evaluates and trains there."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.fsio import canonical_json, sha256_text
from tao_skill_bank.data.bcq.clips import content_of
from tao_skill_bank.data.bcq.records import RecordSet, read_set
from tao_skill_bank.loop.plan import inside_workspace
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.platforms import platform_class
from tao_skill_bank.tasks.taken import now_taken
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig
from tao_skill_bank.tasks.vlm_bcq.labels import corrected

SETS = ("kpi", "acceptance", "base", "val", "pool")
GPU_ITERATION_MINUTES = 90.0


def discover(workspace: Path) -> dict[str, Any]:
    """The inputs that are there, by their usual places."""
    places = {
        **{name: workspace / name / "annotations.json" for name in SETS},
        "predictions": workspace / "kpi" / "predictions.json",
        "train_spec": workspace / "specs" / "train.toml",
        "evaluate_spec": workspace / "specs" / "evaluate.toml",
        "embed_spec": workspace / "specs" / "embed.yaml",
    }
    folders = {"pool_videos": workspace / "pool_videos", "model": workspace / "model" / "base"}
    values: dict[str, Any] = {"workspace": str(workspace), "kpi": str(places.pop("kpi"))}
    values |= {key: str(path) if guard.is_file(path) else None for key, path in places.items()}
    values |= {key: str(path) if guard.is_folder(path) else None for key, path in folders.items()}
    ready = {name: workspace / "embeddings" / f"{name}.parquet" for name in ("kpi", "pool", "pool_videos")}
    values["embeddings"] = {name: str(path) if guard.is_file(path) else None for name, path in ready.items()}
    values["corrections"] = now_taken(workspace).model_dump()
    return values


def settled(config: VlmConfig) -> VlmConfig:
    """What `auto` means in this workspace; paths absolute and inside it.

    Raises:
        InputError: A path outside, an evaluator or trainer that cannot be had here, a pool that is not there.
    """
    root = Path(config.workspace)
    own = not platform_class(config.platform).asks
    by = config.evaluate.by
    if by == "auto":
        by = "endpoint" if config.evaluate.endpoint.base_url else "standin" if own else "cosmos_rl"
    trained = config.train.by
    if trained == "auto":
        trained = {"standin": "standin", "cosmos_rl": "cosmos_rl"}.get(by, "external")  # type: ignore[assignment]
    if by == "standin" and not own:
        raise InputError("the stand-in runs on this machine only", where="evaluate.by", fix="leave --platform away")
    if by == "cosmos_rl" and own:
        raise InputError("cosmos-rl needs a GPU platform", where="evaluate.by", fix="give --platform docker or slurm")
    endpoint, teacher = config.evaluate.endpoint, config.annotate
    if by == "endpoint" and not (endpoint.base_url and endpoint.model_name):
        raise InputError("names no server and model", where="evaluate.endpoint", fix="set base_url and model_name")
    if teacher.on and not (teacher.base_url and teacher.model_name):
        raise InputError("names no server and model", where="annotate", fix="set annotate.base_url and model_name")
    if config.pool is None and config.pool_videos is None:
        raise InputError("neither pool/annotations.json nor pool_videos/ is there", where=root, fix="put one there")
    named = {
        label: str(inside_workspace(root, Path(path), f"evaluate.predictions.{label}"))
        for label, path in config.evaluate.predictions.items()
    }
    if by == "file" and BASELINE not in named and config.predictions is None:
        raise InputError(
            "no file is named", where="evaluate.predictions.baseline", fix="name one, or kpi/predictions.json"
        )
    encoder = config.mining.encoder
    if encoder == "auto":
        made = config.embeddings
        ready = made.kpi is not None and made.pool is not None
        embeds = ready or (by == "cosmos_rl" and config.embed_spec is not None)
        encoder = "cosmos_embed" if embeds else "frames"
    embeddings = {
        name: None if path is None else str(inside_workspace(root, Path(path), f"embeddings.{name}"))
        for name, path in config.embeddings.model_dump().items()
    }
    if teacher.review == "done":
        # What a person refused when they looked stands from now on, like everything that a plan was approved with.
        teacher = teacher.model_copy(update={"review": "none", "reviewed": now_taken(root)})
    return config.model_copy(
        update={
            "annotate": teacher,
            "evaluate": config.evaluate.model_copy(update={"by": by, "predictions": named}),
            "train": config.train.model_copy(update={"by": trained}),
            "mining": config.mining.model_copy(update={"encoder": encoder}),
            "embeddings": config.embeddings.model_copy(update=embeddings),
        }
    )


def contents(config: VlmConfig) -> dict[str, Path]:
    """Annotations, specs, every evaluation that is imported, ready-made vectors, and the prices that limits go by."""
    named = {"evaluate.prices": config.evaluate.prices}
    named |= {f"embeddings.{name}": path for name, path in config.embeddings.model_dump().items()}
    found = config.contents() | {key: Path(path) for key, path in named.items() if path is not None}
    found |= {f"evaluate.predictions.{label}": path for label, path in config.evaluation_files().items()}
    return found


def seals(config: VlmConfig) -> dict[str, str]:
    """The videos that a served model is asked about, by their bytes: what leaves this machine is what was approved."""
    found: dict[str, str] = {}
    for name in ("kpi", "acceptance") if config.evaluate.by == "endpoint" else ():
        # What cannot be read is named by the pre-flight, with all other faults.
        with suppress(BankError, OSError):
            held = as_filed(config, name)
            shown = sorted({str(r.path): content_of(r.path) for r in held.records}.values()) if held else []
            found[f"{name} videos"] = sha256_text(canonical_json(shown))
    return found


def minutes(config: VlmConfig) -> float:
    """A guess, before anything was measured: a stand-in's iteration is a matter of seconds."""
    return 0.5 if config.evaluate.by == "standin" and config.train.by == "standin" else GPU_ITERATION_MINUTES


def read(config: VlmConfig, name: str) -> RecordSet | None:
    """One of the run's sets with the run's corrections, None where the workspace has none.

    Raises:
        InputErrors: Its faults, by row.
        InputError: The corrections are not what they were when the run was planned.
    """
    held = as_filed(config, name)
    return None if held is None else corrected(config, held)


def as_filed(config: VlmConfig, name: str) -> RecordSet | None:
    """A set as its file has it; read once a process while the file does not change. Raises as `read`."""
    named = getattr(config, name)
    if named is None:
        return None
    path = Path(named)
    found = guard.status(path)
    stamp = None if found is None else (found.st_size, found.st_mtime_ns)
    return _read(name, path, Path(config.workspace), stamp)


def need(config: VlmConfig, name: str) -> RecordSet:
    """One of the run's sets, which must be there.

    Raises:
        InputError: It is not.
    """
    found = read(config, name)
    if found is None:
        raise InputError(f"{name}/annotations.json is missing", where=config.workspace, fix="put it there")
    return found


@lru_cache(maxsize=32)
def _read(name: str, path: Path, workspace: Path, stamp: tuple[int, int] | None) -> RecordSet:
    return read_set(name, path, workspace, strict=name != "pool", measured=name in ("kpi", "acceptance"))
