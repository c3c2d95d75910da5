"""How well wrong labels are found: flips labels of a workspace's KPI set at random and counts what is ranked first.

    python benchmarks/label_noise.py [WORKSPACE]      # a DEFT workspace with images; the demo's where none is named

The pictures are the workspace's; the scores are simulated from the true class, two overlapping beta distributions.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from tao_skill_bank.actions.mining.encoders import get_encoder
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.spec import classify_spec, load_spec
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.demo import make_demo_workspace
from tao_skill_bank.reports.rca.label_noise import SUSPECT, rank_suspects, with_differences

DRAWS = 4
THRESHOLD = 0.45


def main(workspace: Path) -> None:
    """Print, for several numbers of flipped labels, how many are suspected and how many of these were flipped."""
    table = read_pairs(workspace / "kpi" / "testing_set.csv")
    spec = workspace / "specs" / "baseline_spec.yaml"
    settings = classify_spec(load_spec(spec), spec)
    naming = ImageNaming(settings.lights, settings.image_ext)
    root = next(p for p in (workspace / "images", workspace / "kpi" / "images") if p.is_dir())

    def files(folders: list[str]) -> list[Path]:
        return [naming.files(root, f, n)[0] for f, n in zip(folders, table.object_name, strict=True)]

    encoder = get_encoder("auto")
    pictures = encoder.encode(files(table.input_path))
    both = with_differences(pictures, encoder.encode(files(table.golden_path)))
    truth = np.array([label == "PASS" for label in table.label])
    print(f"{len(truth)} samples, {encoder.name}")
    for vectors, name in ((pictures, "picture"), (both, "picture and golden")):
        for flips in (0, 10, 30, 80):
            figures = np.mean([draw(seed, flips, truth, vectors) for seed in range(DRAWS)], axis=0)
            print(f"  {name}, {flips} flipped: {figures[0]:.1f} suspects, {figures[1]:.1f} of them flipped")


def draw(seed: int, flips: int, truth: np.ndarray, vectors: np.ndarray) -> tuple[int, int]:
    """Suspects of one draw, and how many of them were flipped."""
    random = np.random.default_rng(seed)
    passes = truth.copy()
    flipped = set(random.choice(len(truth), flips, replace=False).tolist())
    passes[list(flipped)] = ~passes[list(flipped)]
    scores = np.where(truth, random.beta(2, 6, len(truth)), random.beta(6, 2, len(truth)))
    weak = np.where(passes, scores - THRESHOLD, THRESHOLD - scores)
    suspects = rank_suspects(
        vectors,
        [str(i) for i in range(len(truth))],
        ["PASS" if p else "defect" for p in passes],
        range(len(truth)),
        scores,
        weak,
        (scores > THRESHOLD) == passes,
    )
    first = [int(s.filepath) for s in suspects if s.suspicion >= SUSPECT]
    return len(first), sum(i in flipped for i in first)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", nargs="?", type=Path, help="its KPI set is looked at [the demo's]")
    parser.add_argument("--quick", action="store_true", help="one draw instead of several")
    given = parser.parse_args()
    DRAWS = 1 if given.quick else DRAWS
    with tempfile.TemporaryDirectory() as drawn:
        if given.workspace is None:
            make_demo_workspace(Path(drawn) / "w")
        main(given.workspace or Path(drawn) / "w")
