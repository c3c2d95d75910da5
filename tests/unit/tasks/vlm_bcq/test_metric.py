"""What a yes/no run may be asked for, and in which words."""

from __future__ import annotations

import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.tasks.vlm_bcq.metric import GRAMMAR


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("balanced accuracy >= 95%", "balanced accuracy >= 95%"),
        ("Balanced_Accuracy>=0.95", "balanced accuracy >= 95%"),
        ("accuracy > 97.5 %", "accuracy > 97.5%"),
        ("worst-question accuracy ≥ 90%", "worst question accuracy >= 90%"),
        ("fp rate < 5%", "FP rate < 5%"),
        ("FN_rate <= 1% at FP-rate <= 5%", "FN rate <= 1% at FP rate <= 5%"),
    ],
)
def test_equal_targets_have_one_text(text: str, canonical: str) -> None:
    assert GRAMMAR.parse(text).text() == canonical
    assert GRAMMAR.parse(canonical) == GRAMMAR.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "accuracy <= 95%",
        "FP rate >= 5%",
        "accuracy",
        "recall >= 95%",
        "accuracy >= 95% at FP rate <= 5%",
        "FN rate <= 1% at FN rate <= 5%",
        "FN rate <= 1% at accuracy <= 5%",
        "accuracy >= 101%",
        "",
    ],
)
def test_what_asks_the_wrong_way_round_or_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        GRAMMAR.parse(text)
    assert caught.value.where == "kpi_target"
