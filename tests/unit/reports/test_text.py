from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.core import text
from tao_skill_bank.reports import charts


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (43.62, "43.6 %"),
        (3.114, "3.11 %"),
        (0.0521, "0.052 %"),
        (0, "0 %"),
        (100.0, "100 %"),
        (99.961, "99.96 %"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_a_percentage_shows_as_many_digits_as_it_bears(value: float | None, shown: str) -> None:
    assert text.percent(value) == shown


@given(st.floats(min_value=0, max_value=100, exclude_min=True, exclude_max=True))
def test_almost_all_is_never_shown_as_all_and_almost_none_never_as_none(value: float) -> None:
    shown = text.percent(value).removesuffix(" %")
    assert shown not in ("0", "0.0", "0.00", "100", "100.0")
    assert float(shown) == pytest.approx(value, rel=0.06, abs=1e-12)


@given(st.text())
def test_cleaned_text_holds_no_character_that_acts_on_its_surroundings(value: str) -> None:
    shown = text.clean(value)
    assert all(c in " \n\t" or c.isprintable() or ord(c) > 159 for c in shown)
    assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\x00\x1b\x7f")
    shown.encode("utf-8")


def test_ordinary_foreign_text_is_left_as_it_is() -> None:
    for value in ("Lötbrücke", "焊锡", "😀 👩\u200d🔧", "גשר", "a <b> & 'c'"):
        assert text.clean(value) == value


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (660, "11 min"), (7500, "2 h 05 min")]
)
def test_a_duration_reads_as_people_say_it(seconds: int, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_lists_counts_and_differences_read_as_people_say_them() -> None:
    assert text.listed(["a", "b", "c"]) == "a, b and c"
    assert text.listed(list("abcd"), 2) == "a, b and 2 more"
    assert text.plural(1, "row") == "1 row"
    assert text.plural(1200, "row") == "1\u202f200 rows"
    assert text.points(-3.1) == "−3.10 pp"
    assert text.points(0.0) == "±0 pp"
    assert text.tokens(999) == "999"
    assert text.tokens(12_345) == "12.3k"


@given(st.floats(min_value=1e-9, max_value=1e9), st.integers(min_value=2, max_value=8))
def test_ticks_start_at_zero_reach_the_top_and_are_few(top: float, most: int) -> None:
    ticks = charts.nice_ticks(top, most)
    assert ticks[0] == 0
    assert ticks[-1] >= top * (1 - 2e-6)
    assert 2 <= len(ticks) <= most + 1
    assert ticks[-2] < top
