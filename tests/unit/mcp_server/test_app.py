"""The report as an MCP App: offered to those who ask, bound to its tool, text for everybody else."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.client.extension import ClientExtension, advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from report_runs import RunBuilder
from server_calls import MODES

from mcp_server.app import BOARD_APP, REPORT_APP
from mcp_server.boards import PICTURES
from mcp_server.server import build_server
from tao_skill_bank import frames
from tao_skill_bank.studio.handful import MOST, handful

SHOWS = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("host", "pages"),
    [([], {"render_report": REPORT_APP}), ([SHOWS], {"render_report": REPORT_APP, "show_boards": BOARD_APP})],
    ids=["words alone", "pages"],
)
def test_the_tool_names_its_page_and_the_page_is_served_as_an_app(
    finished: Path, mode: str, host: list[ClientExtension], pages: dict[str, str]
) -> None:
    async def work() -> tuple[Any, Any, Any, Any]:
        async with Client(build_server([finished]), mode=mode, extensions=host) as client:
            tools = (await client.list_tools()).tools
            resources = (await client.list_resources()).resources
            page = (await client.read_resource(REPORT_APP)).contents[0]
            told = await client.call_tool("render_report", {"results_dir": str(finished)})
            return tools, resources, page, told

    tools, resources, page, told = anyio.run(work)
    bound = {tool.name: tool.meta for tool in tools if tool.meta and "ui" in tool.meta}
    assert {name: meta["ui"]["resourceUri"] for name, meta in bound.items()} == pages
    assert [r.mime_type for r in resources if str(r.uri) in (REPORT_APP, BOARD_APP)] == [APP_MIME_TYPE] * 2
    assert page.mime_type == APP_MIME_TYPE
    assert "ui/initialize" in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert told.content[0].text.startswith("{")  # a host without apps reads the same as before
    assert told.structured_content["path"].endswith("DEFT_Loop_Report.html")


def test_boards_come_as_words_for_everybody_and_with_pictures_where_a_page_shows_them(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, iterations=1, passes=30, per_label=3, skill=0.4).build()
    home = run.parent.parent

    async def work(apps: list[ClientExtension]) -> tuple[Any, Any, str]:
        async with Client(build_server([tmp_path]), extensions=apps) as client:
            told = await client.call_tool("show_boards", {"results_dir": str(run), "pile": "near", "most": 4})
            page = (await client.read_resource(BOARD_APP)).contents[0].text
            board = told.structured_content["boards"][0]
            word = {"sample": board["sample"], "drop": True, "reason": "data_quality", "set": "kpi"}
            await client.call_tool("set_labels", {"workspace": str(home), "who": "Ana", "words": [word]})
            again = await client.call_tool("show_boards", {"results_dir": str(run), "pile": "near", "most": 4})
            return told, again, page

    plain, again, page = anyio.run(work, [])
    boards = plain.structured_content["boards"]
    scored = frames.scores(run)
    nearest = (scored["siamese_score"] - plain.structured_content["threshold"]).abs().sort_values(kind="stable")
    assert [b["score"] for b in boards] == pytest.approx(scored["siamese_score"][nearest.index[:4]].tolist())
    assert (
        PICTURES not in (plain.meta or {})
        and boards[0]["sample"] in plain.content[0].text
        and len(plain.content[0].text) < 2000
    )
    assert again.structured_content["boards"][0]["said"] == "dropped"
    shown, _, _ = anyio.run(work, [SHOWS])
    pictures = shown.meta[PICTURES]
    assert shown.structured_content["boards"][1:] == boards[1:]
    assert list(pictures) == [b["sample"] for b in boards]
    assert all(side.startswith("data:image/webp;base64,") for pair in pictures.values() for side in pair)
    assert "base64" not in shown.content[0].text
    # Of all tools the page asks for one, and that one approves nothing.
    assert re.findall(r'\{ name: "(\w+)", arguments', page) == ["set_labels"] and page.count("tools/call") == 1


@pytest.mark.parametrize("pile", ["missed", "false_calls"])
def test_the_worst_boards_of_a_pile_come_first(tmp_path: Path, pile: str) -> None:
    run = RunBuilder(tmp_path, iterations=1, passes=60, per_label=6, skill=0.3, pictures=False).build()
    told, pictures = handful(run, pile, 50)  # type: ignore[arg-type]
    scored = frames.scores(run)
    wrong = scored[scored["is_defect"] != scored["predicted_defect"].astype(bool)]
    wrong = wrong[wrong["is_defect"] == (pile == "missed")].sort_values("siamese_score", ascending=pile == "missed")
    assert told.of == len(wrong) and [b.score for b in told.boards] == wrong["siamese_score"].tolist()[:MOST]
    assert {b.model for b in told.boards} <= {"missed" if pile == "missed" else "false call"}
    assert all(pair == ["", ""] for pair in pictures.values())


def test_the_extension_is_advertised() -> None:
    server = build_server()
    assert EXTENSION_ID in server._lowlevel_server.extensions


def test_starting_the_server_renders_nothing() -> None:
    import subprocess

    code = "import sys; from mcp_server.server import build_server; build_server(); print('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
