from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.kpi_target import KpiTarget


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FAR < 0.1% at recall=100%", KpiTarget("<", 0.1, 1.0)),
        ("FAR <= 5 % at recall 99%", KpiTarget("<=", 5.0, 0.99)),
        ("far<=.5% @ recall>=99.5%", KpiTarget("<=", 0.5, 0.995)),
        ("FAR below 0.1% at recall=100%", KpiTarget("<", 0.1, 1.0)),
        ("FAR ≤ 2% at 100% recall", KpiTarget("<=", 2.0, 1.0)),
        ("false-accept rate at most 1 percent at recall of 98 percent", KpiTarget("<=", 1.0, 0.98)),
        ("FAR < 1% at recall=1.0", KpiTarget("<", 1.0, 1.0)),
        ("FAR < 1% at recall=1", KpiTarget("<", 1.0, 1.0)),
        ("FAR < 1% at recall=0.99", KpiTarget("<", 1.0, 0.99)),
        ("FAR < 1% at recall 99", KpiTarget("<", 1.0, 0.99)),
        ("FAR <= 0% at recall=100%", KpiTarget("<=", 0.0, 1.0)),
    ],
)
def test_targets_are_read_as_people_write_them(text: str, expected: KpiTarget) -> None:
    assert KpiTarget.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FAR",
        "FAR < 0.5%",
        "FAR > 0.1% at recall=100%",
        "FAR = 0.1% at recall=100%",
        "FAR < 0,1% at recall=100%",
        "FAR < -1% at recall=100%",
        "FAR < 1e-3% at recall=100%",
        "FAR < 0% at recall=100%",
        "FAR < 101% at recall=100%",
        "FAR < 0.1% at recall=0%",
        "FAR < 0.1% at recall=101%",
        "FAR < 0.1% at recall=100% and precision=50%",
        "recall=100%",
        "FAR < 0.1% at recall",
        "FAR < 0.1% at recall<100%",
    ],
)
def test_what_is_not_understood_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"write it like 'FAR < 0\.1% at recall=100%'"):
        KpiTarget.parse(text)


def test_a_far_without_its_percent_sign_is_refused_with_both_readings() -> None:
    with pytest.raises(InputError, match=r"write 0\.001% or 0\.1%"):
        KpiTarget.parse("FAR < 0.001 at recall=100%")


def test_less_than_is_not_met_by_the_limit_itself_and_at_most_is() -> None:
    assert not KpiTarget("<", 5.0, 1.0).met(5.0)
    assert KpiTarget("<=", 5.0, 1.0).met(5.0)
    assert KpiTarget("<", 5.0, 1.0).met(4.999)
    assert not KpiTarget("<=", 5.0, 1.0).met(5.001)
    assert not KpiTarget("<=", 5.0, 1.0).met(float("nan"))


@pytest.mark.parametrize(("false_accepts", "passes"), [(7, 100), (3, 60), (29, 100), (1, 3)])
def test_a_far_computed_in_floats_still_equals_its_limit(false_accepts: int, passes: int) -> None:
    far_pct = 100 * (false_accepts / passes)
    limit = 100.0 * false_accepts / passes
    assert KpiTarget("<=", limit, 1.0).met(far_pct)
    assert not KpiTarget("<", limit, 1.0).met(far_pct)


@given(
    op=st.sampled_from(["<", "<="]),
    far=st.integers(1, 10**6).map(lambda n: n / 10**4),
    recall=st.integers(1, 10**6).map(lambda n: n / 10**6),
)
def test_the_canonical_text_is_read_back_as_the_same_target(op: str, far: float, recall: float) -> None:
    target = KpiTarget("<=" if op == "<=" else "<", far, recall)
    again = KpiTarget.parse(target.text())
    assert again == target
    assert again.text() == target.text()


def test_the_canonical_text_is_plain() -> None:
    assert KpiTarget.parse("far  below  0.10 % at 100.0% recall").text() == "FAR < 0.1% at recall=100%"
    assert KpiTarget.parse("FAR <= 50% at recall 99.50%").text() == "FAR <= 50% at recall=99.5%"
