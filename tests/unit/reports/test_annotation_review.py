"""The review page: what it shows, and that its export is honoured by the next run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotation import config_for, rows, run
from scripted_endpoint import Request, ScriptedEndpoint, plain_answer
from videos import make_videos

from tao_skill_bank.annotate.config import AnnotationConfig
from tao_skill_bank.errors import InputError
from tao_skill_bank.reports.annotation_review import render_review

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
HOSTILE = "</script><img src=x onerror=alert(1)> {{7*7}} \u202e"


def answers(request: Request) -> str:
    if request.kind == "global_caption":
        return f"A cart moves. {HOSTILE}"
    if request.kind in ("open_qa", "repair"):
        return "No question today."
    return plain_answer(request)


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[AnnotationConfig, ScriptedEndpoint]]:
    monkeypatch.setenv("OPENAI_API_KEY", "unused-unused")
    make_videos(tmp_path / "v", 2)
    with ScriptedEndpoint(answers=answers) as server:
        config = config_for(server, tmp_path / "out", tmp_path / "v")
        run(config)
        server.reset()
        yield config, server


def test_the_page_shows_pictures_texts_questions_and_why_some_were_refused(
    finished: tuple[AnnotationConfig, ScriptedEndpoint],
) -> None:
    html = render_review(finished[0].results_dir).read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") == 12
    assert html.count('class="card" tabindex') == 14
    assert html.count("no question can be recognised in the answer") == 2
    assert "<img src=x" not in html
    assert "v0000.mp4" in html


def test_a_run_without_questions_has_nothing_to_review(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no annotation run here"):
        render_review(tmp_path)


def test_a_rejected_question_leaves_the_files_of_the_next_run_which_calls_nobody(
    finished: tuple[AnnotationConfig, ScriptedEndpoint],
) -> None:
    config, server = finished
    folder = config.results_dir / "step_4_output"
    html = render_review(config.results_dir).read_text(encoding="utf-8")
    card = html.split('data-task="mcq" data-digest="')[1][:16]
    line = {"video_id": "v0000.mp4", "task": "mcq", "digest": card, "verdict": "reject", "note": "two are right"}
    (config.results_dir / "verdicts.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    run(config)
    assert server.calls == 0
    for task in ("mcq", "mcq_openended"):
        assert len(json.loads((folder / f"{task}.json").read_text(encoding="utf-8"))["items"]) == 1
    assert "rejected in review: two are right" in [r["reason"] for r in rows(folder / "rejected.jsonl")]


def test_a_file_of_verdicts_that_is_none_stops_the_run_with_its_line(
    finished: tuple[AnnotationConfig, ScriptedEndpoint],
) -> None:
    config, _ = finished
    (config.results_dir / "verdicts.jsonl").write_text('{"digest": "x", "verdict": "maybe"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"verdicts\.jsonl:1: not a verdict"):
        run(config)


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium")
def test_a_person_judges_in_chromium_offline_and_the_export_is_honoured(
    finished: tuple[AnnotationConfig, ScriptedEndpoint],
) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    config, _ = finished
    path = render_review(config.results_dir)
    said: list[str] = []
    asked: list[str] = []
    with playwright.sync_playwright() as running:
        browser: Any = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        card = page.locator(".card[data-task=bcq]").first
        card.get_by_role("button", name="Reject").click()
        card.get_by_label("Note").fill("not seen <b>")
        page.locator(".card[data-task=mcq]").first.focus()
        page.keyboard.press("a")
        assert [page.inner_text(f"#{name}") for name in ("accepted", "rejected", "open")] == ["1", "1", "12"]
        page.reload()
        assert page.inner_text("#rejected") == "1"
        with page.expect_download() as download:
            page.click("#export")
        download.value.save_as(config.results_dir / "verdicts.jsonl")
        browser.close()
    assert said == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    exported = rows(config.results_dir / "verdicts.jsonl")
    judged = [(v["task"], v["verdict"], v["note"]) for v in exported]
    assert judged == [("bcq", "reject", "not seen <b>"), ("mcq", "accept", "")]
    run(config)
    bcq = json.loads((config.results_dir / "step_4_output/bcq.json").read_text(encoding="utf-8"))
    assert len(bcq["items"]) == 1
