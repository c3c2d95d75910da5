"""What a question is, whatever it is wrapped in: its text, the key that equal questions share, its kind."""

from __future__ import annotations

import re
import unicodedata

from tao_skill_bank.data.vlm import yes_no

_TAG = re.compile(r"<\s*(?:video|image|audio)\s*>", re.IGNORECASE)
_CLOSING = re.compile(
    r"(?:\bplease,?\s+)?\banswer\s+(?:only\s+)?(?:with|in)\s+(?:only\s+)?"
    r"['\"“‘]?yes['\"”’]?\s+or\s+['\"“‘]?no['\"”’]?(?:\s+only)?\s*[.!]?\s*$",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:not|no|never|without|n't|none|neither|isn't|aren't|doesn't|don't|didn't)\b|n't\b")
# The first list with a hit names the kind.
KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("counting", ("how many", "more than", "less than", "fewer", "at least", "at most", "exactly", "number of",
                  "two or more", "several", "only one")),
    ("order", ("before", "after", "first", "last", "then", "while", "until", "earlier", "later", "at the end")),
    ("direction", ("left", "right", "toward", "towards", "away", "up", "down", "turn", "turns", "turning",
                   "forward", "backward", "reverse", "reverses", "direction", "across")),
    ("contact", ("touch", "touches", "touching", "hit", "hits", "collide", "collides", "collision", "crash",
                 "crashes", "contact", "bump", "overlap", "strike", "strikes")),
    ("attribute", ("red", "green", "blue", "white", "black", "yellow", "orange", "colour", "color", "coloured",
                   "big", "small", "large", "wearing", "shape", "size", "old", "new", "type")),
    ("condition", ("night", "day", "rain", "raining", "snow", "fog", "wet", "dark", "weather", "sunny", "lit",
                   "daylight")),
    ("presence", ("is there", "are there", "visible", "present", "appear", "appears", "see", "shown", "contain",
                  "contains", "any")),
)  # fmt: skip
OTHER = "other"


def without_tags(text: str) -> str:
    """A human turn as it is asked: without media tags and outer white space."""
    return _TAG.sub("", text).strip()


def question_text(text: str) -> str:
    """The question alone: no media tags, no closing wish for yes or no, white space collapsed, NFC."""
    plain = " ".join(_TAG.sub(" ", text).split())
    shorter = _CLOSING.sub("", plain).strip()
    return unicodedata.normalize("NFC", shorter or plain)


def question_key(text: str) -> str:
    """What equal questions share: `question_text` without case."""
    return unicodedata.normalize("NFC", question_text(text).casefold())


def plain_answer(text: str) -> str | None:
    """`yes` or `no` of an answer that is nothing else: any case, an ending dot allowed."""
    bare = text.strip().removesuffix(".").strip().casefold()
    return bare if bare in ("yes", "no") else None


def read_answer(text: str) -> str | None:
    """`yes` or `no` of a sentence, by the words of the gap analysis; None where it has neither or both."""
    return {yes_no.YES: "yes", yes_no.NO: "no"}.get(yes_no.answer(text))


def kind_of(key: str) -> str:
    """The kind of a question, by the first word list that hits."""
    for name, words in KINDS:
        if any(re.search(rf"\b{re.escape(word)}\b", key) for word in words):
            return name
    return OTHER


def is_negated(key: str) -> bool:
    """Whether a question negates, which yes/no models are known to misread."""
    return _NEGATION.search(key) is not None
