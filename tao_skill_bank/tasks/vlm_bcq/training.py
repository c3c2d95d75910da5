"""What a training left: one time folder with sound checkpoints, of which the last and the best by validation count."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tao_skill_bank.actions.cosmos_rl.spec import CHECKPOINT, NETWORK
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.core.text import json_objects
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.tasks.vlm_bcq.evaluators import Candidate

_TIME = re.compile(r"\d{14}")
_EPOCH = re.compile(r"epoch_(\d+)")
ADAPTER = "adapter_config.json"
_INDEX = "model.safetensors.index.json"


def candidates(output: Path, status: Path) -> dict[str, str]:
    """Kind → checkpoint of a training: `last`, and `best_val` where another epoch has the least validation loss.

    Raises:
        GateError: Gate `checkpoint`: no or several time folders, no epoch, a shard that is missing or empty.
    """
    times = [p for p in guard.children(output) if _TIME.fullmatch(p.name)] if guard.is_folder(output) else []
    if len(times) != 1:
        what = f"{len(times)} folders of 14 digits, and there must be one"
        raise GateError("checkpoint", what, where=output, fix="see the job's log, and train again")
    epochs: dict[int, Path] = {}
    for folder in guard.children(times[0] / "safetensors") if guard.is_folder(times[0] / "safetensors") else []:
        found = _EPOCH.fullmatch(folder.name)
        if found is not None and guard.is_folder(folder):
            epochs[int(found[1])] = folder
    if not epochs:
        what = "no safetensors/epoch_<N> was left"
        raise GateError("checkpoint", what, where=times[0], fix="see the job's log, and train again")
    last = max(epochs)
    losses = validation_losses(status)
    best = min((e for e in losses if e in epochs), key=lambda e: (losses[e], -e), default=last)
    kept = {"last": epochs[last]} if best == last else {"best_val": epochs[best], "last": epochs[last]}
    for folder in kept.values():
        refuse_unsound(folder)
    return {kind: str(folder) for kind, folder in kept.items()}


def refuse_unsound(folder: Path) -> None:
    """Refuse a model folder that lacks a part.

    Raises:
        GateError: Gate `checkpoint`, naming the part.
    """

    def fault(what: str) -> GateError:
        return GateError("checkpoint", what, where=folder, fix="see the job's log, and train again")

    if guard.is_file(folder / CHECKPOINT):
        if not guard.holds_bytes(folder / CHECKPOINT):
            raise fault(f"{CHECKPOINT} is empty")
        return
    if not guard.is_file(folder / "config.json") and not guard.is_file(folder / ADAPTER):
        raise fault("neither config.json nor adapter_config.json")
    wanted = {"adapter_model.safetensors"} if guard.is_file(folder / ADAPTER) else {"model.safetensors"}
    if guard.is_file(folder / _INDEX):
        try:
            wanted = set(json.loads(guard.read_text(folder / _INDEX))["weight_map"].values())
        except (ValueError, KeyError, AttributeError):
            raise fault(f"{_INDEX} is not readable") from None
    for name in sorted(wanted):
        if not guard.is_file(folder / name) or not guard.holds_bytes(folder / name):
            raise fault(f"{name} is missing or empty")


def validation_losses(status: Path) -> dict[int, float]:
    """Epoch → `val/avg_loss` of a `status.json` of one JSON object a line, as far as it says them."""
    try:
        text = guard.read_text(status, errors="replace")
    except FileNotFoundError:
        return {}
    found: dict[int, float] = {}
    for raw in json_objects(text):
        told: dict[str, Any] = {**raw, **(raw["kpi"] if isinstance(raw.get("kpi"), dict) else {})}
        epoch, loss = told.get("epoch"), told.get("val/avg_loss")
        if isinstance(epoch, int) and isinstance(loss, (int, float)) and not isinstance(loss, bool):
            found[epoch] = float(loss)
    return found


def candidate(kind: str, checkpoint: str, base_model: str | None) -> Candidate:
    """A checkpoint as an evaluation takes it: an adapter names the model below it."""
    adapter = guard.is_file(Path(checkpoint) / ADAPTER)
    return Candidate(kind, checkpoint, base_model if adapter else None)


def trained_by(checkpoint: str, platform: str) -> Trained:
    """Who trained a model that lies in a folder."""
    held = Path(checkpoint) / CHECKPOINT
    if guard.is_file(held):
        return Trained(by="stand-in", network=NETWORK, checkpoint_sha256=fsio.sha256_file(held))
    if guard.is_folder(Path(checkpoint)):
        return Trained(by="tao", network="the VLM that cosmos-rl trained")
    return Trained(by="unknown")
