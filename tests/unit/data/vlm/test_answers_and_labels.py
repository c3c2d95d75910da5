"""Where answers stand in responses, and which label a text holds."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.actions.gap_analysis.config import VLM_BCQ_SCHEMA, VlmBcqConfig
from tao_skill_bank.actions.gap_analysis.vlm_bcq import analyze_vlm_bcq
from tao_skill_bank.actions.gap_analysis.vlm_result import VlmBcqResult
from tao_skill_bank.core.overrides import parse_command_line
from tao_skill_bank.core.settings import validated
from tao_skill_bank.data.vlm.answers import look, taken_by
from tao_skill_bank.data.vlm.labels import BOTH, NEITHER, NO, YES, labels_of, suggested

YES_NO = labels_of("yes,no")


def analyse(folder: Path, items: list[Any], *overrides: str) -> VlmBcqResult:
    path = folder / "p.json"
    path.write_text(json.dumps(items))
    args = [f"predictions_json={path}", f"results_dir={folder / 'out'}", *overrides]
    return analyze_vlm_bcq(validated(VlmBcqConfig, parse_command_line(args, VLM_BCQ_SCHEMA).config))


def items(*responses: str, gt: str = "No") -> list[dict[str, str]]:
    return [{"video_id": f"v{i}.mp4", "response": r, "gt": gt, "question": "Q?"} for i, r in enumerate(responses)]


@pytest.mark.parametrize(
    ("mode", "text", "found"),
    [
        ("after_think", "<think>no, yes</think> Yes", " Yes"),
        ("after_think", "<thinking>no</thinking>a</thinking>Yes", "Yes"),
        ("after_think", "[THINK]no[/THINK]Yes", "Yes"),
        ("after_think", "◁think▷no◁/think▷Yes", "Yes"),
        ("after_think", "it is no</think>Yes", "Yes"),
        ("after_think", "Yes, plainly", "Yes, plainly"),
        ("after_think", "<think>yes, because no", None),
        ("after_think", "<think>a</think>yes<think>but", None),
        ("after_think", "<think>a</think>  ", None),
        ("answer_tag", "<think>yes</think><answer>No</answer>", "No"),
        ("answer_tag", "<answer>no</answer> then <ANSWER>Yes</ANSWER> x", "Yes"),
        ("answer_tag", "<answer>Yes, to the end", "Yes, to the end"),
        ("answer_tag", "Yes", None),
        ("boxed", r"no \boxed{Yes}", "Yes"),
        ("boxed", r"\boxed{no} so \boxed{\text{Yes}}", "Yes"),
        ("boxed", r"\boxed{\mathbf{\text{Yes}} {a{b}c}}", "Yes {a{b}c}"),
        ("boxed", r"\boxed{Yes", None),
        ("boxed", "Yes", None),
        ("last", "First no, at last YES!", "yes"),
        ("last", "<think>yes</think> nothing", None),
        ("last", "<think>no", None),
        ("anywhere", "<think>no</think> x", "<think>no</think> x"),
    ],
)
def test_each_mode_takes_the_answer_where_it_says(mode: str, text: str, found: str | None) -> None:
    assert taken_by([mode], YES_NO)(text) == found


def test_of_several_modes_the_first_that_finds_something_counts() -> None:
    take = taken_by(["answer_tag", "boxed", "last"], YES_NO)
    assert take(r"\boxed{No} <answer>Yes</answer>") == "Yes"
    assert take(r"yes \boxed{No}") == "No"
    assert take("no, then yes") == "yes"
    assert take("neither") is None


@pytest.mark.parametrize(
    ("text", "thinks", "cut"),
    [
        ("I think <b>yes</b>", False, False),
        ("<think>", True, True),
        ("x</think>", True, False),
        ("<THINK>a</Think>", True, False),
        ("[think]a[/think][THINK]", True, True),
    ],
)
def test_thinking_and_its_being_cut_off_are_told_by_their_tags(text: str, thinks: bool, cut: bool) -> None:
    for around in ("", "İ"):  # a letter that is two in lower case
        tagged, rest = look(around + text)
        assert (tagged, rest is None) == (thinks, cut)


@pytest.mark.parametrize(
    ("labels", "text", "code"),
    [
        ("OK,NG|not OK", "The board is OK.", YES),
        ("OK,NG|not OK", "It is not  ok", NO),
        ("OK,NG|not OK", "NOT OK. NG!", NO),
        ("OK,NG|not OK", "OK or NG", BOTH),
        ("OK,NG|not OK", "OKAY, BOOK", NEITHER),
        ("OK,NG|not OK", "ＯＫ", YES),
        ("是|是的,不是|否", "不是", NO),
        ("是|是的,不是|否", "是的，有火。", YES),
        ("是|是的,不是|否", "是", YES),
        ("zh", "对不起", NEITHER),
        ("zh", "对。", YES),
        ("zh", "没有火", NO),
        ("ja", "はい、あります", YES),
        ("ja", "いいえ。", NO),
        ("ko", "아니요, 없습니다", NO),
        ("ko", "네.", YES),
        ("de", "Ja, es brennt", YES),
        ("de", "Nein", NO),
        ("fr", "Oui", YES),
        ("es", "Sí", YES),
        ("es", "Si\u0301, claro", YES),
        ("C++,C#", "c++ it is", YES),
        ("yes,no", "yesé", NEITHER),
        ("defect|defective,no defect|defect-free", "There is no defect.", NO),
        ("defect|defective,no defect|defect-free", "defect-free", NO),
        ("defect|defective,no defect|defect-free", "A defect!", YES),
    ],
)
def test_labels_are_found_as_written(labels: str, text: str, code: int) -> None:
    found = labels_of(labels)
    assert found.answer(text) == code
    assert found.answers(["x", text, "", text]).tolist() == [NEITHER, code, NEITHER, code]


def test_yaml_that_reads_yes_and_no_as_truth_values_means_the_words() -> None:
    assert labels_of([True, False]).words == ("yes", "no")
    assert labels_of(["OK", "NG"]).words == ("OK", "NG")


PIECES = ("ok", "not", "ng", "OK.", "ＮＧ", "book", "\0", "not ok", "é", "对", " ")
WORDS = st.lists(st.sampled_from(PIECES), max_size=5)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS.map(" ".join) | WORDS.map("".join), max_size=8))
def test_many_texts_at_once_hold_the_labels_that_each_holds_alone(texts: list[str]) -> None:
    labels = labels_of("OK,NG|not OK")

    def plain(text: str) -> int:
        """Word by word from the left, the longest first."""
        folded, at, found = unicodedata.normalize("NFKC", text.replace("\0", " ")).casefold(), 0, NEITHER
        while at < len(folded):
            for word, side in ((r"not\s+ok", NO), ("ok", YES), ("ng", NO)):
                hit = re.compile(rf"\b{word}\b").match(folded, at)
                if hit:
                    found |= side
                    at = hit.end()
                    break
            else:
                at += 1
        return found

    assert labels.answers(texts).tolist() == [plain(t) for t in texts]


@pytest.mark.parametrize(
    ("truths", "labels"),
    [
        (["OK", "NG", "ok"], "NG,OK"),
        (["no defect", "defect"], "defect,no defect"),
        (["Nein", "ja"], "de"),
        (["不是", "是"], "zh"),
        (["a", "b", "c"], None),
        (["left"], None),
        (["pass", "fail"], "fail,pass"),
    ],
)
def test_labels_are_suggested_where_truths_are_of_two_kinds(truths: list[str], labels: str | None) -> None:
    assert suggested(truths) == labels


def test_thinking_is_named_with_what_both_ways_to_read_it_judge(tmp_path: Path) -> None:
    said = ["<think>yes</think> No", "<think>no yes</think> Yes", "<think>no, cut", "Yes", "</think>No"]
    result = analyse(tmp_path, items(*said))
    line = (
        "4 of 5 responses hold <think> (1 cut off); anywhere: 3 judged, FP 1, FN 0; "
        "answer_in=after_think: 4, FP 2, FN 0"
    )
    assert result.thinking == line and line in result.summary
    again = analyse(tmp_path, items(*said), "answer_in=after_think")
    assert again.thinking == line
    assert (again.judged, again.fp, again.skipped) == (4, 2, {"thinking cut off": 1})


def test_no_other_vehicle_in_the_thinking_is_no_answer(tmp_path: Path) -> None:
    text = "<think>There is no other vehicle near</think> The answer is positive"
    result = analyse(tmp_path, items(text, gt="Yes"))
    assert result.fn == 1 and result.thinking is not None
    assert "answer_in=after_think: 0, FP 0, FN 0" in result.thinking


def test_five_hundred_samples_of_which_none_can_be_judged_are_not_no_gaps(tmp_path: Path) -> None:
    result = analyse(tmp_path, items(*["<think>no, or yes?</think> Yes"] * 500))
    assert (result.status, result.judged, result.accuracy) == ("nothing judged", 0, None)
    assert result.summary[0] == "0 of 500 could be judged" and len(result.examples) == 3
    assert result.hint == "answer_in=after_think (judges 500 of 500: FP 500, FN 0)"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["kpi_gaps_report.txt", "kpi_skipped.jsonl"]
    found = analyse(tmp_path, items(*["<think>no, or yes?</think> Yes"] * 500), "answer_in=after_think")
    assert (found.fp, found.fn) == (500, 0)
    assert not (tmp_path / "out" / "kpi_skipped.jsonl").exists()


def test_other_labels_are_what_is_tried_next_where_truths_are_other_words(tmp_path: Path) -> None:
    rows = [{"video_id": f"b{i}", "response": r, "gt": g} for i, (r, g) in enumerate([("NG", "OK"), ("OK", "NG")])]
    result = analyse(tmp_path, rows)
    assert result.hint == "labels=NG,OK (the first is the positive one)"
    found = analyse(tmp_path, rows, "labels=NG,OK")
    assert (found.fp, found.fn) == (1, 1)


CHOICES = "Fire?\nA: Yes, a fire\nB: No"


@pytest.mark.parametrize(
    ("question", "response", "gt", "fp", "fn", "skipped"),
    [
        (CHOICES, "<think>yes no</think><answer>A</answer>", "B", 1, 0, 0),
        (CHOICES, r"\boxed{\text{B}}", "A", 0, 1, 0),
        (CHOICES, "(A)", "No", 1, 0, 0),
        (CHOICES, "B.", "b", 0, 0, 0),
        (CHOICES, "I say no.", "A", 0, 1, 0),
        ("Colour?\nA) Red\nB) Blue", "A", "B", 0, 0, 1),
        ("Fire?\n(A) Yes\n(B) No\n(C) Unclear", "A", "B", 0, 0, 1),
        ("Fire?", "A", "B", 0, 0, 1),
        ("Fire?", "Yes", "no", 1, 0, 0),
    ],
)
def test_letters_become_the_lines_that_they_stand_for(
    tmp_path: Path, question: str, response: str, gt: str, fp: int, fn: int, skipped: int
) -> None:
    row = {"video_id": "v.mp4", "question": question, "response": response, "gt": gt}
    result = analyse(tmp_path, [row], "letters=question")
    assert (result.fp, result.fn, sum(result.skipped.values())) == (fp, fn, skipped)
    if skipped:
        assert result.skipped == {"no yes/no question": 1} and result.unusable_truth == 1


def test_letters_are_suggested_where_truths_are_letters(tmp_path: Path) -> None:
    row = {"video_id": "v.mp4", "question": CHOICES, "response": "A", "gt": "B"}
    assert "letters=question" in str(analyse(tmp_path, [row]).hint)
