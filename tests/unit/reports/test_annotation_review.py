"""The review page: what it shows, and that its export is honoured by the next run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import chromium
import pytest
from annotation import config_for, rows, run
from scripted_endpoint import Request, ScriptedEndpoint, plain_answer
from videos import make_videos

from tao_skill_bank import labels
from tao_skill_bank.annotate.config import AnnotationConfig
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.question_book import QuestionBook
from tao_skill_bank.annotate.results import sample as draw_sample
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.corrections import Word
from tao_skill_bank.reports.annotation.review import render_review

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
HOSTILE = "</script><img src=x onerror=alert(1)>\"' {{7*7}} \u202e\u05d0" + "long_" * 40


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


def bcq_refusals(config: AnnotationConfig) -> Path:
    return config.results_dir / "step_4_output" / "rejected.jsonl"


@pytest.fixture
def spoiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page of a run whose models, rows and file names are all hostile."""
    monkeypatch.setenv("OPENAI_API_KEY", "unused-unused")

    def hostile(request: Request) -> str:
        try:
            value = json.loads(plain_answer(request))
        except ValueError:
            return f"{plain_answer(request)} {HOSTILE}"
        for item in value.get("items", ()):
            item |= {k: f"{v} {HOSTILE}" for k, v in item.items() if isinstance(v, str) and k != "answer"}
        return json.dumps(value)

    make_videos(tmp_path / "v", 3)
    (tmp_path / "v" / "v0002.mp4").rename(tmp_path / "v" / "<img src=x onerror=alert(2)>.mp4")
    with ScriptedEndpoint(answers=hostile) as server:
        config = config_for(server, tmp_path / "<b>out", tmp_path / "v")
        run(config)
    changes: dict[str, list[dict[str, Any]]] = {
        "step_1b_chunks/chunk_captions.jsonl": [
            {"chunk_captions": [HOSTILE, {"timestamp_start": "x"}, {"timestamp_start": 0, "timestamp_end": 1}]},
            {"video_length": HOSTILE, "chunk_captions": {HOSTILE: HOSTILE}},
        ],
        "step_1c_highlight/highlight_captions.jsonl": [
            {"highlight_chunk": {"timestamp_start": 0, "timestamp_end": 1, "caption": HOSTILE}},
            {"highlight_chunk": HOSTILE, "mode": HOSTILE},
            {"highlight_chunk": {"anomaly_timestamp_sec": 1e30}},
        ],
        "step_2_description/descriptions.jsonl": [
            {"detailed_description": {"x": HOSTILE}, "truncated": [HOSTILE, 5], "chunk_captions": None},
            {"original_captions": HOSTILE, "truncated": 7, "mode": 5},
            {"truncated": HOSTILE, "video_length": -3},
        ],
    }  # fmt: skip
    for name, rows_changed in changes.items():
        path = config.results_dir / name
        found = [row | change for row, change in zip_longest(rows(path), rows_changed, fillvalue={})]
        path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return render_review(config.results_dir)


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
    # The review was taken in: it stands with everything else that people say, and can be taken back there.
    [word] = labels.listing(config.results_dir).words
    assert (word.line["who"], word.status, word.set) == ("review page", "dropped", "annotation")
    labels.take_back(config.results_dir, word.name, "Ana")
    run(config)
    assert len(json.loads((folder / "mcq.json").read_text(encoding="utf-8"))["items"]) == 2


def test_a_question_is_edited_and_dropped_by_the_labels_command_and_the_files_follow(
    finished: tuple[AnnotationConfig, ScriptedEndpoint],
) -> None:
    config, _ = finished
    folder = config.results_dir / "step_4_output"
    questions = [q for q in QuestionBook(config.results_dir).questions.values() if q.task == "bcq" and q.item]
    before = json.loads((folder / "bcq.json").read_text(encoding="utf-8"))["items"]
    edited, dropped = questions[0], questions[1]
    assert edited.item is not None
    other = "No" if edited.item.answer == "Yes" else "Yes"
    with pytest.raises(InputError) as refused:
        labels.say(config.results_dir, [Word(edited.digest, "mislabeled", "Ana", to="two\nlines")])
    assert refused.value.line().endswith("(an answer is one line of text)")
    labels.say(
        config.results_dir,
        [
            Word(edited.digest, "mislabeled", "Ana", to=other),
            Word(f"{dropped.video_id}/{dropped.digest}", "data quality", "Ana", drop=True),
        ],
    )
    run(config)
    after = json.loads((folder / "bcq.json").read_text(encoding="utf-8"))["items"]
    assert len(after) == len(before) - 1
    of = [i["answer"] for i in after if i["video_id"] == edited.video_id and edited.question in i["question"]]
    assert of == [other]


def test_a_file_of_verdicts_that_is_none_stops_the_run_with_its_line(
    finished: tuple[AnnotationConfig, ScriptedEndpoint],
) -> None:
    config, _ = finished
    (config.results_dir / "verdicts.jsonl").write_text('{"digest": "x", "verdict": "maybe"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"verdicts\.jsonl:1: not a verdict"):
        run(config)


@pytest.mark.parametrize("sign", ["\u2028", "\x85"])
def test_a_note_with_a_sign_that_ends_a_line_elsewhere_stands_in_the_next_page(
    sign: str, finished: tuple[AnnotationConfig, ScriptedEndpoint]
) -> None:
    config, _ = finished
    note = f"one{sign}two"
    line = {"video_id": "v9.mp4", "task": "mcq", "digest": "0" * 16, "verdict": "reject", "note": note}
    text = json.dumps(line, ensure_ascii=False) + "\n"
    (config.results_dir / "verdicts.jsonl").write_text(text, encoding="utf-8-sig")
    kept = {"video_id": "v9.mp4", "task": "mcq", "verdict": "reject", "note": note}
    assert json.dumps({"0" * 16: kept}) in render_review(config.results_dir).read_text(encoding="utf-8")


@pytest.mark.browser
@chromium.IS_THERE
def test_a_person_judges_in_chromium_offline_and_the_export_is_honoured(
    finished: tuple[AnnotationConfig, ScriptedEndpoint],
) -> None:
    config, server = finished
    verdicts = config.results_dir / "verdicts.jsonl"
    elsewhere = {"video_id": "v9.mp4", "task": "mcq", "digest": "0" * 16, "verdict": "reject", "note": "seen before"}
    verdicts.write_text(json.dumps(elsewhere) + "\n", encoding="utf-8")
    path = render_review(config.results_dir)
    said: list[str] = []
    asked: list[str] = []
    with chromium.started(FLAGS) as browser:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        card = page.locator(".card[data-task=bcq]").first
        card.get_by_role("button", name="Reject").click()
        card.get_by_label("Note").fill("not seen <b>")
        page.locator(".card[data-task=mcq]").first.focus()
        page.keyboard.press("a")
        page.keyboard.press("j")
        page.keyboard.press("r")
        page.keyboard.press("r")
        assert [page.inner_text(f"#{name}") for name in ("accepted", "rejected", "open")] == ["1", "1", "12"]
        assert page.inner_text("#headline") == "12 questions to judge"
        page.locator("button[data-show=reject]").click()
        assert page.locator(".card:visible").count() == 1
        page.reload()
        assert page.inner_text("#rejected") == "1"
        with page.expect_download() as download:
            page.click("#export")
        download.value.save_as(verdicts)
    assert said == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    exported = rows(verdicts)
    judged = [(v["task"], v["verdict"], v["note"]) for v in exported[:-1]]
    assert judged == [("bcq", "reject", "not seen <b>"), ("mcq", "accept", "")]
    assert exported[-1] == elsewhere
    run(config)
    assert server.calls == 0
    bcq = json.loads((config.results_dir / "step_4_output/bcq.json").read_text(encoding="utf-8"))
    assert len(bcq["items"]) == 1
    assert "rejected in review: not seen <b>" in [r["reason"] for r in rows(bcq_refusals(config))]


@pytest.mark.browser
@chromium.IS_THERE
def test_hostile_text_in_every_field_is_shown_as_text_fits_a_phone_and_is_accessible_in_light_and_dark(
    spoiled: Path,
) -> None:
    package = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    axe = (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    said: list[str] = []
    with chromium.started(FLAGS) as browser:
        for scheme, width in (("light", 1280), ("dark", 390)):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("dialog", lambda dialog: said.append(dialog.message))
            page.goto(spoiled.as_uri())
            assert page.locator(".card").count() > 8
            assert page.locator("img[onerror]").count() == 0
            page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            page.locator(".card[data-digest]").first.get_by_role("button", name="Accept").click()
            wider = (
                "() => [...document.querySelectorAll('body *')]"
                ".filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 120))"
            )
            assert page.evaluate(wider) == []
            page.evaluate(axe)
            faults = page.evaluate(
                "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
                ".flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 140)))"
            )
            assert faults == []
            page.close()
    assert said == []


@pytest.mark.browser
@chromium.IS_THERE
def test_in_print_there_is_every_word_and_no_button(spoiled: Path) -> None:
    with chromium.started(FLAGS) as browser:
        page = browser.new_page()
        page.goto(spoiled.as_uri())
        card = page.locator(".card[data-digest]").first
        card.get_by_role("button", name="Reject").click()
        card.get_by_label("Note").fill("two are right")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.locator("button:visible, input:visible").count() == 0
        assert page.locator("details:not([open])").count() == 0
        assert card.locator(".noted").inner_text() == "Note: two are right"
        assert page.locator(".card .said").first.inner_text() == "rejected"


def test_the_page_of_a_sample_shows_the_sample_and_no_flag(tmp_path: Path) -> None:
    step = tmp_path / "r/step_3_qa/qa_output.jsonl"
    step.parent.mkdir(parents=True)
    long = "The green cart that carries two blue barrels and a ladder"
    with step.open("w", encoding="utf-8") as handle:
        for i in range(4):
            item = {"question": f"Which cart of {i} is first?", "choices": ["Red", long, "Grey"], "answer": "B"}
            leak = {"question": "According to the caption, what moves?", "choices": ["A", "B"], "answer": "A"}
            text = json.dumps({"items": [item, leak]})
            row = {"video": f"/v/{i}.mp4", "prompt_key": "normal_mcq", "qa_output": text}
            handle.write(json.dumps(row) + "\n")
    Journal(tmp_path / "r").close()
    whole = render_review(tmp_path / "r").read_text(encoding="utf-8")
    assert whole.count('class="card" tabindex') == 4
    assert whole.count("refused by the checks</span>") == 4
    assert "the right choice has 57 characters" in whole
    draw_sample(tmp_path / "r", 2, 0)
    sample = render_review(tmp_path / "r", sample=True).read_text(encoding="utf-8")
    assert sample.count('class="card" tabindex') == 2
    assert "characters, the longest" not in sample
