"""`cosmos-rl-evaluate --config EVALUATE.toml` on this CPU: what the stand-in answers, in the evaluator's own form."""

from __future__ import annotations

import sys
from pathlib import Path

from tao_skill_bank.actions.console import run_script
from tao_skill_bank.core import fsio, guard


def main() -> None:
    """The command."""
    sys.exit(run_script("cosmos-rl-evaluate", _main))


def _main() -> int:
    import json

    import numpy as np

    from tao_skill_bank.actions.cosmos_rl import model as models
    from tao_skill_bank.actions.cosmos_rl import spec as specs

    path = specs.config_of(sys.argv[1:])
    spec = specs.read_spec(path)
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


if __name__ == "__main__":
    main()
