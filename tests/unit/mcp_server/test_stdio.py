"""Lines on stdin that are no messages: each gets the answer that JSON-RPC has for it, and the server goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCError
from ran import ran

from mcp_server.stdio import fault

ASKED = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
HELLO = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": ASKED})
READY = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
PING = '{"jsonrpc":"2.0","id":"last","method":"ping"}'
CALL = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"list_skills","arguments":{"x":%s}}}'
DEEP = "[" * 5000 + "]" * 5000
# Line → code and id of its answer.
BROKEN: dict[str, tuple[str, int, int | str | None]] = {
    "not JSON": ("{nope", -32700, None),
    "cut off": ('{"jsonrpc":"2.0","id":7,"method":"ping","params":{', -32700, 7),
    "two on a line": ('{"jsonrpc":"2.0","id":7,"method":"ping"} {}', -32700, 7),
    "a word": ("hello", -32700, None),
    "nested without end": (CALL % DEEP, -32700, 7),
    "nested before the id": ('{"params":{"a":' + DEEP + '},"method":"x","jsonrpc":"2.0","id":"b"}', -32700, "b"),
    "text": ('"ping"', -32600, None),
    "a batch": ('[{"jsonrpc":"2.0","id":7,"method":"ping"}]', -32600, None),
    "an empty batch": ("[]", -32600, None),
    "an empty object": ("{}", -32600, None),
    "no method": ('{"jsonrpc":"2.0","id":7}', -32600, 7),
    "a method of a wrong kind": ('{"jsonrpc":"2.0","id":"a","method":1}', -32600, "a"),
    "no version": ('{"id":7,"method":"ping"}', -32600, 7),
    "another version": ('{"jsonrpc":"1.0","id":7,"method":"ping"}', -32600, 7),
    "null for an id": ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
    "a fraction for an id": ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
    "true for an id": ('{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, None),
    "an object for an id": ('{"jsonrpc":"2.0","id":{"id":7},"method":"ping"}', -32600, None),
    "params in a list": ('{"jsonrpc":"2.0","id":7,"method":"tools/call","params":[1]}', -32602, 7),
    "params in a text": ('{"jsonrpc":"2.0","id":7,"method":"ping","params":"x"}', -32602, 7),
    "half a surrogate pair": (CALL % '"\\ud800"', -32602, 7),
    "a number of 5,000 digits": (CALL % ("9" * 5000), -32602, 7),
}
# Lines that get no answer: there is nobody who waits for one.
SILENT = {
    "an empty line": "",
    "spaces": "   ",
    "a notification with params in a list": '{"jsonrpc":"2.0","method":"notifications/cancelled","params":[1]}',
    "an answer without a meaning": '{"jsonrpc":"2.0","id":7,"result":5}',
    "an answer to nothing": '{"jsonrpc":"2.0","id":7,"result":{}}',
}


def spoken(tmp_path: Path, *lines: str) -> list[dict[str, Any]]:
    """What a server says to these lines, from its hello to the answer to a last ping."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_server", "--root", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("".join(f"{line}\n" for line in (HELLO, READY, *lines, PING)))
        process.stdin.flush()
        said = []
        for line in process.stdout:
            said.append(json.loads(line))
            if said[-1].get("id") == "last":
                break
        process.stdin.close()
        process.wait(timeout=120)
    return said[1:-1]


def test_every_line_that_is_no_message_is_answered_and_the_server_goes_on(tmp_path: Path) -> None:
    said = spoken(tmp_path, *(line for line, _, _ in BROKEN.values()))
    got = [(answer["error"]["code"], answer["id"]) for answer in said]
    assert dict(zip(BROKEN, got, strict=True)) == {name: (code, number) for name, (_, code, number) in BROKEN.items()}
    assert all(answer["error"]["message"].startswith(("Parse error: ", "Invalid ")) for answer in said)
    assert all(len(json.dumps(answer)) < 500 for answer in said)


def test_what_nobody_waits_for_is_not_answered(tmp_path: Path) -> None:
    assert spoken(tmp_path, *SILENT.values()) == []


def test_a_first_line_that_is_no_message_is_answered_too(tmp_path: Path) -> None:
    done = ran([sys.executable, "-m", "mcp_server"], input="{nope\n", timeout=60)
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["error"]["code"] == -32700
    assert json.loads(line)["id"] is None


def test_text_that_is_not_utf_8_costs_its_own_line_only(tmp_path: Path) -> None:
    (answer,) = spoken(tmp_path, '{"jsonrpc":"2.0","id":3,"method":"\udcff\udcfe"}')
    assert (answer["id"], answer["error"]["code"]) == (3, -32601)


def test_a_process_that_a_tool_starts_finds_no_protocol_on_its_stdin(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys, mcp_server.stdio as s\n"
        "lines = s._Lines()\n"
        "print(subprocess.run([sys.executable, '-c', 'import sys; print(repr(sys.stdin.read()))'],"
        " capture_output=True, text=True).stdout)"
    )
    done = subprocess.run([sys.executable, "-c", code], input="secret\n", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "''"


@given(st.text(alphabet='{}[]:,"\\ 0159.eid\tntrue-\n'))
def test_any_text_is_a_message_an_answer_or_a_remark(text: str) -> None:
    found = fault(text)
    assert found is None or isinstance(found, str | JSONRPCError)


@given(st.integers() | st.text(max_size=20), st.integers(min_value=0, max_value=80))
def test_the_id_of_a_request_that_is_cut_off_behind_it_is_found(number: int | str, cut: int) -> None:
    head = json.dumps({"jsonrpc": "2.0", "id": number})[:-1]
    line = (head + ', "method": "tools/call", "params": {"name": "x", "arguments": {"id": 5}}}')[: len(head) + 1 + cut]
    found = fault(line)
    if isinstance(found, JSONRPCError) and len(json.dumps(number)) < 200:
        assert found.id == number
