"""The template environment of every report: autoescaping, one set of filters, templates shipped in the package."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core import text

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.lru_cache(maxsize=1)
def environment() -> Environment:
    """Jinja2 with autoescape on for everything but Markdown, and a missing name an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    env = Environment(
        loader=PackageLoader("tao_skill_bank.reports", "templates"),
        autoescape=lambda name: not (name or "").endswith(".md.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        clean=text.clean,
        capital=text.capital,
        unbroken=text.unbroken,
        percent=text.percent,
        limit=text.limit,
        interval=text.interval,
        points=text.points,
        score=text.score,
        signed=text.signed,
        whole=text.whole,
        tokens=text.tokens,
        duration=text.duration,
        plural=text.plural,
        listed=text.listed,
        exact=exact,
    )
    return env


def exact(value: Any) -> str:
    """A figure as it stands on disk, for `data-value`: JSON, so that a test reads back the same number."""
    if isinstance(value, str):
        return text.clean(value)
    return "" if value is None else json.dumps(value)


def render_page(template: str, **context: Any) -> str:
    """A template with its context, as HTML."""
    return environment().get_template(template).render(**context)


@dataclass(frozen=True)
class Script:
    """A script to inline, and the hash by which the page's policy admits it and no other."""

    text: str
    sha256: str


@functools.lru_cache(maxsize=4)
def script(name: str) -> Script:
    """A script of the templates folder."""
    text = resources.files("tao_skill_bank.reports").joinpath(f"templates/{name}").read_text("utf-8")
    return Script(text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())
