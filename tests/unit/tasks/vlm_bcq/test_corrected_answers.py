"""What people said of questions: taken by a plan, kept to by its run for ever, and left out of the files themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import bcq
import pytest

from tao_skill_bank import labels, runs
from tao_skill_bank.core.errors import InputError, InputErrors, NeedsApprovalError
from tao_skill_bank.data.corrections import Word, corrections_path
from tao_skill_bank.loop.plan import digest_now
from tao_skill_bank.tasks.registry import load_state, task_named
from tao_skill_bank.tasks.vlm_bcq.workspace import read

TASK = task_named("vlm_bcq")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bcq.few(tmp_path_factory.mktemp("said") / "w")


@pytest.fixture
def workspace(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / "w")


def rows(workspace: Path, name: str) -> list[Any]:
    found: list[Any] = json.loads((workspace / name / "annotations.json").read_text())
    return found


def say(workspace: Path, sample: str, to: str | None = None, *, set_name: str | None = None, who: str = "Ana") -> None:
    word = Word(sample, "mislabeled", who, to=to, drop=to is None, set=set_name)
    labels.say(workspace, [word])


def other(row: Any) -> str:
    return "No" if row["conversations"][1]["value"].lower().startswith("yes") else "Yes"


def texts(plan: Any) -> dict[str, str]:
    return {check.name: check.text for check in plan.checks}


def test_a_plan_without_corrections_says_so_and_has_nothing_of_them_in_its_digest(workspace: Path) -> None:
    plan = runs.plan_run(bcq.request(workspace))
    assert texts(plan)["corrections"] == "none: labels are as the annotations have them"
    assert plan.words == [] and "corrections" not in plan.config


def test_a_run_reads_the_lines_that_its_plan_took_for_ever_and_a_new_plan_reads_all(workspace: Path) -> None:
    before = runs.plan_run(bcq.request(workspace))
    first, second, third = rows(workspace, "pool")[:3]
    say(workspace, first["id"], set_name="pool")
    say(workspace, f"{second['video']}/{second['id']}", other(second), set_name="pool")
    run = bcq.approved(bcq.request(workspace))
    state = load_state(run)
    assert before.digest != digest_now(TASK, state)
    was = digest_now(TASK, state)
    say(workspace, third["id"], set_name="pool")
    taken = read(state.config, "pool")
    assert taken is not None
    assert first["id"] not in taken.by_id and taken.by_id[second["id"]].gt == other(second).lower()
    assert third["id"] in taken.by_id
    assert digest_now(TASK, load_state(run)) == was
    plan = runs.plan_run(bcq.request(workspace))
    assert texts(plan)["corrections"].startswith("1 correction since the last run: 1 dropped; rows changed: pool 3")
    assert (workspace / "pool/annotations.json").read_text().count(third["id"]) == 1, "the file is not edited"
    path = corrections_path(workspace)
    path.write_text(path.read_text().replace("mislabeled", "edge_case", 1))
    with pytest.raises(InputError, match="is not what it was"):
        read(state.config, "pool")


@pytest.mark.parametrize("named_by", ["id", "video"])
def test_corrections_of_a_measured_set_need_a_word_and_an_evaluation_from_before_still_joins(
    named_by: str, workspace: Path
) -> None:
    kpi = rows(workspace, "kpi")
    turned = next(r for r in kpi if sum(other(r) == other(o) for o in kpi) > 1)
    gone = next(r for r in kpi if r is not turned and other(r) == other(turned))
    answers = [
        {
            "video_id": r[named_by],
            "question": r["conversations"][0]["value"],
            "gt": r["conversations"][1]["value"],
            "response": "Yes",
        }
        for r in kpi
    ]  # as a server left them before anybody looked
    (workspace / "kpi/predictions.json").write_text(json.dumps(answers))
    say(workspace, turned["id"], other(turned), set_name="kpi")
    say(workspace, gone["id"], set_name="kpi")
    plan = runs.plan_run(bcq.request(workspace))
    [word] = plan.words
    assert "KPI 1 relabelled, 1 dropped" in word.question
    assert texts(plan)["predictions"].endswith("every annotation answered once")
    with pytest.raises(NeedsApprovalError, match=word.name):
        bcq.approved(bcq.request(workspace))
    as_they_are = runs.plan_run(bcq.request(workspace, "corrections.use=unmeasured"))
    assert as_they_are.words == []
    assert {s.name: s.rows for s in as_they_are.splits}["KPI set"] == len(kpi)
    assert {s.name: s.rows for s in plan.splits}["KPI set"] == len(kpi) - 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.replace('"to": "Yes"', '"to": "Perhaps"').replace('"to": "No"', '"to": "Perhaps"'), "Perhaps"),
        (lambda t: t.replace('"to": "Yes"', '"to": "yes"').replace('"to": "No"', '"to": "no"'), "say Yes or No"),
    ],
)
def test_an_answer_written_into_the_file_by_hand_is_yes_or_no(workspace: Path, change: Any, named: str) -> None:
    row = rows(workspace, "base")[0]
    say(workspace, row["id"], other(row), set_name="training")
    path = corrections_path(workspace)
    path.write_text(change(path.read_text()))
    with pytest.raises((InputError, InputErrors), match=named):
        runs.plan_run(bcq.request(workspace))


def test_corrections_that_leave_one_answer_alone_stop_the_plan(workspace: Path) -> None:
    kpi = rows(workspace, "kpi")
    for row in kpi:
        if other(row) == "No":
            say(workspace, row["id"], set_name="kpi")
    with pytest.raises((InputError, InputErrors), match="all answers are the same"):
        runs.plan_run(bcq.request(workspace))


def test_a_question_that_is_not_there_or_stands_in_two_sets_and_a_label_that_is_no_answer_are_refused(
    workspace: Path,
) -> None:
    row = rows(workspace, "pool")[0]
    with pytest.raises(InputError, match="no such question"):
        say(workspace, "nobody", "Yes")
    for label in ("PASS", "maybe", "yes", ""):
        with pytest.raises(InputError) as refused:
            say(workspace, row["id"], label, set_name="pool")
        assert refused.value.line().endswith(f"is {label!r}, and answers no question (write Yes or No)")
    base = workspace / "base/annotations.json"
    base.write_text(json.dumps([{**rows(workspace, "base")[0], "id": row["id"]}, *rows(workspace, "base")[1:]]))
    with pytest.raises(InputError, match="name the set"):
        say(workspace, row["id"], "Yes")
    assert not corrections_path(workspace).exists()


def test_labels_of_a_run_folder_name_the_workspace_that_keeps_them(workspace: Path) -> None:
    run = bcq.approved(bcq.request(workspace))
    row = rows(workspace, "pool")[0]
    for said in (
        lambda: labels.listing(run),
        lambda: labels.say(run, [Word(row["id"], "mislabeled", "Ana", drop=True)]),
    ):
        with pytest.raises(InputError) as refused:
            said()
        assert "is a run" in refused.value.line() and f"name {workspace}" in refused.value.line()
    assert not corrections_path(run).exists() and not corrections_path(workspace).exists()


def test_a_workspace_that_has_questions_and_no_kpi_set_yet_is_still_one_of_questions(workspace: Path) -> None:
    row = rows(workspace, "pool")[0]
    shutil.rmtree(workspace / "kpi")
    with pytest.raises(InputError, match="write Yes or No"):
        say(workspace, row["id"], "PASS", set_name="pool")
    say(workspace, row["id"], other(row), set_name="pool")
    assert [word.line["to"] for word in labels.listing(workspace).words] == [other(row)]
