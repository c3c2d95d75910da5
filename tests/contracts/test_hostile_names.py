"""Labels, names and logs that carry terminal escapes, bells and reversed text: no door shows them raw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner
from server_calls import call

from mcp_server.server import build_server
from tao_skill_bank import commands
from tao_skill_bank.actions.console import report
from tao_skill_bank.annotate.api import StatusView
from tao_skill_bank.cli import cli
from tao_skill_bank.commands.annotate_status import shown
from tao_skill_bank.core.errors import InputErrors
from tao_skill_bank.loop.log import append_stage, log_path

RED, TITLE, REVERSED = "\x1b[31m", "\x1b]0;owned\x07", "\u202e"
EVIL = f"bri{RED}{TITLE}dge{REVERSED}"
RAW = ("\x1b", "\x07", "\u202e")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of one iteration on data whose defect carries escapes, with a line in its log that somebody added."""
    workspace = tiny.make_workspace(tmp_path_factory.mktemp("hostile") / "workspace", pairs=0)
    for path in workspace.rglob("*.csv"):
        path.write_text(path.read_text().replace(",bridge,", f",{EVIL},").replace(",missing,", f",{EVIL},"))
    with tiny.fake_model():
        settings = ["--set", "anomalygen.mode=none"]
        target = ["--workspace", str(workspace), "--kpi-target", "FAR < 0.1% at recall=100%", "--max-iterations", "1"]
        done = CliRunner().invoke(cli, ["deft", "run", *target, *settings, "--yes"])
    assert done.exit_code == 0, done.output
    (folder,) = (workspace / "results").iterdir()
    (folder / "printed").write_text(done.output)
    assert "\x1b" not in log_path(folder).read_text()  # JSON writes it as \\u001b
    line = {"iter_label": "iter1", "stage": "train", "status": "ok", "duration_sec": 1, "context_tokens": 0}
    append_stage(log_path(folder), summary=f"by hand {EVIL}", **line)  # type: ignore[arg-type]
    yield folder


def raw(text: str) -> list[str]:
    return [repr(line[:200]) for line in text.split("\n") if any(mark in line for mark in RAW)]


def test_the_loop_prints_no_escape_of_a_label(run: Path) -> None:
    printed = (run / "printed").read_text()
    assert raw(printed) == []
    assert "DEFT_Loop_Report.html" in printed


@pytest.mark.parametrize(
    "words",
    [
        ["deft", "status", "--results-dir"],
        ["deft", "watch", "--once"],
        ["deft", "run", "--results-dir"],
        ["jobs", "list"],
    ],
    ids=" ".join,
)
def test_no_command_shows_an_escape_that_a_label_or_a_log_holds(run: Path, words: list[str]) -> None:
    done = CliRunner().invoke(cli, [*words, str(run)])
    assert done.exit_code == 0, done.output
    assert raw(done.output) == []


def test_an_annotation_and_a_list_of_faults_show_no_escape(capsys: pytest.CaptureFixture[str]) -> None:
    fields = dict.fromkeys(StatusView.model_fields, 0)
    texts = {
        "results_dir": EVIL,
        "status": "halted",
        "message": EVIL,
        "next_step": EVIL,
        "failures": [EVIL],
        "approval": EVIL,
    }
    counts = {
        "failed_tries": {EVIL: 1},
        "rows": {},
        "items": {EVIL: 1},
        "open_batches": {EVIL: 1},
        "working": None,
        "parts": None,
    }
    said = shown(StatusView.model_validate({**fields, **texts, **counts}))
    assert raw(said) == [] and said.count("bri\\x1b[31m") == 8
    assert report("tao-skills", InputErrors(EVIL, [EVIL, EVIL])) == 2
    assert raw(capsys.readouterr().err) == []


def test_every_command_prints_foreign_text_through_the_one_function_that_escapes_it() -> None:
    for path in sorted(Path(commands.__file__).parent.glob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            plain = "click.echo(" in line or "said=click.echo" in line
            # JSON escapes by itself, and the lines that work the cursor hold figures only.
            own = path.name == "out.py" or "json" in line or "\\033[K" in line
            assert own or not plain, f"{path.name}:{number}: {line.strip()}"


def test_no_jobs_output_reaches_the_terminal_with_its_escapes(run: Path) -> None:
    job = json.loads(CliRunner().invoke(cli, ["jobs", "list", str(run), "--json"]).output)[0]
    log = run / "jobs" / f"{job['job'] if 'job' in job else job['uid']}.log"
    log.write_text(f"epoch 1\n{EVIL}\tend\n")
    done = CliRunner().invoke(cli, ["jobs", "logs", str(run), log.stem])
    assert done.exit_code == 0, done.output
    assert raw(done.output) == []
    assert "\\x1b[31m" in done.output and "\tend\n" in done.output


def test_reports_logs_and_markdown_hold_no_raw_escape(run: Path) -> None:
    for path in run.rglob("*"):
        if path.suffix in (".html", ".md"):
            assert raw(path.read_text()) == [], path


def test_the_server_shows_no_escape(run: Path) -> None:
    server = build_server([run.parents[1]])
    for tool, more in (("get_deft_status", {}), ("list_jobs", {}), ("render_report", {}), ("write_handoff", {})):
        answer = call(server, tool, {"results_dir": str(run), **more})
        assert not answer.error, answer.text
        assert raw(answer.text) == [], tool
        assert raw(json.dumps(answer.data, ensure_ascii=False)) == [], tool
