"""What a client is offered: names, descriptions, schemas. TAO_UPDATE_SNAPSHOTS=1 writes the snapshots anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import pytest
from mcp_types import Tool

import mcp_server
from mcp_server.schemas import slim, slim_output
from mcp_server.server import EARLIER, TOOLSETS, build_server
from tao_skill_bank.core.errors import InputError

SNAPSHOTS = Path(mcp_server.__file__).with_name("offered")
"""Shipped: who waits for the first start is told them before there is a server."""
VERBS = {
    "align",
    "analyze",
    "cancel",
    "certify",
    "check",
    "compare",
    "embed",
    "estimate",
    "get",
    "list",
    "log",
    "make",
    "mine",
    "plan",
    "render",
    "route",
    "set",
    "start",
    "step",
    "stop",
    "write",
}
TOOLS: list[Tool] = anyio.run(build_server().list_tools)


def as_json(tool: Tool) -> str:
    return (
        json.dumps(tool.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2, ensure_ascii=False) + "\n"
    )


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_is_offered_as_its_snapshot_says(tool: Tool) -> None:
    path = SNAPSHOTS / f"{tool.name}.json"
    if os.environ.get("TAO_UPDATE_SNAPSHOTS") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(as_json(tool))
    assert path.read_text() == as_json(tool)


def test_there_is_a_snapshot_for_every_tool_and_none_besides() -> None:
    assert sorted(p.stem for p in SNAPSHOTS.glob("*.json")) == sorted(tool.name for tool in TOOLS)


def test_the_whole_list_stays_under_22000_characters() -> None:
    shown = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in TOOLS]
    assert len(json.dumps(shown, separators=(",", ":"))) <= 22_000


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_is_a_verb_and_a_noun_and_says_what_it_may_change(tool: Tool) -> None:
    assert tool.name.split("_")[0] in VERBS
    assert "_" in tool.name
    assert 20 <= len(tool.description or "") <= 200
    assert tool.title
    assert tool.annotations is not None
    assert tool.output_schema is not None
    reads = tool.name.startswith(
        ("list_", "get_", "plan_", "estimate_", "check_training", "check_platform", "compare_", "certify_")
    )
    assert bool(tool.annotations.read_only_hint) == reads
    assert reads or tool.annotations.destructive_hint is not None
    assert bool(tool.annotations.destructive_hint) == tool.name.startswith(("stop_", "cancel_"))


def test_hints_say_what_leaves_the_machine_and_what_is_made_anew_each_time() -> None:
    hints = {tool.name: tool.annotations for tool in TOOLS if tool.annotations is not None}
    assert {name for name, found in hints.items() if found.open_world_hint} == {"start_annotation"}
    assert not hints["make_workspace"].idempotent_hint


def test_nothing_that_a_person_has_to_say_can_be_said_by_a_model() -> None:
    start = next(tool for tool in TOOLS if tool.name == "start_deft_run")
    assert not set(start.input_schema["properties"]) & {
        "answer",
        "approve",
        "approval",
        "plan",
        "yes",
        "digest",
        "allowed",
    }


def test_slim_keeps_what_a_property_is_called_even_when_it_is_called_title() -> None:
    schema = {"title": "X", "properties": {"title": {"title": "Title", "type": "string"}}, "required": ["title"]}
    assert slim(schema) == {"properties": {"title": {"type": "string"}}, "required": ["title"]}


def test_slim_takes_null_out_of_what_may_be_left_away() -> None:
    schema = {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
        "default": None,
        "title": "A",
    }
    assert slim(schema) == {"type": "array", "items": {"type": "string"}}
    assert slim({"anyOf": [{"type": "string"}, {"type": "integer"}]}) == {"type": ["string", "integer"]}
    assert slim({"anyOf": [{"type": "string"}, {"enum": ["a"]}]}) == {"anyOf": [{"type": "string"}, {"enum": ["a"]}]}


def test_a_result_is_told_by_the_fields_that_are_always_there() -> None:
    inner = {"properties": {"x": {"type": "string"}}, "type": "object"}
    schema = {
        "$defs": {"One": inner, "Kind": {"enum": ["a", "b"], "type": "string"}},
        "description": "What it is.",
        "properties": {
            "one": {"$ref": "#/$defs/One"},
            "kind": {"$ref": "#/$defs/Kind"},
            "many": {"items": {"$ref": "#/$defs/One"}, "type": "array"},
            "perhaps": {"type": "string", "default": ""},
        },
        "required": ["one", "kind", "many"],
        "type": "object",
    }
    assert slim_output(schema) == {
        "properties": {"one": {"type": "object"}, "kind": {"enum": ["a", "b"]}, "many": {"type": "array"}},
        "required": ["one", "kind", "many"],
        "type": "object",
    }


def test_names_of_earlier_versions_and_rare_tools_are_answered_and_not_offered() -> None:
    offered = {tool.name for tool in TOOLS}
    apart = {*EARLIER, *(name for names in TOOLSETS.values() for name in names)}
    known = {tool.name for tool in anyio.run(build_server().all_tools)}
    assert not apart & offered
    assert apart <= known
    with_books = {tool.name for tool in anyio.run(build_server((), ["bookkeeping"]).list_tools)}
    assert with_books - offered == set(TOOLSETS["bookkeeping"])
    with pytest.raises(InputError, match="no toolset 'all'"):
        build_server((), ["all"])


def test_slim_output_says_nothing_where_there_is_no_schema() -> None:
    assert slim_output(None) is None
