"""What the bank improves and what it does not: what people call it, what tells such data, and what is near."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tao_skill_bank.core import guard

DONE = "Visual ChangeNet (a picture against its golden) and yes/no answers of vision-language models"
_NAMED_HERE = re.compile(
    r"changenet|(?<!without )(?<!without a )\bgoldens?\b|siamese|\bdeft\b|\byes ?(/|or) ?no\b|\bvlms?\b|"
    r"vision.language|cosmos|\bqwen",
    re.IGNORECASE,
)
"""Whoever says one of these means what is done here, whatever stands beside it."""
_LOOK_AT = 4000
"""Entries of a folder at most: a workspace of a million pictures is not walked for a hint."""


@dataclass(frozen=True)
class Other:
    """A kind of model that is not improved here.

    Attributes:
        name: As people call it.
        words: A pattern of how else they say it, networks of TAO included.
        files: A pattern of relative paths that tell a folder of such data.
    """

    name: str
    words: str
    files: str
    near: str


_ONE_RUN = "One run of a TAO network as it is: `tao-skills jobs start NETWORK ACTION --platform docker`"
_GOLDEN = "Where every part has a golden picture, ChangeNet may answer the question: make_workspace"
OTHERS = (
    Other(
        "object detection",
        r"(?<!defect )(?<!anomaly )(detectors?\b|detection model)|object.?detect|bounding.?box|\byolo|\bd-?fine\b|"
        r"rt-?detr|\bdino\b(?![ -]?v?\d)|grounding ?dino|visual grounding|"
        r"efficientdet|centerpose|\bcoco\b|\bkitti\b",
        r"(^|/)(instances_\w+|_annotations\.coco|annotations/\w*coco\w*)\.json$|^labels/([^/]+/)?[^/]+\.txt$"
        r"|(^|/)data\.yaml$",
        f"{_GOLDEN}. {_ONE_RUN}",
    ),
    Other(
        "segmentation",
        r"segment|(?<!solder )(?<!solder-)\bmasks?\b|mask2former|oneformer|segformer|\bunet\b",
        r"(^|/)(masks?|SegmentationClass)/[^/]+\.png$",
        f"{_GOLDEN}. {_ONE_RUN}",
    ),
    Other("pose estimation", r"\bpose\b|key-?points?", r"(^|/)person_keypoints_\w+\.json$", _ONE_RUN),
    Other("reading of text", r"\bocr\b|\bocdnet\b|read(ing)? (of )?(text|serial)|licen[cs]e.?plates?", r"$^", _ONE_RUN),
    Other(
        "classification without a golden",
        r"image classif|classification_pyt|\bimagenet\b|without (a )?goldens?",
        r"$^",
        f"{_GOLDEN}. {_ONE_RUN}",
    ),
    Other("training of language models", r"\bllms?\b|chat ?bot|fine-?tune (a )?(gpt|llama|language)", r"$^", "nothing"),
)


def not_done() -> str:
    """One line: what is done, and what is not."""
    return f"Improved here: {DONE}. Not: {', '.join(other.name for other in OTHERS)}."


def named_in(text: str) -> Other | None:
    """The kind of model that words name and that is not improved here; None where they name what is."""
    if _NAMED_HERE.search(text):
        return None
    return next((other for other in OTHERS if re.search(other.words, text, re.IGNORECASE)), None)


def found_in(folder: Path) -> Other | None:
    """The kind of data that a folder looks to hold, two levels deep; None where nothing tells."""
    names = list(_names(folder))
    return next((other for other in OTHERS if any(re.search(other.files, name) for name in names)), None)


def refusal(other: Other) -> str:
    """What to say of it: that it is not done, what is, and what is near."""
    return f"{other.name} is not improved here, only {DONE}. Near: {other.near}."


def _names(folder: Path) -> list[str]:
    out: list[str] = []
    rest = [(folder, 0)]
    while rest and len(out) < _LOOK_AT:
        at, depth = rest.pop(0)
        for path in guard.children(at):
            if len(out) >= _LOOK_AT:
                break
            if guard.is_folder(path):
                rest += [(path, depth + 1)] if depth < 2 else []
            else:
                out.append(path.relative_to(folder).as_posix())
    return out
