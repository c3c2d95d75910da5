"""`cosmos-rl --config TRAIN.toml HOOK` and `cosmos-rl-evaluate --config EVALUATE.toml` on this CPU.

The one trains the stand-in and leaves the files that cosmos-rl leaves, the other says what it answers, in the
evaluator's own form.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tao_skill_bank.actions.console import run_script
from tao_skill_bank.core import fsio, guard


def train() -> None:
    """The command `cosmos-rl`."""
    sys.exit(run_script("cosmos-rl", _train))


def evaluate() -> None:
    """The command `cosmos-rl-evaluate`."""
    sys.exit(run_script("cosmos-rl-evaluate", _evaluate))


def _train() -> int:
    from tao_skill_bank.actions.cosmos_rl import model as models
    from tao_skill_bank.actions.cosmos_rl import spec as specs
    from tao_skill_bank.core.overrides import get

    path, spec = specs.read_spec(sys.argv[1:])
    annotations = Path(specs.text(spec, "custom.train_dataset.annotation_path", path))
    media = Path(specs.text(spec, "custom.train_dataset.media_path", path))
    output = Path(specs.text(spec, "train.output_dir", path))
    rows = specs.read_rows(annotations, media)
    start = Path(specs.text(spec, "policy.model_name_or_path", path))
    held = start / specs.CHECKPOINT
    if guard.is_file(held):
        model = models.tune(models.load(held), rows.phi, rows.words, rows.truth)
    else:
        model = models.fit(rows.phi, rows.words, rows.truth)
    begun = fsio.sha256_file(held) if guard.is_file(held) else None
    name = specs.folder_name(fsio.sha256_file(annotations), begun, get(spec, "train.seed"))
    folder = output / name / "safetensors" / "epoch_1"
    guard.make_folder(folder)
    loss = models.loss(model, rows.phi, rows.words, rows.truth)
    lines: list[dict[str, Any]] = [{"epoch": 1, "train/loss": round(loss, 6)}]
    validation = get(spec, "custom.val_dataset.annotation_path")
    if isinstance(validation, str) and validation:
        held_out = specs.read_rows(Path(validation), Path(specs.text(spec, "custom.val_dataset.media_path", path)))
        val_loss = models.loss(model, held_out.phi, held_out.words, held_out.truth)
        lines[0]["val/avg_loss"] = round(val_loss, 6)
    models.save(model, folder / specs.CHECKPOINT)
    about = {"model_type": "tao_skill_bank_standin", "network": specs.NETWORK, "rows": len(rows)}
    fsio.write_json(folder / specs.CONFIG, about)
    fsio.write_text(output / "status.json", "".join(json.dumps(line) + "\n" for line in lines))
    print(f"{len(rows)} rows, loss {loss:.4f}; {specs.NETWORK}")
    return 0


def _evaluate() -> int:
    import numpy as np

    from tao_skill_bank.actions.cosmos_rl import model as models
    from tao_skill_bank.actions.cosmos_rl import spec as specs

    path, spec = specs.read_spec(sys.argv[1:])
    results = Path(specs.text(spec, "results_dir", path))
    annotations = Path(specs.text(spec, "dataset.annotation_path", path))
    media = Path(specs.text(spec, "dataset.media_dir", path))
    held = Path(specs.text(spec, "model.model_name", path)) / specs.CHECKPOINT
    rows = specs.read_rows(annotations, media)
    if guard.is_file(held):
        scores = models.scores(models.load(held), rows.phi, rows.words)
        said = scores >= 0.5
    else:
        # Nothing was learned: always no, and not sure of it.
        scores, said = np.full(len(rows), 0.5), np.zeros(len(rows), dtype=np.bool_)
    items = [
        {
            "video_id": name,
            "question": question,
            "response": "yes" if yes else "no",
            "gt": "Yes" if truth else "No",
            "full_response": "Yes" if yes else "No",
            "score": round(float(score), 6),
        }
        for name, question, truth, yes, score in zip(rows.ids, rows.questions, rows.truth, said, scores, strict=True)
    ]
    fsio.write_text(results / "results.json", json.dumps(items, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(items)} answers; {specs.NETWORK}")
    return 0
