"""Each recommendation is a rule: here is when it speaks, and that it says the figures it speaks from."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flat import put

from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.state import save_state
from tao_skill_bank.reports.deft.advice import Advice, recommendations
from tao_skill_bank.reports.deft.report import report_html
from tao_skill_bank.reports.deft.sections import cards
from tao_skill_bank.reports.deft.status import status_of
from tao_skill_bank.reports.deft.view import RunView
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.registry import load_state

MakeRun = Callable[..., Path]


def advice_of(run: Path) -> dict[str, Advice]:
    view = RunView(run)
    found = recommendations(view, status_of(view))
    assert len({a.rule for a in found}) == len(found)
    return {a.rule: a for a in found}


def rescore(run: Path, scores: dict[str, list[float]]) -> None:
    """Replace the baseline's inference by rows of these labels and scores, and its figures by those that follow."""
    from tao_skill_bank.tasks.changenet.scores import evaluate

    state = load_state(run)
    baseline = state.iterations["baseline"]
    path = Path(str(baseline.inference_csv))
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["input_path", "golden_path", "label", "object_name", "siamese_score"])
        rows = [(label, score) for label, values in scores.items() for score in values]
        writer.writerows([["b/", "g/", label, f"C{i}", repr(score)] for i, (label, score) in enumerate(rows)])
    measured = evaluate("latest", Path("model.pth"), path, RunView(run).state.target)
    put(baseline, evaluations=[measured], far_pct=measured.far_pct, threshold=measured.threshold)
    save_state(state)


def test_the_report_says_which_checkpoint_was_chosen_and_how_far_the_others_lay_apart(make_run: MakeRun) -> None:
    run = only_baseline(make_run)
    [before] = cards(RunView(run))
    assert "Other checkpoints" not in dict(before.facts)
    state = load_state(run)
    baseline = state.iterations["baseline"]
    [latest] = baseline.evaluations
    far = latest.far_pct
    told = [
        latest.model_copy(
            update={"kind": kind, "checkpoint": f"/t/{name}", "inference_csv": f"/t/{name}", "far_pct": x}
        )
        for kind, name, x in (("best_val", "model_epoch_003.pth", far + 1.5), ("best_far", "model_epoch_005.pth", far))
    ]
    put(baseline, evaluations=[*told, latest])
    save_state(state)
    [card] = cards(RunView(run))
    assert dict(card.facts)["Checkpoint"].endswith("(latest)")
    others = "model_epoch_003.pth (best val): FAR +1.50 pp; model_epoch_005.pth (best far): FAR ±0 pp"
    assert dict(card.facts)["Other checkpoints"] == others
    assert "<dt>Other checkpoints</dt>" in report_html(RunView(run))


def miss_two(state: DeftState) -> None:
    """Two of 32 acceptance defects are missed."""
    assert state.acceptance is not None
    state.acceptance["best"]["recall"] = Interval.of(30, 32).model_dump()
    save_state(state)


def only_baseline(make_run: MakeRun, **options: Any) -> Path:
    return make_run(iterations=0, pictures=False, **{"acceptance": False, **options})


PASSES = [i / 100 for i in range(50)]


def test_the_one_sample_that_holds_far_up_is_named_for_a_look(make_run: MakeRun) -> None:
    run = only_baseline(make_run)
    rescore(run, {"PASS": PASSES, "bridge": [0.105, 0.9, 0.95], "shift": [0.8, 0.9]})
    found = advice_of(run)["doubtful-labels"]
    assert found.title == "Check the label of this sample by eye"
    assert "C50 in b/ (bridge, 0.105000)" in found.why
    assert "FAR would be 0 % (0–7.11 %) instead of 78.0 % (64.0–88.5 %)" in found.why


def test_no_sample_is_doubted_where_none_stands_out(make_run: MakeRun) -> None:
    run = only_baseline(make_run)
    rescore(run, {"PASS": PASSES, "bridge": [0.105, 0.106, 0.107, 0.108, 0.109], "shift": [0.8, 0.9]})
    assert "doubtful-labels" not in advice_of(run)


LOW = [0.10 + 0.004 * i for i in range(8)]


def test_no_sample_is_blamed_where_leaving_out_any_of_the_lowest_does_the_same(make_run: MakeRun) -> None:
    """19 of 20 defects are enough at 95 %; one fewer moves the quota, whichever it is."""
    run = only_baseline(make_run, target="FAR < 5% at recall=95%")
    rescore(run, {"PASS": PASSES, "bridge": [0.105, 0.106, *[0.9] * 10], "shift": [0.107, *[0.9] * 11]})
    assert "doubtful-labels" not in advice_of(run)


def test_no_pair_is_blamed_where_one_of_them_does_it_alone_with_any_other(make_run: MakeRun) -> None:
    run = only_baseline(make_run)
    rescore(run, {"PASS": PASSES, "bridge": [0.105, 0.185, 0.245, 0.285, 0.33], "shift": [0.36, 0.9]})
    found = advice_of(run).get("doubtful-labels")
    assert found is None or "this sample" in found.title


def test_a_pair_that_only_together_holds_far_up_is_named(make_run: MakeRun) -> None:
    run = only_baseline(make_run)
    rescore(run, {"PASS": PASSES, "bridge": [0.105, 0.106, 0.9, 0.95], "shift": [0.8, 0.9]})
    found = advice_of(run)["doubtful-labels"]
    assert found.title == "Check the label of these 2 samples by eye"
    assert "without them FAR would be 0 %" in found.why


def test_no_type_is_blamed_where_leaving_out_another_does_the_same(make_run: MakeRun) -> None:
    run = only_baseline(make_run, target="FAR < 5% at recall=90%")
    rescore(run, {"PASS": PASSES, "bridge": [*LOW[::2], *[0.9] * 16], "shift": [*LOW[1::2], *[0.9] * 16]})
    assert "dearest-label" not in advice_of(run)


def test_the_type_without_which_far_falls_most_is_named_not_the_one_with_the_lowest_sample(make_run: MakeRun) -> None:
    run = only_baseline(make_run, target="FAR < 5% at recall=90%")
    rescore(run, {"PASS": PASSES, "bridge": [0.09, *[0.9] * 19], "shift": [*LOW, 0.9, 0.9]})
    assert advice_of(run)["dearest-label"].title == "Collect more shift samples first"


def test_the_defect_type_that_sets_far_is_the_one_to_collect(make_run: MakeRun) -> None:
    run = only_baseline(make_run)
    rescore(run, {"PASS": PASSES, "bridge": [0.105, 0.11, 0.12], "shift": [0.395, 0.9]})
    found = advice_of(run)["dearest-label"]
    assert found.title == "Collect more bridge samples first"
    assert "with it FAR is 78.0 %" in found.why
    assert "without it 20.0 %" in found.why


@pytest.mark.parametrize(("flagged", "missed", "advised"), [(1, 2, False), (95, 2, True), (95, 0, True), (1, 0, False)])
def test_no_type_is_blamed_for_a_far_that_is_met(make_run: MakeRun, flagged: int, missed: int, advised: bool) -> None:
    run = only_baseline(make_run, target="FAR < 90% at recall=99%", acceptance=True)
    rescore(run, {"PASS": PASSES, "bridge": [0.105, 0.11, 0.12], "shift": [0.395, 0.9]})
    state = load_state(run)
    assert state.acceptance is not None
    state.acceptance["best"]["far"] = Interval.of(flagged, 100).model_dump()
    state.acceptance["best"]["recall"] = Interval.of(32 - missed, 32).model_dump()
    save_state(state)
    assert ("dearest-label" in advice_of(run)) is advised


def test_two_types_that_cost_the_same_leave_no_dearest_one(make_run: MakeRun) -> None:
    run = only_baseline(make_run)
    rescore(run, {"PASS": PASSES, "bridge": [0.105, 0.9], "shift": [0.105, 0.9]})
    assert "dearest-label" not in advice_of(run)


def test_full_recall_is_told_as_a_lower_bound_with_the_samples_that_more_would_take(make_run: MakeRun) -> None:
    why = advice_of(only_baseline(make_run))["full-recall"].why
    assert "0 of 32 KPI defects missed means recall of at least 91.1 % with 95 % confidence" in why
    assert "To show 99.0 % takes 299 and 99.9 % takes 2\u202f995 defect samples without a miss" in why


def test_a_recall_target_below_100_names_the_samples_it_needs(make_run: MakeRun) -> None:
    run = only_baseline(make_run, target="FAR < 5% at recall=99%")
    assert advice_of(run)["enough-defects"].title == "Bring the KPI set to 299 defects or more"
    easy = only_baseline(make_run, target="FAR < 5% at recall=80%", per_label=40)
    assert "enough-defects" not in advice_of(easy)


def test_too_few_pass_rows_for_the_limit_are_counted(make_run: MakeRun) -> None:
    run = only_baseline(make_run, target="FAR < 0.5% at recall=100%")
    assert advice_of(run)["enough-passes"].title == "Bring the KPI set to 598 PASS samples or more"
    assert "enough-passes" not in advice_of(only_baseline(make_run, passes=120, target="FAR < 5% at recall=100%"))


def test_a_label_that_training_hardly_has_is_named_with_its_rows(make_run: MakeRun) -> None:
    why = advice_of(only_baseline(make_run))["hardly-trained"].why
    assert "missing (1)" in why
    assert "scratch (1)" in why


def test_rows_that_the_loop_added_count_as_training_rows(make_run: MakeRun) -> None:
    found = advice_of(make_run(iterations=2, pictures=False, acceptance=False, skill=0.2))
    assert "hardly-trained" not in found


def test_a_spent_pool_is_to_be_filled(make_run: MakeRun) -> None:
    found = advice_of(make_run(iterations=2, pictures=False, acceptance=False, skill=0.2))
    assert "has no unused row" in found["pool-spent"].why


def test_more_iterations_are_advised_only_to_a_loop_that_ran_out_of_them(make_run: MakeRun) -> None:
    run = make_run(iterations=1, pictures=False, skill=0.2)
    assert "unused row" in advice_of(run)["another-iteration"].why
    state = load_state(run)
    state.kpi_target = "FAR < 99% at recall=95%"
    miss_two(state)
    assert {"acceptance-recall", "another-iteration"} & set(advice_of(run)) == {"acceptance-recall"}


def test_a_missed_acceptance_recall_asks_for_more_kpi_defects(make_run: MakeRun) -> None:
    run = make_run(skill=1.4, pictures=False)
    assert "acceptance-recall" not in advice_of(run)
    miss_two(load_state(run))
    assert "2 of 32 acceptance defects go unseen" in advice_of(run)["acceptance-recall"].why


def test_a_run_without_an_acceptance_set_is_told_to_make_one(make_run: MakeRun) -> None:
    assert "no-acceptance-set" in advice_of(only_baseline(make_run))
    assert "no-acceptance-set" not in advice_of(only_baseline(make_run, acceptance=True))


def test_a_stopped_run_is_told_first_what_to_mend_and_where_it_goes_on(make_run: MakeRun) -> None:
    run = make_run(iterations=1, status="stopped", stop_reason="silent-drop: nobody takes scratch", pictures=False)
    view = RunView(run)
    first = recommendations(view, status_of(view))[0]
    assert first.rule == "mend-the-stop"
    assert "takes up at routing of iter1" in first.why


def test_only_a_shown_target_of_taos_own_training_says_deploy_and_says_it_first(make_run: MakeRun) -> None:
    easy: dict[str, Any] = {"pictures": False, "target": "FAR < 5% at recall=95%", "accepted": ((0, 500), (500, 500))}
    view = RunView(make_run(trainer="tao", **easy))
    assert view.verdict.word == "shown"
    assert recommendations(view, status_of(view))[0].rule == "deploy"
    assert "deploy" not in advice_of(make_run(trainer="stand-in", **easy))
    assert "deploy" not in advice_of(make_run(trainer="unknown", **easy))
    assert "deploy" not in advice_of(make_run(trainer="tao", **{**easy, "acceptance": False}))


def test_what_is_met_and_not_shown_asks_for_so_many_samples_more(make_run: MakeRun) -> None:
    run = make_run(skill=3.0, pictures=False, target="FAR < 5% at recall=95%", trainer="tao")
    view = RunView(run)
    assert view.verdict.word == "met, not shown"
    more = {c.name: c.more for c in view.verdict.claims if c.outcome == "met"}
    found = advice_of(run)["samples-to-show"]
    for count in more.values():
        assert f"about {count} more " in found.title


@pytest.mark.parametrize("platform", ["local", "docker", "slurm", "kubernetes"])
def test_only_a_rehearsal_is_called_one_whatever_ran_it(make_run: MakeRun, platform: str) -> None:
    assert "rehearsal" in advice_of(only_baseline(make_run, platform=platform, trainer="stand-in"))
    assert "rehearsal" not in advice_of(only_baseline(make_run, platform=platform, trainer="tao"))


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_mostly_synthetic_training_is_pointed_out(make_run: MakeRun, share: float) -> None:
    run = make_run(iterations=1, pictures=False, acceptance=False)
    state = load_state(run)
    for iteration in state.iterations.values():
        counts = {"total": 100, "synthetic_total": int(100 * share)}
        put(iteration, provenance_counts=counts, training_rows=100)
    save_state(state)
    assert ("mostly-synthetic" in advice_of(run)) == (share > 0.5)


def test_a_last_round_without_gain_asks_for_other_data(make_run: MakeRun) -> None:
    run = make_run(iterations=2, pictures=False, acceptance=False, skill=0.3)
    state = load_state(run)
    for label, far in (("baseline", 40.0), ("iter1", 20.0), ("iter2", 20.1)):
        put(state.iterations[label], far_pct=far)
    state.best_iteration = "iter1"
    save_state(state)
    assert "gained nothing" in advice_of(run)["no-more-gain"].why
    put(state.iterations["iter2"], far_pct=12.0)
    save_state(state)
    assert "no-more-gain" not in advice_of(run)
