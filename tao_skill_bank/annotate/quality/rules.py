"""The rules that read one item: what is wrong in it by itself.

Each rule has a code. What is refused stands in `rejected.jsonl` with its code; what is flagged is kept, and stands in
`quality.json` and in the review.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tao_skill_bank.annotate.parse import Parsed, yes_no
from tao_skill_bank.annotate.quality.alternatives import Alternatives
from tao_skill_bank.annotate.quality.choices import claimed_letters, is_of_the_above, names_letters
from tao_skill_bank.annotate.quality.patterns import patterns, side
from tao_skill_bank.annotate.quality.text import first_sentence, normal, plain, unquoted, word_count
from tao_skill_bank.annotate.times import clock, placed

REFUSED = (
    *("refusal", "think_open", "cut_off", "bcq_hedged", "bcq_contradiction", "choice_contradiction", "source_leak"),
    *("choice_letters", "reasoning_letters", "duplicate", "near_duplicate", "duplicate_video", "trivial"),
    *("unanswerable", "timestamp_outside", "media_token", "answerable_blind", "judge_disagrees", "time_unsupported"),
)
LEAST_ANSWER = {"causal_linkage": 8, "temporal_description": 8, "scene_description": 15, "video_summarization": 20}
"""Words that an answer of a task has at least."""
TOLERANCE = 0.5
"""Seconds that a time may lie behind the video's end: models round up."""
_LEAST_QUESTION = 3
_SHORT_ANSWER = 20
_LONGER, _LONGER_BY = 2, 20
_MEDIA_TOKEN = re.compile(r"<\s*/?\s*(?:video|image|audio)\s*/?\s*>|<\|", re.IGNORECASE)
_TIME_OF_DAY = re.compile(r"\s*(?:[ap]\.?m\b|uhr\b|o'clock)", re.IGNORECASE)
_DECADE = re.compile(r"(?:1[89]|20)?\d0s$")
_OPEN = ("open_qa", "causal_linkage", "temporal_description", "scene_description", "video_summarization")


@dataclass(frozen=True)
class Finding:
    """What a rule says of an item; `refused`: it may not be trained on."""

    code: str
    refused: bool
    why: str


def of_text(task: str, parsed: Parsed, duration: float | None) -> Iterator[Finding]:
    """What is wrong in the texts of a question, whether or not it could be read as an item.

    `duration` in seconds, None if unknown.
    """
    known = patterns()
    every = [parsed.question, parsed.answer, parsed.explanation, parsed.reasoning, *parsed.choices.values()]
    texts = [plain(text) for text in every]
    bare = [unquoted(text) for text in texts]
    found = next((said[:80] for text in bare[:4] if text and (said := known.first("refusal", text))), None)
    if found:
        yield Finding("refusal", True, f"a refusal: {found!r}")
    if (token := next((m[0] for text in every if (m := _MEDIA_TOKEN.search(text))), None)) is not None:
        yield Finding("media_token", True, f"the mark {token!r} stands in a text")
    # Taking text out brings no hint in: where there is none, nothing needs to be taken out.
    shown = [known.on_screen.sub(" … ", text) for text in bare if known.may_find("source_leak", text)]
    found = next((said[:80] for text in shown if text and (said := known.first("source_leak", text))), None)
    if found:
        yield Finding("source_leak", True, f"names what it was made from: {found!r}")
    if task == "bcq":
        yield from _yes_no_hedged(parsed)
    if duration is not None:
        yield from _times(bare, duration)
    if word_count(parsed.question) < _LEAST_QUESTION:
        yield Finding("trivial", True, "the question has fewer than three words")
    least = LEAST_ANSWER.get(task)
    if least is not None and parsed.answer.strip() and (size := word_count(parsed.answer)) < least:
        yield Finding("trivial", True, f"the answer has {size:g} words, fewer than {least}")
    if (
        task in _OPEN
        and word_count(parsed.answer) <= _SHORT_ANSWER
        and (found := _first(known.unanswerable, [bare[1]]))
    ):
        yield Finding("unanswerable", True, f"the answer says that there is none: {found!r}")


def of_yes_no(parsed: Parsed, answer: bool) -> Iterator[Finding]:
    """A yes or no that its own explanation or reasoning contradicts."""
    explanation = parsed.explanation.strip() or behind_word(parsed.answer)
    first = patterns().first_word.match(unquoted(plain(explanation)))
    if first is not None and side(first) is (not answer):
        yield Finding("bcq_contradiction", True, f"the explanation begins with {first[0].strip()!r}")
        return
    for name, text in (("explanation", explanation), ("reasoning", parsed.reasoning)):
        verdicts = [match for match in patterns().verdict.finditer(unquoted_words(text)) if side(match) is not None]
        if verdicts and side(verdicts[-1]) is not answer:
            yield Finding("bcq_contradiction", True, f"the {name} concludes {verdicts[-1][0]!r}")
            return


def of_choices(parsed: Parsed, right: str, *, keep_order: bool) -> Iterator[Finding]:
    """What is wrong with the choices of a question, with the letters as the model wrote them.

    With `keep_order` choices that name letters stay as they are instead of being refused.
    """
    claims = claimed_letters(parsed.reasoning)
    claims = [claim for claim in claims if claim in parsed.choices]
    if claims and claims[-1] != right:
        yield Finding("choice_contradiction", True, f"the answer is {right}, the reasoning says {claims[-1]}")
    elif (said := _choice_in_words(parsed)) not in (None, right):
        yield Finding("choice_contradiction", True, f"the answer is {right}, the reasoning says the text of {said}")
    lettered = [text for text in parsed.choices.values() if names_letters(text)]
    if lettered:
        code, why = (
            ("choice_letters_kept", "kept") if keep_order else ("choice_letters", "means another after a shuffle")
        )
        yield Finding(code, not keep_order, f"the choice {lettered[0]!r} names letters or places: {why}")
    if any(is_of_the_above(text) for text in parsed.choices.values()):
        yield Finding("choice_of_the_above", False, "a choice means all, none or both of the others; it stays last")
    found = _first(patterns().unanswerable, [unquoted(plain(parsed.choices[right]))])
    if found:
        yield Finding("unanswerable", True, f"the right choice says that there is none: {found!r}")
    longest = max(len(text) for letter, text in parsed.choices.items() if letter != right)
    mine = len(parsed.choices[right])
    if mine >= _LONGER * longest and mine >= longest + _LONGER_BY:
        yield Finding("length_cue", False, f"the right choice has {mine} characters, the longest other one {longest}")


def refusal_at_start(text: str) -> bool:
    """Whether a model declines instead of answering, by the first 200 characters; what is only quoted is no refusal."""
    head = unquoted(plain(text[:_OPENING]))
    return patterns().refusal_opening.search(head) is not None


_OPENING = 200


def unquoted_words(text: str) -> str:
    """A plain text without quotations of more than two words: `the answer is "no"` keeps its no."""
    return re.sub(r"\"[^\"]*\"", lambda m: m[0] if len(m[0].split()) <= 2 else " … ", plain(text))


def _yes_no_hedged(parsed: Parsed) -> Iterator[Finding]:
    explanation = parsed.explanation.strip() or behind_word(parsed.answer)
    for text in (parsed.answer, explanation):
        found = _first(patterns().hedge, [first_sentence(unquoted(plain(text)))])
        if found:
            yield Finding("bcq_hedged", True, f"neither yes nor no: {found!r}")
            return


def behind_word(answer: str) -> str:
    """What stands behind the yes or no of an answer."""
    head = re.sub(r"^[\W_]+", "", answer)
    rest = re.sub(r"^(?:(?:final\s+)?answer[\W_]{0,20})?(?:yes|no)\b[\W_]*", "", head, flags=re.I)
    return rest.strip() if yes_no(answer[:40]) is not None else ""


def _choice_in_words(parsed: Parsed) -> str | None:
    """The letter of the one choice whose text stands behind the last `answer is` of the reasoning."""
    text = plain(parsed.reasoning)
    claims = list(patterns().answer_is.finditer(text))
    if not claims:
        return None
    said = f" {normal(first_sentence(text[claims[-1].end() :]))} "
    found = [letter for letter, choice in parsed.choices.items() if _stands(normal(choice), said)]
    # A choice inside another one (`red`, `dark red`) is the longer one.
    longest = [
        a for a in found if not any(a != b and normal(parsed.choices[a]) in normal(parsed.choices[b]) for b in found)
    ]
    return longest[0] if len(longest) == 1 else None


def _stands(words: str, text: str) -> bool:
    # Scripts without spaces have no borders of words.
    return bool(words) and (f" {words} " in text or (not words.isascii() and words in text))


def _times(texts: Iterable[str], duration: float) -> Iterator[Finding]:
    elsewhere = patterns().time_elsewhere
    for text in texts:
        for start, end, seconds in placed(text):
            if seconds <= duration + TOLERANCE or _TIME_OF_DAY.match(text[end:]) or _DECADE.match(text[start:end]):
                continue
            if not elsewhere.search(text[:start]):
                why = f"names {clock(seconds)}, the video is {clock(round(duration, 3))} long"
                yield Finding("timestamp_outside", True, why)
                return


def _first(pattern: Alternatives, texts: Iterable[str]) -> str | None:
    return next((m[0][:80] for text in texts if text and (m := pattern.search(text))), None)
