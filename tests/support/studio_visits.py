"""Visits to the studio as people make them: in Chromium, a tab each, with nothing but this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import chromium
import pytest

from tao_skill_bank.data import corrections

GRAPHICS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
FLAGS = [*chromium.QUIET, "--disable-component-update", *GRAPHICS]
"""What the module's browser is started with."""
MARKS = [pytest.mark.browser, chromium.IS_THERE]


class Visit:
    """One tab; what it says and whom it asks is kept."""

    def __init__(
        self, browser: Any, url: str, *, width: int = 1280, scheme: str = "light", context: Any = None
    ) -> None:
        self.said: list[str] = []
        self.asked: set[str] = set()
        self.own = context is None
        self.context = context or browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(60000)  # a machine that has other work takes its time
        self.tab.on("console", lambda m: self.said.append(m.text) if m.type == "error" else None)
        self.tab.on("pageerror", lambda e: self.said.append(str(e)))
        self.tab.on("dialog", lambda d: (self.said.append(f"dialog {d.message}"), d.dismiss()))
        self.tab.on("request", lambda r: self.asked.add(r.url))
        self.base = url.partition("#")[0]
        self.go(url.partition("#")[2])

    def go(self, place: str) -> None:
        self.tab.goto("about:blank")
        self.tab.goto(f"{self.base}#{place}")

    def until(self, what: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for it, and let the browser's requests that this process answers go on meanwhile."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"it did not come; the page said {self.said}"
            self.tab.wait_for_timeout(20)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        if self.own:
            self.context.close()

    def hosts(self) -> set[str]:
        return {urlparse(url).netloc for url in self.asked if urlparse(url).scheme not in ("data", "blob", "about")}

    def faults(self, axe: str, rules: str = "") -> list[str]:
        """Serious and critical findings of axe, by rule and place; of some rules only, where they are named."""
        self.tab.evaluate(axe)
        found: list[str] = self.tab.evaluate(
            """async (rules) => (await axe.run(document, {resultTypes: ['violations'],
                ...(rules ? {runOnly: {type: 'rule', values: [rules]}} : {})})).violations
                .filter(v => ['serious', 'critical'].includes(v.impact))
                .flatMap(v => v.nodes.map(n => `${v.id}: ${n.target.join(' ')} ${n.failureSummary}`))""",
            rules,
        )
        return found


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def words(run: Path) -> list[corrections.Correction]:
    return [line for line in corrections.read(run.parent.parent).by_id.values() if line.undone_by is None]
