"""A workspace so small that a whole loop on it takes seconds, and a way to run the loop with the stand-in model."""

from __future__ import annotations

import csv
import hashlib
import io
import random
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml
from PIL import Image

from tao_skill_bank import runs
from tao_skill_bank.loop.request import Request
from tao_skill_bank.platforms import local

FAKE = Path(__file__).with_name("fake_tao.py")
SPEC: dict[str, Any] = {
    "task": "classify",
    "train": {"num_epochs": 2, "classify": {"loss": "ce", "cls_weight": [1.0, 1.0]}},
    "model": {"backbone": {"type": "fan_tiny_8_p4_hybrid"}, "classify": {"difference_module": "learnable"}},
    "dataset": {
        "classify": {
            "image_ext": ".png",
            "input_map": {"SolderLight": 0},
            "num_input": 1,
            "concat_type": "linear",
            "image_width": 32,
            "image_height": 32,
            "batch_size": 4,
            "num_classes": 2,
        }
    },
}
DEFECTS = ("bridge", "missing")


def make_workspace(
    root: Path, *, lights: Sequence[str] = ("SolderLight",), pairs: int = 6, pool: int = 24, acceptance: bool = True
) -> Path:
    """Draw it: training 16, validation 8, KPI 30, acceptance 30, pool and pairs as asked."""
    spec = yaml.safe_load(yaml.safe_dump(SPEC))
    spec["dataset"]["classify"]["input_map"] = {light: n for n, light in enumerate(lights)}
    spec["dataset"]["classify"]["num_input"] = len(lights)
    (root / "specs").mkdir(parents=True)
    (root / "specs" / "baseline_spec.yaml").write_text(yaml.safe_dump(spec))
    _split(root, "train/base/training_set.csv", "tr", 16, lights)
    _split(root, "train/base/validation_set.csv", "va", 8, lights)
    _split(root, "kpi/testing_set.csv", "kp", 30, lights)
    if acceptance:
        _split(root, "kpi/acceptance_set.csv", "ac", 30, lights)
    if pool:
        _split(root, "augmentation/mining_pool/mining_pool.csv", "po", pool, lights)
    for number in range(pairs):
        name = f"PCB+{DEFECTS[number % 2]}_{number:05d}.png"
        for folder in ("reconstructed_image", "original_image"):
            _image(root / "augmentation" / "anomalygen" / folder / name, f"{folder}{number}")
    return root


def _split(root: Path, csv_path: str, prefix: str, rows: int, lights: Sequence[str]) -> None:
    path = root / csv_path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["input_path", "golden_path", "label", "object_name"])
        for number in range(rows):
            label = "PASS" if number % 3 else DEFECTS[number // 3 % 2]
            writer.writerow([f"{prefix}/", f"golden/{prefix}/", label, f"C{number}"])
            for light in lights:
                _image(root / "images" / prefix / f"C{number}_{light}.png", f"{prefix}{number}{light}")
                _image(root / "images" / "golden" / prefix / f"C{number}_{light}.png", f"g{prefix}{number}{light}")


def _image(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_picture(name))


@cache
def _picture(name: str) -> bytes:
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    base = np.full((16, 16, 3), 120, dtype=np.uint8)
    base[4:12, 4:12] += rng.integers(0, 60, (8, 8, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(base).save(encoded, format="PNG")
    return encoded.getvalue()


def fake_model() -> Any:
    """While it lasts (`with`; `start()` in a process of its own), the local platform runs the stand-in for training."""
    real = local.own_argv

    def argv(command: Sequence[str]) -> list[str]:
        return [sys.executable, str(FAKE), *command[1:]] if command[0] == "visual_changenet" else real(command)

    return patch.object(local, "own_argv", argv)


def request(workspace: Path, target: str = "FAR < 1% at recall=99%", iterations: int = 2, **more: Any) -> Request:
    """A request on the tiny workspace."""
    return Request(workspace=workspace, kpi_target=target, max_iterations=iterations, **more)


def approved(wanted: Request) -> Path:
    """The run folder with its plan approved by flag."""
    return runs.open_run(wanted, approve=runs.plan_run(wanted).digest, how="flag")


def snapshot(run: Path) -> dict[str, str]:
    """Relative path → content, but for what two runs of one plan may differ in: times, ids, the run's own name."""
    out: dict[str, str] = {}

    def plain(text: str) -> str:
        return plain_text(text, run)

    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir() or "abandoned" in path.parts or name.startswith(("jobs/", ".deft")) or name.endswith(".lock"):
            continue
        if name.endswith((".html", "_summary.md")):
            continue
        data = path.read_bytes()
        try:
            content = plain(data.decode("utf-8"))
        except UnicodeDecodeError:
            content = _parquet(path, plain) if path.suffix == ".parquet" else hashlib.sha256(data).hexdigest()
        out[plain(name)] = content
    return out


def plain_text(text: str, run: Path) -> str:
    """Text without what two runs of one plan may differ in."""
    text = text.replace(str(run), "RUN").replace(run.name, "RUNNAME")
    # A run that was taken up more often has committed more often.
    text = re.sub(r'"generation": \d+', '"generation": N', text)
    text = re.sub(r'"seal": "[0-9a-f]{64}"', '"seal": "SEAL"', text)
    text = re.sub(r"\d{4}-\d\d-\d\d_\d{6}", "STAMP", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "TIME", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "TIME", text)
    return re.sub(r'"duration_sec": \d+', '"duration_sec": N', text)


def _parquet(path: Path, plain: Any) -> str:
    import pyarrow.parquet as pq

    return plain(str(pq.read_table(path).to_pydict()))


def random_moment(rng: random.Random, longest: float) -> float:
    """Seconds after which to kill."""
    return rng.uniform(0.0, longest)
