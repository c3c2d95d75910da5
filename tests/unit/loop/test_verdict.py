"""The one verdict: which word, and why, for figures against limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.metric import Limit, Measure
from tao_skill_bank.loop.verdict import Claim, Verdict, claim, nothing_measured, verdict, word_of

FAR = Limit(Measure("FAR", "PASS sample", at_most=True, group="board"), 5.0, strict=True)
RECALL = Limit(Measure("recall", "defect", at_most=False, group="board"), 95.0)
TAO = Trained(by="tao", software="0.1.0")


def judged(far: Interval, recall: Interval, *, independent: bool = True, trained: Trained = TAO, **more: object):  # type: ignore[no-untyped-def]
    claims = [claim(FAR, far, independent=independent), claim(RECALL, recall, independent=independent)]
    given_: dict[str, object] = {"model": "iter2", "threshold": 0.5, "set_name": "acceptance set", "final": True}
    return verdict("FAR < 5% at recall=95%", claims, trained, independent=independent, **{**given_, **more})  # type: ignore[arg-type]


def test_two_bounds_that_meet_their_limits_on_a_set_the_loop_never_saw_are_shown() -> None:
    found = judged(Interval.of(0, 100), Interval.of(100, 100))
    assert (found.word, found.head, found.may_ship) == ("shown", "shown", True)


@pytest.mark.parametrize(
    ("far", "recall", "word"),
    [
        ((4, 100), (100, 100), "met, not shown"),  # FAR may be 9 %
        ((0, 100), (96, 100), "met, not shown"),  # recall may be 91 %
        ((0, 58), (100, 100), "met, not shown"),  # one sample short of the rule of three
        ((0, 59), (100, 100), "shown"),
        ((0, 100), (59, 59), "shown"),
        ((0, 100), (58, 58), "met, not shown"),
        ((5, 100), (100, 100), "not met"),  # strict: 5 % is not below 5 %
        ((0, 100), (94, 100), "not met"),  # recall counts on the acceptance set as FAR does
        ((6, 100), (94, 100), "not met"),
        ((0, 0), (100, 100), "cannot be told"),
        ((0, 100), (0, 0), "cannot be told"),
        ((50, 100), (0, 0), "not met"),  # one figure that fails decides, whatever the other is
    ],
)
def test_the_word_follows_from_the_weakest_figure(far: tuple[int, int], recall: tuple[int, int], word: str) -> None:
    assert judged(Interval.of(*far), Interval.of(*recall)).word == word


def test_without_a_set_of_its_own_nothing_is_shown_whatever_the_figures() -> None:
    found = judged(Interval.of(0, 10_000), Interval.of(10_000, 10_000), independent=False, set_name="KPI set")
    assert found.word == "met, not shown"
    assert "the loop has seen this set" in found.text.lower()
    assert "59 PASS samples for FAR and 59 defects for recall" in found.text


def test_a_recall_of_a_hundred_percent_is_never_shown() -> None:
    certain = Limit(RECALL.measure, 100.0)
    found = claim(certain, Interval.of(1_000_000, 1_000_000), independent=True)
    assert (found.outcome, found.more) == ("met", None)
    assert "no number of samples shows recall of 100 %" in found.why


def test_a_far_of_nothing_is_never_shown() -> None:
    none = Limit(FAR.measure, 0.0)
    assert claim(none, Interval.of(0, 1_000_000), independent=True).outcome == "met"


@pytest.mark.parametrize(
    ("at_most", "strict", "text"), [(1, 1, "< 5 %"), (1, 0, "≤ 5 %"), (0, 1, "> 5 %"), (0, 0, "≥ 5 %")]
)
def test_a_limit_is_written_as_it_is_asked(at_most: bool, strict: bool, text: str) -> None:
    assert Limit(Measure("x", "y", at_most=bool(at_most)), 5.0, strict=bool(strict)).text == text


def test_a_claim_tells_its_figure_its_interval_and_the_side_of_its_bound() -> None:
    far, recall = claim(FAR, Interval.of(1, 100), independent=True), claim(RECALL, None, 97.0, independent=True)
    assert (far.text, far.bound_side) == ("FAR 1.00 % (0.025–5.45 %), asked < 5 %", "at most")
    assert (recall.text, recall.bound_side) == ("recall 97.0 %, asked ≥ 95 %", "at least")
    assert claim(FAR, None, independent=True).text == "FAR not known, asked < 5 %"


def test_a_figure_that_all_but_equals_its_limit_is_shown_by_no_number() -> None:
    tight = Limit(Measure("FAR", "PASS sample", at_most=True), 1.0)
    found = claim(tight, Interval.of(999_999, 100_000_000), independent=True)
    assert (found.outcome, found.more) == ("met", None)
    assert found.why == "FAR is too close to its limit: at that rate no feasible number of samples shows it"


def test_one_sample_short_asks_for_one_and_a_figure_without_counts_for_a_whole_set() -> None:
    assert claim(FAR, Interval.of(0, 58), independent=True).more == 1
    assert claim(FAR, None, 0.0, independent=False).more == 59
    assert "Shown with about 1 more PASS sample for FAR" in judged(Interval.of(0, 58), Interval.of(100, 100)).text
    assert "Shown with about 2 more PASS samples for FAR" in judged(Interval.of(0, 57), Interval.of(100, 100)).text


@pytest.mark.parametrize(("independent", "first"), [(True, "Shown with about"), (False, "The loop has seen this set;")])
def test_what_would_show_it_is_told_before_what_cannot(independent: bool, first: str) -> None:
    one_board = Interval.of(500, 500, [(500, 500)])
    found = judged(Interval.of(0, 50), one_board, independent=independent)
    assert found.word == "met, not shown"
    tail = found.text.split(". ", 1)[1] if ". " in found.text else ""
    assert tail.startswith(first) and tail.endswith("; every defect is of one board, which says nothing of others")


def test_what_cannot_be_told_says_why() -> None:
    assert judged(Interval.of(0, 0), Interval.of(100, 100)).text.endswith(". The set has no PASS sample")
    assert judged(Interval.of(50, 100), Interval.of(0, 0)).text.endswith("asked ≥ 95 %"), "what fails needs no reason"


def test_a_measure_that_is_no_share_of_samples_says_that_no_number_of_them_can_be_named() -> None:
    f1 = Limit(Measure("F1", "sample", at_most=False, share=False), 90.0)
    found = claim(f1, None, 95.0, independent=True)
    assert (found.outcome, found.more) == ("met", None)
    assert found.why == "F1 is no share of samples, so how many more would show it cannot be said"


def test_the_point_is_met_where_only_the_bound_is_open() -> None:
    counts = {(0, 100): True, (4, 100): True, (6, 100): False, (0, 0): False}
    for far, met in counts.items():
        assert judged(Interval.of(*far), Interval.of(100, 100)).point_met is met


def test_so_many_more_samples_at_the_same_rate_would_show_it() -> None:
    found = claim(FAR, Interval.of(2, 100), independent=True)
    assert found.outcome == "met"
    assert found.more is not None
    total = 100 + found.more
    assert claim(FAR, Interval.of(int(0.02 * total), total), independent=True).outcome == "shown"
    assert claim(FAR, Interval.of(round(0.02 * total * 0.8), int(total * 0.8)), independent=True).outcome == "met"


def test_errors_that_sit_on_one_board_count_as_what_they_are() -> None:
    boards = [(8, 20), *[(0, 20)] * 19]
    together, apart = Interval.of(8, 400, boards), Interval.of(8, 400)
    assert claim(FAR, apart, independent=True).outcome == "shown"
    found = claim(FAR, together, independent=True)
    assert found.outcome == "met"
    assert found.measured is not None
    assert found.measured.groups == 20
    assert found.more is not None
    assert found.more > 100


def test_samples_of_one_board_alone_show_nothing() -> None:
    found = claim(FAR, Interval.of(0, 500, [(0, 500)]), independent=True)
    assert (found.outcome, found.more) == ("met", None)
    assert "of one board" in found.why


def test_an_earlier_record_without_bounds_is_judged_by_its_counts() -> None:
    old = Interval(value_pct=0.0, low_pct=0.0, high_pct=3.6, successes=0, trials=100)
    assert claim(FAR, old, independent=True).outcome == "shown"
    assert claim(FAR, old, independent=True).bound_pct == pytest.approx(2.951, abs=1e-3)


def test_a_figure_without_counts_can_be_met_and_never_shown() -> None:
    assert claim(FAR, None, 1.0, independent=True).outcome == "met"
    assert claim(FAR, None, 6.0, independent=True).outcome == "not met"
    assert claim(FAR, None, independent=True).outcome == "unknown"


@pytest.mark.parametrize(
    ("trained", "head", "rehearsal"),
    [
        (TAO, "shown", False),
        (Trained(by="stand-in"), "rehearsal: shown", True),
        (Trained(), "trainer unknown: shown", None),
    ],
)
def test_who_trained_stands_in_front_of_the_word(trained: Trained, head: str, rehearsal: bool | None) -> None:
    found = judged(Interval.of(0, 100), Interval.of(100, 100), trained=trained)
    assert (found.head, found.rehearsal) == (head, rehearsal)
    assert found.line.startswith(f"{head}: ")
    assert found.may_ship is (rehearsal is False)


def test_what_is_shown_before_the_end_of_a_run_does_not_ship() -> None:
    found = judged(Interval.of(0, 100), Interval.of(100, 100), final=False)
    assert not found.may_ship
    assert found.text.startswith("so far, ")


def test_what_is_still_to_be_measured_leaves_open_what_is_met_and_not_what_fails() -> None:
    pending = "the acceptance set decides"
    met = judged(Interval.of(0, 100), Interval.of(100, 100), independent=False, pending=pending)
    assert met.word == "cannot be told"
    assert "The acceptance set decides" in met.text
    failed = judged(Interval.of(50, 100), Interval.of(100, 100), independent=False, pending=pending)
    assert failed.word == "not met"


def test_nothing_measured_cannot_be_told() -> None:
    found = nothing_measured("FAR < 5% at recall=95%", "no model was measured", final=True)
    assert (found.word, found.may_ship) == ("cannot be told", False)
    assert found.line == "cannot be told: no model was measured"


def test_no_claim_at_all_cannot_be_told() -> None:
    assert word_of([]) == "cannot be told"


outcomes = st.sampled_from(["shown", "met", "not met", "unknown"])


@pytest.mark.parametrize(
    ("trained", "far", "word", "may_ship"),
    [
        (TAO, (0, 100), "shown", True),
        (TAO, (4, 100), "met, not shown", False),
        (TAO, (9, 100), "not met", False),
        (TAO, (0, 0), "cannot be told", False),
        (Trained(by="stand-in"), (0, 100), "shown", False),
        (Trained(), (0, 100), "shown", False),
    ],
)
def test_who_reads_a_verdict_as_json_is_told_each_claims_word_and_whether_it_may_ship(
    trained: Trained, far: tuple[int, int], word: str, may_ship: bool
) -> None:
    told = judged(Interval.of(*far), Interval.of(100, 100), trained=trained).model_dump(mode="json")
    assert [claim["word"] for claim in told["claims"]] == [word, "shown"]
    assert told["may_ship"] is may_ship
    again = Verdict.model_validate(told)
    assert again.model_dump(mode="json") == told


@given(st.lists(outcomes, min_size=1, max_size=4))
def test_more_claims_never_make_a_word_better(found: list[str]) -> None:
    order = ["not met", "cannot be told", "met, not shown", "shown"]
    base = {"name": "x", "of": "y", "asked": "< 1 %", "at_most": True}
    claims = [Claim(**base, outcome=o) for o in found]  # type: ignore[arg-type]
    for count in range(1, len(claims)):
        assert order.index(word_of(claims[: count + 1])) <= order.index(word_of(claims[:count]))


@given(st.integers(0, 300), st.integers(0, 300), st.booleans())
def test_a_word_of_shown_means_that_both_bounds_meet_their_limits(fp: int, missed: int, independent: bool) -> None:
    far, recall = Interval.of(fp, 300), Interval.of(300 - missed, 300)
    found = judged(far, recall, independent=independent)
    both = (far.most_pct or 0) < 5.0 and (recall.least_pct or 0) >= 95.0
    assert (found.word == "shown") == (independent and both)
    assert (found.word == "not met") == (fp >= 15 or missed > 15)
