"""Charts: what covers what, which scale an axis has, and that it says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.reports.charts import Drawn, RatePoint, rate_chart, rate_lines, value_places
from tao_skill_bank.reports.deft.report import render_report
from tao_skill_bank.reports.score_charts import CurveAxes, Line, count_ticks, distribution, recall_far

MakeRun = Callable[..., Path]
# Rates of a run and the half widths of their intervals, as percent of the plot.
RUNS = st.lists(st.tuples(st.floats(5, 95), st.floats(0, 12)), min_size=2, max_size=6)


def drawn(values: list[tuple[float, float]]) -> list[Drawn]:
    n = len(values)
    return [
        Drawn(100 * (i + 0.5) / n, y, max(0.0, y - half), min(100.0, y + half)) for i, (y, half) in enumerate(values)
    ]


def covers(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@settings(max_examples=150, deadline=None)
@given(RUNS)
def test_the_values_of_up_to_six_phases_cover_no_dot(values: list[tuple[float, float]]) -> None:
    points = drawn(values)
    _, boxes = value_places(points, [(i, 6, False) for i in range(len(points))])
    assert not [(box, p) for box in boxes for p in points if covers(box, p.box)]


def test_values_side_by_side_give_way_to_each_other_and_to_the_intervals_of_their_neighbours() -> None:
    """Two equal rates, a third just below: to the right of the second its neighbour's interval would be hidden."""
    points = drawn([(20, 6), (60, 8), (60, 8), (62, 20), (61, 8), (64, 9)])
    places, boxes = value_places(points, [(i, 6, False) for i in range(6)])
    assert len(set(places)) > 1
    for i, box in enumerate(boxes):
        assert not any(covers(box, other) for j, other in enumerate(boxes) if j != i)
        assert not any(covers(box, p.whisker) for j, p in enumerate(points) if j != i)


def test_a_long_value_at_an_end_of_the_plot_stays_within_it() -> None:
    points = drawn([(50, 5)] * 12 + [(100, 20)])
    _, (box,) = value_places(points, [(12, 13, True)])
    assert box[2] <= 100.5 and box[0] >= 0


@pytest.mark.parametrize("target", [20.0, 50.0, 60.0, 90.0])
def test_a_value_gives_way_to_the_line_of_the_target(target: float) -> None:
    """Points on the line, just above it and just below: a value in the line's height would be struck through."""
    points = drawn([(target, 6), (target - 4, 8), (target + 4, 3)])
    _, boxes = value_places(points, [(i, 6, False) for i in range(3)], points, target)
    assert not [box for box in boxes if box[1] < target < box[3]]


@pytest.mark.parametrize(
    ("points", "target", "places"),
    [
        # As seen on a telephone: the second value stands left of its dot, where the name would begin.
        (
            [
                RatePoint("base", 33.0, 26.7, 39.6),
                RatePoint("iter 1", 7.39, 4.2, 11.8),
                RatePoint("iter 2", 2.61, 1.0, 5.6, True),
                RatePoint("acceptance", 0.43, 0.011, 2.4, True, True),
            ],
            5.0,
            {"left below", "right", "right below"},
        ),
        ([RatePoint("base", 30.0), RatePoint("iter 1", 12.0), RatePoint("iter 2", 2.0)], 10.0, {"left"}),
        (
            [RatePoint("base", 12.0), RatePoint("iter 1", 30.0), RatePoint("iter 2", 31.0)],
            10.0,
            {"right", "right below"},
        ),
    ],
)
def test_the_name_of_the_target_gives_way_to_the_values_at_the_width_of_a_telephone_and_is_not_broken(
    points: list[RatePoint], target: float, places: set[str]
) -> None:
    page = rate_chart(points, target)
    found = re.search(r'<span class="goal-name ([a-z ]+)"[^>]*>([^<]+)<', page)
    assert found and found[1] in places
    assert found[2] == f"target &lt;\u00a0{target:g}\u00a0%"


@pytest.mark.parametrize(("op", "top", "height"), [("<=", 25.0, 75.0), (">=", 0.0, 25.0)])
def test_the_goal_lies_on_the_side_of_the_target_that_is_asked_for(op: str, top: float, height: float) -> None:
    drawn_ = rate_chart([RatePoint("base", 100.0)], 75.0, op, measure="f1")
    assert f'class="goal" x="0" y="{top:.3f}%" width="100%" height="{height:.3f}%"' in drawn_
    assert "F1, %" in drawn_ and "F1 by phase: base 100 %. Target" in drawn_.replace("\u00a0", " ")


def test_a_square_root_axis_is_called_one_and_a_linear_one_is_not() -> None:
    steep = [RatePoint("base", 40.0), RatePoint("iter 1", 0.5)]
    assert "FAR, %, square-root scale" in rate_chart(steep, 1.0)
    assert "square-root" not in rate_chart(steep, 20.0)
    assert "FAR, %, square-root scale" in rate_lines([("a", [40.0, 1.0])], ["base", "1"], 1.0)
    line = Line("a", np.array([0.0, 40.0]), np.array([0.0, 100.0]), "best")
    assert recall_far([line], 1.0, 99.0, CurveAxes(50.0, 0.0, True)).count("square-root scale") == 2  # seen and said
    assert "square-root" not in recall_far([line], 30.0, 99.0, CurveAxes(50.0, 0.0, False))


def test_a_histogram_says_how_many_samples_its_highest_bars_hold() -> None:
    chart = distribution(np.array([0.1] * 1000 + [0.5] * 40), np.array([0.9] * 7), 0.6)
    counts = re.findall(r'<span style="bottom:([\d.]+)%">([^<]+)</span>', chart)
    assert [text for _, text in counts] == ["0", "200", "1\u202f000", "1", "7"]
    heights = {text: float(place) for place, text in counts}
    bars = re.findall(r'class="bar (\w+)" x="[\d.]+%" y="([\d.]+)%" width="[\d.]+%" height="([\d.]+)%"', chart)
    assert max(float(h) for kind, _, h in bars if kind == "pass") == pytest.approx(heights["1\u202f000"] - 50, abs=0.02)
    assert max(float(h) for kind, _, h in bars if kind == "defect") == pytest.approx(50 - heights["7"], abs=0.02)
    assert "at most 1000 PASS and 7 defects a bar" in chart


@pytest.mark.parametrize(("tallest", "ticks"), [(1, [1]), (2, [2]), (4, [1, 4]), (7, [1, 7]), (130, [20, 130])])
def test_the_counts_of_a_histogram_are_round_but_for_the_highest(tallest: int, ticks: list[int]) -> None:
    assert count_ticks(tallest) == ticks


def test_every_frame_of_the_explorer_has_the_same_axes(make_run: MakeRun) -> None:
    page = Path(render_report(make_run(iterations=3, pictures=False, skill=0.3)).path).read_text(encoding="utf-8")
    causes = page[page.index('id="causes"') : page.index('id="defects"')]
    frames = causes.split('<section class="frame"')[1:]
    assert len(frames) == 4

    def axes(kind: str) -> set[tuple[str, ...]]:
        found = set()
        for frame in frames:
            plot = frame[frame.index(f'class="plot {kind}"') :]
            plot = plot[: plot.index("</figure>")]
            upright = plot[: plot.index('class="field"')]
            below = plot[plot.index('class="x-axis"') :]
            found.add(tuple(re.findall(r">([^<>]+)</span>", upright) + re.findall(r">([^<>]+)</span>", below)))
        return found

    assert len(axes("bare")) == 1
    assert len(axes("curve-plot")) == 1


def test_a_threshold_has_six_digits_wherever_a_page_shows_it(make_run: MakeRun) -> None:
    page = Path(render_report(make_run(iterations=2, pictures=False)).path).read_text(encoding="utf-8")
    seen = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.S)
    assert re.findall(r"threshold 0\.\d{6}\b", seen)
    assert not re.findall(r"\d\.\d{9,}", seen)
