"""Questions on their way to the files: parsed, checked, as entries of a task's file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.config import QA_TYPES
from tao_skill_bank.annotate.parse import (
    Parsed,
    answer_letter,
    parse_questions,
    plain_words,
    thinking_cut_off,
    yes_no,
)
from tao_skill_bank.annotate.quality.choices import cannot_follow, claimed_letters, names_letters, relettered, shuffled
from tao_skill_bank.annotate.quality.rules import (
    TOLERANCE,
    Finding,
    behind_word,
    of_choices,
    of_text,
    of_yes_no,
    refusal_at_start,
)
from tao_skill_bank.annotate.times import clock, moments, span
from tao_skill_bank.core.fsio import canonical_json, sha256_text

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}


def object_of(**properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _items(**properties: dict[str, Any]) -> dict[str, Any]:
    return object_of(items={"type": "array", "items": object_of(**properties)})


_QA: dict[str, dict[str, Any]] = {
    "mcq": _items(
        question=_TEXT, choices={"type": "array", "items": _TEXT}, answer={"type": "string"}, reasoning=_TEXT
    ),
    "bcq": _items(question=_TEXT, answer={"type": "string", "enum": ["Yes", "No"]}, explanation=_TEXT, reasoning=_TEXT),
    "temporal_localization": _items(question=_TEXT, start_sec=_NUMBER, end_sec=_NUMBER, reasoning=_TEXT),
}
_PLAIN_QA = _items(question=_TEXT, answer=_TEXT, reasoning=_TEXT)
_OTHERS: dict[str, dict[str, Any]] = {
    "video_filtering": object_of(reason=_TEXT, suitable={"type": "boolean"}),
    "video_anomaly_classification": object_of(reason=_TEXT, label={"type": "string", "enum": ["anomaly", "normal"]}),
    "highlight_timestamp_extraction": object_of(reason=_TEXT, timestamp_sec={"type": ["number", "null"]}),
}


def qa_type(prompt_key: str) -> str:
    """The question type behind a prompt key: `anomaly_mcq` is `mcq`. Unknown ones count as open questions."""
    kind = prompt_key.removeprefix("anomaly_").removeprefix("normal_")
    return kind if kind in QA_TYPES else "open_qa"


def schema_of(prompt_key: str) -> dict[str, Any] | None:
    """The schema of the answer to a prompt; None where running text is asked for."""
    if prompt_key in _OTHERS:
        return _OTHERS[prompt_key]
    kind = prompt_key.removeprefix("anomaly_").removeprefix("normal_")
    return _QA.get(kind, _PLAIN_QA) if kind in QA_TYPES else None


_LONGEST_QUESTION = 3000
_LEAST_TELLTALE = 8
_SEPARATOR_LINE = re.compile(r"^[ \t]*={5,}[ \t]*$", re.MULTILINE)
_DATA_MARK = re.compile(r"<<DATA|DATA [0-9a-f]{8}>>")


@dataclass(frozen=True)
class Item:
    """A checked question.

    Attributes:
        question: Without choices and instructions.
        answer: A letter, `Yes` or `No`, a text, or for a localisation its start and end as a clock shows them.
        full_answer: The answer in words: `B. text`, `Yes. …`; the same as `answer` elsewhere.
        choices: `A. text` lines in the order shown.
        span: Seconds of a localisation.
        written_letter: The right choice's letter before the shuffle; empty elsewhere.
    """

    question: str
    answer: str
    full_answer: str
    reasoning: str
    choices: tuple[str, ...] = ()
    span: tuple[float, float] | None = None
    written_letter: str = ""


class Rejected(Exception):
    """Why a question is not taken; the text is the reason, `code` the rule."""

    def __init__(self, reason: str, code: str = "malformed") -> None:
        super().__init__(reason)
        self.code = code


def checked(kind: str, parsed: Parsed, duration: float | None, *, keep_order: bool = False) -> Item:
    """A parsed question of a type as an item.

    `duration` in seconds, None if unknown.

    Raises:
        Rejected: It breaks a rule; the reason is for people.
    """
    question = parsed.question.strip()
    if not question:
        raise Rejected("no question")
    if len(question) > _LONGEST_QUESTION:
        raise Rejected(f"the question has {len(question)} characters")
    for part in (question, parsed.answer, parsed.reasoning, *parsed.choices.values()):
        if _SEPARATOR_LINE.search(part) or _DATA_MARK.search(part):
            raise Rejected("a separator or data mark stands inside the text")
    if kind == "mcq":
        return _mcq(question, parsed, keep_order)
    if kind == "bcq":
        return _bcq(question, parsed)
    if kind == "temporal_localization":
        return _localization(question, parsed, duration)
    answer = parsed.answer.strip()
    if not answer:
        raise Rejected("no answer")
    if _stands_in(answer, question):
        raise Rejected("the answer stands in the question", "answer_in_question")
    return Item(question, answer, answer, parsed.reasoning.strip())


def _mcq(question: str, parsed: Parsed, keep_order: bool) -> Item:
    choices = {letter: text.strip() for letter, text in parsed.choices.items()}
    if len(choices) < 2:
        raise Rejected("fewer than two choices")
    if not all(choices.values()):
        raise Rejected("an empty choice")
    if len({plain_words(text) for text in choices.values()}) < len(choices):
        raise Rejected("two choices say the same")
    if not parsed.answer.strip():
        raise Rejected("no answer")
    letter = answer_letter(parsed.answer, choices)
    if letter is None:
        raise Rejected(f"the answer {_short(parsed.answer)!r} names none of the choices, or more than one")
    named = set(claimed_letters(parsed.reasoning))
    if named and letter not in named:
        raise Rejected(f"the answer is {letter}, the reasoning says {', '.join(sorted(named))}", "choice_contradiction")
    if _stands_in(choices[letter], question):
        raise Rejected("the answer stands in the question", "answer_in_question")
    keeps = keep_order and any(names_letters(text) for text in choices.values())
    lines, new_letter, moved = shuffled(question, choices, letter, keep_order=keeps)
    if (fault := cannot_follow(parsed.reasoning, set(choices))) is not None:
        raise Rejected(fault, "reasoning_letters")
    reasoning = relettered(parsed.reasoning.strip(), moved)
    full = next(line for line in lines if line.startswith(f"{new_letter}. "))
    return Item(question, new_letter, full, reasoning, lines, written_letter=letter)


def _bcq(question: str, parsed: Parsed) -> Item:
    said = yes_no(parsed.answer)
    if said is None:
        raise Rejected(f"the answer {_short(parsed.answer)!r} is neither yes nor no" if parsed.answer else "no answer")
    word = "Yes" if said else "No"
    explanation = parsed.explanation.strip() or behind_word(parsed.answer)
    full = f"{word}. {explanation[:1].upper()}{explanation[1:]}" if explanation else f"{word}."
    return Item(question, word, full, parsed.reasoning.strip())


def _localization(question: str, parsed: Parsed, duration: float | None) -> Item:
    found = parsed.span or span(parsed.answer)
    if found is None:
        raise Rejected(f"no start and end in {_short(parsed.answer)!r}" if parsed.answer else "no answer")
    start, end = found
    if duration is not None and duration < end <= duration + TOLERANCE:
        end = duration
    if not 0 <= start < end:
        raise Rejected(f"start {start:g} s does not lie before end {end:g} s")
    if duration is not None and end > duration:
        raise Rejected(f"end {end:g} s lies behind the video's {duration:g} s", "timestamp_outside")
    asked = moments(question) if re.search(r"\d\s*(?:s\b|sec|min)|\d:\d\d", question) else []
    if any(abs(m - start) < 0.01 for m in asked) and any(abs(m - end) < 0.01 for m in asked):
        raise Rejected("the answer stands in the question", "answer_in_question")
    shown = f"{clock(start)} - {clock(end)}"
    return Item(question, shown, shown, parsed.reasoning.strip(), span=(start, end))


def _stands_in(answer: str, question: str) -> bool:
    plain = plain_words(answer)
    return len(plain) >= _LEAST_TELLTALE and f" {plain} " in f" {plain_words(question)} "


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:59] + "…"


TASKS = {
    "mcq": "Multiple-choice questions, answered by the letter of the right choice.",
    "mcq_openended": "Multiple-choice questions, answered by the right choice in words.",
    "bcq": "Questions answered by yes or no.",
    "bcq_openended": "Yes/no questions, answered with an explanation.",
    "open_qa": "Open questions with free answers.",
    "causal_linkage": "Questions on how two events at given times are connected.",
    "temporal_localization": "Questions on when an event begins and ends.",
    "temporal_description": "Questions on what happens in a given span of time.",
    "scene_description": "Descriptions of the scene and its surroundings.",
    "video_summarization": "Summaries of a video's course of events.",
}
_TASK_OF = {"temporal_event_desc": "temporal_description", "event_summary": "video_summarization"}
_INSTRUCTIONS = {
    "mcq": "Reply with the letter of the right option only.",
    "mcq_openended": "Reply with the letter and the text of the right option.",
    "bcq": "Reply with Yes or No only.",
    "bcq_openended": "Reply with Yes or No, and explain briefly.",
    "temporal_localization": 'Reply with the start and the end as {"start": "MM:SS", "end": "MM:SS"}.',
}


@dataclass(frozen=True)
class Question:
    """One question of a row on its way to the files: accepted with its item, or refused with a reason.

    Attributes:
        code: The rule by which it is refused, None where it is not.
        parsed: As the model wrote it; None where no question could be recognised.
        findings: What the rules say of an item that could be read; not applied yet.
    """

    video: str
    video_id: str
    prompt_key: str
    task: str
    digest: str
    item: Item | None
    reason: str | None
    question: str
    answer: str
    code: str | None = None
    parsed: Parsed | None = None
    findings: tuple[Finding, ...] = ()


def media_root(video_root: str) -> Path | None:
    """The folder that `video_id` is relative to, absolute; None without one."""
    return Path(os.path.abspath(os.path.expanduser(video_root))) if video_root else None


def video_identity(video: str, root: Path | None) -> str:
    """A video's path below the root; absolute where it lies elsewhere or there is no root."""
    path = os.path.abspath(video)
    if root is not None:
        prefix = str(root).rstrip("/") + "/"
        if path.startswith(prefix):
            return path[len(prefix) :]
    return path


def questions_of(
    row: dict[str, Any], root: Path | None, *, keep_order: bool = False, answers: Mapping[str, str] | None = None
) -> Iterator[Question]:
    """The questions of one row of step 3, each accepted or refused. A row without any yields one refusal.

    Args:
        row: As step 3 wrote it.
        root: What `video_id` is relative to.
        keep_order: Choices that name letters stay in their order instead of being refused.
        answers: Digest → the answer that a person gave instead; it is checked like any other.
    """
    video, prompt_key = str(row.get("video", "")), str(row.get("prompt_key", ""))
    kind = qa_type(prompt_key)
    task = _TASK_OF.get(kind, kind)
    identity = video_identity(video, root)
    length = row.get("video_length")
    duration = float(length) if isinstance(length, (int, float)) and length > 0 else None
    text = row.get("qa_output")
    truncated = row.get("truncated")
    cut = isinstance(truncated, list) and "qa_output" in truncated
    parsed = parse_questions(text) if isinstance(text, str) else []
    if not parsed:
        reason, why = _unread(text if isinstance(text, str) else "", cut)
        digest = _digest(identity, task, str(text), "", "")
        yield Question(video, identity, prompt_key, task, digest, None, reason, "", "", why)
    for number, entry in enumerate(parsed, start=1):
        is_cut = cut and number == len(parsed)
        names = (video, identity, prompt_key, task)
        question = _question(names, kind, entry, duration, keep_order, is_cut)
        edited = (answers or {}).get(question.digest)
        if edited is not None and edited != question.answer:
            other = _question(names, kind, replace(entry, answer=edited), duration, keep_order, is_cut)
            question = replace(other, digest=question.digest)
        yield question


def _question(
    names: tuple[str, str, str, str], kind: str, entry: Parsed, duration: float | None, keep_order: bool, is_cut: bool
) -> Question:
    """One question, accepted or refused; `names`: video, its identity, prompt key, task."""
    item: Item | None = None
    refused: str | None = None
    code: str | None = None
    identity, task = names[1], names[3]
    findings = tuple(of_text(task, entry, duration))
    try:
        item = checked(kind, entry, duration, keep_order=keep_order)
        findings += tuple(_of_item(kind, entry, item, keep_order))
    except Rejected as refusal:
        refused = str(refusal)
        # What the text says is the better name for what is wrong: `Maybe` is hedged before it is no yes or no.
        code = next((finding.code for finding in findings if finding.refused), refusal.code)
    if is_cut:
        item, refused, code = None, "the answer was cut off at the token limit in this question", "cut_off"
    shown = item.full_answer if item else entry.answer
    digest = _digest(identity, task, entry.question, shown, item.reasoning if item else entry.reasoning)
    return Question(*names, digest, item, refused, entry.question, shown, code, entry, findings if item else ())


def _of_item(kind: str, entry: Parsed, item: Item, keep_order: bool) -> Iterator[Finding]:
    if kind == "bcq":
        yield from of_yes_no(entry, item.answer == "Yes")
    elif kind == "mcq":
        yield from of_choices(entry, item.written_letter, keep_order=keep_order)


def _unread(text: str, cut: bool) -> tuple[str, str]:
    """Why an answer holds no question: a reason and its code."""
    if cut:
        return "the answer was cut off at the token limit", "cut_off"
    code = "think_open" if thinking_cut_off(text) else "refusal" if refusal_at_start(text) else "unreadable"
    return "no question can be recognised in the answer", code


def faults_of(prompt_key: str, text: str, duration: float | None) -> tuple[int, list[str]]:
    """(good questions, reasons of the others) of an answer: what a repair is asked for."""
    row = {"video": "-", "prompt_key": prompt_key, "qa_output": text, "video_length": duration}
    found = list(questions_of(row, None))
    # What no shuffle can follow is refused in step 4, and not asked for anew: what is paid for stays as it is.
    faulty = [q for q in found if q.reason and q.code != "reasoning_letters"]
    return len(found) - len(faulty), [q.reason for q in faulty if q.reason]


def entries_of(question: Question) -> Iterator[tuple[str, dict[str, str]]]:
    """(task, entry of its file) of an accepted question; two for multiple-choice and yes/no questions."""
    item = question.item
    if item is None:
        return
    base = {"video_id": question.video_id}
    stem = "\n".join([item.question, *item.choices])
    if question.task in ("mcq", "bcq"):
        for task, answer in ((question.task, item.answer), (f"{question.task}_openended", item.full_answer)):
            asked = f"{stem}\n{_INSTRUCTIONS[task]}"
            yield task, base | {"question": asked, "answer": answer, "reasoning": item.reasoning}
        return
    answer = item.answer
    if item.span is not None:
        stem = f"{stem}\n{_INSTRUCTIONS['temporal_localization']}"
        answer = json.dumps({"start": clock(item.span[0]), "end": clock(item.span[1])})
    yield question.task, base | {"question": stem, "answer": answer, "reasoning": item.reasoning}


def _digest(video_id: str, task: str, question: str, answer: str, reasoning: str) -> str:
    return sha256_text(canonical_json([video_id, task, question, answer, reasoning]))[:16]
