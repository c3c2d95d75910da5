"""What a workspace says of a run: its inputs by their usual places, what `auto` means there, how long it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.loop.plan import inside_workspace
from tao_skill_bank.platforms import tao_runs
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.taken import now_taken

GPU_ITERATION_MINUTES = 33.0
_GENERATOR_PATHS = ("defect_spec", "checkpoint_dir", "dataset_dir_source", "base_checkpoints")


def discover(workspace: Path) -> dict[str, Any]:
    """What the workspace's layout says: the inputs that are there, by their usual places."""
    older = workspace / "kpi" / "images"
    values: dict[str, Any] = {
        "workspace": str(workspace),
        "specs_file": str(workspace / "specs" / "baseline_spec.yaml"),
        "training_csv": str(workspace / "train" / "base" / "training_set.csv"),
        "validation_csv": str(workspace / "train" / "base" / "validation_set.csv"),
        "kpi_test_csv": str(workspace / "kpi" / "testing_set.csv"),
        "images_dir": str(
            older if not guard.is_folder(workspace / "images") and guard.is_folder(older) else workspace / "images"
        ),
    }
    optional = {
        "acceptance_csv": workspace / "kpi" / "acceptance_set.csv",
        "mining_pool_csv": workspace / "augmentation" / "mining_pool" / "mining_pool.csv",
        "backbone_weight_dir": workspace / "augmentation" / "backbone",
        "pregen_dir": workspace / "augmentation" / "anomalygen",
    }
    for key, path in optional.items():
        present = guard.is_folder(path / "reconstructed_image") if key == "pregen_dir" else guard.exists(path)
        values[key] = str(path) if present else None
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
