"""The order of choices: shuffled by the question, with the letters of the reasoning behind them."""

from __future__ import annotations

import random
import re
from functools import lru_cache

from tao_skill_bank.annotate.quality.patterns import letter, patterns
from tao_skill_bank.annotate.quality.text import plain, unquoted

# Borders of a letter are those of Latin script: in 选项B更好 the B stands by itself.
_BEFORE = r"(?<![A-Za-z0-9_'’.-])"
_BEHIND = r"(?![A-Za-z0-9_'’-]|\.\w)"
_IN_BRACKETS = re.compile(r"\(([A-Z])\)")
_AT_START = re.compile(r"^[ \t]*(?:[-*]\s*)?(?:\*\*)?([A-Z])[.):](?=\s|\*)", re.MULTILINE)
_JUDGED = re.compile(
    r"(?<![\w'’-])([A-Z])\s+(?:is|are|was|would be|must be|cannot be|can be|fits|matches|fails|contradicts|ist|passt|"
    r"stimmt|scheidet)\b|(?<![A-Za-z0-9_'’.-])([A-Z])(?=\s*(?:项|选项)?\s*(?:是|不|更|最|才|错|正确|符合|合理|与|都))"
)
_ALONE = re.compile(
    rf"{_BEFORE}([B-H]){_BEHIND}|{_BEFORE}(A){_BEHIND}(?=\s*(?:[.,;:!?)/]|$)|\s+(?:and|or|nor|und|oder)\s)",
    re.MULTILINE,
)
_CAPITAL = re.compile(r"[A-Z](?![A-Za-z0-9])")
"""In every way that a text names a choice: other texts are not searched for them."""
_SINGLE = re.compile(rf"{_BEFORE}[A-H](?![A-Za-z0-9_'’-])")
_RANGE = re.compile(rf"{_BEFORE}([A-H])\s*(?:-|–|—|to|through|bis|到|至)\s*([A-H])(?![A-Za-z0-9_'’])")
_ONE_OF_A_LIST = re.compile(r"\s*(?:,|、|&|/|和|与|或|(?:and|or|nor|und|oder)\b)")
_EARLIER_IN_LIST = re.compile(r"(?:[A-Z]\s*(?:,|、)\s*)*[A-Z]\s*(?:,?\s*(?:and|or|nor|und|oder)\s|&|/|和|与|或)\s*$")
_EARLIER_BY_COMMA = re.compile(r"(?:[A-Z]\s*(?:,|、)\s*)+$")
_LOWER = re.compile(r"\b(?:(?:option|choice)s?\s+\(?([b-h])\b\)?|option\s+\(?(a)\b\)?)(?![-'’])")


def shuffled(
    question: str, choices: dict[str, str], right: str, *, keep_order: bool = False
) -> tuple[tuple[str, ...], str, dict[str, str]]:
    """Choices in an order that hangs on the question alone; `None of the above` and the like stay last.

    Returns:
        `A. text` lines, the right letter, old → new letters.
    """
    order = sorted(choices)
    last = [old for old in order if is_of_the_above(choices[old])]
    if not keep_order:
        order = [old for old in order if old not in last]
        random.Random(question).shuffle(order)
        order += last
    moved = {old: chr(ord("A") + position) for position, old in enumerate(order)}
    lines = tuple(f"{moved[old]}. {choices[old]}" for old in order)
    return lines, moved[right], moved


def is_of_the_above(choice: str) -> bool:
    """Whether a choice means all, none or both of the others, and must stand behind them."""
    return patterns().of_the_above.search(plain(choice)) is not None


def names_letters(choice: str) -> bool:
    """Whether a choice names the letters or places of others, and means something else after a shuffle."""
    text = plain(choice)
    known = patterns()
    return any(
        known.name_before.search(text[: match.start()]) is None
        for match in known.choice_letters.finditer(unquoted(text))
    )


def relettered(text: str, moved: dict[str, str]) -> str:
    """A reasoning whose references to choices follow a shuffle.

    A letter counts as a reference behind `option` and the like, in brackets, at the beginning of a line, where it is
    judged (`B is wrong`), or where it is claimed to be right; where a text refers to choices at all, its single
    capitals do so too, unless they name something (`camera B`) or are the article A.
    """
    places = _references(text)
    if places:
        places.update(match.start(match.lastindex or 0) for match in _ALONE.finditer(text))
    places = {p for p in places if not _names_a_thing(text, p)}
    lower = {match.start(match.lastindex or 0) for match in _LOWER.finditer(text)}

    def following(place: int, sign: str) -> str:
        if place in places:
            return moved.get(sign, sign)
        return moved.get(sign.upper(), sign.upper()).lower() if place in lower else sign

    return "".join(following(i, c) for i, c in enumerate(text))


def cannot_follow(text: str, letters: set[str]) -> str | None:
    """What in a reasoning names a choice so that no shuffle can be followed; None where nothing does.

    That is a letter that no choice has, a range of letters, a choice by its place.
    """
    shown = unquoted(plain(text))
    known = patterns()
    for place in sorted(_references(shown, strict=True)):
        if shown[place] not in letters and not _names_a_thing(shown, place):
            return f"the reasoning names {shown[place]}, and no choice has that letter"
    ranged = next((m for m in _RANGE.finditer(shown) if not known.name_before.search(shown[: m.start()])), None)
    if ranged is not None and _references(shown):
        return f"the reasoning names the range {ranged[0]}"
    placed = known.ordinal_choice.search(shown)
    return None if placed is None else f"the reasoning names a choice by its place ({placed[0]})"


def claimed_letters(text: str) -> list[str]:
    """The letters that a text claims to be right, in order, in its plain form."""
    return [letter(match).upper() for match in _claims(plain(text))]


@lru_cache(maxsize=4)
def _claims(text: str) -> tuple[re.Match[str], ...]:
    """The claims of which letter is right; several rules ask for those of one reasoning."""
    return tuple(patterns().right_letter.finditer(text)) if _CAPITAL.search(text) else ()


def _references(text: str, *, strict: bool = False) -> set[int]:
    """Places of letters that refer to choices; `strict`: only those that cannot mean anything else."""
    places: set[int] = set()
    if not _CAPITAL.search(text):
        return places
    for match in _behind_words().finditer(text):
        for found in re.finditer(rf"{_BEFORE}[A-Z](?![A-Za-z0-9_'’])", match["letters"]):
            places.add(match.start("letters") + found.start())
    for match in _claims(text):
        number = next(i for i, group in enumerate(match.groups(), start=1) if group)
        if match[number].isupper():
            places.add(match.start(number))
    if not strict:
        for pattern in (_IN_BRACKETS, _AT_START, _JUDGED):
            places.update(match.start(match.lastindex or 0) for match in pattern.finditer(text))
        for match in patterns().letter_in_use.finditer(text):
            places.update(match.start() + found.start() for found in _SINGLE.finditer(match[0]))
    return places


def _names_a_thing(text: str, place: int) -> bool:
    """Whether the letter at a place is the name of a thing: `lane B`, and the B and C of `lanes A, B and C`."""
    head = _EARLIER_IN_LIST.sub("", text[:place])
    if _ONE_OF_A_LIST.match(text[place + 1 :]):
        head = _EARLIER_BY_COMMA.sub("", head)
    return patterns().name_before.search(head) is not None


@lru_cache(maxsize=1)
def _behind_words() -> re.Pattern[str]:
    """Letters behind the words for a choice, as one letter or a list of them."""
    one = r"[(\"'*]*(?-i:[A-Z])(?![A-Za-z0-9_])[)\"'*]*"
    between = r"\s*(?:,\s*and|,\s*or|,|and|or|&|/|nor|und|oder|和|与|或|、)\s*"
    words = f"(?:{patterns().letter_words.pattern})"
    said = r"(?:,\s*|(?:labelled|labeled|marked|like|such as)\s+)?"
    linked = rf"\s*{said}(?:(?:is|are|ist|sind|lautet|是|为|:)\s*)?(?:(?:option|choice|letter|选项)\s+)?"
    return re.compile(rf"{words}{linked}(?P<letters>{one}(?:{between}{one}(?![a-z'’]))*)", re.IGNORECASE)
