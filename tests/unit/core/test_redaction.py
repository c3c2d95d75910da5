"""Credentials go, everything else stays."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.core.redaction import MARK, is_sensitive, redact, redact_json_lines, redact_value

SECRET = "Zx9" + "kq7Lm2Vb8Nc4Rt6Yp1Ws3"

LEAKS = [
    f"NGC_API_KEY={SECRET}",
    f"export HF_TOKEN='{SECRET}'",
    f'export PASSWORD="two words {SECRET}"',
    f"Authorization: Bearer {SECRET}",
    f"authorization: Basic {SECRET}==",
    f'curl -H "Authorization: token {SECRET}" https://host',
    f"X-Api-Key: {SECRET}",
    f"Cookie: session={SECRET}; other=1",
    f"Cookie: a=1; session='{SECRET}'",
    f"Authorization: Bearer x export OTHER='{SECRET}'",
    f'{{"Authorization": "Bearer {SECRET}", "Accept": "*"}}',
    f"{{'headers': {{'Cookie': 'a=1; b={SECRET}'}}}}",
    f"password: {SECRET}",
    f'{{"client_secret": "{SECRET}"}}',
    f"aws_secret_access_key = {SECRET}",
    f"https://user:{SECRET}@host.example/x",
    f"docker login -u me --password {SECRET}",
    f"tool --api-key={SECRET} run",
    f"the password is {SECRET}",
    f"sk-{SECRET}",
    f"nvapi-{SECRET}",
    f"hf_{SECRET}",
    f"ghp_{SECRET}",
    f"eyJhbGciOiJI.{SECRET}.{SECRET}",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
]

HARMLESS = [
    "input_tokens: 12, max_tokens=100, tokens: 5",
    '{"cache_read_input_tokens": 4, "context_tokens": 0}',
    "label: PASS, passed: 12, pass rate = 0.3",
    "threshold: 0.31 recall=1.0 key=1 keyboard: x",
    "tokenizer: bert",
    "gap_analysis vcn_aoi -e spec.yaml results_dir=/data/rca min_recall=0.99",
    "https://host.example:8080/path?x=1",
    "secretary: Bob",
]


@pytest.mark.parametrize("text", LEAKS)
def test_what_looks_like_a_credential_is_taken_out(text: str) -> None:
    assert SECRET not in redact(text)
    assert MARK in redact(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_none_stays(text: str) -> None:
    assert redact(text) == text


@settings(max_examples=500)
@given(st.lists(st.sampled_from([*LEAKS, *HARMLESS, " ", "\n", '"', "'", "=", ":", "é"]), max_size=6).map(" ".join))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert SECRET not in once


def test_the_name_of_a_variable_stays() -> None:
    assert redact(f"NGC_API_KEY={SECRET} run") == f"NGC_API_KEY={MARK} run"


def test_json_lines_stay_json_and_lose_secrets_at_any_depth() -> None:
    value = {
        "env": [{"name": "NGC_API_KEY", "value": SECRET}, {"name": "MODE", "value": "fast"}],
        "token": SECRET,
        "usage": {"input_tokens": 3},
        "text": f'he said "export PASSWORD={SECRET}"\nand left',
        "list": [f"Bearer {SECRET}", 1, None],
    }
    lines = list(redact_json_lines([json.dumps(value) + "\n", f"not json password={SECRET}\n"]))
    assert SECRET not in "".join(lines)
    read = json.loads(lines[0])
    assert read["usage"] == {"input_tokens": 3} and read["env"][1] == {"name": "MODE", "value": "fast"}
    assert read["text"].endswith("\nand left")


@pytest.mark.parametrize("name", ["NGC_API_KEY", "password", "hf_token", "AWS_SECRET_ACCESS_KEY", "client-secret"])
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_sensitive(name)


@pytest.mark.parametrize("name", ["input_tokens", "tokens", "token_count", "label", "pass_count", "key", "max_tokens"])
def test_other_names_are_not(name: str) -> None:
    assert not is_sensitive(name)
    assert redact_value({name: "plain"}) == {name: "plain"}


@pytest.mark.parametrize("unit", ["a", "a_", "a-", "token", "x.", "eyJ", "://", "pass=", "--"])
def test_a_long_text_without_blanks_costs_no_more_than_any_other(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    start = time.process_time()
    redact(text)
    assert time.process_time() - start < 5
