"""A stand-in for `visual_changenet` in tests of the loop: no learning, milliseconds, the same files.

A checkpoint is a small JSON file that knows how many rows it was trained on; a row's score is a hash of its name,
pushed apart from the other class the further the more rows there were. Deterministic, so that two runs can be compared.
It waits for whoever has locked the file that FAKE_TAO_GATE names.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from tao_skill_bank.core.overrides import parse_override, split_arguments


def _rows(dataset: dict[str, str]) -> tuple[list[str], list[dict[str, str]]]:
    with open(dataset["csv_path"], newline="") as handle:
        reader = csv.DictReader(handle)
        return list(reader.fieldnames or []), list(reader)


def _settings(args: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    path, overrides, _ = split_arguments(args)
    assert path is not None
    return yaml.safe_load(path.read_text()), dict(parse_override(text) for text in overrides)


def train(args: list[str]) -> None:
    spec, overrides = _settings(args)
    _, rows = _rows(spec["dataset"]["classify"]["train_dataset"])
    out = Path(overrides["results_dir"]) / "train"
    out.mkdir(parents=True, exist_ok=True)
    if list(out.glob("*.pth")):
        sys.exit("there are checkpoints already")
    for epoch in range(spec["train"]["num_epochs"]):
        state = {"rows": len(rows), "epoch": epoch, "from": bool(overrides.get("train.pretrained_model_path"))}
        (out / f"model_epoch_{epoch:03d}_step_{epoch * 5:05d}.pth").write_text(json.dumps(state))
        with (out / "status.json").open("a") as log:
            line = {"message": "Eval metrics generated.", "kpi": {"val_loss": 0.5 + epoch / 10}}
            log.write(json.dumps(line) + "\n")
            log.write(json.dumps({"epoch": epoch, "message": "Training loop in progress", "kpi": line["kpi"]}) + "\n")


def inference(args: list[str]) -> None:
    spec, overrides = _settings(args)
    names, rows = _rows(spec["dataset"]["classify"]["infer_dataset"])
    state = json.loads(Path(overrides["inference.checkpoint"]).read_text())
    out = Path(overrides["inference.results_dir"])
    out.mkdir(parents=True, exist_ok=True)
    spread = max(0.05, 0.9 - state["rows"] / 400)
    with (out / "inference.csv").open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow([*names, "siamese_score"])
        for row in rows:
            key = f"{row['input_path']}/{row['object_name']}/{state['epoch']}"
            noise = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
            middle = 0.3 if row["label"] == "PASS" else 0.7
            writer.writerow([*row.values(), repr(middle + (noise - 0.5) * spread)])


def wait_at_the_gate() -> None:
    gate = os.environ.get("FAKE_TAO_GATE")
    if gate is not None:
        with open(gate) as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)


if __name__ == "__main__":
    wait_at_the_gate()
    {"train": train, "inference": inference}[sys.argv[1]](sys.argv[2:])
