"""Every rule refuses or flags what it is for, in three languages, and leaves alone what only looks like it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.made import Made
from tao_skill_bank.annotate.output import write_outputs
from tao_skill_bank.annotate.quality.examine import Examiner, Taken
from tao_skill_bank.annotate.question_book import QuestionBook
from tao_skill_bank.annotate.questions import questions_of
from tao_skill_bank.annotate.results import opened

LENGTH = 30.0
MCQ = {
    "question": "Which cart reaches the door first?",
    "choices": ["The red cart", "The green cart", "The blue cart", "The grey cart"],
    "answer": "B",
    "reasoning": "The green cart starts before the others and passes the door.",
}
BCQ = {
    "question": "Does the cart reach the door?",
    "answer": "Yes",
    "explanation": "It rolls up to it.",
    "reasoning": "The cart is seen at the door, so the answer is yes.",
}
OPEN = {
    "question": "Why does the worker step back?",
    "answer": "The cart tips over in front of him.",
    "reasoning": "He looks at it and moves.",
}
GOOD = {"mcq": MCQ, "bcq": BCQ, "open_qa": OPEN}


def row(kind: str, *items: dict[str, Any], video: str = "/v/a.mp4", length: float = LENGTH) -> dict[str, Any]:
    key = kind if kind in ("scene_description", "event_summary") else f"normal_{kind}"
    text = json.dumps({"items": list(items)}, ensure_ascii=False)
    return {"video": video, "prompt_key": key, "qa_output": text, "video_length": length}


def taken(*rows: dict[str, Any], keep_order: bool = False) -> list[Taken]:
    examiner = Examiner()
    return [examiner.take(q) for one in rows for q in questions_of(one, Path("/v"), keep_order=keep_order)]


def code(kind: str, **changed: Any) -> str | None:
    return taken(row(kind, {**GOOD.get(kind, OPEN), **changed}))[0].code


def flags(kind: str, **changed: Any) -> list[str]:
    only = taken(row(kind, {**GOOD.get(kind, OPEN), **changed}))[0]
    assert only.code is None, only.reason
    return [flag.code for flag in only.flags]


REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("refusal", "open_qa", {"answer": "I'm sorry, but I can't help with identifying people in this video."}),
    ("refusal", "open_qa", {"reasoning": "As an AI language model I do not watch videos."}),
    ("refusal", "bcq", {"answer": "I cannot view the video."}),
    ("refusal", "open_qa", {"answer": "Es tut mir leid, ich kann das Video leider nicht ansehen."}),
    ("refusal", "open_qa", {"answer": "抱歉，我无法查看该视频。"}),
    ("refusal", "open_qa", {"answer": "No video was provided, so there is nothing to say here."}),
    ("bcq_hedged", "bcq", {"answer": "Yes and no."}),
    ("bcq_hedged", "bcq", {"answer": "Maybe."}),
    ("bcq_hedged", "bcq", {"explanation": "It cannot be determined from this angle."}),
    ("bcq_hedged", "bcq", {"explanation": "Das lässt sich nicht sicher sagen."}),
    ("bcq_hedged", "bcq", {"explanation": "无法确定。"}),
    ("bcq_hedged", "bcq", {"explanation": "The video does not provide enough information to decide."}),
    ("bcq_hedged", "bcq", {"answer": "There is insufficient evidence for either."}),
    ("refusal", "open_qa", {"answer": "I'm an AI and can't watch videos."}),
    ("refusal", "open_qa", {"answer": "I am a language model, so there is nothing that I could look at."}),
    ("bcq_contradiction", "bcq", {"reasoning": "It stops at the line. So the statement is false."}),
    ("bcq_contradiction", "bcq", {"reasoning": "It stops at the line. This points to no."}),
    ("bcq_contradiction", "bcq", {"reasoning": "It stops at the line. We conclude the answer's no."}),
    ("choice_contradiction", "mcq", {"reasoning": "It rolls on. The best description is option A."}),
    ("choice_contradiction", "mcq", {"reasoning": "It rolls on. It must be C."}),
    ("choice_contradiction", "mcq", {"reasoning": "It rolls on. The answer, then, is D."}),
    ("choice_contradiction", "mcq", {"reasoning": "It rolls on. We go with A."}),
    ("choice_contradiction", "mcq", {"reasoning": "It rolls on. So C it is."}),
    ("source_leak", "open_qa", {"reasoning": "Caption 3 states that he falls."}),
    ("source_leak", "open_qa", {"reasoning": "In caption 2, he falls."}),
    ("source_leak", "open_qa", {"reasoning": "The description given above says that he falls."}),
    ("bcq_contradiction", "bcq", {"explanation": "No, it stops before.", "reasoning": "It stops."}),
    ("bcq_contradiction", "bcq", {"reasoning": "No motion is seen, so the answer is no."}),
    ("bcq_contradiction", "bcq", {"answer": "No", "explanation": "", "reasoning": "It rolls. Therefore, yes."}),
    ("bcq_contradiction", "bcq", {"reasoning": "Der Wagen steht. Also lautet die Antwort nein."}),
    ("bcq_contradiction", "bcq", {"reasoning": "推车没有动。所以答案是否。"}),
    ("choice_contradiction", "mcq", {"reasoning": "B looks right at first, but the correct answer is C."}),
    ("choice_contradiction", "mcq", {"reasoning": "It starts first, so the answer is the red cart."}),
    ("choice_contradiction", "mcq", {"reasoning": "Die richtige Antwort ist A."}),
    ("choice_contradiction", "mcq", {"reasoning": "因此正确答案是C。"}),
    ("source_leak", "mcq", {"question": "According to the caption, which cart is first?"}),
    ("source_leak", "open_qa", {"reasoning": "The captions do not mention anything else."}),
    ("source_leak", "open_qa", {"answer": "As stated in the detailed description, the cart tips over."}),
    ("source_leak", "open_qa", {"reasoning": "Laut der Beschreibung kippt der Wagen."}),
    ("source_leak", "open_qa", {"reasoning": "根据描述，推车翻倒了。"}),
    ("choice_letters", "mcq", {"choices": ["Red", "Blue", "Both A and B", "Grey"], "reasoning": "All roll."}),
    ("choice_letters", "mcq", {"choices": ["Red", "Blue", "A and B", "Grey"], "reasoning": "All roll."}),
    ("choice_letters", "mcq", {"choices": ["Red", "Blue", "The first option", "Grey"], "reasoning": "All roll."}),
    ("choice_letters", "mcq", {"choices": ["Red", "Blue", "The latter", "Grey"], "reasoning": "All roll."}),
    ("choice_letters", "mcq", {"choices": ["Rot", "Blau", "Sowohl A als auch B", "Grau"], "reasoning": "Alle."}),
    ("choice_letters", "mcq", {"choices": ["红色", "蓝色", "A和B", "灰色"], "reasoning": "都在动。"}),
    ("reasoning_letters", "mcq", {"reasoning": "Option F is out of view."}),
    ("reasoning_letters", "mcq", {"reasoning": "Options A-C stay behind option D."}),
    ("reasoning_letters", "mcq", {"reasoning": "The second option is the only one that moves."}),
    ("trivial", "open_qa", {"question": "Why so?"}),
    ("trivial", "causal_linkage", {"answer": "The cart tips over at 0:05."}),
    ("trivial", "scene_description", {"answer": "A hall with two workers and a red cart near the door."}),
    (
        "trivial",
        "event_summary",
        {"answer": "A cart rolls to the door of the hall, stops there and is moved."},
    ),
    ("unanswerable", "open_qa", {"answer": "It is not mentioned."}),
    ("unanswerable", "open_qa", {"answer": "The reason cannot be determined."}),
    ("unanswerable", "open_qa", {"answer": "Unknown"}),
    ("unanswerable", "open_qa", {"answer": "Das ist nicht zu erkennen."}),
    ("unanswerable", "open_qa", {"answer": "无法确定。"}),
    ("unanswerable", "mcq", {"choices": ["Red", "Not specified", "Blue", "Grey"]}),
    ("unanswerable", "open_qa", {"answer": "No reason is given."}),
    ("unanswerable", "open_qa", {"answer": "The footage is silent on this."}),
    ("unanswerable", "open_qa", {"answer": "Nothing in the clip says so."}),
    ("unanswerable", "open_qa", {"answer": "The answer lies outside the clip."}),
    ("unanswerable", "open_qa", {"answer": "Too dark to tell."}),
    ("unanswerable", "mcq", {"choices": ["Red", "That remains a mystery", "Blue", "Grey"]}),
    ("bcq_hedged", "bcq", {"answer": "Probably yes."}),
    ("bcq_hedged", "bcq", {"explanation": "It may or may not."}),
    ("bcq_hedged", "bcq", {"answer": "It could be."}),
    ("bcq_hedged", "bcq", {"answer": "No definitive answer."}),
    ("timestamp_outside", "open_qa", {"question": "What happens at 0:45 in the hall?"}),
    ("timestamp_outside", "open_qa", {"answer": "The cart tips over after 31 seconds of rolling."}),
    ("timestamp_outside", "open_qa", {"reasoning": "At 2 minutes he turns."}),
    ("timestamp_outside", "open_qa", {"reasoning": "在45秒时翻倒。"}),
    ("media_token", "open_qa", {"question": "<video> Why does the worker step back?"}),
    ("media_token", "open_qa", {"answer": "The cart tips over.<|im_end|>"}),
]


@pytest.mark.parametrize(("expected", "kind", "changed"), REFUSED)
def test_what_a_rule_is_for_is_refused_by_its_code(expected: str, kind: str, changed: dict[str, Any]) -> None:
    assert code(kind, **changed) == expected


KEPT: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in GOOD),
    ("open_qa", {"question": "What does the caption on the TV say?", "answer": "The caption on the TV says Closed."}),
    ("open_qa", {"answer": "Camera B shows the cart first, then it tips over."}),
    ("open_qa", {"answer": 'He shouts "I can\'t help you" and steps back.'}),
    ("open_qa", {"answer": "The driver cannot see the pedestrian behind the truck."}),
    ("open_qa", {"answer": "An unknown man pushes the cart against him."}),
    ("open_qa", {"answer": "The clock on the wall shows 10:45 and a bell rings."}),
    ("open_qa", {"answer": "A car of the 1980s rolls into the cart."}),
    ("open_qa", {"reasoning": "I cannot see any worker in the frame before that."}),
    ("open_qa", {"answer": "He gives a description of the thief to the guard."}),
    ("open_qa", {"answer": "The cart stops at 0:30.4 by the door."}),
    ("bcq", {"explanation": "Yes, there is no obstacle before it."}),
    ("bcq", {"explanation": "No obstacle is in its way.", "reasoning": "So no worker has to step aside."}),
    ("bcq", {"answer": "No", "explanation": "The road is not clear.", "reasoning": "A truck stands there."}),
    ("bcq", {"reasoning": "One may say no at first. The wheels pass the line, so yes."}),
    ("mcq", {"choices": ["Camera A", "Camera B", "Camera C", "Camera D"]}),
    ("mcq", {"choices": ["Lane A and lane B", "Lane C", "The latter half of the belt", "Only a box"]}),
    ("mcq", {"reasoning": "Option A stands still and C is behind, so option B it is."}),
    ("mcq", {"reasoning": "Hence B is the right one, not C."}),
    ("mcq", {"reasoning": "It must be a cart with green paint, so B it is."}),
    ("open_qa", {"answer": "No key is given to the driver, so he waits."}),
    ("open_qa", {"answer": "He runs outside the frame because it is too dark to see the door."}),
    ("open_qa", {"answer": "He gives no reason but shakes his head and walks to the exit."}),
    ("open_qa", {"answer": "The man is silent about the accident when the guard arrives."}),
    ("open_qa", {"answer": "The cart is too heavy to judge by hand, so they use a scale."}),
    ("bcq", {"explanation": "Depending on the light it glows, and it does here."}),
    ("bcq", {"explanation": "It could be seen rolling up to the door."}),
    ("bcq", {"explanation": "The cart is likely pushed by the man, and it gets there."}),
    ("bcq", {"answer": "No", "explanation": "There is no evidence of a fall.", "reasoning": "Nobody falls."}),
    ("bcq", {"explanation": "There is not enough room for a second cart."}),
    ("bcq", {"reasoning": "The sign points to no entry, but the cart rolls on."}),
    ("open_qa", {"answer": "He is an AI engineer who repairs the robot in front of him."}),
    ("mcq", {"choices": ["red", "dark red", "blue", "grey"], "reasoning": "The answer is dark red."}),
]


@pytest.mark.parametrize(("kind", "changed"), KEPT)
def test_what_only_looks_like_it_is_kept(kind: str, changed: dict[str, Any]) -> None:
    only = taken(row(kind, {**GOOD[kind], **changed}))[0]
    assert only.code is None, only.reason


def test_of_the_above_stays_last_and_the_others_are_shuffled() -> None:
    orders = set()
    for number in range(12):
        changed = {"question": f"Which cart is first in part {number}?", "answer": "B"}
        choices = ["None of the above", "The red cart", "The green cart", "All of these"]
        only = taken(row("mcq", {**MCQ, **changed, "choices": choices, "reasoning": "It is."}))[0]
        assert only.question.item is not None
        lines = only.question.item.choices
        assert [line[3:] for line in lines[2:]] == ["None of the above", "All of these"]
        assert only.question.item.full_answer[3:] == "The red cart"
        assert "choice_of_the_above" in [flag.code for flag in only.flags]
        orders.add(lines)
    assert len(orders) > 1


def test_choices_that_name_letters_keep_their_order_where_that_is_asked_for() -> None:
    choices = ["Red", "Blue", "Both A and B", "None of the above"]
    item = {**MCQ, "choices": choices, "answer": "C", "reasoning": "A and B roll, so the answer is C."}
    only = taken(row("mcq", item), keep_order=True)[0]
    assert only.code is None
    assert only.question.item is not None
    assert [line[3:] for line in only.question.item.choices] == choices
    assert (only.question.item.answer, only.question.item.reasoning) == ("C", item["reasoning"])
    assert "choice_letters_kept" in [flag.code for flag in only.flags]


def test_a_question_has_one_digest_also_where_choices_keep_their_order(
    tmp_path: Path,
) -> None:
    choices = ["Red", "Blue", "Both A and B", "None of the above"]
    item = {**MCQ, "choices": choices, "answer": "C", "reasoning": "A and B roll, so the answer is C."}
    step = tmp_path / "step_3_qa/qa_output.jsonl"
    step.parent.mkdir()
    step.write_text(json.dumps(row("mcq", item)) + "\n", encoding="utf-8")
    with Journal(tmp_path) as journal:
        journal.set_meta("output", json.dumps({"video_root": "/v", "keep_order": True}))
        journal.set_meta("video_root", "/v").result()
    with opened(tmp_path) as results:
        assert list(results.exportable()) == list(QuestionBook(tmp_path).questions)


def test_letters_of_a_reasoning_follow_the_shuffle_in_every_script() -> None:
    for reasoning in ("选项A不动，C在后面，所以正确答案是B。", "A ist falsch und C auch, die richtige Antwort ist B."):
        only = taken(row("mcq", {**MCQ, "reasoning": reasoning}))[0]
        item = only.question.item
        assert item is not None
        shown = {line[3:]: line[0] for line in item.choices}
        texts = {"A": "The red cart", "B": "The green cart", "C": "The blue cart"}
        # The A of `Antwort` is no reference, and stays.
        expected = reasoning.replace("Antwort", "\0")
        expected = "".join(shown[texts[c]] if c in texts else c for c in expected).replace("\0", "Antwort")
        assert item.reasoning == expected


@pytest.mark.parametrize(
    "reasoning",
    [
        "Only {B} shows the green cart.",
        "{A} does not happen.",
        "{C} never moves.",
        "{B} accurately describes the scene, whereas {A} shows the red one.",
        "Neither {A} nor {C} shows that.",
        "{A} and {C} never happen.",
        "This rules out {A} and {D}.",
        "The other options, {A} and {C}, are wrong.",
        "The distractors {A}, {C}, and {D} do not occur.",
        "The choice labelled {C} is wrong.",
        "The answer cannot be {D}.",
        "Lanes A and B are empty, and option {B} passes them.",
        "The carts of lanes A, B and C are behind.",
        "Only camera B shows it, and gate C has no lamp.",
        "A guard shows the way.",
        "The arm B moves, and crane A does not move.",
    ],
)
def test_letters_follow_the_shuffle_wherever_they_mean_choices_and_stay_where_they_name_things(reasoning: str) -> None:
    texts = dict(zip("ABCD", MCQ["choices"], strict=True))
    only = taken(row("mcq", {**MCQ, "reasoning": reasoning.format(**{c: c for c in texts})}))[0]
    item = only.question.item
    assert item is not None, only.reason
    shown = {line[3:]: line[0] for line in item.choices}
    assert item.reasoning == reasoning.format(**{c: shown[text] for c, text in texts.items()})


def test_a_right_choice_that_is_much_longer_is_flagged() -> None:
    long = "The green cart that carries the two blue barrels and a ladder"
    assert "length_cue" in flags("mcq", choices=["The red cart", long, "The blue cart", "The grey cart"])


def test_the_same_question_and_a_near_one_are_refused_and_an_opposite_pair_is_flagged() -> None:
    asked = "Does the worker in the yellow vest push the red cart to the open door of the hall?"
    found = taken(
        row(
            "bcq",
            {**BCQ, "question": asked},
            {**BCQ, "question": asked.upper().rstrip("?")},
            {**BCQ, "question": asked.replace("hall", "yard")},
            {**BCQ, "question": asked.replace("hall", "shed"), "answer": "No", "explanation": "", "reasoning": "Not."},
            {**BCQ, "question": "Is the lamp above the door on?"},
        )
    )
    assert [one.code for one in found] == [None, "duplicate", "near_duplicate", None, None]
    assert [flag.code for flag in found[3].flags] == ["opposite_pair"]


def test_questions_of_other_videos_and_tasks_are_no_duplicates() -> None:
    rows = [row("bcq", BCQ), row("open_qa", OPEN), row("bcq", BCQ, video="/v/b.mp4")]
    assert [one.code for one in taken(*rows)] == [None, None, None]


def test_an_answer_that_was_cut_off_loses_its_last_question_only() -> None:
    text = "Question: Does the cart move?\nAnswer: Yes\n=====\nQuestion: Does the worker fall?\nAnswer: Ye"
    cut = {**row("bcq"), "qa_output": text, "truncated": ["qa_output"]}
    assert [one.code for one in taken(cut)] == [None, "cut_off"]


def report_of(tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    write_outputs(tmp_path, rows, Made(video_root="/v", date="2026-01-01"), **more)
    return dict(json.loads((tmp_path / "quality.json").read_text(encoding="utf-8")))


def test_a_set_whose_answers_can_be_guessed_is_flagged_with_its_figures(tmp_path: Path) -> None:
    rows = []
    for i in range(40):
        asked = [{**BCQ, "question": f"Does thing {i}-{k} of kind {'abcdefg'[k]} move at all?"} for k in range(7)]
        rows.append(row("bcq", {**BCQ, "question": "Is a cart in the hall?"}, *asked, video=f"/v/{i}.mp4"))
        long = {**MCQ, "choices": ["Red cart", "The green cart", "Blue cart", "Grey cart"], "reasoning": "It is."}
        rows.append(row("mcq", {**long, "question": f"Which cart of set {i} is first of all?"}, video=f"/v/{i}.mp4"))
    report = report_of(tmp_path, rows)
    found = {(entry["code"], entry["task"]): entry for entry in report["sets"]}
    assert found["common_question", "bcq"]["videos"] == 40
    assert ("constant_answer", "bcq") in found
    assert "40 of 40" in found["length_cue", "mcq"]["why"]
    assert report["flagged"]["unbalanced"] >= 41
    assert report["items"] == {"bcq": 320, "mcq": 40}


def test_copies_of_a_video_give_their_items_once(tmp_path: Path) -> None:
    rows = [row("bcq", BCQ, video=f"/v/{name}.mp4") for name in ("a", "b", "c")]
    report = report_of(tmp_path, rows, content={"/v/a.mp4": "1", "/v/b.mp4": "1", "/v/c.mp4": "2"}.get)
    assert json.loads((tmp_path / "duplicates.json").read_text()) == {"a.mp4": ["b.mp4"]}
    assert report["items"] == {"bcq": 2}
    assert report["refused"] == {"duplicate_video": 1}
    items = json.loads((tmp_path / "step_4_output/bcq.json").read_text())["items"]
    assert [item["video_id"] for item in items] == ["a.mp4", "c.mp4"]
