"""The page shows the very samples the verdict hangs on, and a type that got worse as worse."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tao_skill_bank.core.text import score
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.state import save_state
from tao_skill_bank.reports.deft.deciding import MOST_LISTED, deciding
from tao_skill_bank.reports.deft.gallery import Album
from tao_skill_bank.reports.deft.report import REPORT_FILE, render_report
from tao_skill_bank.reports.deft.view import RunView
from tao_skill_bank.tasks.registry import load_state

MakeRun = Callable[..., Path]
HEAD = ["input_path", "golden_path", "label", "object_name", "siamese_score"]


def inferred(path: Path, rows: list[tuple[str, str, float]]) -> None:
    """Replace an inference by (name, label, score) rows."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(HEAD)
        writer.writerows([["board3/", "golden/board/", label, name, repr(score)] for name, label, score in rows])


def with_acceptance(run: Path, before: list[tuple[str, str, float]], after: list[tuple[str, str, float]]) -> None:
    """Put these rows into the acceptance set's inferences, at thresholds of 0.5, with the counts that follow."""
    state = load_state(run)
    assert state.acceptance is not None
    for name, rows in (("baseline", before), ("best", after)):
        inferred(run / "acceptance" / name / "inference.csv", rows)
        good = [score for _, label, score in rows if label == "PASS"]
        bad = [score for _, label, score in rows if label != "PASS"]
        state.acceptance[name].update(
            threshold=0.5,
            far=Interval.of(sum(s > 0.5 for s in good), len(good)).model_dump(),
            recall=Interval.of(sum(s > 0.5 for s in bad), len(bad)).model_dump(),
        )
    save_state(state)


NAMES = (("G1", "PASS"), ("G2", "PASS"), ("M1", "mousebite"), ("M2", "mousebite"), ("S1", "spur"))
BEFORE = [(*name, score) for name, score in zip(NAMES, (0.9, 0.1, 0.9, 0.8, 0.2), strict=True)]
AFTER = [(*name, score) for name, score in zip(NAMES, (0.1, 0.2, 0.4, 0.3, 0.9), strict=True)]


def test_the_missed_defects_of_the_acceptance_set_are_on_the_page_lowest_first(make_run: MakeRun) -> None:
    run = make_run(pictures=False, lights=[])
    with_acceptance(run, BEFORE, AFTER)
    found = deciding(view := RunView(run), Album(view))
    assert found is not None
    assert (found.set, found.missed_count, found.flagged_count) == ("acceptance set", 2, 0)
    assert [(s.name, s.mistake) for s in found.missed] == [("M2", "missed (escape)"), ("M1", "missed (escape)")]
    render_report(run)
    section = (run / REPORT_FILE).read_text(encoding="utf-8").split('id="deciding"')[1].split("</section>")[0]
    assert "misses" in section
    assert section.index("board3/M2") < section.index("board3/M1")


def test_a_type_that_got_worse_on_the_deciding_set_is_called_worse(make_run: MakeRun) -> None:
    run = make_run(pictures=False, lights=[])
    with_acceptance(run, BEFORE, AFTER)
    found = deciding(view := RunView(run), Album(view))
    assert found is not None
    told = {row.label: (row.before, row.wrong.successes, row.change) for row in found.types}
    assert told == {"mousebite": (0, 2, "worse"), "spur": (1, 0, "better"), "PASS": (1, 0, "better")}
    assert [row.label for row in found.types] == ["mousebite", "spur", "PASS"]


def test_without_an_acceptance_set_the_samples_of_the_kpi_set_are_those_that_decide(make_run: MakeRun) -> None:
    run = make_run(pictures=False, acceptance=False, skill=0.3, target="FAR < 5% at recall=90%")
    view = RunView(run)
    found = deciding(view, Album(view))
    assert found is not None
    assert found.set == "KPI set"
    best = view.best
    assert best is not None
    assert best.recall is not None
    assert best.far is not None
    assert found.missed_count == best.recall.trials - best.recall.successes > 0
    assert found.flagged_count == best.far.successes > 0
    assert all(s.mistake == "flagged" for s in found.flagged)


def test_a_baseline_that_is_the_best_is_compared_with_nothing(make_run: MakeRun) -> None:
    run = make_run(iterations=0, pictures=False)
    found = deciding(view := RunView(run), Album(view))
    assert found is not None
    assert {row.change for row in found.types} == {""}


def test_a_set_with_thousands_of_mistakes_is_counted_and_the_worst_are_listed(make_run: MakeRun) -> None:
    run = make_run(pictures=False, lights=[])
    rows = [(f"D{i}", "spur", i / 10_000) for i in range(3000)] + [("G", "PASS", 0.1)]
    with_acceptance(run, rows, rows)
    found = deciding(view := RunView(run), Album(view))
    assert found is not None
    assert found.missed_count == 3000
    assert [s.name for s in found.missed] == [f"D{i}" for i in range(MOST_LISTED)]
    render_report(run)
    assert re.search(r"and 2\u202f940 more", (run / REPORT_FILE).read_text(encoding="utf-8"))


@pytest.mark.parametrize("missing", ["acceptance/best/inference.csv"])
def test_scores_that_are_not_on_disk_are_named_and_nothing_is_claimed(make_run: MakeRun, missing: str) -> None:
    run = make_run(pictures=False)
    (run / missing).unlink()
    view = RunView(run)
    assert deciding(view, Album(view)) is None
    assert any("acceptance inference of the best" in line for line in view.missing)


def test_no_page_says_false_accept_of_a_sample(make_run: MakeRun) -> None:
    run = make_run(pictures=False, skill=0.3)
    render_report(run)
    html = (run / REPORT_FILE).read_text(encoding="utf-8")
    assert not re.search(r"false.accepts?\b(?!-rate| rate)", html.replace("false-accept rate", ""), re.IGNORECASE)
    assert html.count("false-accept rate") == 1  # FAR is said once
    assert "flagged" in html
    assert "missed" in html


def test_a_threshold_has_one_form_on_the_page(make_run: MakeRun) -> None:
    run = make_run(iterations=2, pictures=False)
    render_report(run)
    html = (run / REPORT_FILE).read_text(encoding="utf-8")
    shown = re.sub(r"<script.*?</script>|<[^>]+>", " ", html, flags=re.DOTALL)
    for iteration in load_state(run).iterations.values():
        assert repr(iteration.threshold) not in shown
        assert score(iteration.threshold) in shown
