"""The browser is ended with SIGKILL while a person gives verdicts: the disk has each once, the next start goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from report_runs import RunBuilder
from studio_server import Page, page_of

from tao_skill_bank.data import corrections

pytestmark = [pytest.mark.slow, pytest.mark.browser, chromium.IS_THERE]
GIVEN = 12


@contextlib.contextmanager
def profile(folder: Path) -> Iterator[Any]:
    """A browser that keeps what pages leave in `folder`; the block may kill it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        context = running.chromium.launch_persistent_context(
            str(folder), executable_path=str(chromium.CHROMIUM), args=list(chromium.QUIET), headless=True
        )
        context.set_default_timeout(60000)
        yield context
        with contextlib.suppress(playwright.Error):
            context.close()


def kill(folder: Path) -> int:
    """SIGKILL to every process of the browser of this profile, and of no other; returns how many there were."""
    found = 0
    for proc in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.fsencode(f"--user-data-dir={folder}") in (proc / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(proc.name), signal.SIGKILL)
                found += 1
    return found


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def on_disk(run: Path) -> list[str]:
    """The boards with a verdict, in the order of the file."""
    return [line.sample.name for line in corrections.read(run.parent.parent).by_id.values()]


def say(context: Any, page: Page, run: Path) -> None:
    """One verdict by one key on each of the first boards."""
    tab = context.new_page()
    tab.goto(page.served.url(f"/samples?run={run.name}&set=kpi&pile=all"))
    tab.get_by_label("Your name").fill("Ann")
    cell = tab.locator(".grid .cell[tabindex='0']")
    cell.wait_for()
    cell.focus()
    tab.keyboard.press("Enter")
    for at in range(GIVEN):
        tab.wait_for_selector(f"[data-where='{at}']")
        tab.keyboard.press("k")


@pytest.mark.parametrize("seen", [1, GIVEN])
def test_a_killed_browser_loses_and_doubles_nothing_that_is_on_disk_and_the_next_one_says_the_rest(
    seen: int, tmp_path: Path
) -> None:
    run = RunBuilder(tmp_path / "killed", iterations=1, passes=40).build()
    kept = tmp_path / "profile"
    with page_of(run.parent.parent) as page:
        with profile(kept) as context:
            say(context, page, run)
            wait_for(lambda: len(on_disk(run)) >= seen)
            assert kill(kept) > 0
        before = on_disk(run)
        with profile(kept) as context:
            say(context, page, run)
            wait_for(lambda: len(set(on_disk(run))) == GIVEN)
            context.pages[-1].wait_for_selector(".waiting-count", state="detached")
    assert len(before) >= seen and on_disk(run)[: len(before)] == before
    assert len(on_disk(run)) == GIVEN


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Path, list[str]]]:
    """A page, its run, and the names of its first boards."""
    run = RunBuilder(tmp_path_factory.mktemp("silent"), iterations=1, passes=40).build()
    with page_of(run.parent.parent) as page:
        names = [page.json("/api/board", run=run.name, set="kpi", row=row)["row"]["object_name"] for row in range(8)]
        yield page, run, names


@pytest.mark.parametrize("drawn", range(20))
def test_what_the_page_says_was_given_outlives_a_killed_browser_and_a_server_that_does_not_answer(
    looked_at: tuple[Page, Path, list[str]], drawn: int, tmp_path: Path
) -> None:
    page, run, names = looked_at
    rng, reader, held, told = random.Random(drawn), f"Reader {drawn}", [], []
    given, answered, last = rng.randint(1, 7), rng.randint(0, 3), rng.random() < 0.5

    def answer(route: Any) -> None:
        held.append(route)
        if len(held) <= answered:
            route.continue_()

    with profile(tmp_path / "profile") as context:
        context.route("**/api/labels?*", lambda r: answer(r) if r.request.method == "POST" else r.continue_())
        context.add_init_script(f"localStorage.setItem('studio.reader', '{reader}')")
        queue = f'{{"run": "{run.name}", "set": "kpi", "list": {list(range(8))}, "back": "#/", "title": "pile"}}'
        context.add_init_script(f"sessionStorage.setItem('studio.queue', '{queue}')")
        tab = context.new_page()
        tab.goto(page.served.url(f"/board?run={run.name}&set=kpi&row=0"))
        for at, name in enumerate(names[:given]):
            tab.wait_for_selector(f"[data-where='{at}']")
            tab.keyboard.press("k")
            if at < given - 1 or last:
                tab.wait_for_selector(f".toast:has-text('{name}: label is right')")
                told.append(name)
        assert kill(tmp_path / "profile") > 0

    def said() -> list[str]:
        lines = corrections.read(run.parent.parent).by_id.values()
        return [line.sample.name.rpartition("/")[2] for line in lines if line.who == reader]

    with profile(tmp_path / "profile") as context:
        tab = context.new_page()
        tab.goto(page.served.url("/"))
        tab.wait_for_selector("nav a[aria-current=page]")
        wait_for(lambda: set(told) <= set(said()))
        tab.wait_for_selector(".waiting-count", state="detached")
    # In the order in which they were given, each once; the last one too, or not, where nobody had been told of it.
    assert said() in (names[: len(told)], names[:given])
