"""A plan says whether its sets can show what is asked of them, before anything is trained."""

from __future__ import annotations

import pytest

from tao_skill_bank.loop.metric import Grammar
from tao_skill_bank.loop.sizes import size_check
from tao_skill_bank.tasks.changenet.metric import GRAMMAR
from tao_skill_bank.tasks.vlm_bcq.metric import GRAMMAR as YES_NO


def aoi(defects: int, passes: int) -> dict[str, int]:
    return {"defect": defects, "PASS sample": passes, "sample": defects + passes}


@pytest.mark.parametrize(
    ("target", "sets", "status", "said"),
    [
        ("FAR < 5% at recall=95%", {"KPI": aoi(59, 59)}, "ok", "KPI 59 PASS samples, KPI 59 defects: enough"),
        ("FAR < 5% at recall=95%", {"KPI": aoi(58, 59)}, "warn", "KPI 58 defects: recall ≥ 94.9 % (≥ 95 % takes 59)"),
        ("FAR < 5% at recall=95%", {"KPI": aoi(1, 900)}, "warn", "KPI 1 defect: recall ≥ 5 % (≥ 95 % takes 59)"),
        ("FAR < 5% at recall=95%", {"KPI": aoi(900, 1)}, "warn", "KPI 1 PASS sample: FAR ≤ 95 % (< 5 % takes 59)"),
        ("FAR < 5%", {"KPI": aoi(1, 900)}, "warn", "KPI 1 defect: recall ≥ 5 %"),
        ("FAR < 5% at recall=100%", {"KPI": aoi(1, 900)}, "warn", "recall ≥ 5 % (≥ 100 % is never shown)"),
        ("FAR < 5% at recall=100%", {"KPI": aoi(29, 900)}, "ok", "KPI 29 defects"),
        ("escape rate <= 0.1% at FAR <= 10%", {"acceptance": aoi(2000, 300)}, "warn", "(≤ 0.1 % takes 2,995)"),
        ("accuracy >= 99%", {"KPI": aoi(2, 3)}, "warn", "KPI 5 samples: accuracy ≥ 54.9 % (≥ 99 % takes 299)"),
        ("f1 >= 90%", {"KPI": aoi(2, 3)}, "skip", "for f1 how many samples show it is not known before a model"),
        ("precision >= 90% at recall=50%", {"KPI": aoi(9, 3)}, "ok", "for precision how many samples show it is not"),
    ],
)
def test_a_set_is_called_too_small_where_even_no_error_would_show_less_than_is_asked(
    target: str, sets: dict[str, dict[str, int]], status: str, said: str
) -> None:
    found = size_check(GRAMMAR.parse(target), sets)
    assert found.status == status and said in found.text


def test_every_set_and_every_limit_is_judged_and_named() -> None:
    found = size_check(GRAMMAR.parse("FAR < 1% at recall=99%"), {"KPI": aoi(1, 400), "acceptance": aoi(400, 10)})
    assert "KPI 1 defect" in found.text and "acceptance 10 PASS samples" in found.text
    assert "KPI 400" not in found.text and "acceptance 400" not in found.text


@pytest.mark.parametrize(("grammar", "of"), [(GRAMMAR, "defect"), (YES_NO, "Yes-row")])
def test_the_measures_of_both_tasks_are_counted_by_the_names_that_they_have(grammar: Grammar, of: str) -> None:
    assert of in {measure.of for measure in grammar.measures}
    target = "recall >= 99% at FAR <= 50%" if of == "defect" else "FN rate <= 1% at FP rate <= 50%"
    assert size_check(grammar.parse(target), {"KPI set": {of: 3}}).status == "warn"
