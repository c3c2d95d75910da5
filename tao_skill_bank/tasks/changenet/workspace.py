"""What a workspace says of a run: its inputs by their usual places, what `auto` means there, how long it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.data.changenet.layout import Workspace
from tao_skill_bank.loop.plan import inside_workspace
from tao_skill_bank.platforms import tao_runs
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.taken import now_taken

GPU_ITERATION_MINUTES = 33.0
_GENERATOR_PATHS = ("defect_spec", "checkpoint_dir", "dataset_dir_source", "base_checkpoints")


def discover(workspace: Path) -> dict[str, Any]:
    """What the workspace's layout says: the inputs that are there, by their usual places."""
    at = Workspace(workspace)
    values: dict[str, Any] = {
        "workspace": str(workspace),
        "specs_file": str(at.spec),
        "training_csv": str(at.training_csv),
        "validation_csv": str(at.validation_csv),
        "kpi_test_csv": str(at.kpi_csv),
        "images_dir": str(at.images_dir or workspace / "images"),
        "pregen_dir": str(at.pairs_ng.parent) if guard.is_folder(at.pairs_ng) else None,
    }
    optional = {
        "acceptance_csv": at.acceptance_csv,
        "mining_pool_csv": at.pool_csv,
        "backbone_weight_dir": at.backbone_dir,
    }
    values |= {key: str(path) if guard.exists(path) else None for key, path in optional.items()}
    values["corrections"] = now_taken(workspace).model_dump()
    return values


def minutes_per_iteration(config: RunConfig) -> float:
    """The estimate an iteration is planned with.

    A GPU iteration of TAO's took 33 minutes on the reference data; a rehearsal on a CPU is far shorter and grows with
    the rows it handles (about 20 ms a training row and epoch-equivalent, 2 ms a scored row).
    """
    if tao_runs(config, "visual_changenet") is not False:
        return GPU_ITERATION_MINUTES
    rows = sum(_line_count(Path(p)) for p in (config.training_csv, config.kpi_test_csv, config.mining_pool_csv) if p)
    return max(0.1, round(rows * 0.0002 + 0.15, 2))


def _line_count(path: Path) -> int:
    try:
        with guard.open_read(path) as handle:
            return sum(block.count(b"\n") for block in iter(lambda: handle.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def settled(config: RunConfig) -> RunConfig:
    """`auto` becomes pre-generated pairs where there are some, else the local stand-in; paths become absolute."""
    if config.anomalygen.mode != "auto":
        named = {key: getattr(config.anomalygen, key) for key in _GENERATOR_PATHS}
        workspace = Path(config.workspace)
        paths = {
            key: str(inside_workspace(workspace, Path(path), f"anomalygen.{key}"))
            for key, path in named.items()
            if path
        }
        return _with_generator(config, paths)
    mode = "pregen_ingest" if config.pregen_dir is not None else "local_standin"
    return _with_generator(config, {"mode": mode})


def _with_generator(config: RunConfig, update: dict[str, Any]) -> RunConfig:
    return config.model_copy(update={"anomalygen": config.anomalygen.model_copy(update=update)})
