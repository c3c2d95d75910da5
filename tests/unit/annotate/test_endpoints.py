"""How endpoints fail, what they are asked, and what is left out for those that know less. Real SDKs over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from annotation import config_for, run
from scripted_endpoint import Fault, Request, ScriptedEndpoint
from videos import make_videos

from tao_skill_bank.annotate.config import GeminiOptions, OpenAIOptions
from tao_skill_bank.annotate.endpoints import open_endpoints
from tao_skill_bank.annotate.endpoints.base import Ask, FaultError, Reply, kind_of_status, retry_after_seconds
from tao_skill_bank.annotate.endpoints.forms import Forms
from tao_skill_bank.annotate.endpoints.gemini import GeminiEndpoint
from tao_skill_bank.annotate.endpoints.openai import OpenAIEndpoint
from tao_skill_bank.annotate.secrets import Redactor
from tao_skill_bank.core.errors import InputError

SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": False}


@pytest.fixture
def server() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as endpoint:
        yield endpoint


def ask_openai(server: ScriptedEndpoint, ask: Ask, **options: object) -> Reply:
    async def work() -> Reply:
        settings = OpenAIOptions(base_url=f"{server.url}/v1", model_name="m", **options)  # type: ignore[arg-type]
        endpoint = OpenAIEndpoint(settings, "hush-hush-key", Redactor(["hush-hush-key"]))
        try:
            return await endpoint.ask(ask)
        finally:
            await endpoint.close()

    return asyncio.run(work())


def ask_gemini(server: ScriptedEndpoint, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> Reply:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)

    async def work() -> Reply:
        endpoint = GeminiEndpoint(GeminiOptions(model="g", timeout=5), "hush-hush-key", Redactor(["hush-hush-key"]))
        try:
            return await endpoint.ask(ask)
        finally:
            await endpoint.close()

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "", "denied"),
        (403, "", "denied"),
        (402, "", "denied"),
        (400, "API key not valid. Please pass a valid API key.", "denied"),
        (429, "Rate limit reached", "throttled"),
        (429, "You exceeded your quota insufficient_quota", "denied"),
        (400, "bad image", "refused"),
        (404, "no such model", "refused"),
        (408, "", "timeout"),
        (409, "", "server"),
        (500, "", "server"),
        (529, "overloaded", "server"),
    ],
)
def test_a_status_says_whether_another_try_may_help(status: int, message: str, kind: str) -> None:
    assert kind_of_status(status, message) == kind


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after_seconds("2.5") == 2.5
    later = retry_after_seconds(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert later is not None
    assert 50 < later <= 60
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds("-5") == 0.0
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 -0000") == 0.0
    assert retry_after_seconds(None) is None


@pytest.mark.parametrize("backend", ["openai", "gemini"])
@pytest.mark.parametrize(
    ("fault", "kind", "retry_after"),
    [
        (Fault(429, headers={"retry-after": "7"}), "throttled", 7.0),
        (Fault(503), "server", None),
        (Fault(0), "network", None),
        (Fault(200, "{oh"), "malformed", None),
        (Fault(401, json.dumps({"error": {"message": "bad key hush-hush-key"}})), "denied", None),
    ],
)
def test_both_sdks_report_a_failure_as_what_it_is_without_the_key(
    backend: str,
    fault: Fault,
    kind: str,
    retry_after: float | None,
    server: ScriptedEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.faults = lambda request: fault
    with pytest.raises(FaultError) as caught:
        if backend == "openai":
            ask_openai(server, Ask("hello"))
        else:
            ask_gemini(server, Ask("hello"), monkeypatch)
    assert (caught.value.kind, caught.value.retry_after) == (kind, retry_after)
    assert "hush-hush" not in str(caught.value)
    assert server.calls == 1


def test_geminis_own_way_to_say_when_to_come_back_is_understood(
    server: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]
    server.faults = lambda request: Fault(
        429, json.dumps({"error": {"code": 429, "message": "slow down", "details": details}})
    )
    with pytest.raises(FaultError) as caught:
        ask_gemini(server, Ask("hello"), monkeypatch)
    assert caught.value.retry_after == 17.0


def test_the_schema_goes_along_in_each_vendors_form(server: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_openai(server, Ask("hello", schema=SCHEMA))
    ask_gemini(server, Ask("hello", schema=SCHEMA), monkeypatch)
    assert [request.schema for request in server.requests] == [SCHEMA, SCHEMA]
    assert server.requests[0].body["response_format"]["json_schema"]["strict"] is True
    assert server.requests[1].body["generationConfig"]["responseMimeType"] == "application/json"


def test_a_server_that_knows_other_names_is_asked_by_them_and_every_request_is_counted(
    server: ScriptedEndpoint, tmp_path: Path
) -> None:
    def fault(request: Request) -> Fault | None:
        if "max_tokens" in request.body:
            return Fault(400, '{"error": {"message": "use max_completion_tokens instead of max_tokens"}}')
        if "temperature" in request.body:
            return Fault(400, '{"error": {"message": "temperature does not support 0.7 with this model"}}')
        return None

    server.faults = fault
    make_videos(tmp_path / "v", 1)
    outcome = run(config_for(server, tmp_path / "out", tmp_path / "v", "workflow.steps=['1a']", "workflow.mode=normal"))
    assert outcome.failed == 0
    assert server.requests[-1].body["max_completion_tokens"] == 4096
    assert "temperature" not in server.requests[-1].body
    assert outcome.calls == server.calls == 4


def test_usage_and_the_end_of_an_answer_are_reported(server: ScriptedEndpoint) -> None:
    server.usage = lambda request, text: (123, 45)
    reply = ask_openai(server, Ask("hello"))
    assert (reply.input_tokens, reply.output_tokens, reply.finish) == (123, 45, "stop")


def test_an_upload_that_the_vendor_has_forgotten_is_made_again(
    server: ScriptedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    monkeypatch.setenv("GOOGLE_API_KEY", "hush-hush-key")
    make_videos(tmp_path / "v", 1)
    more = ("workflow.steps=['1a']", "workflow.mode=normal", "workflow.max_workers=1")
    config = config_for(server, tmp_path / "out", tmp_path / "v", *more, backend="gemini")
    gone = "You do not have permission to access the File abc or it may not exist."
    server.faults = lambda request: (
        Fault(403, json.dumps({"error": {"message": gone}})) if request.number == 1 else None
    )
    assert run(config).failed == 0
    assert (len(server.uploads), server.calls) == (2, 3)


def test_an_answer_that_the_content_filter_withholds_is_kept_and_not_bought_again(
    server: ScriptedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    monkeypatch.setenv("GOOGLE_API_KEY", "hush-hush-key")
    make_videos(tmp_path / "v", 1)
    blocked = json.dumps({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}})
    server.faults = lambda request: Fault(200, blocked) if request.kind == "dense_caption" else None
    more = ("workflow.steps=['1a']", "workflow.mode=normal")
    config = config_for(server, tmp_path / "out", tmp_path / "v", *more, backend="gemini")
    assert run(config).failed == 1
    assert run(config).failed == 1
    assert server.calls == 2


def test_a_vendors_own_endpoint_needs_a_key_and_says_which_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOOGLE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="GOOGLE_API_KEY"):
        open_endpoints(config_for("http://127.0.0.1:9", tmp_path, None, backend="gemini"))
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        config = config_for("http://127.0.0.1:9", tmp_path, None, "vlm.openai.base_url=''")
        open_endpoints(config)


@pytest.mark.parametrize(
    "words", ["xgrammar cannot compile it", "Invalid JSON schema", "response_format is not supported"]
)
def test_a_reason_behind_a_long_dump_of_the_request_is_read_all_the_same(words: str) -> None:
    forms, ask = Forms(), Ask("which?", schema={"type": "string", "enum": ["a"]}, kind="label")
    fault = FaultError("server", f"{'input_value=... ' * 40}{words}", status=500)
    assert forms.step(fault, ask, forms.of(ask))
    assert len(fault.message) == 300
    assert forms.schema(ask) == {"type": "string"}
