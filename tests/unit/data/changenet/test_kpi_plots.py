"""The pictures of a KPI analysis, looked at by their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tao_skill_bank.data.changenet.kpi_plots import draw_confusion, draw_distribution, far_title
from tao_skill_bank.metrics import far_at_recall, optimal_threshold

BLUE, ORANGE, BLACK = (115, 177, 213), (234, 164, 117), (0, 0, 0)
FLOOR = 470
"""The row of pixels just above the axis."""


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def drawn(path: Path, passes: list[float], others: list[float]) -> Image.Image:
    scores = np.array(passes + others)
    is_pass = np.arange(len(scores)) < len(passes)
    draw_distribution(path, scores, is_pass, far_at_recall(scores, is_pass, 1.0), 60)
    return opened(path)


def columns(image: Image.Image, row: int, colour: tuple[int, int, int]) -> list[int]:
    pixels = np.asarray(image)[row].astype(int)
    near: np.ndarray = np.abs(pixels - colour).max(axis=1) < 8
    return [int(x) for x in np.flatnonzero(near)]


def test_the_classes_stand_where_their_scores_are_each_in_its_colour(tmp_path: Path) -> None:
    image = drawn(tmp_path / "d.png", [0.0] * 5, [1.0] * 5)
    blue, orange = columns(image, FLOOR, BLUE), columns(image, FLOOR, ORANGE)
    assert blue and orange and max(blue) < image.width / 5 and min(orange) > 4 * image.width / 5


def test_the_threshold_is_a_black_line_at_its_score(tmp_path: Path) -> None:
    image = drawn(tmp_path / "d.png", [0.0, 0.5], [0.51, 1.0])
    inside = {x for y in range(150, 470) for x in columns(image, y, BLACK) if 80 < x < 940}
    assert inside and max(inside) - min(inside) < 3
    assert abs(min(inside) - image.width / 2 - 28) < 5


def test_a_single_row_is_seen_beside_a_hundred_thousand(tmp_path: Path) -> None:
    image = drawn(tmp_path / "d.png", [0.0] * 100_000, [1.0])
    column = columns(image, FLOOR, ORANGE)[3]
    high = [y for y in range(45, 474) if column in columns(image, y, ORANGE)]
    assert len(high) > 50


def test_equal_numbers_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        drawn(tmp_path / name, [0.1, 0.2], [0.15, 0.9])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "scores", [[0.0], [1e-320, 2e-320], [-1.7e308, 1.7e308], [1e15, np.nextafter(1e15, 2e15)], [-3.0, 5e200]]
)
def test_any_finite_scores_are_drawn(tmp_path: Path, scores: list[float]) -> None:
    assert drawn(tmp_path / "d.png", scores, []).size == (960, 540)
    assert drawn(tmp_path / "e.png", [], scores).size == (960, 540)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-1e307, 1e307), min_size=1, max_size=6), st.integers(0, 6))
def test_no_finite_score_stops_the_drawing(tmp_path: Path, scores: list[float], passes: int) -> None:
    assert drawn(tmp_path / "d.png", scores[:passes], scores[passes:]).size == (960, 540)


def test_the_cells_of_the_confusion_are_darker_the_larger_their_share(tmp_path: Path) -> None:
    scores, is_pass = np.array([0.1] * 9 + [0.9] + [0.95] * 10), np.arange(20) < 10
    draw_confusion(tmp_path / "c.png", optimal_threshold(scores, is_pass, 0.0), "best F1")
    grey = np.asarray(opened(tmp_path / "c.png").convert("L"))
    tn, fp, fn, tp = grey[60, 110], grey[60, 330], grey[290, 110], grey[290, 330]
    assert tp <= tn < 100 < 200 < fp <= fn


def test_without_a_point_the_picture_says_so_and_has_no_cells(tmp_path: Path) -> None:
    draw_confusion(tmp_path / "c.png", None, "100 % recall")
    pixels = np.asarray(opened(tmp_path / "c.png").convert("L"))
    assert (pixels[:200] == 255).all() and (pixels[220:310] < 100).any()


def test_the_title_of_a_set_without_good_boards_gives_no_far() -> None:
    points = [far_at_recall([0.2, 0.9], [good, False], 1.0) for good in (False, True)]
    assert [far_title(point).rpartition(": ")[2] for point in points if point] == ["undefined (no PASS row)", "0 %"]
