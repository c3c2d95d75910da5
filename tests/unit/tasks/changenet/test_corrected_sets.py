"""A run on corrected labels: what the plan says, what asks for a word of its own, what the run works on and reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import fake_model, make_workspace, request

from tao_skill_bank import labels, runs
from tao_skill_bank.core.errors import InputError, NeedsApprovalError
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.kpi import Scored
from tao_skill_bank.data.changenet.labels import is_pass
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.data.corrections import Word
from tao_skill_bank.loop.request import PreFlight, Request
from tao_skill_bank.reports.deft.report import report_html
from tao_skill_bank.reports.deft.view import RunView
from tao_skill_bank.tasks.changenet.scores import uncorrected
from tao_skill_bank.tasks.registry import load_own_state

WORD = "measured-labels"


def say(workspace: Path, name: str, to: str | None = None, *, drop: bool = False, who: str = "Ana") -> None:
    labels.say(workspace, [Word(name, "mislabeled", who, to=to, drop=drop)])


def texts(plan: PreFlight) -> dict[str, str]:
    return {check.name: check.text for check in plan.checks}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "w")


@pytest.fixture(scope="module")
def corrected_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on labels that were corrected in every set, up to its first routing."""
    workspace = make_workspace(tmp_path_factory.mktemp("corrected") / "w")
    say(workspace, "tr/C1", "bridge")
    say(workspace, "tr/C2", drop=True)
    say(workspace, "po/C1", "missing")
    say(workspace, "kp/C1", "bridge")
    say(workspace, "kp/C2", drop=True)
    say(workspace, "ac/C3", "PASS")
    say(workspace, "kp/C0")
    wanted = request(workspace, iterations=1)
    plan = runs.plan_run(wanted)
    folder = runs.open_run(wanted, approve=plan.digest, how="flag", words=[WORD])
    with fake_model():
        for _ in ("train", "evaluate", "rca", "routing"):
            runs.run_loop(folder, once=True)
    return folder


def test_a_plan_without_corrections_says_so_and_has_no_word_to_ask(workspace: Path) -> None:
    plan = runs.plan_run(request(workspace))
    assert texts(plan)["corrections"] == "none: labels are as the CSVs have them"
    assert plan.words == []
    assert "corrections" not in plan.config


@pytest.mark.parametrize("label", ["Good", "ok", "0", "NA"])
def test_a_label_that_was_written_into_the_file_by_hand_is_held_to_the_rules_of_labels(
    workspace: Path, label: str
) -> None:
    say(workspace, "tr/C1", "bridge")
    path = corrections.corrections_path(workspace)
    path.write_text(path.read_text().replace('"to": "bridge"', f'"to": "{label}"'))
    with pytest.raises(InputError, match=rf"new label of tr/C1 .*'{label}'.*labels undo"):
        runs.plan_run(request(workspace))


def test_a_correction_changes_the_plans_digest_and_is_counted_by_set(workspace: Path) -> None:
    before = runs.plan_run(request(workspace))
    say(workspace, "tr/C1", "bridge")
    say(workspace, "po/C2", drop=True)
    after = runs.plan_run(request(workspace))
    assert before.digest != after.digest
    assert texts(after)["corrections"] == "2 corrections: 1 relabelled, 1 dropped; rows changed: training 1, pool 1"
    rows = {split.name: split.rows for split in after.splits}
    assert (rows["training"], rows["mining pool"]) == (16, 23)


def test_what_is_undone_leaves_the_labels_as_they_were(workspace: Path) -> None:
    say(workspace, "kp/C1", "bridge")
    labels.take_back(workspace, "kp/C1", "Ana")
    plan = runs.plan_run(request(workspace))
    assert plan.words == []
    assert "no row is changed" in texts(plan)["corrections"]


def test_corrections_of_a_measured_set_need_a_word_of_their_own(workspace: Path) -> None:
    say(workspace, "kp/C1", "bridge")
    say(workspace, "ac/C2", drop=True)
    wanted = request(workspace)
    plan = runs.plan_run(wanted)
    [word] = plan.words
    assert word.name == WORD
    assert "KPI 1 relabelled; acceptance 1 dropped" in word.question
    assert any(f"say it: {WORD}" in line for line in plan.lines())
    with pytest.raises(NeedsApprovalError, match=f"add --accept {WORD} to --approve {plan.digest}"):
        runs.open_run(wanted, approve=plan.digest, how="flag")
    assert not (workspace / "results").exists()
    folder = runs.open_run(wanted, approve=plan.digest, how="flag", words=[WORD])
    approval = load_own_state(folder).approval
    assert approval is not None
    assert approval.words == [WORD]
    assert runs.open_run(request(workspace, results_dir=folder), approve=None, how="flag") == folder


def test_an_approval_to_which_a_word_was_added_by_hand_does_not_stand(workspace: Path) -> None:
    wanted = request(workspace)
    folder = runs.open_run(wanted, approve=runs.plan_run(wanted).digest, how="flag")
    path = folder / "deft_state.json"
    state = json.loads(path.read_text())
    state["approval"]["words"] = [WORD]
    path.write_text(json.dumps(state))
    with pytest.raises(NeedsApprovalError):
        runs.open_run(request(workspace, results_dir=folder), approve=None, how="flag")


@pytest.mark.parametrize(("use", "rows"), [("unmeasured", 15), ("none", 16)])
def test_sets_can_be_left_as_they_are_by_a_setting(workspace: Path, use: str, rows: int) -> None:
    say(workspace, "kp/C1", "bridge")
    say(workspace, "tr/C1", drop=True)
    plan = runs.plan_run(request(workspace, settings=(f"corrections.use={use}",)))
    assert plan.words == []
    found = {split.name: split for split in plan.splits}
    assert found["training"].rows == rows
    assert found["KPI"].labels["PASS"] == 20


def test_a_corrected_label_is_no_fault_any_more(workspace: Path) -> None:
    csv = workspace / "train" / "base" / "training_set.csv"
    csv.write_text(csv.read_text().replace("tr/,golden/tr/,PASS,C1\n", "tr/,golden/tr/,ok,C1\n"))
    with pytest.raises(InputError, match="a word for a good part"):
        runs.plan_run(request(workspace))
    say(workspace, "tr/C1", "PASS")
    assert runs.plan_run(request(workspace)).splits[0].labels["PASS"] == 10


def test_a_correction_of_another_picture_is_not_applied_and_the_plan_says_so(workspace: Path) -> None:
    say(workspace, "kp/C1", "bridge")
    picture = workspace / "images" / "kp" / "C1_SolderLight.png"
    picture.write_bytes((workspace / "images" / "kp" / "C4_SolderLight.png").read_bytes() + b"\0")
    plan = runs.plan_run(request(workspace))
    assert plan.words == []
    assert texts(plan)["corrections left"].startswith(
        "1 correction not applied, first kp/C1 of the kpi set: its picture"
    )


def test_samples_that_readers_dispute_stay_as_they_are(workspace: Path) -> None:
    say(workspace, "tr/C1", "bridge")
    say(workspace, "tr/C1", "missing", who="Ben")
    plan = runs.plan_run(request(workspace))
    assert "1 sample disputed by their readers" in texts(plan)["corrections"]
    assert plan.splits[0].labels["PASS"] == 10


def test_a_damaged_file_of_corrections_stops_the_plan(workspace: Path) -> None:
    say(workspace, "tr/C1", "bridge")
    path = corrections.corrections_path(workspace)
    path.write_text("nothing\n" + path.read_text())
    with pytest.raises(InputError, match=r"corrections\.jsonl line 1: cannot be read"):
        runs.plan_run(request(workspace))


def test_the_run_works_on_copies_with_provenance_and_touches_no_csv(corrected_run: Path) -> None:
    state = load_own_state(corrected_run)
    workspace = Path(state.config.workspace)
    copies = {p.stem: p for p in (corrected_run / "labels").rglob("*.csv")}
    training = read_pairs(copies["training_csv"])
    own = read_pairs(workspace / "train" / "base" / "training_set.csv")
    assert len(training) == len(own) - 1
    assert training.label[training.object_name.index("C1")] == "bridge"
    assert own.label[1] == "PASS"
    assert "C2" not in training.object_name
    provenance = read_pairs(copies["training_csv_corrections"], required=()).columns
    assert provenance["sample"] == ["tr/C1", "tr/C2"]
    assert (provenance["from"], provenance["to"], provenance["who"]) == (["PASS", "PASS"], ["bridge", ""], ["Ana"] * 2)
    assert provenance["outcome"] == ["relabelled", "dropped"]
    baseline = state.iterations["baseline"]
    assert baseline.training_rows == 15
    scored = read_pairs(Path(baseline.inference_csv or ""))
    assert (len(scored), scored.label[1]) == (29, "bridge")


def test_the_report_has_the_figure_before_and_after(corrected_run: Path) -> None:
    view = RunView(corrected_run)
    html = report_html(view)
    assert "Labels of the KPI set were corrected (1 relabelled, 1 dropped): FAR" in html
    assert f"{WORD} accepted by a word of their own" in html
    best = view.best
    assert best is not None
    found = best.record.evaluation
    assert found is not None
    assert found.uncorrected is not None
    # One bridge was a PASS, and one PASS more was dropped.
    assert (found.uncorrected.far.trials, found.far.trials) == (19, 18)
    assert (found.uncorrected.recall.trials, found.recall.trials) == (10, 11)


def test_the_acceptance_set_is_judged_at_the_frozen_threshold_by_both_labels(corrected_run: Path) -> None:
    config = load_own_state(corrected_run).config
    rows = read_pairs(Path(config.acceptance_csv))
    good = [is_pass(label) or own == "C3" for label, own in zip(rows.label, rows.object_name, strict=True)]
    points = [0.2 if ok else 0.8 for ok in good]
    found = Scored(rows, np.array(points), np.array(good))
    before = uncorrected(config, "acceptance", found, 0.5, load_own_state(corrected_run).target)
    assert before is not None
    assert (before.relabelled, before.dropped, before.threshold) == (1, 0, 0.5)
    assert (before.recall.successes, before.recall.trials, before.far.successes) == (9, 10, 0)


def test_what_is_doubted_is_not_routed(corrected_run: Path) -> None:
    [line] = [r for r in load_own_state(corrected_run).iterations["iter1"].stages if r.stage == "routing"]
    assert line.summary.endswith("1 left out: label doubted or picture damaged")


def test_the_next_plan_counts_what_came_since_the_last_run(corrected_run: Path) -> None:
    workspace = Path(load_own_state(corrected_run).config.workspace)
    assert "no correction since the last run" in texts(runs.plan_run(request(workspace)))["corrections"]
    say(workspace, "tr/C4", "bridge")
    say(workspace, "tr/C5", drop=True)
    plan = runs.plan_run(request(workspace))
    assert texts(plan)["corrections"].startswith("2 corrections since the last run: 1 relabelled, 1 dropped; rows")
    # The run that stands keeps to what it was approved with.
    assert runs.open_run(Request(results_dir=corrected_run), approve=None, how="flag") == corrected_run
