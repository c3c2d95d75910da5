"""The demo workspace: drawn circuit boards under two lightings, laid out as a customer's workspace is.

The story it tells: a plant trained on one line's easy boards. Its training set knows few defect kinds, all of them
plain, and only clean captures. The KPI and acceptance sets hold what production really sends: a second line with a
warmer, dimmer lamp, flux and dust on good boards, other lot markings, and subtle defects of every kind. The mining
pool holds labelled samples of the same production, and there are ready-made defect pairs of the kinds that training
lacks. So a loop that looks at its weak samples finds something to improve. Everything is drawn by `demo_board`.

Run it: `python -m tao_skill_bank.demo FOLDER [--seed N]`.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import BankError, InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tao_skill_bank.demo_board import Capture, Part

IMAGE_EXT = ".png"
_DESIGNS = (("AX12", "green", "12R"), ("BK30", "blue", "30R"))
_SPEC = """\
# Visual ChangeNet for the demo boards: a learnable classifier on a FAN backbone, which takes the tall picture that two
# square lightings make (C-RADIO takes squares only) and is small enough for a real TAO on a CPU.
task: classify
train:
  num_epochs: 6
  checkpoint_interval: 1
  validation_interval: 1
  seed: 1234
  classify: {loss: ce, cls_weight: [1.0, 10.0]}
  optim: {lr: 0.00001, optim: adamw, policy: linear}
model:
  backbone: {type: fan_tiny_8_p4_hybrid, pretrained_backbone_path: null, freeze_backbone: false}
  classify: {difference_module: learnable, learnable_difference_modules: 4, embed_dec: 30, eval_margin: 0.3}
  decode_head: {feature_strides: [4, 8, 16, 32]}
dataset:
  classify:
    train_dataset: {csv_path: "", images_dir: ""}
    validation_dataset: {csv_path: "", images_dir: ""}
    image_ext: .png
    batch_size: 16
    workers: 0
    num_input: 2
    input_map: {SolderLight: 0, WhiteLight: 1}
    concat_type: linear
    grid_map: {x: 2, y: 1}
    image_width: 64
    image_height: 64
    num_classes: 2
"""


@dataclass(frozen=True)
class _Split:
    """One CSV: how many good rows, how many of each defect, from which line, and how hard the rows are."""

    path: str
    good: int
    defects: tuple[tuple[str, int], ...]
    second_line: float  # share of captures from line 2
    dirt: float  # share of captures with flux, dust or another lot marking
    severity: tuple[float, float]


_PRODUCTION = (
    ("missing", 9),
    ("bridge", 11),
    ("shift", 11),
    ("excess_solder", 11),
    ("insufficient_solder", 9),
    ("tombstone", 7),
    ("scratch", 7),
)
_POOL = (
    ("missing", 10),
    ("bridge", 18),
    ("shift", 18),
    ("excess_solder", 18),
    ("insufficient_solder", 16),
    ("tombstone", 12),
    ("scratch", 18),
)
_SPLITS = (
    _Split("train/base/training_set.csv", 92, (("missing", 14), ("shift", 8), ("bridge", 5), ("tombstone", 3)),
           0.10, 0.08, (0.45, 1.0)),
    _Split("train/base/validation_set.csv", 42, (("missing", 6), ("shift", 5), ("bridge", 4), ("tombstone", 3)),
           0.25, 0.20, (0.35, 1.0)),
    _Split("kpi/testing_set.csv", 230, _PRODUCTION, 0.45, 0.40, (0.12, 1.0)),
    _Split("kpi/acceptance_set.csv", 230, _PRODUCTION, 0.45, 0.40, (0.12, 1.0)),
    _Split("augmentation/mining_pool/mining_pool.csv", 250, _POOL, 0.50, 0.45, (0.10, 1.0)),
)  # fmt: skip
_PAIRS = (("bridge", 10), ("excess_solder", 12), ("missing", 6), ("insufficient_solder", 12))
_ROWS_A_BOARD = 8


def make_demo_workspace(folder: Path, seed: int = 7) -> Path:
    """Draw a complete workspace into `folder`, which must be new or empty.

    The same seed gives the same bytes in every file. Images are 64 x 64 PNGs, one a lighting.

    Returns:
        `folder`.

    Raises:
        InputError: `folder` holds something already, is a file, or cannot be written; the seed is negative.
    """
    import numpy as np

    if seed < 0:
        raise InputError(f"seed is negative: {seed}", where="--seed", fix="give 0 or more")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError("not an empty folder", where=folder, fix="name a new folder for the demo workspace")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", where=folder, fix="name a folder you can write") from None

    rng = np.random.default_rng([seed, 2024])
    parts = {design: _parts(design, mask, number) for number, (design, mask, _) in enumerate(_DESIGNS)}
    _write_goldens(folder / "images", parts)
    board_number = 0
    for split in _SPLITS:
        board_number = _write_split(folder, split, parts, rng, board_number)
    _write_pairs(folder / "augmentation" / "anomalygen", parts, rng)
    fsio.write_text(folder / "specs" / "baseline_spec.yaml", _SPEC)
    return folder


def _parts(design: str, mask: str, number: int) -> list[Part]:
    """The places of one board design: fourteen passives and chips, the same for every seed."""
    import numpy as np

    from tao_skill_bank.demo_board import Part

    rng = np.random.default_rng([number, 5])
    sizes = {"R": (27.0, 16.0), "C": (27.0, 16.0), "D": (26.0, 14.0), "U": (34.0, 22.0)}
    parts = []
    for kind, count in (("R", 8), ("C", 7), ("D", 3), ("U", 4)):
        for i in range(count):
            length, width = sizes[kind]
            grow = float(rng.uniform(0.92, 1.06))
            marking = {"R": ("103", "472", "221", "100"), "U": ("AX12", "L072", "CD40", "U317")}.get(kind, ("",))
            parts.append(
                Part(
                    kind=kind,
                    name=f"{kind}{i + 1 + 20 * number}",
                    mask=mask,
                    turned=bool(rng.random() < 0.45),
                    length=length * grow,
                    width=width * grow,
                    marking=str(marking[i % len(marking)]),
                    seed=1000 * (number + 1) + 10 * ord(kind) + i,
                )
            )
    return parts


def _save(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    """Write a PNG without metadata. The workspace is new, so a plain write is enough and a hundred times faster."""
    from PIL import Image

    Image.fromarray(pixels).save(path, format="PNG", compress_level=1)


def _write_goldens(images: Path, parts: dict[str, list[Part]]) -> None:
    from tao_skill_bank.demo_board import LIGHTS, Capture, draw

    for design, places in parts.items():
        folder = images / "golden" / design
        folder.mkdir(parents=True, exist_ok=True)
        for part in places:
            for light, pixels in zip(LIGHTS, draw(part, Capture(noise=1.2, seed=1)), strict=True):
                _save(pixels, folder / f"{part.name}_{light}{IMAGE_EXT}")


def _capture(split: _Split, second_line: bool, rng: np.random.Generator) -> Capture:
    """How one sample of the split was photographed."""
    from tao_skill_bank.demo_board import Capture

    capture = Capture(
        dx=float(rng.normal(0, 0.5)),
        dy=float(rng.normal(0, 0.5)),
        turn=float(rng.normal(0, 0.008)),
        gain=float(rng.uniform(0.95, 1.06)),
        noise=float(rng.uniform(1.8, 3.2)),
        fillet=float(rng.uniform(0.95, 1.06)),
        seed=int(rng.integers(1 << 30)),
    )
    if second_line:
        capture = replace(
            capture,
            gain=float(rng.uniform(0.74, 0.9)),
            warmth=float(rng.uniform(0.05, 0.11)),
            noise=float(rng.uniform(3.0, 5.0)),
            haze=float(rng.uniform(0.02, 0.08)),
            dx=float(rng.normal(0.5, 0.6)),
            dy=float(rng.normal(-0.4, 0.6)),
        )
    if rng.random() < split.dirt:
        choice = int(rng.integers(3))
        if choice == 0:
            capture = replace(capture, flux=float(rng.uniform(0.5, 1.0)))
        elif choice == 1:
            capture = replace(capture, specks=int(rng.integers(1, 4)))
        else:
            capture = replace(capture, fillet=float(rng.choice([0.9, 1.14])))
    return capture


def _write_split(
    folder: Path, split: _Split, parts: dict[str, list[Part]], rng: np.random.Generator, board_number: int
) -> int:
    """Draw one CSV's boards and write it; returns the next free board number, so that no board is in two splits."""
    from tao_skill_bank.demo_board import LIGHTS, Defect, draw

    labels = ["PASS"] * split.good + [kind for kind, count in split.defects for _ in range(count)]
    rows: list[list[str]] = []
    order = [labels[i] for i in rng.permutation(len(labels))]
    for start in range(0, len(order), _ROWS_A_BOARD):
        second_line = bool(rng.random() < split.second_line)
        design = _DESIGNS[int(rng.integers(len(_DESIGNS)))][0]
        number = f"{board_number:05d}"
        board = f"{'line2' if second_line else 'line1'}/{design}/{number}/"
        board_number += 1
        target = folder / "images" / board
        target.mkdir(parents=True, exist_ok=True)
        places = [parts[design][i] for i in rng.permutation(len(parts[design]))]
        for label in order[start : start + _ROWS_A_BOARD]:
            part = next(p for p in places if label != "tombstone" or p.kind != "U")
            places.remove(part)
            defect = None
            if label != "PASS":
                defect = Defect(label, float(rng.uniform(*split.severity)), int(rng.integers(1 << 30)))
            for light, pixels in zip(LIGHTS, draw(part, _capture(split, second_line, rng), defect), strict=True):
                _save(pixels, target / f"{part.name}_{light}{IMAGE_EXT}")
            rows.append([board, f"golden/{design}/", label, part.name, number])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["input_path", "golden_path", "label", "object_name", "board"])
    writer.writerows(rows)
    fsio.write_text(folder / split.path, text.getvalue())
    return board_number


def _write_pairs(root: Path, parts: dict[str, list[Part]], rng: np.random.Generator) -> None:
    """Ready-made NG/OK pairs, as a defect generator leaves them: same capture, one with the defect painted in."""
    from tao_skill_bank.demo_board import Defect, draw

    bad, good = root / "reconstructed_image", root / "original_image"
    for target in (bad, good):
        target.mkdir(parents=True, exist_ok=True)
    number = 0
    for label, count in _PAIRS:
        for _ in range(count):
            design, _, texture = _DESIGNS[int(rng.integers(len(_DESIGNS)))]
            part = parts[design][int(rng.integers(len(parts[design])))]
            capture = _capture(_SPLITS[2], bool(rng.random() < 0.5), rng)
            defect = Defect(label, float(rng.uniform(0.1, 0.9)), int(rng.integers(1 << 30)))
            name = f"{texture}+{label}_{number:05d}{IMAGE_EXT}"
            _save(draw(part, capture, defect)[0], bad / name)
            _save(draw(part, capture)[0], good / name)
            number += 1


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m tao_skill_bank.demo FOLDER [--seed N]`: exit 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tao_skill_bank.demo", description="Draw a demo workspace.")
    parser.add_argument("folder", type=Path, help="a new or empty folder")
    parser.add_argument("--seed", type=int, default=7, help="another seed draws other boards (default 7)")
    args = parser.parse_args(argv)
    try:
        folder = make_demo_workspace(args.folder, args.seed)
    except BankError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
