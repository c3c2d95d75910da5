"""What a model answered, as plain values: JSON where it wrote JSON, else the text forms of prompt modules."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from tao_skill_bank.annotate.times import moment

LONGEST_ANSWER = 1 << 20
"""Characters; a longer one is no answer to any of the prompts, and is not taken apart."""
_THINK = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPEN_THINK = re.compile(r"^.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^\s*```[a-zA-Z0-9]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_SEPARATOR = re.compile(r"^[ \t]*={5,}[ \t]*$", re.MULTILINE)
_NUMBERED = r"(?:Q?\d+\s*[.):]\s*)?"
_BOLD = r"(?:#+\s*)?(?P<bold>\*\*|__)?"
_HEADER = re.compile(
    rf"^[ \t]*(?:#+\s*)?{_NUMBERED}{_BOLD}{_NUMBERED}"
    rf"(?P<kind>Multiple[- ]Choice Question|Open[- ]ended Question|Binary Question|"
    rf"Yes/No Question|Question|Options|Choices|Answer|Explanation|Reasoning)"
    rf"(?:[ \t]*#?\d+)?[ \t]*(?:\*\*|__)?[ \t]*:(?(bold)[ \t]*(?:\*\*|__)?)[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_CHOICE = re.compile(r"^[ \t]*(?:[-*]\s+)?(?:\*\*)?\(?([A-Z])\s*[.):]\s*(?:\*\*)?\s*(\S.*?)\s*$", re.MULTILINE)
_LETTER_FIRST = re.compile(r"^\W*(?:option|choice|answer)?\W*\(?([A-Z])\)?(?=[\s.):,;*-]|$)", re.IGNORECASE)
_LETTER_NAMED = re.compile(
    r"\b(?:answer|option|choice)\b(?:\s+(?:is|would\s+be|:))?[\s:]*(?:the\s+)?(?:option|choice|letter)?[\s:*(\"']*([A-Z])\b(?![a-z'’])",
)
_LETTER_VERDICT = re.compile(r"(?<![\w'’])\(?([A-Z])\)?\s+is\s+(?:the\s+)?(?:correct|right)\b")
_MOST_STARTS = 200
"""Places at which JSON is looked for inside a text: a model that writes nothing but brackets must not cost minutes."""
_WORD_EDGES = " \t\r\n*_`\"'“”‘’.()[]"


@dataclass
class Parsed:
    """One question as it was written; nothing is checked yet.

    Attributes:
        choices: Texts of a multiple-choice question by letter, in the order written.
        span: Start and end in seconds where the model gave them as numbers.
        explanation: The sentence behind a yes or no.
    """

    question: str
    answer: str = ""
    reasoning: str = ""
    choices: dict[str, str] = field(default_factory=dict)
    span: tuple[float, float] | None = None
    explanation: str = ""


def without_thinking(text: str) -> str:
    """The text without `<think>…</think>`; an opening that was swallowed by the server counts from the beginning.

    Empty where thinking begins behind the last close and was cut off: what stands there is no answer.
    """
    if len(text) > LONGEST_ANSWER:
        return ""
    if re.search(r"</think", text, re.IGNORECASE):
        # Without a close there is nothing to take out, and the search for one from each opening would be quadratic.
        text = _THINK.sub("", text)
    if re.search(r"</think(?:ing)?>", text, re.IGNORECASE):
        text = _OPEN_THINK.sub("", text, count=1)
    if re.search(r"<think(?:ing)?>", text, re.IGNORECASE):
        return ""
    return text.strip()


def thinking_cut_off(text: str) -> bool:
    """Whether an opening tag of thinking stands behind the last close of a text: what stands there is no answer."""
    return re.search(r"<think(?:ing)?>(?!.*</think)", text[:LONGEST_ANSWER], re.I | re.DOTALL) is not None


def json_value(text: str) -> Any:
    """The JSON object or array that `text` is or holds (in a fence, after a sentence); None where there is none."""
    text = without_thinking(text)
    fenced = _FENCE.match(text) or re.search(r"```(?:json)?\s*\n(.*?)\n\s*```", text, re.DOTALL | re.IGNORECASE)
    for candidate in ([fenced[1]] if fenced else []) + [text]:
        stripped = candidate.strip()
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, (dict, list)):
            return value
    decoder = json.JSONDecoder()
    for match in itertools.islice(re.finditer(r"[\[{]", text), _MOST_STARTS):
        try:
            value, _ = decoder.raw_decode(text, match.start())
        except RecursionError:
            return None
        except ValueError:
            continue
        if isinstance(value, (dict, list)) and value:
            return value
    return None


def parse_questions(text: str) -> list[Parsed]:
    """Every question of an answer, in order. Empty where none can be recognised."""
    value = json_value(text)
    if value is not None:
        found = _from_json(value)
        if found:
            return found
    return _from_text(without_thinking(text))


def parse_suitable(text: str) -> bool | None:
    """Whether a filter's answer says that a video is suitable; None where it says neither."""
    value = json_value(text)
    if isinstance(value, dict) and isinstance(value.get("suitable"), (bool, str)):
        given = value["suitable"]
        return given if isinstance(given, bool) else yes_no(str(given))
    return yes_no(without_thinking(text))


def parse_label(text: str) -> str | None:
    """`anomaly` or `normal`: the JSON's label, else the last line that says one of them, and only one."""
    value = json_value(text)
    if isinstance(value, dict) and isinstance(value.get("label"), str):
        text = value["label"]
    for line in reversed(without_thinking(text).splitlines()):
        words = set(re.findall(r"\b(anomaly|anomalous|normal)\b", line.lower()))
        if words:
            if "normal" in words:
                return "normal" if len(words) == 1 else None
            return "anomaly"
    return None


def parse_moment(text: str) -> tuple[bool, float | None]:
    """(whether it could be read, seconds or None for no moment) of a time-stamp answer."""
    value = json_value(text)
    if isinstance(value, dict) and "timestamp_sec" in value:
        given = value["timestamp_sec"]
        if given is None:
            return True, None
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            seconds = _finite(given)
            return seconds is not None, seconds
        text = str(given)
    plain = without_thinking(text)
    found = moment(plain)
    if found is not None:
        return True, found
    return bool(re.search(r"\b(none|null|no anomaly|n/a)\b", plain, re.IGNORECASE)), None


def yes_no(text: str) -> bool | None:
    """`**Yes**`, `No, because …`, `The answer is yes.` as a truth value; None where it is neither or both."""
    # Two runs of marks one behind the other would be tried in every division: thousands of brackets cost minutes.
    head = re.sub(r"^[\W_]+", "", text)
    first = re.match(r"(?:(?:final\s+)?answer[\W_]{0,20})?(yes|no)\b(?!\s+one\b)", head, re.IGNORECASE)
    if first:
        return first[1].lower() == "yes"
    named = re.findall(r"\banswer\s*(?:is|:|=|would be)\s*[\W_]*(yes|no)\b", text, re.IGNORECASE)
    said = {word.lower() for word in named}
    return said.pop() == "yes" if len(said) == 1 else None


def answer_letter(text: str, choices: dict[str, str]) -> str | None:
    """The letter that an answer names: by itself, first (`B. text`), in a sentence, or by the choice's own text."""
    bare = text.strip(_WORD_EDGES)
    if len(bare) == 1 and bare.upper() in choices:
        return bare.upper()
    marked = re.match(r"^[\s*_(\"'`]*([A-Za-z])\s*[.):](?=\s|\*|_|$)", text)
    if marked and marked[1].upper() in choices:
        return marked[1].upper()
    for pattern in (_LETTER_NAMED, _LETTER_VERDICT):
        letters: list[str] = [letter for letter in pattern.findall(_capital_keywords(text)) if letter in choices]
        if len(set(letters)) == 1:
            return letters[0]
    first = _LETTER_FIRST.match(text.strip())
    if first and first[1].isupper() and first[1] in choices and not re.match(r"^\W*[AI]\s+[a-z]", text.strip()):
        return first[1]
    plain = plain_words(bare)
    same = [letter for letter, choice in choices.items() if plain and plain_words(choice) == plain]
    return same[0] if len(same) == 1 else None


def _capital_keywords(text: str) -> str:
    """Key words in lower case, so that letters can be told from words by their case."""
    return re.sub(r"(?i)\b(answer|option|choice|letter|is|the|correct|right)\b", lambda m: m[0].lower(), text)


def plain_words(text: str) -> str:
    """A text in small letters with single spaces in the place of all signs."""
    return re.sub(r"[\W_]+", " ", text).strip().lower()


def _from_json(value: Any) -> list[Parsed]:
    if isinstance(value, dict):
        for name in ("items", "questions", "qa", "qa_pairs"):
            if isinstance(value.get(name), list):
                value = value[name]
                break
        else:
            value = [value]
    entries = [entry for entry in value if isinstance(entry, dict) and _string(entry.get("question"))]
    return [_entry(entry) for entry in entries]


def _entry(entry: dict[str, Any]) -> Parsed:
    question, inside = _split_choices(_string(entry["question"]))
    choices = _choices(entry.get("choices") or entry.get("options")) or inside
    answer = entry.get("answer", entry.get("correct_answer", ""))
    span: tuple[float, float] | None = None
    start, end = _finite(entry.get("start_sec")), _finite(entry.get("end_sec"))
    if start is not None and end is not None:
        span = (start, end)
    elif entry.get("start_sec") is not None or isinstance(answer, dict):
        source = answer if isinstance(answer, dict) else entry
        answer = (
            f"start: {source.get('start', source.get('start_sec'))}, end: {source.get('end', source.get('end_sec'))}"
        )
    if isinstance(answer, bool):
        answer = "Yes" if answer else "No"
    return Parsed(
        question=question,
        answer=_string(answer),
        reasoning=_string(entry.get("reasoning")),
        choices=choices,
        span=span,
        explanation=_string(entry.get("explanation")),
    )


def _choices(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return {str(letter).strip().upper()[:1]: _string(text) for letter, text in value.items() if str(letter).strip()}
    if not isinstance(value, list):
        return {}
    texts = [_string(v.get("text") if isinstance(v, dict) else v) for v in value]
    lettered = [re.match(r"^\(?([A-Z])\s*[.):]\s+(.+)$", text, re.DOTALL) for text in texts]
    expected = [chr(ord("A") + i) for i in range(len(texts))]
    if all(match and match[1] == letter for match, letter in zip(lettered, expected, strict=True)):
        texts = [match[2] for match in lettered if match]
    return dict(zip(expected, texts, strict=True))


def _finite(value: Any) -> float | None:
    """A number that can be reckoned with; None for anything else, `NaN` and what is larger than a float among it."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _string(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else str(value)


def _from_text(text: str) -> list[Parsed]:
    """The text form: headers begin lines, separators end parts, a question header begins a question."""
    fenced = _FENCE.match(text)
    found: list[Parsed] = []
    for kind, body in _parts(fenced[1] if fenced else text):
        if kind.endswith("question"):
            question, choices = _split_choices(body)
            found.append(Parsed(question=_unmarked(question), choices=choices))
        elif not found:
            continue
        elif kind in ("options", "choices"):
            found[-1].choices = found[-1].choices or _split_choices("\n" + body)[1]
        elif kind == "answer" and not found[-1].answer:
            found[-1].answer = body
        elif kind == "explanation" and not found[-1].explanation:
            found[-1].explanation = body
        elif kind == "reasoning" and not found[-1].reasoning:
            found[-1].reasoning = body
    return found


def _parts(text: str) -> list[tuple[str, str]]:
    """(header in lower case, text behind it) in order. A separator ends a part; text behind one belongs to nobody."""
    parts: list[tuple[str, str]] = []
    for block in _SEPARATOR.split(text):
        headers = list(_HEADER.finditer(block))
        for header, following in zip(headers, [*headers[1:], None], strict=False):
            end = following.start() if following else len(block)
            kind = " ".join(header["kind"].lower().replace("-", " ").split())
            parts.append((kind, _unmarked(block[header.end() : end])))
    return parts


def _split_choices(text: str) -> tuple[str, dict[str, str]]:
    """A question and the choices that stand below it, from A on without a gap."""
    matches = list(_CHOICE.finditer(text))
    start = next((i for i, match in enumerate(matches) if match[1] == "A"), None)
    if start is None:
        return text.strip(), {}
    choices: dict[str, str] = {}
    for match in matches[start:]:
        if match[1] != chr(ord("A") + len(choices)):
            break
        choices[match[1]] = _unmarked(match[2])
    if len(choices) < 2:
        return text.strip(), {}
    return text[: matches[start].start()].strip(), choices


def _unmarked(text: str) -> str:
    """Without the bold marks around a whole text."""
    text = text.strip()
    match = re.fullmatch(r"(\*\*|__)(.+?)\1", text, re.DOTALL)
    if match:
        return match[2].strip()
    # `**Answer: text**`: the header took the opening mark along.
    return text[:-2].strip() if text.endswith("**") and text.count("**") % 2 else text
