"""The one grammar of targets, with the measures of three tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.metric import Grammar, Measure
from tao_skill_bank.tasks.changenet.metric import GRAMMAR

_ROWS = {"group": "video"}
ANSWERS = Grammar(
    (
        Measure("accuracy", "row", at_most=False),
        Measure("balanced accuracy", "answer", at_most=False, share=False),
        Measure("worst question accuracy", "row of a question", at_most=False),
        Measure("FP rate", "No row", at_most=True, constrains=True),
        Measure("FN rate", "Yes row", at_most=True, constrains=True),
    ),
    example="FN rate <= 1% at FP rate <= 5%",
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("FAR < 0.1% at recall=100%", "FAR < 0.1% at recall=100%"),
        ("FAR <= 5 % at recall 99%", "FAR <= 5% at recall=99%"),
        ("far<=.5% @ recall>=99.5%", "FAR <= 0.5% at recall=99.5%"),
        ("FAR below 0.1% at recall=100%", "FAR < 0.1% at recall=100%"),
        ("FAR ≤ 2% at 100% recall", "FAR <= 2% at recall=100%"),
        ("false-accept rate at most 1 percent at recall of 98 percent", "FAR <= 1% at recall=98%"),
        ("FAR < 1% at recall=1.0", "FAR < 1% at recall=100%"),
        ("FAR < 1% at recall=1", "FAR < 1% at recall=100%"),
        ("FAR < 1% at recall=0.99", "FAR < 1% at recall=99%"),
        ("FAR < 1% at recall 99", "FAR < 1% at recall=99%"),
        ("FAR <= 0% at recall=100%", "FAR <= 0% at recall=100%"),
        ("far  below  0.10 % at 100.0% recall", "FAR < 0.1% at recall=100%"),
        ("FAR <= 50% at recall 99.50%.", "FAR <= 50% at recall=99.5%"),
        ("FAR < 5%", "FAR < 5% at recall=100%"),
        ("FAR < 5", "FAR < 5% at recall=100%"),
        ("FAR < 0.01 at recall=0.99", "FAR < 1% at recall=99%"),
        ("false_accept_rate less than 2 % with recall at least 98%", "FAR < 2% at recall=98%"),
        ("FAR < 1% at escape rate <= 0.5%", "FAR < 1% at escape rate <= 0.5%"),
        ("recall >= 99.5% at FAR <= 1%", "recall >= 99.5% at FAR <= 1%"),
        ("Recall over 99% at FAR=2%", "recall > 99% at FAR <= 2%"),
        ("recall => 0.995, FAR < 1 %", "recall >= 99.5% at FAR < 1%"),
        ("escape rate < 0.1% at FAR <= 2%", "escape rate < 0.1% at FAR <= 2%"),
        ("ESCAPE_RATE under 0.1 percent at 2% far", "escape rate < 0.1% at FAR <= 2%"),
        ("f1 >= 0.9", "f1 >= 90%"),
        ("F1-score at least 90%", "f1 >= 90%"),
        ("f1>=0.9 at recall>=0.99", "f1 >= 90% at recall=99%"),
        ("accuracy > 97.5%", "accuracy > 97.5%"),
        ("precision >= 95% at recall=99%", "precision >= 95% at recall=99%"),
    ],
)
def test_targets_are_read_as_people_write_them(text: str, canonical: str) -> None:
    target = GRAMMAR.parse(text)
    assert target.text() == canonical
    assert GRAMMAR.parse(canonical) == target


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("balanced accuracy >= 95%", "balanced accuracy >= 95%"),
        ("balanced_accuracy >= 0.95", "balanced accuracy >= 95%"),
        ("Worst-Question Accuracy > 90 %", "worst question accuracy > 90%"),
        ("accuracy >= 0.9", "accuracy >= 90%"),
        ("fp rate <= 0.05", "FP rate <= 5%"),
        ("FN rate <= 1% at FP rate <= 5%", "FN rate <= 1% at FP rate <= 5%"),
        ("fn_rate<1% at FP-rate<=5%", "FN rate < 1% at FP rate <= 5%"),
        ("balanced accuracy >= 95% at FN rate <= 2%", "balanced accuracy >= 95% at FN rate <= 2%"),
    ],
)
def test_the_same_grammar_reads_the_measures_of_another_task(text: str, canonical: str) -> None:
    assert ANSWERS.parse(text).text() == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FAR",
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
        "recall > 100% at FAR < 1%",
        "recall >= 0% at FAR < 1%",
        "recall <= 99% at FAR <= 1%",
        "f1 < 90%",
    ],
)
def test_what_is_not_understood_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"write it like 'FAR < 0\.1% at recall=100%'"):
        GRAMMAR.parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "speed < 5%",
            r"at 'speed < 5%': it begins with no measure \(known: FAR, recall, escape rate, f1, precision, acc",
        ),
        ("FAR 5%", "at '5%': no <, <=, > or >= behind FAR"),
        ("FAR <", "at its end: no number behind FAR <"),
        ("recall >= 99%", "some threshold reaches any recall; add for example 'at FAR <= 1%'"),
        ("escape rate < 1%", "some threshold reaches any escape rate; add for example 'at FAR <= 1%'"),
        ("FAR < 1% at precision >= 90%", r"no constraint of this name \(known: FAR, recall, escape rate\)"),
        ("recall >= 99% at escape rate <= 1%", "are both of each defect"),
        ("FAR < 1% at FAR < 2%", "are both of each PASS sample"),
        ("FAR < 1% recall 99%", "at 'recall 99%': nothing but 'at'"),
        ("FAR < 1% at recall=99% at FAR < 2%", "at 'at FAR < 2%': that is more"),
        ("f1 <= 90%", "a higher f1 is better, so it is limited with > or >="),
    ],
)
def test_a_refusal_names_the_place_and_what_is_known(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        GRAMMAR.parse(text, where="--target")
    assert refused.value.where == "--target"


@pytest.mark.parametrize("text", ["FAR < 0.001 at recall=100%", "recall >= 99% at FAR <= 0.001"])
def test_a_limit_without_its_percent_sign_among_percentages_is_refused_with_both_readings(text: str) -> None:
    with pytest.raises(InputError, match=r"write 0\.001% or 0\.1%"):
        GRAMMAR.parse(text)


def test_a_limit_of_one_without_its_percent_sign_is_refused_with_both_readings() -> None:
    with pytest.raises(InputError, match=r"write 1% or 100%"):
        GRAMMAR.parse("FAR < 1")


def test_less_than_is_not_met_by_the_limit_itself_and_at_most_is() -> None:
    assert not GRAMMAR.parse("FAR < 5%").met(5.0)
    assert GRAMMAR.parse("FAR <= 5%").met(5.0)
    assert GRAMMAR.parse("FAR < 5%").met(4.999)
    assert not GRAMMAR.parse("FAR <= 5%").met(5.001)
    assert not GRAMMAR.parse("FAR <= 5%").met(float("nan"))
    assert GRAMMAR.parse("f1 >= 90%").met(90.0)
    assert not GRAMMAR.parse("f1 > 90%").met(90.0)


@pytest.mark.parametrize(("false_accepts", "passes"), [(7, 100), (3, 60), (29, 100), (1, 4)])
def test_a_far_computed_in_floats_still_equals_its_limit(false_accepts: int, passes: int) -> None:
    far_pct = 100 * (false_accepts / passes)
    limit = 100 * false_accepts / passes
    assert GRAMMAR.parse(f"FAR <= {limit!r}%").met(far_pct)
    assert not GRAMMAR.parse(f"FAR < {limit!r}%").met(far_pct)


@given(
    name=st.sampled_from(["FAR < {a}% at recall={b}%", "recall >= {a}% at FAR <= {b}%", "f1 > {a}%"]),
    a=st.integers(1, 10**6 - 1).map(lambda n: n / 10**4),
    b=st.integers(1, 10**6).map(lambda n: n / 10**4),
)
def test_the_canonical_text_is_read_back_as_the_same_target(name: str, a: float, b: float) -> None:
    target = GRAMMAR.parse(name.format(a=a, b=b))
    again = GRAMMAR.parse(target.text())
    assert again == target
    assert again.text() == target.text()


def test_thresholds_hold_for_another_limit_and_for_nothing_else() -> None:
    target = GRAMMAR.parse("FAR < 1% at recall=99%")
    assert target.same_point(GRAMMAR.parse("FAR <= 7% at recall=99%"))
    assert not target.same_point(GRAMMAR.parse("FAR < 1%"))
    assert not target.same_point(GRAMMAR.parse("FAR < 1% at escape rate <= 1%"))
