"""Servers that know less than they are asked, and models that answer with something else: no call is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotation import CANARY, config_for, rows, run
from scripted_endpoint import Fault, Request, ScriptedEndpoint, answer_of
from videos import make_video, make_videos

from tao_skill_bank.annotate import api
from tao_skill_bank.annotate.calls import DeniedError
from tao_skill_bank.annotate.parse import without_thinking
from tao_skill_bank.annotate.quality.rules import refusal_at_start


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
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_server_that_refuses_a_schema_loses_no_call_in_flight(
    name: str, server: ScriptedEndpoint, tmp_path: Path
) -> None:
    make_videos(tmp_path / "v", 6, seconds=1.0, fps=2)
    server.faults = lambda request: error(*REFUSALS[name]) if request.schema else None
    outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", "workflow.max_workers=16"))
    assert outcome.failed == 0
    # Everything was answered once; what was refused was asked again without the schema, and counted.
    assert set(server.answered.values()) == {1}
    assert outcome.calls == server.calls


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
