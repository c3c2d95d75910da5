"""Every output of a model that people could think of gives the right item, or is refused with a named reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tao_skill_bank.annotate.questions import Question, questions_of

DURATION = 90.0
MACROS = {
    "{Q4}": "Question: Which cart is the first to move?\nA. The red cart\nB. The green cart\nC. The blue cart\n"
    "D. The grey cart\n",
    "{YN}": "Question: Does the cart move?\n",
    "{TL}": "Question: When does the cart fall?\n",
    "{OQ}": "Question: Why did the cart fall?\n",
    "{S}": "=====",
}


def cases() -> list[tuple[str, str, str]]:
    found = []
    for line in Path(__file__).with_name("outputs.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, expected, text = line.split(" | ", 2)
            for name, value in MACROS.items():
                text = text.replace(name, value)
            text = text.replace("\\\\n", "\0").replace("\\n", "\n").replace("\0", "\\n")
            found.append((kind, expected.replace("\\n", "\n"), text))
    return found


def shown(question: Question) -> str:
    item = question.item
    assert item is not None, question.reason
    if item.span is not None:
        return f"{item.span[0]:g}-{item.span[1]:g}"
    return item.full_answer.split(". ", 1)[1] if question.task == "mcq" else item.answer


def test_there_are_two_hundred() -> None:
    assert len(cases()) >= 200


@pytest.mark.parametrize(("kind", "expected", "text"), cases(), ids=lambda value: None)
def test_an_output_gives_the_right_item_or_a_named_reason(kind: str, expected: str, text: str) -> None:
    mode_free = kind in ("scene_description", "event_summary")
    row = {"video": "/v/a.mp4", "prompt_key": kind if mode_free else f"anomaly_{kind}", "qa_output": text}
    found = list(questions_of(row | {"video_length": DURATION}, Path("/v")))
    if expected.startswith("! "):
        assert [q.item for q in found] == [None]
        assert expected[2:] in (found[0].reason or "")
    else:
        assert [shown(q) for q in found] == expected[2:].split(" ; ")
        for question in found:
            item = question.item
            assert item is not None
            if kind == "mcq":
                assert f"{item.answer}. {shown(question)}" in item.choices
