"""How far a stage is while it runs: a training's epoch and loss by its `status.json`, a mining's images by its log."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from tao_skill_bank.core.text import lines_of

_EPOCH = re.compile(r"Training loop in progress, epoch (\d+)")
_EMBEDDED = re.compile(r"^(\d+) of (\d+) images embedded$", re.MULTILINE)
_LOSSES = ("train_loss", "val_loss")


def training_progress(train_dir: Path) -> str | None:
    """`epoch 3 of 6, train_loss 0.412, val_loss 0.533`: the last that was said of each; None before anything was.

    Args:
        train_dir: The training's folder, with its `status.json` (JSON lines, the last perhaps half written) and its
            resolved spec `experiment.yaml`.
    """
    from tao_skill_bank.platforms.base import tail_of

    epoch: int | None = None
    most: Any = None
    losses: dict[str, float] = {}
    for line in lines_of(tail_of(train_dir / "status.json", 400)):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict):
            continue
        said = _EPOCH.match(str(value.get("message", "")))
        number = value.get("epoch", int(said[1]) if said else None)
        epoch = number if _whole(number) else epoch
        most = value["max_epoch"] if _whole(value.get("max_epoch")) else most
        kpi = value.get("kpi")
        for name in _LOSSES:
            figure = kpi.get(name) if isinstance(kpi, dict) else None
            if isinstance(figure, (int, float)) and not isinstance(figure, bool) and math.isfinite(figure):
                losses[name] = float(figure)
    if epoch is None and not losses:
        return None
    parts = [] if epoch is None else [f"epoch {epoch + 1}{_of(train_dir, most)}"]
    return ", ".join([*parts, *(f"{name} {losses[name]:.4g}" for name in _LOSSES if name in losses)])


def mining_progress(results_dir: Path) -> str | None:
    """`embed_source: 4096 of 100000 images`: what the job at work last said; None before it said anything.

    Args:
        results_dir: The run folder.
    """
    from tao_skill_bank.platforms.base import jobs_dir, read_exit, read_records, tail_of

    at_work = [record for record in read_records(results_dir) if read_exit(record) is None]
    if not at_work:
        return None
    said = _EMBEDDED.findall(tail_of(jobs_dir(results_dir) / f"{at_work[-1].uid}.log", 50))
    step = at_work[-1].key.rpartition(".")[2]
    return f"{step}: {said[-1][0]} of {said[-1][1]} images" if said else step


def _of(train_dir: Path, most: int | None) -> str:
    if most is None:
        from tao_skill_bank.core.errors import BankError
        from tao_skill_bank.core.overrides import load_yaml_mapping

        try:
            train = load_yaml_mapping(train_dir / "experiment.yaml").get("train")
        except (BankError, OSError):
            return ""
        most = train.get("num_epochs") if isinstance(train, dict) else None
    return f" of {most}" if _whole(most) and most else ""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
