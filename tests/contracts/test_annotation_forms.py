"""Servers that know less than they are asked, and models that answer with something else: no call is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotation import CANARY, config_for, rows, run
from scripted_endpoint import Fault, Request, ScriptedEndpoint, answer_of, plain_answer
from videos import make_video, make_videos

from tao_skill_bank.annotate import api
from tao_skill_bank.annotate.calls import DeniedError
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.parse import without_thinking
from tao_skill_bank.annotate.quality.rules import refusal_at_start
from tao_skill_bank.core.errors import InputError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedEndpoint]:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with ScriptedEndpoint(latency=lambda request: 0.01) as endpoint:
        yield endpoint


def error(status: int, message: str) -> Fault:
    return Fault(status, json.dumps({"error": {"message": message, "type": "BadRequestError", "code": status}}))


REFUSALS = {
    "response_format": (400, "response_format.type: Input should be 'text' or 'json_object'"),
    "xgrammar": (400, "The provided JSON schema contains features not supported by xgrammar."),
    "llama.cpp": (400, "Failed to parse grammar"),
    "500": (500, "Internal Server Error: structured output backend not available"),
    "501": (501, "response_format not implemented"),
    "outlines": (422, "outlines cannot compile this schema"),
    "guided": (422, "guided decoding is not enabled on this server"),
    "no reason": (400, "Bad Request"),
}


# Of both vendors' protocols: here one of Gemini's and all of the other, in `make proof` every one.
BACKENDS = [
    pytest.param(name, backend, marks=[pytest.mark.slow] if backend == "gemini" and name != "500" else [])
    for name in REFUSALS
    for backend in ("openai", "gemini")
]


@pytest.mark.parametrize(("name", "backend"), BACKENDS)
def test_a_server_that_refuses_a_schema_loses_no_call_in_flight_and_none_is_paid_twice(
    name: str, backend: str, server: ScriptedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", CANARY)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    make_videos(tmp_path / "v", 6, seconds=1.0, fps=2)
    server.faults = lambda request: error(*REFUSALS[name]) if request.schema else None
    outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", "workflow.max_workers=16", backend=backend))
    assert outcome.failed == 0
    # Everything was answered once; what was refused was asked again without the schema, and counted.
    assert set(server.answered.values()) == {1}
    assert outcome.calls == server.calls
    with Journal(tmp_path / "out", read_only=True) as journal:
        totals = journal.totals()
    assert totals.answers == len(server.bill) == len(server.answered)
    assert (totals.input_tokens, totals.output_tokens) == tuple(sum(b[k] for b in server.bill) for k in (1, 2))


def test_a_server_that_wants_other_names_loses_no_call_in_flight(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 6, seconds=1.0, fps=2)

    def fault(request: Request) -> Fault | None:
        if "max_tokens" in request.body:
            return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in request.body:
            return error(400, "Unsupported value: 'temperature' does not support 0.7 with this model.")
        return None

    server.faults = fault
    outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", "workflow.max_workers=16"))
    assert (outcome.failed, set(server.answered.values())) == (0, {1})


TOO_LARGE = {
    "context": (400, "This model's maximum context length is 32768 tokens. However, you requested 41000 tokens."),
    "images": (400, "At most 8 image(s) may be provided in one prompt."),
    "body": (413, "Request Entity Too Large"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_first_video_that_is_too_large_fails_by_itself_and_is_named(
    name: str, server: ScriptedEndpoint, tmp_path: Path
) -> None:
    make_video(tmp_path / "v" / "a.mp4", seconds=20.0, fps=1)
    make_videos(tmp_path / "v", 3, seconds=1.0, fps=2)
    server.faults = lambda request: error(*TOO_LARGE[name]) if request.images > 8 else None
    outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", "workflow.mode=normal"))
    assert (outcome.videos, outcome.failed) == (4, 1)
    failure = api.status(tmp_path / "out").failures[0]
    assert failure.startswith("a.mp4 ")
    assert "lower workflow.long_video_max_frames or vlm.openai.max_tokens" in failure


def test_a_server_for_which_the_first_three_videos_are_too_large_ends_the_run(
    server: ScriptedEndpoint, tmp_path: Path
) -> None:
    make_videos(tmp_path / "v", 6, seconds=1.0, fps=2)
    server.faults = lambda request: error(*TOO_LARGE["context"])
    with pytest.raises(DeniedError, match="maximum context length"):
        run(config_for(server, tmp_path / "out", tmp_path / "v", "workflow.max_workers=1"))
    assert server.calls == 3


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with identifying people in this video.",
        "As an AI, I do not watch videos.",
        "<think>Okay, the user wants a caption. The first frame shows a gray ground and",
        "<think>Well.</think><think>But then",
    ],
)
def test_neither_a_refusal_nor_thinking_that_was_cut_off_becomes_a_caption(
    text: str, server: ScriptedEndpoint, tmp_path: Path
) -> None:
    make_videos(tmp_path / "v", 2, seconds=1.0, fps=2)
    answer = json.dumps(answer_of(text, (100, 50), False))
    server.faults = lambda request: Fault(200, answer) if request.kind == "dense_caption" else None
    outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", "workflow.mode=normal"))
    assert outcome.failed == 2
    captions = tmp_path / "out/step_1a_caption/captions.jsonl"
    assert not captions.exists() or rows(captions) == []


@pytest.mark.parametrize(
    "text",
    [
        'A man at a counter says "I can\'t help you" and turns away.',
        "The sign reads SORRY, CLOSED. A cart passes.",
        "A worker is unable to lift the box, and a second one helps.",
        "<think>Well.</think> A cart passes.",
    ],
)
def test_what_only_speaks_of_refusals_is_a_caption(text: str) -> None:
    assert not refusal_at_start(without_thinking(text))
    assert without_thinking(text)


def test_settings_of_a_model_reach_the_server_and_belong_to_the_key(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1, seconds=1.0, fps=2)
    settings = ("top_p=0.8", "seed=7", "thinking=off", "extra_body={repetition_penalty: 1.1}", "structured=json_object")
    tuned = [f"llm.{setting}" for setting in settings]
    run(config_for(server, tmp_path / "out", tmp_path / "v"))
    server.reset()
    run(config_for(server, tmp_path / "out", tmp_path / "v", *tuned))
    assert {request.kind for request in server.requests} >= {"mcq", "bcq", "description"}
    assert "global_caption" not in server.kinds()
    body = next(request.body for request in server.requests if request.kind == "mcq")
    assert (body["top_p"], body["seed"], body["repetition_penalty"]) == (0.8, 7, 1.1)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("setting", ["extra_body={model: x}", "structured=maybe", "thinking=0", "top_p=2"])
def test_a_setting_that_cannot_be_is_named_before_any_call(
    setting: str, server: ScriptedEndpoint, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"vlm.{setting.partition('=')[0]}"):
        config_for(server, tmp_path / "out", tmp_path, f"vlm.{setting}")
    assert server.calls == 0


def test_a_server_steps_from_words_to_json_and_a_later_run_begins_where_it_ended(
    server: ScriptedEndpoint, tmp_path: Path
) -> None:
    make_videos(tmp_path / "v", 2, seconds=1.0, fps=2)

    def fault(request: Request) -> Fault | None:
        shape = request.body.get("response_format") or {}
        refused = shape.get("type") == "json_schema"
        return error(400, "json_schema is not supported, use json_object") if refused else None

    server.faults = fault
    assert run(config_for(server, tmp_path / "out", tmp_path / "v")).failed == 0
    answered = [r for r in server.requests if r.kind == "mcq" and r.body.get("response_format")]
    assert answered[-1].body["response_format"] == {"type": "json_object"}
    make_videos(tmp_path / "w", 3, seconds=1.0, fps=2)
    server.reset()
    outcome = run(config_for(server, tmp_path / "out", tmp_path / "w"))
    assert (outcome.failed, outcome.calls) == (0, len(server.answered))


def test_the_fields_that_a_server_refuses_are_named(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1, seconds=1.0, fps=2)
    detail = [{"loc": ["body", "top_k"], "msg": "extra fields not permitted", "type": "value_error.extra"}]
    server.faults = lambda request: Fault(422, json.dumps({"detail": detail}))
    with pytest.raises(DeniedError, match=r"422 body\.top_k: extra fields not permitted"):
        run(config_for(server, tmp_path / "out", tmp_path / "v"))
    # With and without the schema, and no more.
    assert server.calls == 2


def test_gemini_is_asked_without_what_it_refuses_of_a_schema(
    server: ScriptedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", CANARY)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    make_videos(tmp_path / "v", 4, seconds=1.0, fps=2)
    message = 'Invalid JSON payload received. Unknown name "responseJsonSchema"'
    refusal = Fault(400, json.dumps({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}))
    server.faults = lambda request: refusal if request.schema else None
    tuned = ("llm.thinking=off", "llm.seed=3", "workflow.max_workers=16")
    outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", *tuned, backend="gemini"))
    assert (outcome.failed, set(server.answered.values())) == (0, {1})
    settings = next(r.body for r in server.requests if r.kind == "bcq" and not r.schema)["generationConfig"]
    assert settings["thinkingConfig"] == {"thinkingBudget": 0}
    assert (settings["seed"], settings["responseMimeType"]) == (3, "application/json")


def test_a_run_whose_files_hold_no_item_has_come_to_nothing(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1, seconds=1.0, fps=2)
    leak = {"question": "According to the caption, what moves?", "answer": "A cart moves.", "reasoning": ""}
    server.answers = lambda request: json.dumps({"items": [leak]}) if request.schema else plain_answer(request)
    tuned = ("workflow.mode=normal", "workflow.steps=[1a,2,3,4]", "workflow.qa_types=[open_qa]")
    outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", *tuned))
    assert (outcome.failed, outcome.items, outcome.came_to_nothing) == (0, {}, True)
    assert outcome.refused == {"source_leak": 1}
