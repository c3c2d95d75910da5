"""Prompts from a description of a domain: 26 texts that differ only in what the cameras see and what matters there.

A domain is filled in once; the shape of the answers, the rules on times and the rule that captions are material and
not instructions are the same in every domain. The texts stand in `domain.toml`; they hold no braces but their
placeholders, so that `str.format` fills them in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template


@dataclass(frozen=True)
class Domain:
    """What a set of videos shows. Every field is a phrase or a list of phrases that stands inside a sentence.

    Attributes:
        videos: What kind of videos they are, in the plural.
        scope: What a video must show to be suitable.
        out_of_scope: What makes one unsuitable.
        setting: What stands still and must be described.
        attention: What a caption must not leave out.
        causes: What usually lies behind an anomaly.
        terms: Words to use, and words to keep away from.
    """

    videos: str
    scope: str
    out_of_scope: str
    actors: str
    setting: str
    anomaly: str
    normal: str
    attention: tuple[str, ...]
    causes: str
    consequences: str
    terms: str
    questions: str


def build(domain: Domain) -> dict[str, str]:
    """The 26 prompts of a domain, by key."""
    texts = tomllib.loads(resources.files(__package__).joinpath("domain.toml").read_text(encoding="utf-8"))
    frame = texts["questions"].pop("frame")
    known = texts["parts"] | vars(domain) | {"points": "\n".join(f"- {point}" for point in domain.attention)}
    prompts = _filled(texts["prompts"], known)
    for mode, parts in texts["mode"].items():
        own = known | _filled(parts, known)
        made = _filled(texts["by_mode"], own)
        for name, question in texts["questions"].items():
            made |= _filled({name: frame}, own | _filled(question, own))
        prompts |= {f"{mode}_{name}": text for name, text in made.items()}
    return prompts


def _filled(texts: Mapping[str, str], known: Mapping[str, object]) -> dict[str, str]:
    return {name: Template(text).substitute(known) for name, text in texts.items()}
