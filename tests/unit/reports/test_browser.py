"""The report as a person meets it: in Chromium, from disk, with no network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.demo import make_demo_workspace
from tao_skill_bank.reports.deft_report import REPORT_FILE, render_report

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = "</script><img src=x onerror=alert(1)>\"' \u202e\u05d0 {{7*7}} 😀" + "long_" * 40
MakeRun = Callable[..., Path]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


class Visit:
    """A report opened in a fresh context; what it said and asked for is kept."""

    def __init__(self, browser: Any, run: Path, *, width: int = 1280, scheme: str = "light") -> None:
        render_report(run)
        self.said: list[str] = []
        self.asked: list[str] = []
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto((run / REPORT_FILE).as_uri())

    def quiet(self) -> bool:
        """Nothing on the console, and no request but the file itself and its inlined pictures."""
        own = [url for url in self.asked if not url.startswith("data:")]
        return self.said == [] and len(own) == 1 and own[0].startswith("file:")

    def wider_than_the_window(self) -> list[str]:
        """What sticks out of the page to the right, scrolling tables aside."""
        found: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll('body *')]
                .filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 0.5)
                .map(e => e.outerHTML.slice(0, 120))"""
        )
        return found

    def contrasts(self) -> list[tuple[str, float]]:
        """Texts whose contrast against what lies behind them is below 4.5 to 1."""
        found: list[tuple[str, float]] = self.page.evaluate(
            """() => {
                const numbers = c => (c.match(/[\\d.]+/g) || []).map(Number);
                const light = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255;
                    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
                    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
                const behind = e => { for (let n = e; n; n = n.parentElement) {
                    const c = numbers(getComputedStyle(n).backgroundColor);
                    if (c.length === 3 || c[3] > 0.99) return c; } return [255, 255, 255]; };
                const out = [];
                for (const e of document.querySelectorAll('body *')) {
                    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
                    if (e.closest('svg') || e.classList.contains('skip')) continue;
                    const a = light(numbers(getComputedStyle(e).color)), b = light(behind(e));
                    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                    if (ratio < 4.5) out.push([e.outerHTML.slice(0, 100), ratio]);
                }
                return out;
            }"""
        )
        return found


KINDS: dict[str, dict[str, Any]] = {
    "finished": {"iterations": 3, "skill": 0.6},
    "running with only a baseline": {"iterations": 0, "status": "running", "in_progress": "routing"},
    "stopped at a gate": {"iterations": 1, "status": "stopped", "stop_reason": "silent-drop: nobody takes scratch"},
    "20 iterations of 40 labels under 12 lightings": {
        "iterations": 20,
        "labels": [f"kind_{i}" for i in range(40)],
        "lights": [f"Light{i}" for i in range(12)],
        "passes": 20,
        "per_label": 2,
    },
    "hostile text": {"labels": [HOSTILE, "scratch"], "summary": HOSTILE, "pictures": False, "skill": 0.5},
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_quiet_and_fits_a_phone_and_is_readable_in_light_and_dark(
    browser: Any, make_run: MakeRun, kind: str, scheme: str
) -> None:
    visit = Visit(browser, make_run(**KINDS[kind]), width=390, scheme=scheme)
    assert visit.quiet(), (visit.said, visit.asked)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert visit.wider_than_the_window() == []
    assert visit.contrasts() == []
    dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 19, 22)"
    assert dark == (scheme == "dark")


def test_every_shape_lies_inside_its_plot(browser: Any, make_run: MakeRun) -> None:
    visit = Visit(browser, make_run(iterations=3, skill=0.6))
    outside = visit.page.evaluate(
        """() => [...document.querySelectorAll('.field > svg, .forest-bar > svg')].flatMap(svg => {
            const box = svg.getBoundingClientRect();
            return [...svg.querySelectorAll('rect, line, circle, polyline')].filter(e => {
                const r = e.getBoundingClientRect();
                return r.left < box.left - 8 || r.right > box.right + 8 || r.top < box.top - 8
                    || r.bottom > box.bottom + 8; }).map(e => e.outerHTML); })"""
    )
    assert visit.page.locator(".field svg rect, .field svg circle").count() > 40
    assert outside == []


def test_pictures_of_a_real_workspace_are_shown_and_named(browser: Any, make_run: MakeRun, tmp_path: Path) -> None:
    labels = ("missing", "bridge", "shift", "excess_solder", "insufficient_solder", "tombstone", "scratch")
    workspace = make_demo_workspace(tmp_path / "demo")
    visit = Visit(browser, make_run(workspace=workspace, labels=labels, skill=0.6))
    pictures = visit.page.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt])")
    assert len(pictures) == 12 * 4 + 4
    assert {width for width, _ in pictures} == {64}
    assert all(alt for _, alt in pictures)


def test_headings_go_down_one_step_at_a_time_and_charts_say_what_they_show(browser: Any, make_run: MakeRun) -> None:
    visit = Visit(browser, make_run(iterations=2, skill=0.6))
    levels = visit.page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    charts = visit.page.evaluate("[...document.querySelectorAll('[role=img]')].map(e => e.getAttribute('aria-label'))")
    assert len(charts) >= 4
    assert all(len(about) > 20 for about in charts)


def test_a_report_prints_without_its_contents_list(browser: Any, make_run: MakeRun, tmp_path: Path) -> None:
    visit = Visit(browser, make_run(iterations=2, skill=0.6))
    pdf = visit.page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
    assert pdf.startswith(b"%PDF-")
    visit.page.emulate_media(media="print")
    assert not visit.page.locator(".contents").is_visible()
    assert visit.page.locator("#final").is_visible()
