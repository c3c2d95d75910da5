"""A copy of a capture is told from another capture of the same design by its noise."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from boards import pair
from PIL import Image

from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.data.pictures.noise import COPY, noise_in_common
from tao_skill_bank.tasks.changenet.copies import Alike, told_apart, write_alike


def capture(seed: int, *, defect: bool = False) -> np.ndarray:
    """One design, drawn twice alike but for its noise, as a camera sees it."""
    drawn, _ = pair(np.random.default_rng(3), defect)
    noise = np.random.default_rng(1000 + seed).normal(0, 6, drawn.shape)
    return (drawn * 0.8 + 20 + noise).clip(0, 255).astype(np.float32)


def as_jpeg(image: np.ndarray) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(out, "JPEG", quality=90)
    return np.asarray(Image.open(out), np.float32)


CHANGES = {
    "the same": lambda a: a,
    "brighter": lambda a: np.clip(a + 8, 0, 255),
    "more contrast": lambda a: np.clip(a * 1.1, 0, 255),
    "saved as JPEG": as_jpeg,
    "shifted right": lambda a: np.roll(a, 1, axis=1),
    "shifted up and left": lambda a: np.roll(a, (-2, -1), axis=(0, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("defect", [False, True])
def test_a_changed_copy_has_the_noise_of_its_original(change: str, defect: bool) -> None:
    one = capture(1, defect=defect)
    found = noise_in_common(CHANGES[change](one), one)
    assert found is not None and found >= COPY


@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("defect", [False, True])
def test_two_captures_of_one_design_or_with_the_same_defect_are_no_copies(seed: int, defect: bool) -> None:
    found = noise_in_common(capture(1, defect=defect), capture(seed, defect=defect))
    assert found is not None and found < COPY / 2


def test_pictures_without_noise_or_of_two_sizes_cannot_be_told() -> None:
    drawn, _ = pair(np.random.default_rng(3), False)
    flat = np.full((64, 64), 90.0, np.float32)
    assert noise_in_common(flat, flat) is None
    assert noise_in_common(drawn.astype(np.float32), drawn.astype(np.float32)[:40]) is None
    assert noise_in_common(np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)) is None


def test_of_several_that_look_alike_the_copied_one_is_named_and_copies_come_first(tmp_path: Path) -> None:
    for number in range(4):
        Image.fromarray(capture(number).astype(np.uint8)).save(tmp_path / f"{number}.png")
    Image.fromarray(as_jpeg(capture(2)).astype(np.uint8)).save(tmp_path / "copy.png")
    names = {n: str(tmp_path / f"{n}.png") for n in ("0", "1", "2", "3", "copy")}
    found = told_apart(
        [(names["0"], names["3"], 0.9999)]
        + [(names["copy"], names[other], cosine) for other, cosine in (("1", 0.9999), ("2", 0.995), ("3", 0.999))]
    )
    assert [(a.new, a.evaluation, a.copy) for a in found] == [
        (names["copy"], names["2"], True),
        (names["0"], names["3"], False),
    ]
    write_alike(tmp_path / "near.csv", found, tmp_path)
    table = read_pairs(tmp_path / "near.csv", required=("new",))
    assert table.names == ("new", "evaluation", "cosine", "noise_in_common")
    assert (table.column("new")[0], table.column("evaluation")[0]) == ("copy.png", "2.png")


def test_an_image_that_is_gone_is_no_copy_and_no_error(tmp_path: Path) -> None:
    (only,) = told_apart([(str(tmp_path / "none.png"), str(tmp_path / "neither.png"), 1.0)])
    assert only == Alike(str(tmp_path / "none.png"), str(tmp_path / "neither.png"), 1.0, None) and not only.copy
