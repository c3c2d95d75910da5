"""A note on the page may say what the page says, and no other figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.text import percent, score, whole
from tao_skill_bank.reports.deft.narrative import figures, unsupported
from tao_skill_bank.reports.deft.report import NARRATIVE, REPORT_FILE, render_report, write_narrative
from tao_skill_bank.reports.deft.view import RunView

MakeRun = Callable[..., Path]
PAGE = (
    '<p>FAR <span data-field="best.far_pct" data-value="2.608695652">2.61 %</span> '
    '<span data-low="0.9639" data-high="5.594">0.96–⁠5.59 %</span> of 1 250 rows, 8 of 65 missed, '
    "gain −3.1 pp, target FAR < 5% at recall=95%, iter2</p><style>.x{margin:77px}</style><script>var y=88;</script>"
)


@pytest.mark.parametrize(
    "text",
    [
        "FAR is 2.61 %.",
        "FAR is 2.61% (0.96–5.59 %).",
        "FAR is 2.61 percent, between 0.96 % and 5.59 %.",
        "FAR is 2.61 per cent; in German 2,61 %.",
        "FAR is 2.608695652 % with all its digits.",
        "Of 1250 rows, 1,250 rows, or 1 250 rows, 8 of 65 defects are missed.",
        "It gained 3.1 pp, that is 3.1 percentage points, in iter2 of run_77 at C88.",
        "The target asks for 5 % and for 95 %.",
        "The target asks for five percent, 5％ or 5 pct, and for ninety-five percent.",
        "No figure at all, and a percentage is none.",
    ],
)
def test_a_figure_that_stands_on_the_page_may_be_said_however_it_is_written(text: str) -> None:
    assert unsupported(text, PAGE) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("FAR is 0.001 %, ship it", ["0.001 %"]),
        ("FAR is 2.6 %", ["2.6 %"]),
        ("FAR is 2.62 % and recall 99.9%", ["2.62 %", "99.9 %"]),
        ("recall of 65 %", ["65 %"]),  # 65 is a number of defects, no rate
        ("only 5 missed, 0.3 missed", ["5", "0.3"]),  # 5 % is a rate, no number of defects
        ("about 77 or 88", ["77", "88"]),  # a style sheet and a script are not shown
        ("FAR2.7%", ["2.7 %"]),
        ("FAR 1e-3 %", ["1e-3 %"]),
        ("gain of 2.61 pp", ["2.61 pp"]),
        ("one thousand is 1 000 rows", ["1000", "1 000"]),
        ("٣ missed", ["٣"]),
        ("7.7 and again 7.7", ["7.7"]),
        ("FAR is 0.5 %", ["0.5 %"]),  # which 5 % does not show
        ("FAR is 0.05% and recall 9.5 %", ["0.05 %", "9.5 %"]),
        ("FAR is .05 %, or .5%", [".05 %", ".5 %"]),
        ("of 12.50 rows, 125.0 rows", ["12.50", "125.0"]),  # there are 1,250
        ("FAR is ½ %, 1½ %", ["0.5 %", "1.5 %"]),
        ("FAR is one percent, or half a percent", ["1 %", "0.5 %"]),
        ("a hundred percent of them, ninety-nine per cent", ["100 %", "99 %"]),
        ("FAR is 8 ppm, 65 parts per million, 8 ‰", ["8 ppm", "65 ppm", "8 ‰"]),
        ("FAR is 1％ or 3 pct", ["1 %", "3 %"]),
        ("FAR is 10⁻³ %", ["1e-3 %"]),
    ],
)
def test_any_other_figure_is_named(text: str, named: list[str]) -> None:
    assert unsupported(text, PAGE) == named


RATIOS_PAGE = (
    "<p>8 of 65 missed, <b>1</b> set, 2 types, 3 of 5 in a row of 1 000 boards, 200 pictures; FAR 5 %, 10 s</p>"
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("1 in 1000 boards is flagged", "1 in 1000"),
        ("FAR is one in a thousand", "1 in 1000"),
        ("one board in a thousand is flagged", "1 board in 1000"),
        ("one-in-a-thousand", "1-in-1000"),
        ("1/1000 and no more", "1/1000"),
        ("\u00b9\u2044\u2081\u2080\u2080\u2080 of them", "1\u20441000"),
        ("1:1000", "1:1000"),
        ("only 1 in 200", "1 in 200"),
        ("one out of every 200 boards", "1 out of every 200"),
        ("of every 200 boards, one is flagged", "every 200"),
        ("per 1000 boards one is flagged", "per 1000"),
        ("every 200th board, and every two hundredth", "every 200th"),
        ("two per thousand", "2 per 1000"),
        ("1 defect per million", "1 defect per 1000000"),
        ("a thousandth of the boards", "1/1000"),
        ("half of the boards", "1/2"),
        ("two thirds of the boards", "2/3"),
        ("3 defects of 8", "3 defects of 8"),
        ("5 per mille, 5 permille", "5 \u2030"),
        ("a half per-mille", "0.5 \u2030"),
        ("five parts-per-million", "5 ppm"),
        ("200 basis points", "200 bp"),
        ("a tenth of a percent", "0.1 %"),
        ("one hundredth of one percent", "0.01 %"),
        ("FAR is 10^-3, or 1 \u00d7 10\u207b\u00b3", "1e-3"),
        ("FAR is 5 x 10^-4", "5e-4"),
        ("FAR fell tenfold", "10 \u00d7"),
        ("FAR fell 200 times, or 200x", "200 \u00d7"),
        ("ninety-nine boards are flagged", "99"),
        ("a dozen boards", "12"),
        ("two hundred and five boards", "205"),
        ("5 thousand boards", "5000"),
        ("1.5 million boards", "1500000"),
    ],
)
def test_a_rate_in_other_words_is_a_figure_though_the_page_shows_its_parts(text: str, named: str) -> None:
    assert named in unsupported(text, RATIOS_PAGE)


@pytest.mark.parametrize(
    "text",
    [
        "8 of 65 are missed, eight of the 65, 8 out of 65, 8/65, 8 in 65, or 8 defects of 65.",
        "Three in five, of one thousand boards and two hundred pictures.",
        "The third iteration is the one that holds, no one in 5 doubts a set of 65 defects, half an hour ago.",
        "2 types in 3 iterations, iteration 1 of 2, 5 % of 65, every 10 seconds, in the second half of it.",
        "A recall of 5 % in a set of 65.",
    ],
)
def test_what_the_page_shows_may_be_said_in_words_and_as_the_ratio_it_shows(text: str) -> None:
    assert unsupported(text, RATIOS_PAGE) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("FAR halved, recall held.", "halved"),
        ("iter2 halves the escapes; halving FAR was the aim", "halves"),
        ("FAR was cut in half by iter2.", "in half"),
        ("It lowers FAR by nearly half in iter2.", "by nearly half"),
        ("Recall doubled.", "doubled"),
        ("The number of false calls has tripled, or quadrupled.", "tripled"),
        ("There are twice as many escapes as before", "twice as many"),
        ("FAR is twice the target's.", "twice the"),
        ("Double the defects are caught", "Double the"),
        ("Hundreds of boards were looked at.", "Hundreds"),
        ("It was tried on tens of thousands of samples, and dozens more", "dozens"),
        ("None is missed.", "None is missed"),
        ("No defect of the acceptance set is missed", "No defect of the acceptance set is missed"),
        ("It never misses a bridge.", "never misses"),
        ("Nothing escapes it.", "Nothing escapes"),
        ("It runs without a single false call.", "without a single false call"),
        ("Not one good board is flagged.", "Not one good board is flagged"),
        ("All defects are found.", "All defects are found"),
        ("Every defect was caught; all of them are now detected", "Every defect was caught"),
        ("The model catches every single defect.", "catches every single defect"),
        ("With perfect recall, flawless.", "perfect recall"),
        ("An error-free model", "error-free"),
    ],
)
def test_what_is_said_of_a_measure_in_words_alone_is_named_where_the_page_does_not_show_it(
    text: str, named: str
) -> None:
    assert named in unsupported(text, PAGE)


@pytest.mark.parametrize(
    "text",
    [
        "That row stands twice; twice the same capture; every label was looked at twice.",
        "Double-check the labels of the doubled rows, which were halved sheets of paper.",
        "It ran for hundreds of seconds, half an hour in all.",
        "The target asks that no defect is missed; whether all defects are found is not known.",
        "It cannot be said that none is missed, and the set should have no false call.",
        "It is no longer missed. No one doubts the 8 missed defects. No new pictures were mined.",
        "No model was trained on missed defects, none of the flagged boards is new.",
        "All defect types are found in the pool. Every row was checked. All boards of it were new.",
        "Most boards pass, a few are flagged, nearly all of the missed ones are bridges.",
        "No defect type has a picture of its own, so the 8 missed ones need more data.",
    ],
)
def test_words_that_state_no_measure_are_no_claim(text: str) -> None:
    assert unsupported(text, PAGE) == []


def test_words_are_taken_where_the_page_shows_what_they_say() -> None:
    shown = "<p>0 of 65 defects missed; FAR 0 %, half of it (1/2), 2 \u00d7 before, recall 100 %</p>"
    text = (
        "No defect is missed, all defects are found, FAR halved, the number of rows doubled, no good board is flagged."
    )
    assert unsupported(text, shown) == []
    assert unsupported("Nothing is missed.", "<p>Nothing is missed on the KPI set</p>") == []


def test_a_number_in_a_name_is_no_figure() -> None:
    assert [f.written for f in figures("iter2, C17, run_20260901, 3 rows")] == ["3"]


def test_a_note_with_a_figure_of_its_own_is_refused_and_nothing_is_written(make_run: MakeRun) -> None:
    run = make_run(pictures=False)
    with pytest.raises(InputError, match=r"says 0\.001 %, which the page does not show") as caught:
        write_narrative(run, "FAR is 0.001 %, ship it")
    assert str(run / NARRATIVE) in str(caught.value)
    assert not (run / NARRATIVE).exists()


def test_a_note_of_the_pages_own_figures_is_taken(make_run: MakeRun) -> None:
    run = make_run(pictures=False)
    best = RunView(run).best
    assert best is not None
    far, rows = percent(best.record.far_pct), whole(best.rows)
    text = f"{best.title} reaches FAR {far} at threshold {score(best.record.threshold)} from {rows} rows."
    write_narrative(run, text)
    render_report(run)
    assert text in (run / REPORT_FILE).read_text(encoding="utf-8")


def test_a_note_cannot_vouch_for_the_next_one(make_run: MakeRun) -> None:
    run = make_run(pictures=False)
    (run / NARRATIVE).write_text("FAR is 0.001 %.\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"0\.001 %"):
        write_narrative(run, "FAR is 0.001 %, ship it")


def test_a_note_written_by_hand_with_another_figure_is_left_out_and_the_page_says_why(make_run: MakeRun) -> None:
    run = make_run(pictures=False)
    (run / NARRATIVE).write_text("FAR is 0.001 %, ship it\n", encoding="utf-8")
    render_report(run)
    html = (run / REPORT_FILE).read_text(encoding="utf-8")
    assert "ship it" not in html
    assert "Left out: it says <bdi>0.001\u00a0%</bdi>, which this page does not show." in html
