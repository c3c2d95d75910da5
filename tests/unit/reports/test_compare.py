"""Runs side by side: their figures, what differs, and what makes them hard to compare."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.state import save_state
from tao_skill_bank.reports.compare import compare_runs, lines, page_html, write_page
from tao_skill_bank.reports.deft.status import rate
from tao_skill_bank.tasks.registry import load_state

MakeRun = Callable[..., Path]


def changed(run: Path, **config: object) -> Path:
    state = load_state(run)
    state.config = state.config.model_copy(update=config)
    save_state(state)
    return run


def test_how_each_run_was_approved_stands_beside_its_verdict(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run(iterations=1), make_run(iterations=2)]
    state = load_state(runs[1])
    assert state.approval is not None
    state.approval = state.approval.model_copy(update={"how": "tty"})
    save_state(state)
    found = compare_runs(runs)
    text, page = "\n".join(lines(found)), write_page(found, tmp_path / "page.html").read_text(encoding="utf-8")
    for shown in (text, page):
        assert "approved by flag; nobody was asked" in shown
        assert "approved at the terminal" in shown


def test_figures_of_each_run_are_those_of_its_state_and_log(make_run: MakeRun) -> None:
    runs = [make_run(iterations=2, skill=0.6), make_run(iterations=3, skill=0.9)]
    found = compare_runs(runs)
    for run, shown in zip(runs, found.runs, strict=True):
        state = load_state(run)
        log = [json.loads(line) for line in (run / "loop_log.jsonl").read_text(encoding="utf-8").splitlines()]
        assert shown.best_iteration == state.best_iteration
        assert {p.phase: p.far_pct for p in shown.phases} == {k: v.far_pct for k, v in state.iterations.items()}
        assert shown.seconds == sum(line["duration_sec"] for line in log)
        keys = ("input", "output", "cache_read", "cache_create")
        assert shown.tokens == sum(line["tokens"][key] for line in log for key in keys)
        added = [(it.mining_mined_count or 0) + (it.anomalygen_count or 0) for it in state.iterations.values()]
        assert shown.rows_added == sum(added)


def test_only_what_differs_in_the_plans_is_listed_and_paths_are_told_from_the_workspace(make_run: MakeRun) -> None:
    first, second = make_run(), make_run()
    assert compare_runs([first, second]).differences == []
    changed(second, seed=99)
    assert [(d.key, d.values) for d in compare_runs([first, second]).differences] == [("seed", ["1234", "99"])]


@pytest.mark.parametrize(
    ("targets", "measure", "caution"),
    [
        (("recall >= 99% at FAR <= 9%", "recall >= 95% at FAR <= 9%"), "recall", None),
        (("FAR < 5%", "recall >= 99% at FAR <= 9%"), "FAR", "The targets limit FAR and recall"),
    ],
)
def test_the_figures_are_of_what_the_targets_limit(
    targets: tuple[str, str], measure: str, caution: str | None, make_run: MakeRun
) -> None:
    found = compare_runs([make_run(target=targets[0]), make_run(target=targets[1], skill=0.7)])
    text, page = "\n".join(lines(found)), page_html(found)
    assert f"best {measure}" in text and f"Best {measure}" in page
    assert ("best FAR" in text, "Best FAR" in page) == (measure == "FAR",) * 2
    assert ("The targets limit" in text) is (caution is not None) and (caution or "") in text
    for run in found.runs:
        assert run.best_goal_pct == (run.best_far_pct if measure == "FAR" else pytest.approx(run.best_goal_pct))
        assert run.best_goal is not None and rate(run.best_goal, run.best_goal_pct) in text
    if measure == "recall":
        # The highest is the best of them, and is set apart.
        best = max(found.runs, key=lambda run: run.best_goal_pct or 0.0)
        assert best.name in page.split('class="strong"')[1].split("</th>")[0]


def test_other_kpi_sets_recalls_and_overlapping_intervals_are_cautioned(make_run: MakeRun) -> None:
    first, second = make_run(), make_run(target="FAR < 5% at recall=90%")
    state = load_state(second)
    state.plan_digests = {"kpi_test_csv": "ab" * 32}
    save_state(state)
    text = " ".join(compare_runs([first, second]).cautions)
    assert "KPI sets differ" in text
    assert "different recalls" in text
    near = " ".join(compare_runs([first, make_run(skill=0.75)]).cautions)
    assert "intervals of the best FAR figures overlap" in near
    assert "KPI sets differ" not in near


def test_no_difference_is_not_called_chance(make_run: MakeRun) -> None:
    assert compare_runs([make_run(), make_run()]).cautions == []


def test_the_text_has_every_phase_and_the_page_every_figure(make_run: MakeRun, tmp_path: Path) -> None:
    found = compare_runs([make_run(iterations=1), make_run(iterations=3), make_run(iterations=0)])
    text = "\n".join(lines(found))
    for part in ("baseline", "iter3", "rows added", "what differs in the plan", "max_iterations"):
        assert part in text
    html = write_page(found, tmp_path / "c.html").read_text(encoding="utf-8")
    assert html == page_html(found)
    for run in found.runs:
        for phase in run.phases:
            assert f'data-value="{json.dumps(phase.far_pct)}"' in html
    assert "NaN" not in html
    assert "http" not in html.replace("http-equiv", "")


def test_a_run_that_has_measured_nothing_can_stand_beside_others(make_run: MakeRun) -> None:
    empty = make_run(iterations=0, status="planned", with_baseline=False)
    found = compare_runs([empty, make_run()])
    assert found.runs[0].best_far_pct is None
    assert "–" in "\n".join(lines(found))
    assert "IN PROGRESS" in page_html(found)


def test_hostile_text_in_a_plan_stays_text(make_run: MakeRun) -> None:
    first, second = make_run(pictures=False), make_run(pictures=False)
    changed(second, platform='</script><img src=x onerror="1">\u202e')
    html = page_html(compare_runs([first, second]))
    assert "<img" not in html
    assert "\u202e" not in html


def test_one_run_or_the_same_twice_or_none_at_all_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    for folders, text in (([run], "1 runs"), ([run, run], "named twice"), ([run, tmp_path], "no run here")):
        with pytest.raises(InputError, match=text):
            compare_runs(folders)


def test_the_command_prints_text_json_or_writes_a_page(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [str(make_run()), str(make_run(iterations=1))]
    command = [sys.executable, "-m", "tao_skill_bank.cli", "deft", "compare", *runs]
    assert "FAR per iteration" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert [run["results_dir"] for run in found["runs"]] == runs
    page = tmp_path / "page.html"
    done = subprocess.run([*command, "--html", str(page)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(page)
    assert page.read_text(encoding="utf-8").startswith("\n<!doctype html>") or "<!doctype html>" in page.read_text()
    refused = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1


def test_no_figure_is_shortened_however_narrow_the_names(make_run: MakeRun) -> None:
    runs = [make_run(iterations=1, skill=skill) for skill in (0.5, 0.6)]
    found = compare_runs([run.rename(run.with_name(f"r{n}")) for n, run in enumerate(runs)])
    text = lines(found)
    for name in ("best FAR", "acceptance FAR", "  recall"):
        assert "…" not in next(line for line in text if line.startswith(name))
    assert rate(found.runs[0].best_far, found.runs[0].best_far_pct) in "\n".join(text)
