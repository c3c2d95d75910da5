"""A verdict by key is saved, or the page says that it is not and how it is given again: to the quick, too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_runs import RunBuilder
from studio_server import Page, page_of
from studio_visits import FLAGS, MARKS, Visit, words

from tao_skill_bank.data.corrections import Correction

pytestmark = MARKS
__all__ = ["FLAGS"]

# Somebody who is quicker than the page: `whenever(selector, act)` acts as soon as the browser does the next thing after
# it has put an element there, `next(act)` with the next thing; `press(key)` is a key.
QUICK = """
window.next = (act) => { const c = new MessageChannel(); c.port1.onmessage = act; c.port2.postMessage(0); };
window.press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
window.whenever = (selector, act) => {
  const seen = new Set();
  new MutationObserver(() => { for (const e of document.querySelectorAll(selector)) {
    const name = e.dataset.where ?? "one"; if (!seen.has(name)) { seen.add(name); next(() => act(name)); } }
  }).observe(document, {subtree: true, childList: true, attributes: true, attributeFilter: ["data-where"]});
};
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RunBuilder(tmp_path_factory.mktemp("verdicts"), iterations=0, passes=60, per_label=2).build()


@pytest.fixture(scope="module")
def page(run: Path) -> Iterator[Page]:
    with page_of(run.parent.parent) as found:
        yield found


@pytest.fixture
def visit(browser: Any, page: Page, run: Path) -> Iterator[Callable[..., Visit]]:
    """A tab at a board of a pile that is the test's own, as its reader looks at it; `quick`: what runs there first."""
    opened: list[Visit] = []

    def at(rows: list[int], reader: str | None, quick: str = "", where: int = 0, context: Any = None) -> Visit:
        own = context or browser.new_context()
        queue = {"run": run.name, "set": "kpi", "list": rows, "back": "#/", "title": "pile"}
        own.add_init_script(f"sessionStorage.setItem('studio.queue', {json.dumps(json.dumps(queue))})")
        own.add_init_script(f"{QUICK}{quick}")
        if reader is not None:
            own.add_init_script(f"localStorage.setItem('studio.reader', {json.dumps(reader)})")
        opened.append(Visit(browser, page.served.url(f"/board?run={run.name}&set=kpi&row={rows[where]}"), context=own))
        return opened[-1]

    yield at
    for each in opened:
        each.context.close()


def shown(visit: Visit, where: int) -> None:
    visit.tab.wait_for_selector(f"[data-where='{where}']")


def said(run: Path, reader: str) -> list[Correction]:
    return [word for word in words(run) if word.who == reader]


def rows_of(page: Page, run: Path, rows: list[int]) -> list[str]:
    return [page.json("/api/board", run=run.name, set="kpi", row=row)["row"]["sample"] for row in rows]


def test_a_key_that_is_pressed_as_soon_as_a_board_shows_counts(
    visit: Callable[..., Visit], page: Page, run: Path
) -> None:
    rows = [0, 1, 2, 3]
    there = visit(rows, "Quick", "whenever('[data-where]', () => press('k'));")
    there.until(lambda: len(said(run, "Quick")) == 4)
    assert [w.sample.name for w in said(run, "Quick")] == rows_of(page, run, rows)


def test_a_label_that_is_named_as_soon_as_a_board_shows_counts(visit: Callable[..., Visit], run: Path) -> None:
    there = visit([4], "Namer", "whenever('.verdict-key', () => { press('m'); next(() => press('1')); });")
    there.until(lambda: [(w.reason, w.to) for w in said(run, "Namer")] == [("mislabeled", "PASS")])


def test_a_name_that_is_typed_as_soon_as_its_field_shows_stays(visit: Callable[..., Visit], run: Path) -> None:
    name = "input[aria-label^=Your]"
    typed = f"const e = document.querySelector('{name}'); e.value = 'Typed'; e.dispatchEvent(new Event('input'));"
    there = visit([5], None, f"whenever('{name}', () => {{ {typed} }});")
    shown(there, 0)
    assert there.tab.input_value(name) == "Typed"
    there.tab.keyboard.press("k")
    there.until(lambda: len(said(run, "Typed")) == 1)


def test_two_keys_at_once_are_no_two_verdicts_on_one_board(visit: Callable[..., Visit], page: Page, run: Path) -> None:
    there = visit([6, 7], "Double")
    shown(there, 0)
    there.tab.evaluate("next(() => press('k')); next(() => press('x'));")
    there.tab.wait_for_selector(".toast.bad:has-text('not saved')")
    shown(there, 1)
    there.until(lambda: len(said(run, "Double")) == 1)
    assert [(w.sample.name, w.drop) for w in said(run, "Double")] == [(rows_of(page, run, [6])[0], False)]


@pytest.mark.parametrize("first", [True, False], ids=["the first", "the next"])
def test_a_key_while_a_board_is_still_opening_says_that_nothing_was_saved(
    visit: Callable[..., Visit], browser: Any, page: Page, run: Path, first: bool
) -> None:
    reader, context, held = f"Early {first}", browser.new_context(), []
    context.route(re.compile(rf"/api/board\?.*row={8 if first else 9}&"), lambda route: held.append(route))
    there = visit([8, 9], reader, context=context)
    if not first:
        shown(there, 0)
        there.tab.keyboard.press("k")
    there.until(lambda: len(held) == 1)
    there.tab.wait_for_selector(".waiting" if first else "[data-where='0']")
    there.tab.keyboard.press("x")
    there.tab.wait_for_selector(".toast.bad:has-text('not saved')")
    held[0].continue_()
    shown(there, 0 if first else 1)
    there.tab.keyboard.press("q")
    there.until(lambda: [w.reason for w in said(run, reader)][-1:] == ["data_quality"])
    assert [w.drop for w in said(run, reader)] == ([False] if first else [False, False])


def test_verdicts_that_a_server_did_not_take_at_once_are_sent_again_each_once_and_in_order(
    visit: Callable[..., Visit], browser: Any, page: Page, run: Path
) -> None:
    context, asked = browser.new_context(), []

    def answer(route: Any) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        asked.append(route.request.post_data_json["words"][0]["sample"])
        kinds = [
            lambda: route.fulfill(status=503, json={"error": "another has the file", "what": "", "fix": ""}),
            route.abort,
            # It comes to the disk, and the answer does not come back.
            lambda: (route.fetch(), route.abort()),
        ]
        (kinds[len(asked) - 1] if len(asked) <= len(kinds) else route.continue_)()

    context.route("**/api/labels?*", answer)
    rows = [10, 11, 12, 13]
    there = visit(rows, "Patient", context=context)
    for at, key in enumerate("kxqk"):
        shown(there, at)
        there.tab.keyboard.press(key)
        there.tab.wait_for_selector(".waiting-count, .toast")
    there.until(lambda: there.tab.locator(".waiting-count").count() == 0 and len(said(run, "Patient")) == 4)
    assert sorted(w.sample.name for w in said(run, "Patient")) == sorted(rows_of(page, run, rows))
    own = {w.sample.name: w for w in said(run, "Patient")}
    assert [own[name].drop for name in rows_of(page, run, rows)] == [False, True, False, False]
    assert len(asked) > 4, "some were sent more than once"


def test_a_verdict_that_is_refused_stays_in_sight_until_it_is_given_again(
    visit: Callable[..., Visit], page: Page, run: Path
) -> None:
    (name,) = rows_of(page, run, [14])
    picture = Path(next(f["input"] for f in page.json("/api/board", run=run.name, set="kpi", row=14)["files"]))
    there = visit([14, 15], "Refused")
    shown(there, 0)
    before = picture.read_bytes()
    picture.write_bytes(before + b" ")
    try:
        there.tab.keyboard.press("k")
        there.tab.wait_for_selector(f".not-saved:has-text('{name}')")
        assert "changed since" in there.tab.inner_text(".not-saved")
        there.tab.reload()
        there.tab.locator(".not-saved a").click()
        shown(there, 0)
        there.tab.keyboard.press("e")
        there.until(lambda: [w.sample.name for w in said(run, "Refused")] == [name])
        there.tab.wait_for_selector(".not-saved", state="detached")
    finally:
        picture.write_bytes(before)


def test_the_last_word_is_taken_back_not_an_earlier_one_while_it_is_on_its_way(
    visit: Callable[..., Visit], browser: Any, page: Page, run: Path
) -> None:
    context, held = browser.new_context(), []

    def answer(route: Any) -> None:
        late = route.request.method == "POST" and route.request.post_data_json["words"][0].get("drop")
        held.append(route) if late else route.continue_()

    context.route("**/api/labels?*", answer)
    rows = [16, 17, 18]
    there = visit(rows, "Hasty", context=context)
    shown(there, 0)
    there.tab.keyboard.press("k")
    there.until(lambda: len(said(run, "Hasty")) == 1)
    shown(there, 1)
    there.tab.keyboard.press("x")
    shown(there, 2)
    there.tab.keyboard.press("u")
    there.until(lambda: len(held) == 1)
    held[0].continue_()
    there.tab.wait_for_selector(f".toast:has-text('taken back: {rows_of(page, run, rows)[1]}')")
    assert [w.sample.name for w in said(run, "Hasty")] == rows_of(page, run, rows[:1])


@pytest.mark.parametrize(
    ("reader", "what"),
    [
        ("Full", "Storage.prototype.setItem = () => { throw new DOMException('no room', 'QuotaExceededError'); }"),
        ("Blocked", "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('blocked'); }})"),
    ],
)
def test_where_the_browser_may_keep_nothing_verdicts_are_sent_all_the_same(
    visit: Callable[..., Visit], run: Path, reader: str, what: str
) -> None:
    there = visit([19, 20], None, what)
    there.tab.get_by_label("Your name").fill(reader)
    shown(there, 0)
    there.tab.locator("h1").click()
    there.tab.keyboard.press("k")
    there.until(lambda: len(said(run, reader)) == 1)
