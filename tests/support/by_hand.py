"""One stage at a time of a run: what came before it is written by hand, and training jobs end at once."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tao_skill_bank.actions.visual_changenet import checkpoint
from tao_skill_bank.data.changenet.tables import REQUIRED_COLUMNS, read_pairs
from tao_skill_bank.loop.run import Run
from tao_skill_bank.loop.state import Attempt
from tao_skill_bank.tasks.changenet.task import TASK


class Trainings(Run):  # type: ignore[type-arg]
    """A run whose training jobs end at once and leave the checkpoints of these epochs, the last one the bank's own."""

    epochs: Sequence[int] = (1,)
    command: Sequence[str] = ()
    key: str = ""

    def job(self, label: str, stage: str, name: str, command: Sequence[str], outputs: Sequence[Path]) -> None:
        """Leave the checkpoints, and what is none: a file of another name, a folder of such a name."""
        self.command, self.key = command, f"{label}.{stage}.{name}"
        outputs[0].mkdir(parents=True)
        (outputs[0] / "other.pth").write_bytes(b"x")
        (outputs[0] / "model_epoch_900_step_00900.pth").mkdir()
        for n, epoch in enumerate(self.epochs, 1):
            own = checkpoint.MAGIC if n == len(self.epochs) else b"x"
            (outputs[0] / f"model_epoch_{epoch:03d}_step_{n:05d}.pth").write_bytes(own)


def work(run: Trainings, label: str, stage: str) -> Any:
    run.state.iteration(label).attempt = Attempt.model_validate(
        {"stage": stage, "n": 1, "timestamp": "2026-01-01_000000", "started_at": "2026-01-01T00:00:00.000000Z"}
    )
    TASK.stages[stage].check_needs(run, label)
    return TASK.stages[stage].work(run, label)


def write(path: Path, rows: Sequence[Sequence[str]], names: Sequence[str] = REQUIRED_COLUMNS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows([names, *rows])
    return path


def new_rows(run: Trainings, label: str, mined: Sequence[int] = (0, 1, 2), synthetic: Sequence[int] = (3,)) -> None:
    """Rows of the pool as if they had been mined, and as if they had been made."""
    pool = read_pairs(run.workspace / "augmentation/mining_pool/mining_pool.csv")
    for name, rows in (("mining_pool", mined), ("sdg_rows", synthetic)):
        cells = [
            ["images/" + pool.input_path[i], "images/" + pool.golden_path[i], pool.label[i], pool.object_name[i]]
            for i in rows
        ]
        write(run.root / label / "mining_filter" / f"{name}.csv", cells)
