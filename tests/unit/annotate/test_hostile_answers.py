"""Answers that no model should give: they are read or refused, quickly, and never end a run."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from annotation import QUICK, config_for, rows, run
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_endpoint import Fault, Request, ScriptedEndpoint, answer_of, plain_answer
from videos import make_videos

from tao_skill_bank.annotate import parse
from tao_skill_bank.annotate.api import status
from tao_skill_bank.annotate.asked import Request as Asked
from tao_skill_bank.annotate.config import QA_TYPES
from tao_skill_bank.annotate.endpoints.base import FaultError
from tao_skill_bank.annotate.endpoints.gemini import reply_of
from tao_skill_bank.annotate.estimate import estimate
from tao_skill_bank.annotate.gate import BudgetReachedError
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.prices import load_prices
from tao_skill_bank.annotate.questions import questions_of
from tao_skill_bank.annotate.run import Limits, annotate
from tao_skill_bank.annotate.verdicts import read_verdicts
from tao_skill_bank.core.errors import InputError

NAMES = st.sampled_from(
    [
        "items",
        "question",
        "answer",
        "choices",
        "start_sec",
        "end_sec",
        "reasoning",
        "suitable",
        "label",
        "timestamp_sec",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**400), 10**400) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "unused-unused")


def read(text: str) -> None:
    """Everything that is ever read out of an answer."""
    parse.parse_suitable(text)
    parse.parse_label(text)
    _, moment = parse.parse_moment(text)
    assert moment is None or math.isfinite(moment)
    for kind in QA_TYPES:
        row = {"video": "/v/a.mp4", "prompt_key": kind, "qa_output": text, "video_length": 10.0}
        for question in questions_of(row, Path("/v")):
            assert (question.item is None) is bool(question.reason)
            assert question.item is None or question.item.span is None or 0 <= question.item.span[0] < 10.0


@settings(max_examples=150)
@given(VALUES)
def test_any_json_is_read_or_refused(value: object) -> None:
    read(json.dumps(value))


@settings(max_examples=150)
@given(st.text(st.sampled_from("ABYesno:=.*\n {}[]\"',0123456789<think>/"), max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    read(text)


@pytest.mark.parametrize("text", ["[" * 60_000, "{" * 60_000, '{"a":' * 20_000, "* " * 30_000, "yes no " * 8_000])
def test_an_answer_of_nothing_but_marks_costs_no_minutes(text: str) -> None:
    began = time.process_time()
    read(text)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(("number", "readable"), [("NaN", False), ("1e999", False), ("9" * 400, False), ("-3", True)])
def test_a_moment_that_is_no_finite_number_is_unreadable(number: str, readable: bool) -> None:
    assert parse.parse_moment(f'{{"timestamp_sec": {number}}}')[0] is readable


def test_half_a_surrogate_pair_in_an_answer_is_replaced_and_the_run_ends_well(tmp_path: Path) -> None:
    def answer(request: Request) -> str:
        return "A cart \ud800 moves." if request.kind == "global_caption" else plain_answer(request)

    make_videos(tmp_path / "v", 1)
    with ScriptedEndpoint(answers=answer) as server:
        outcome = run(config_for(server, tmp_path / "out", tmp_path / "v"))
    assert outcome.failed == 0
    assert rows(tmp_path / "out/step_1a_caption/captions.jsonl")[0]["global_caption"] == "A cart ? moves."


def strange(folder: Path, rename: Callable[[bytes], bytes]) -> None:
    first = os.fsencode(next(folder.glob("*.mp4")))
    os.rename(first, rename(first))


def test_a_name_that_is_no_text_is_left_out_with_a_note(tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 2)
    try:
        strange(tmp_path / "v", lambda name: name.replace(b"v0", b"\xff0"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with ScriptedEndpoint() as server:
        outcome = run(config_for(server, tmp_path / "out", tmp_path / "v"))
    assert (outcome.videos, outcome.failed) == (1, 0)
    assert [line.split(": ")[-1] for line in outcome.problems] == ["its name is not UTF-8; left out"]


@pytest.mark.parametrize("name", ["über 倉庫 'q' \"d\" =[x], {y}.mp4", "a\nb.mp4", " .mp4", "%s{0}.mp4"])
def test_a_name_of_strange_letters_is_a_name(name: str, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1)
    strange(tmp_path / "v", lambda old: os.fsencode(str(Path(os.fsdecode(old)).with_name(name))))
    more = ("workflow.mode=normal", "workflow.qa_types=['bcq']")
    with ScriptedEndpoint() as server:
        outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", *more))
    assert outcome.failed == 0
    items = json.loads((tmp_path / "out/step_4_output/bcq.json").read_text(encoding="utf-8"))["items"]
    assert [item["video_id"] for item in items] == [name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_with_the_name_of_a_video_is_one_failure_and_nobody_waits_for_it(tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1)
    os.mkfifo(tmp_path / "v" / "a_pipe.mp4")
    (tmp_path / "v" / "a_folder.mp4").mkdir()
    with ScriptedEndpoint() as server:
        config = config_for(server, tmp_path / "out", tmp_path / "v", "workflow.mode=normal")
        assert estimate(config, load_prices()).unusable == 1
        outcome = run(config)
    assert (outcome.videos, outcome.failed) == (2, 1)


def completion(**other: object) -> str:
    return json.dumps(answer_of("", (5, 5), gemini=False) | other)


@pytest.mark.parametrize(
    "body",
    [
        completion(choices={"a": 1}),
        completion(choices=7),
        completion(choices=[None]),
        completion(choices=[{"message": "text", "finish_reason": "stop"}]),
        completion(choices=[{"message": {"role": "assistant", "content": 5}, "finish_reason": "stop"}]),
        '{"choices": NaN}',
        '{"error": {"message": "no"}}',
        "<html>busy</html>",
        "[1]",
        "null",
        "",
    ],
)
def test_a_200_that_is_no_completion_is_one_failed_call_and_no_end_of_the_run(body: str, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1)
    with ScriptedEndpoint(faults=lambda request: Fault(200, body)) as server:
        outcome = run(config_for(server, tmp_path / "out", tmp_path / "v"), policy=replace(QUICK, tries=2))
    assert (outcome.videos, outcome.failed, outcome.calls) == (1, 1, 2)


@pytest.mark.parametrize("usage", [None, [1], "12", {"prompt_tokens": None}, {"prompt_tokens": 10**30}])
def test_a_count_of_tokens_that_is_none_leaves_the_answer_good(usage: object, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1)

    def odd(request: Request) -> Fault:
        return Fault(200, json.dumps(answer_of(plain_answer(request), (5, 5), gemini=False) | {"usage": usage}))

    with ScriptedEndpoint(faults=odd) as server:
        config = config_for(server, tmp_path / "out", tmp_path / "v", "workflow.mode=normal")
        outcome = run(config)
    assert outcome.failed == 0


def test_an_answer_in_parts_is_put_together(tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1)

    def parted(request: Request) -> Fault:
        message = {"role": "assistant", "content": [{"type": "text", "text": plain_answer(request)}]}
        return Fault(200, completion(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))

    with ScriptedEndpoint(faults=parted) as server:
        outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", "workflow.mode=normal"))
    assert outcome.failed == 0


@pytest.mark.parametrize(
    "response",
    [{"candidates": 1}, {"candidates": ["x"]}, {"candidates": [{"content": {"parts": ["x"]}}]}, {"usageMetadata": [1]}],
)
def test_a_gemini_answer_of_another_form_is_malformed(response: dict[str, object]) -> None:
    with pytest.raises(FaultError) as caught:
        reply_of(response)
    assert caught.value.kind == "malformed"


CAPTIONED = {"video_length": 2.0, "mode": "anomaly", "global_caption": "A cart.", "dense_caption": "It moves."}


@pytest.mark.parametrize(
    ("step", "odd"),
    [
        ("step_1a_caption/captions.jsonl", {"mode": "strange"}),
        ("step_1a_caption/captions.jsonl", {"mode": ["anomaly"], "video_length": "long"}),
        ("step_1a_caption/captions.jsonl", {"original_captions": "text"}),
        ("step_1b_chunks/chunk_captions.jsonl", {"chunk_captions": "text"}),
        ("step_1b_chunks/chunk_captions.jsonl", {"chunk_captions": ["text", {"caption": None}]}),
        ("step_1c_highlight/highlight_captions.jsonl", {"highlight_chunk": "text"}),
        ("step_1c_highlight/highlight_captions.jsonl", {"highlight_chunk": {"caption": "x", "timestamp_start": None}}),
    ],
)
def test_a_row_of_others_in_another_form_ends_no_run(step: str, odd: dict[str, object], tmp_path: Path) -> None:
    video = make_videos(tmp_path / "v", 1)[0]
    (tmp_path / "out" / step).parent.mkdir(parents=True)
    (tmp_path / "out" / step).write_text(json.dumps({"video": str(video)} | CAPTIONED | odd) + "\n", encoding="utf-8")
    with ScriptedEndpoint() as server:
        outcome = run(config_for(server, tmp_path / "out", None, "workflow.mode=anomaly", "workflow.qa_types=['bcq']"))
    assert (outcome.videos, outcome.failed, outcome.items) == (1, 0, {"bcq": 1, "bcq_openended": 1})


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\n", b"1\n[]\n", b'{"status": "SUCCESS", "data": [1]}\n', b"[" * 100_000]
)
def test_a_damaged_status_file_is_an_interrupted_run(content: bytes, tmp_path: Path) -> None:
    Journal(tmp_path).close()
    (tmp_path / "status.json").write_bytes(content)
    assert status(tmp_path).status == "interrupted"


def test_a_note_may_hold_any_letter_and_a_file_of_verdicts_a_byte_order_mark(tmp_path: Path) -> None:
    line = json.dumps({"digest": "d", "verdict": "reject", "note": "one\u2028two\x85three"}, ensure_ascii=False)
    (tmp_path / "verdicts.jsonl").write_text(f"\ufeff{line}\r\n", encoding="utf-8")
    assert read_verdicts(tmp_path) == {"d": ("reject", "one\u2028two\x85three")}


@pytest.mark.parametrize("content", [b'{"digest": "d", "verdict": "acc\xff"}', b"[" * 100_000, b'["digest"]'])
def test_a_damaged_verdict_is_one_line_that_names_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "verdicts.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=r"verdicts\.jsonl:1: not a verdict"):
        read_verdicts(tmp_path)


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -1.0])
def test_a_limit_that_nothing_reaches_is_refused(limit: float) -> None:
    with pytest.raises(InputError, match="a limit is a number from 0 on"):
        Asked(max_cost=limit)


def test_a_cost_limit_holds_at_a_server_that_counts_no_tokens(tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 3)
    (tmp_path / "prices.yaml").write_text("models: {scripted: {input: 1000, output: 1000}}", encoding="utf-8")
    more = ("workflow.mode=normal", "vlm.openai.max_tokens=100", "llm.openai.max_tokens=100")
    with ScriptedEndpoint(usage=lambda request, text: (0, 0)) as server:
        config = config_for(server, tmp_path / "out", tmp_path / "v", *more)
        with pytest.raises(BudgetReachedError):
            annotate(config, load_prices(tmp_path / "prices.yaml"), Limits(max_cost=10.0), policy=QUICK)
    assert 0 < status(tmp_path / "out").cost <= 10.0


def test_an_answer_of_nothing_but_thinking_is_asked_again_and_is_no_caption(tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1)

    def thinking(request: Request) -> str:
        return "<think>Hm.</think>" if request.kind == "dense_caption" else plain_answer(request)

    with ScriptedEndpoint(answers=thinking) as server:
        config = config_for(server, tmp_path / "out", tmp_path / "v", "workflow.mode=normal")
        assert run(config).failed == 1
        assert server.kinds()["dense_caption"] == 2
        server.answers = plain_answer
        assert run(config).failed == 0
        assert server.kinds()["dense_caption"] == 3
    assert rows(tmp_path / "out/step_1a_caption/captions.jsonl")[0]["dense_caption"]
