"""Resources, prompts and completion through the official client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, ResourceTemplateReference
from server_calls import MODES

from mcp_server.server import build_server
from tao_skill_bank.bank.skills import skill_folders


def with_client(work: Any, root: Path, mode: str = "legacy") -> Any:
    async def run() -> Any:
        async with Client(build_server([root]), mode=mode) as client:
            return await work(client)

    return anyio.run(run)


@pytest.mark.parametrize("mode", MODES)
def test_a_runs_state_log_and_report_can_be_read(finished: Path, mode: str) -> None:
    base = f"deft-run://{quote(str(finished), safe='')}"

    async def work(client: Client) -> list[str]:
        return [(await client.read_resource(f"{base}/{kind}")).contents[0].text for kind in ("state", "log", "report")]

    state, log, report = with_client(work, finished, mode)
    assert json.loads(state)["results_dir"] == str(finished)
    assert [json.loads(line)["seq"] for line in log.splitlines()][:2] == [1, 2]
    assert report.lstrip().lower().startswith("<!doctype html>")


@pytest.mark.parametrize("run", ["/etc", "{run}/../..", "relative", "{run}/none"])
def test_a_resource_outside_the_roots_cannot_be_read(finished: Path, run: str) -> None:
    uri = f"deft-run://{quote(run.replace('{run}', str(finished)), safe='')}/state"
    with pytest.raises((MCPError, ExceptionGroup)):
        with_client(lambda client: client.read_resource(uri), finished)


def test_a_linked_file_of_a_run_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "run/deft_state.json").symlink_to(tmp_path / "secret")
    uri = f"deft-run://{quote(str(tmp_path / 'run'), safe='')}/state"
    with pytest.raises((MCPError, ExceptionGroup)):
        with_client(lambda client: client.read_resource(uri), tmp_path / "run")


def test_every_skill_is_a_resource_and_an_unknown_one_is_not(tmp_path: Path) -> None:
    async def work(client: Client) -> list[str]:
        return [(await client.read_resource(f"skill://{f.name}")).contents[0].text for f in skill_folders()]

    assert with_client(work, tmp_path) == [(f / "SKILL.md").read_text() for f in skill_folders()]
    with pytest.raises((MCPError, ExceptionGroup)):
        with_client(lambda client: client.read_resource("skill://tao-nothing"), tmp_path)


def test_the_prompts_say_what_is_to_be_done_with_what_was_given(tmp_path: Path) -> None:
    async def work(client: Client) -> tuple[list[str], str]:
        names = [prompt.name for prompt in (await client.list_prompts()).prompts]
        got = await client.get_prompt("run_deft_loop", {"workspace": "/w", "kpi_target": "FAR < 2% at recall=99%"})
        return names, got.messages[0].content.text

    names, text = with_client(work, tmp_path)
    assert names == ["run_deft_loop", "analyze_gaps", "annotate_videos"]
    assert "/w until FAR < 2% at recall=99%, at most 3 iterations" in text


@pytest.mark.parametrize(
    ("ref", "argument", "expected"),
    [
        (PromptReference(name="run_deft_loop"), ("kpi_target", "FAR < 1"), ["FAR < 1% at recall=99%"]),
        (PromptReference(name="run_deft_loop"), ("max_iterations", ""), ["1", "2", "3", "5"]),
        (ResourceTemplateReference(uri="skill://{name}"), ("name", "tao-mine"), ["tao-mine-aoi-images"]),
        (PromptReference(name="analyze_gaps"), ("experiment", ""), []),
    ],
)
def test_arguments_are_completed(tmp_path: Path, ref: Any, argument: tuple[str, str], expected: list[str]) -> None:
    async def work(client: Client) -> list[str]:
        found = await client.complete(ref, {"name": argument[0], "value": argument[1]})
        values: list[str] = found.completion.values
        return values

    assert with_client(work, tmp_path) == expected
