"""Every place that tells the verdict of a run, and that they tell the same."""

from __future__ import annotations

import contextlib
import html
import io
import json
import re
from pathlib import Path

from click.testing import CliRunner
from rich.console import Console
from server_calls import call

from mcp_server.server import build_server
from tao_skill_bank import runs
from tao_skill_bank.commands.deft import cli
from tao_skill_bank.commands.watch import Screen, watch
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.reports.compare import compare_runs, lines, page_html
from tao_skill_bank.reports.deft.report import REPORT_FILE, render_report
from tao_skill_bank.studio.runlist import run_detail, run_row
from tao_skill_bank.studio.sheets import Sheets


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page)).replace("\u00a0", " ").replace("\u2060", "")


def drawn_by_watch(run: Path, width: int = 120) -> str:
    """What `deft watch` draws of a run at a terminal."""
    screen = Screen(run)
    screen.read()
    console = Console(file=io.StringIO(), width=width, height=40, record=True)
    console.print(screen)
    return console.export_text()


def told_by_every_door(run: Path) -> Verdict:
    """The verdict of a run of any task, once terminal, watch, tools, hand-off and studio agree."""
    found = runs.status(run).verdict
    line = found.line
    # terminal
    assert line in printed("status", str(run))
    assert json.loads(printed("status", str(run), "--json"))["verdict"]["line"] == line
    # watch
    with contextlib.redirect_stdout(io.StringIO()) as seen:
        watch(run, once=True)
    assert (line in seen.getvalue()) is found.final
    if found.final:
        assert found.head in drawn_by_watch(run)
    # tools
    assert call(build_server([run]), "get_deft_status", {"results_dir": str(run)}).data["verdict"] == line
    rendered = call(build_server([run]), "render_report", {"results_dir": str(run)}).data
    assert rendered["verdict"] == line
    assert Path(rendered["path"]).read_text(encoding="utf-8")
    # hand-off
    runs.hand_off(run)
    handed = json.loads((run / "best_model.json").read_text(encoding="utf-8"))
    if handed["iteration"] == found.model:
        assert handed["verdict"]["line"] == line
    # studio: its list, and the run opened
    shown = [run_row(run.name, run), run_detail(run.name, run, Sheets(), [])]
    assert all(row.problem is None and row.verdict == found for row in shown)
    assert all(json.loads(row.model_dump_json())["verdict"]["line"] == line for row in shown)
    return found


def told_everywhere(run: Path, other: Path) -> Verdict:
    """The same once report and comparison with another run agree with the doors."""
    found = told_by_every_door(run)
    line = found.line
    # report
    summary = render_report(run)
    assert summary.verdict == found
    page = text_of((run / REPORT_FILE).read_text(encoding="utf-8"))
    for claim in found.claims:
        assert f"{claim.name[:1].upper()}{claim.name[1:]} on the {found.set} {claim.asked}" in page
    if found.final:
        assert summary.status == found.head and summary.why == found.text
        assert found.head in page and " ".join(found.text.split()) in " ".join(page.split())
    assert ("Deploy iteration" in page or "Deploy baseline" in page) is found.may_ship
    # compare
    both = compare_runs([run, other])
    assert both.runs[0].verdict == found
    assert any(line in text for text in lines(both))
    assert line in text_of(page_html(both))
    return found
