"""The page that people work in, as they do: in Chromium, by keyboard and mouse, with nothing but this machine."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from report_runs import RunBuilder
from studio_full import annotated as annotate
from studio_full import full_workspace
from studio_server import Page, page_of
from studio_visits import FLAGS, MARKS, Visit, wait_for, words

from tao_skill_bank import frames
from tao_skill_bank.annotate.quality.error_rate import read_sample
from tao_skill_bank.commands.annotate import cli as annotate_command
from tao_skill_bank.data import corrections
from tao_skill_bank.runs import status

pytestmark = MARKS
__all__ = ["FLAGS"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hostile = "<img src=x onerror=alert(1)>"
    labels = ("missing", "bridge", hostile)
    folder = tmp_path_factory.mktemp("page")
    return RunBuilder(folder, iterations=2, labels=labels, passes=60, per_label=4, lights=("Solder", "White")).build()


@pytest.fixture(scope="module")
def page(run: Path) -> Iterator[Page]:
    with page_of(run.parent.parent) as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_every_view_opens_and_axe_finds_nothing_serious(
    browser: Any, page: Page, run: Path, axe: str, scheme: str
) -> None:
    name = run.name
    views = {
        "/": ".runs",
        f"/run/{name}": ".claims",
        f"/samples?run={name}": ".grid .cell",
        f"/samples?run={name}&set=acceptance": ".empty",
        f"/board?run={name}&set=kpi&row=3": ".big",
        f"/labels?run={name}": ".suspect, .empty",
        "/annotate": ".empty",
        f"/holds?run={name}": "[data-certificate]",
        f"/plan?like={name}": ".checks, .problem",
        f"/compare?runs={name}": ".empty",
        f"/signoff?run={name}": ".signs",
        f"/report/{name}": "iframe",
    }
    with Visit(browser, page.served.url(), scheme=scheme) as visit:
        for place, there in views.items():
            visit.go(place)
            # What compares pictures takes its time on a machine that has other work.
            visit.tab.wait_for_selector(there, timeout=60000)
            # In the other colours only contrast can differ.
            assert visit.faults(axe, "color-contrast" if scheme == "dark" else "") == [], place
        assert visit.hosts() == {f"127.0.0.1:{page.served.studio.port}"}
        assert [said for said in visit.said if "403" not in said and "400" not in said] == []


@pytest.mark.parametrize(
    ("trainer", "counts", "tone"),
    [
        ("tao", ((9, 300), (96, 100)), "near"),
        pytest.param("tao", ((0, 500), (500, 500)), "met", marks=pytest.mark.slow),
        ("unknown", ((0, 500), (500, 500)), "near"),
        pytest.param("tao", ((0, 500), (0, 0)), "near", marks=pytest.mark.slow),
    ],
    ids=["met, not shown", "shown", "shown, but by whom", "cannot be told"],
)
def test_run_page_and_sign_off_say_of_each_claim_the_word_that_every_other_place_says(
    browser: Any, tmp_path: Path, trainer: str, counts: Any, tone: str
) -> None:
    target = "FAR < 5% at recall=95%"
    run = RunBuilder(tmp_path, iterations=1, pictures=False, target=target, trainer=trainer, accepted=counts).build()
    said = [(claim.name, claim.word) for claim in status(run).verdict.claims]
    with page_of(run.parent.parent) as own, Visit(browser, own.served.url()) as visit:
        visit.go(f"/run/{run.name}")
        visit.tab.wait_for_selector(".claims em")
        assert visit.tab.locator(".claims em").all_inner_texts() == [word for _, word in said]
        assert visit.tab.locator("section.verdict").get_attribute("class") == f"verdict {tone}"
        visit.go(f"/signoff?run={run.name}")
        visit.tab.wait_for_selector(".signs")
        rows = visit.tab.locator("tr").all_inner_texts()
        assert all(any(row.startswith(name) and row.endswith(f": {word}") for row in rows) for name, word in said)


def test_nothing_is_wider_than_a_phone(browser: Any, page: Page, run: Path) -> None:
    with Visit(browser, page.served.url(), width=390) as visit:
        for place in ("/", "/run/{}", "/samples?run={}", "/board?run={}&set=kpi&row=3", "/plan?like={}", "/holds"):
            visit.tab.evaluate("place => { location.hash = place; }", place.format(run.name))
            visit.tab.wait_for_selector("main h1", timeout=30000)
            assert visit.tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), place


def test_the_piles_recount_as_the_threshold_moves(browser: Any, page: Page, run: Path) -> None:
    scored = frames.scores(run)
    with Visit(browser, page.served.url(f"/samples?run={run.name}&set=kpi")) as visit:
        line = visit.tab.get_by_role("slider", name="Threshold")
        line.wait_for()
        for press in ("Home", "PageUp", "ArrowRight"):
            line.press(press)
            at = float(line.get_attribute("aria-valuenow"))
            flagged = scored["siamese_score"].to_numpy() > at
            bad = scored["is_defect"].to_numpy()
            expected = {"missed": np.sum(bad & ~flagged), "false": np.sum(~bad & flagged), "all": len(bad)}
            shown = {p: int(visit.tab.inner_text(f"[data-pile={p}]").replace(",", "")) for p in expected}
            assert shown == {pile: int(n) for pile, n in expected.items()}, press
        box = visit.tab.locator(".histogram .plot").bounding_box()
        visit.tab.mouse.move(box["x"] + 200, box["y"] + 60)
        visit.tab.mouse.down()
        visit.tab.mouse.move(box["x"] + 500, box["y"] + 60, steps=5)
        visit.tab.mouse.up()
        assert float(line.get_attribute("aria-valuenow")) > at


def test_what_is_shown_is_saved_and_pandas_reads_it(browser: Any, page: Page, run: Path) -> None:
    with Visit(browser, page.served.url(f"/samples?run={run.name}&set=kpi&pile=false&iteration=baseline")) as visit:
        visit.tab.wait_for_selector("[data-pile=false]")
        with visit.tab.expect_download() as saved:
            visit.tab.get_by_role("button", name="CSV").click()
        found = pd.read_csv(io.BytesIO(Path(saved.value.path()).read_bytes()))
        scored = frames.scores(run, "baseline")
        expected = scored[~scored["is_defect"] & scored["predicted_defect"].astype(bool)]
        assert sorted(found["object_name"]) == sorted(expected["object_name"]) and len(found) > 0
        assert list(found["siamese_score"]) == sorted(found["siamese_score"], reverse=True)


def test_a_lasso_on_the_map_filters_the_grid(browser: Any, page: Page, run: Path) -> None:
    with Visit(browser, page.served.url(f"/samples?run={run.name}&set=kpi&pile=all&map=1")) as visit:
        frame = visit.tab.frame_locator(".map iframe")
        frame.locator("canvas[data-drawn]").wait_for(timeout=60000)
        total = int(visit.tab.inner_text("[data-pile=all]"))
        box = visit.tab.locator(".map iframe").bounding_box()
        around = [(0.02, 0.03), (0.98, 0.03), (0.98, 0.5), (0.5, 0.55), (0.02, 0.5), (0.02, 0.03)]
        visit.tab.mouse.move(box["x"] + around[0][0] * box["width"], box["y"] + around[0][1] * box["height"])
        visit.tab.mouse.down()
        for x, y in around[1:]:
            visit.tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=12)
        visit.tab.mouse.up()
        wait_for(lambda: 0 < int(visit.tab.inner_text("[data-pile=all]")) < total)
        visit.tab.get_by_role("button", name="Clear filters").click()
        wait_for(lambda: int(visit.tab.inner_text("[data-pile=all]")) == total)
        assert visit.said == []


def judge_by_keyboard(browser: Any, page: Page, run: Path, number: int, reader: str) -> None:
    """Open the pile of all boards and give a verdict on each by one key."""
    with Visit(browser, page.served.url(f"/samples?run={run.name}&set=kpi&pile=all")) as visit:
        visit.tab.get_by_label("Your name").fill(reader)
        cell = visit.tab.locator(".grid .cell[tabindex='0']")
        cell.wait_for()
        cell.focus()
        visit.tab.keyboard.press("Enter")
        for at in range(number):
            visit.tab.wait_for_selector(f"[data-where='{at}']")
            visit.tab.keyboard.press("kexq"[at % 4])
        wait_for(lambda: sum(w.who == reader for w in words(run)) >= number, 60)
        own = [w for w in words(run) if w.who == reader]
        assert len(own) == len({w.sample.name for w in own}) == number
        assert [w.drop for w in own] == [at % 4 == 2 for at in range(number)]


def test_verdicts_are_given_by_keyboard_alone_and_taken_back(browser: Any, page: Page, run: Path) -> None:
    judge_by_keyboard(browser, page, run, 9, "Keys")
    with Visit(browser, page.served.url(f"/board?run={run.name}&set=kpi&row=5")) as visit:
        visit.tab.get_by_label("Your name").fill("Mia")
        visit.tab.wait_for_selector(".verdict-key")
        visit.tab.locator("h1").click()
        visit.tab.keyboard.press("m")
        visit.tab.keyboard.press("1")
        wait_for(lambda: any(w.who == "Mia" and w.reason == "mislabeled" and w.to == "PASS" for w in words(run)))
        visit.tab.wait_for_selector(".words li")
        visit.tab.keyboard.press("u")
        wait_for(lambda: not any(w.who == "Mia" for w in words(run)))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_verdicts_by_keyboard_alone(browser: Any, tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "many", iterations=1, passes=240).build()
    with page_of(run.parent.parent) as page:
        judge_by_keyboard(browser, page, run, 200, "Keys")


def test_two_tabs_and_two_readers_say_what_each_means_and_a_dispute_stays(browser: Any, page: Page, run: Path) -> None:
    at = page.served.url(f"/board?run={run.name}&set=kpi&row=30")
    with Visit(browser, at) as one, Visit(browser, at) as two, Visit(browser, at, context=one.context) as other_tab:
        for visit, reader in ((one, "Ana"), (two, "Ben")):
            visit.tab.get_by_label("Your name").fill(reader)
            visit.tab.wait_for_selector(".verdict-key")
        other_tab.tab.reload()
        other_tab.tab.wait_for_selector(".verdict-key")
        one.tab.get_by_role("button", name="Label is right").click()
        wait_for(lambda: any(w.who == "Ana" for w in words(run)))
        other_tab.tab.get_by_role("button", name="Label is right").click()
        two.tab.get_by_role("button", name="Drop it").click()
        wait_for(lambda: any(w.who == "Ben" for w in words(run)))
        two.go(f"/labels?run={run.name}&tab=disputed")
        two.tab.wait_for_selector("text=disputed")
    assert [w.who for w in words(run) if w.sample.object_name == "C30"] == ["Ana", "Ben"]


@pytest.mark.slow
def test_verdicts_outlive_the_end_of_the_server_and_are_not_doubled(browser: Any, tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "killed", iterations=1, passes=30, per_label=2).build()
    command = [sys.executable, "-m", "tao_skill_bank.cli", "studio", str(run.parent.parent), "--no-open"]

    def started() -> tuple[subprocess.Popen[str], str]:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        return server, server.stdout.readline().strip()

    server, url = started()
    try:
        with Visit(browser, f"{url.partition('#')[0]}#/board?run={run.name}&set=kpi&row=3") as visit:
            visit.tab.wait_for_selector(".verdict-key")
            visit.tab.locator("h1").click()
            visit.tab.keyboard.press("k")
            wait_for(lambda: len(words(run)) == 1)
            server.send_signal(signal.SIGKILL)
            server.communicate()
            visit.tab.keyboard.press("x")
            visit.tab.wait_for_selector(".waiting-count")
            server, again = started()
            assert again.partition("?")[0] == url.partition("?")[0]
            # The tab is gone, too; the verdict is found by the next one at the new address.
            visit.tab.close()
            with Visit(browser, again, context=visit.context):
                wait_for(lambda: (len(words(run)) == 1 and words(run)[0].drop) or len(words(run)) == 2)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    lines = corrections.read(run.parent.parent).lines
    assert [line.drop for line in lines] == [False, True]


def test_where_nothing_can_be_written_boards_open_and_a_verdict_says_why_not(browser: Any, tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "fixed", iterations=1, passes=30, per_label=2).build()
    place = str(run.parent.parent)
    mounted = subprocess.run(["mount", "--bind", place, place], capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("a read-only disk needs the right to mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True, capture_output=True)
        with page_of(Path(place)) as page, Visit(browser, page.served.url(f"/board?run={run.name}&row=3")) as visit:
            visit.tab.wait_for_selector(".big")
            assert "read-only" in visit.tab.inner_text(".say .notice")
            assert visit.tab.locator(".verdict-key").first.is_disabled()
            sent = page.post(
                "/api/labels",
                {"words": [{"sample": "board2/C3", "set": "kpi", "reason": "systematic", "who": "Ana"}]},
            )
            assert sent.status_code == 400 and "cannot be kept" in sent.json()["error"]
    finally:
        # Lazily: a connection that the browser dropped may hold a picture for a moment longer.
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def annotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the results of an annotation of two videos, in an encoding that Chromium does not know."""
    monkeypatch.setenv("OPENAI_API_KEY", "unused-unused")
    # In a thread of its own: this one has the browser's loop.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(annotate, tmp_path, 2, "mpeg4").result()
    return tmp_path


def test_questions_are_accepted_edited_and_refused_by_one_key_each_beside_their_video(
    browser: Any, annotated: Path
) -> None:
    with page_of(annotated) as page, Visit(browser, page.served.url("/annotate?in=qa&n=6&seed=4")) as visit:
        visit.tab.wait_for_selector(".question h2")
        cards = page.json("/api/annotation", **{"in": "qa", "n": 6, "seed": 4})["cards"]
        assert cards == page.json("/api/annotation", **{"in": "qa", "n": 6, "seed": 4})["cards"] and len(cards) == 6
        assert len({card["task"] for card in cards}) > 1 and len({card["video_id"] for card in cards}) == 2
        sampled = CliRunner().invoke(annotate_command, ["sample", str(annotated / "qa"), "--n", "5", "--seed", "9"])
        assert sampled.exit_code == 0, sampled.output
        drawn = page.json("/api/annotation", **{"in": "qa"})
        kept = read_sample(annotated / "qa")
        assert kept is not None and {card["digest"] for card in drawn["cards"]} == set(kept.items)
        assert (drawn["n"], drawn["seed"], drawn["measured"]) == (5, 9, True)
        (row,) = page.json("/api/annotations")["annotations"]
        assert (row["name"], row["status"], row["done"], row["videos"]) == ("qa", "complete", 2, 2)
        assert row["calls"] > 0 and row["questions"] and row["problem"] is None
        video = page.get("/api/annotation/video", **{"in": "qa", "digest": cards[0]["digest"]})
        part = page.client.get(
            "/api/annotation/video", params={"in": "qa", "digest": cards[0]["digest"]}, headers={"Range": "bytes=4-7"}
        )
        assert (part.status_code, part.content) == (206, video.content[4:8]) and part.content == b"ftyp"
        # What the browser cannot play is shown in pictures of the span, one after the other up to the last.
        visit.tab.wait_for_selector(f".stills img[data-still='{visit.tab.get_attribute('.stills input', 'max')}']")
        visit.tab.get_by_label("Your name").fill("Ana")
        visit.tab.locator(".question h2").click()
        for key, then in zip("ar", ("· 2 of 6", "· 3 of 6"), strict=True):
            visit.tab.keyboard.press(key)
            visit.tab.wait_for_selector(f"text={then}")
        # What is pressed right after "take back" is meant for the card that comes back.
        visit.tab.keyboard.press("u")
        visit.tab.keyboard.press("e")
        visit.tab.wait_for_selector("input.edit")
        assert "· 2 of 6" in visit.tab.inner_text(".kicker")
        visit.tab.locator("input.edit").fill("the answer as it is")
        visit.tab.keyboard.press("Enter")
        said = lambda: [w for w in corrections.read(annotated / "qa").by_id.values() if w.undone_by is None]  # noqa: E731
        wait_for(lambda: len(said()) == 2)
        assert [(w.to, w.drop, w.reason) for w in said()][1] == ("the answer as it is", False, "mislabeled")
        assert visit.said == []


PICTURE = """() => { const v = document.querySelector('.film video'), c = document.createElement('canvas');
    c.width = v.videoWidth; c.height = v.videoHeight;
    const g = c.getContext('2d'); g.drawImage(v, 0, 0); return [...g.getImageData(0, 0, c.width, c.height).data]; }"""


@pytest.mark.slow
def test_fifty_questions_are_reviewed_by_keyboard_beside_videos_that_play_their_span(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "unused-unused")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(annotate, tmp_path, 8, "libx264").result()
    with page_of(tmp_path) as page, Visit(browser, page.served.url("/annotate?in=qa&n=50&seed=2")) as visit:
        cards = page.json("/api/annotation", **{"in": "qa", "n": 50, "seed": 2})["cards"]
        assert len(cards) == 50 and len({card["video_id"] for card in cards}) == 8
        spans = [at for at, card in enumerate(cards) if card["span"]]
        visit.tab.get_by_label("Your name").fill("Ana")
        visit.tab.locator(".question h2").click()
        shown = lambda what: visit.tab.evaluate(f"(v => {what})(document.querySelector('video'))")  # noqa: E731
        played = 0
        for at in range(50):
            visit.tab.wait_for_selector(f"text=· {at + 1} of 50")
            # The picture is decoded: HAVE_CURRENT_DATA, with a size.
            wait_for(lambda: shown("v && v.readyState >= 2 && v.videoWidth === 64"))
            if at in spans and played < 3:
                played += 1
                start, end = cards[at]["span"]
                before = visit.tab.evaluate(PICTURE)
                visit.tab.keyboard.press(" ")
                least = min(start + 0.4, end)
                wait_for(lambda least=least: shown("v.currentTime") >= least)  # type: ignore[misc]
                assert visit.tab.evaluate(PICTURE) != before
                wait_for(lambda: shown("v.paused"))
                assert shown("v.currentTime") < end + 0.6
            visit.tab.keyboard.press("aar"[at % 3])
        said = lambda: [w for w in corrections.read(tmp_path / "qa").by_id.values() if w.undone_by is None]  # noqa: E731
        wait_for(lambda: len(said()) == 50, 60)
        assert len({w.sample for w in said()}) == 50 and sum(w.drop for w in said()) == 16
        assert played and visit.tab.locator(".stills").count() == 0 and visit.said == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("dark", 390)])
def test_axe_finds_nothing_serious_in_views_that_are_full(
    browser: Any, axe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, width: int
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "unused-unused")
    with ThreadPoolExecutor(1) as pool:
        latest, earlier = pool.submit(full_workspace, tmp_path).result()
        pool.submit(annotate, latest.parent.parent, 2, "libx264").result()
    name = latest.name
    views = {
        "/": "[data-annotation]",
        "/annotate?in=qa": ".question h2",
        f"/compare?runs={name},{earlier.name}": ".compare, main table",
        f"/board?run={name}&set=kpi&sample=board2/C5": ".words li",
        f"/labels?run={name}&tab=disputed": "text=disputed",
        f"/labels?run={name}&tab=said": "main li, main tr",
        f"/samples?run={name}&pile=all&map=1&corrected=relabelled": ".map iframe",
        f"/samples?run={name}&pile=all": ".grid .cell",
        "/holds": "[data-monitor] svg",
        "/certificate?in=certificate": "iframe",
    }
    with page_of(latest.parent.parent) as page, Visit(browser, page.served.url(), scheme=scheme, width=width) as visit:
        for place, there in views.items():
            visit.go(place)
            visit.tab.wait_for_selector(there, timeout=60000, state="attached")
            assert visit.faults(axe) == [], place
            assert visit.tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
        assert visit.hosts() == {f"127.0.0.1:{page.served.studio.port}"}


def test_what_was_said_of_a_label_filters_the_grid_at_once(browser: Any, tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "said", iterations=0, passes=30, per_label=2).build()
    with (
        page_of(run.parent.parent) as page,
        Visit(browser, page.served.url(f"/samples?run={run.name}&pile=all")) as visit,
    ):
        visit.tab.wait_for_selector(".grid .cell")
        assert visit.tab.locator("summary", has_text="corrected").count() == 0
        words = [{"sample": "board2/C3", "set": "kpi", "reason": "mislabeled", "who": "Ana", "to": "bridge"}]
        page.post("/api/labels", {"words": words}).raise_for_status()
        visit.go(f"/samples?run={run.name}&pile=all&corrected=relabelled")
        visit.tab.wait_for_selector("summary:has-text('corrected')")
        wait_for(lambda: visit.tab.inner_text("[data-pile=all]") == "1")
        visit.tab.get_by_role("button", name="Clear filters").click()
        wait_for(lambda: int(visit.tab.inner_text("[data-pile=all]")) > 30)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_from_a_run_to_corrected_labels_to_the_next_run_and_its_report_without_leaving_the_page(
    browser: Any, tmp_path: Path
) -> None:
    from tiny import approved, make_workspace, request

    from tao_skill_bank import runs

    workspace = make_workspace(tmp_path / "w")
    earlier = approved(request(workspace, iterations=1))
    runs.run_loop(earlier)
    with page_of(workspace) as page, Visit(browser, page.served.url("/")) as visit:
        tab = visit.tab
        tab.set_default_timeout(60000)
        tab.get_by_label("Your name").fill("Ana")
        tab.get_by_role("link", name=earlier.name).click()
        tab.wait_for_selector(".claims")
        tab.get_by_role("link", name="Samples", exact=True).click()
        tab.get_by_label("Set").select_option("training")
        tab.get_by_label("As of").select_option("baseline")
        tab.locator(".grid .cell").first.click()
        for keys in ("p", "m2", "x"):
            tab.wait_for_selector(".verdict-key")
            at = tab.inner_text(".say h1")
            if keys == "p" and tab.locator("text=It is PASS").count() == 0:
                keys = "m2"
            for key in keys:
                tab.keyboard.press(key)
            wait_for(lambda at=at: tab.inner_text(".say h1") != at)  # type: ignore[misc]
        wait_for(lambda: len(corrections.read(workspace).changing) >= 2)
        tab.get_by_role("link", name="Plan", exact=True).click()
        tab.wait_for_selector(".checks")
        assert "correction" in tab.inner_text(".checks")
        for box in tab.locator(".approve input[type=checkbox]").all():
            box.check()
        tab.get_by_role("button", name="Approve and start").click()
        tab.wait_for_selector(".claims")
        name = tab.inner_text("h1.mono")
        assert name != earlier.name
        state = runs.load_state(workspace / "results" / name)
        assert state.approval.how == "studio" and state.approval.by.startswith("Ana (")
        wait_for(lambda: runs.status(workspace / "results" / name).status in ("complete", "failed", "stopped"), 600)
        assert runs.status(workspace / "results" / name).status == "complete"
        visit.go(f"/report/{name}")
        report = tab.frame_locator("iframe[title^=Report]")
        report.locator("#verdict").wait_for()
        assert "2 relabelled, 1 dropped" in report.locator("body").inner_text()
