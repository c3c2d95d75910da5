"""`tao-skills deft watch` at a terminal, without one, and as a page; a terminal is a real pseudo-terminal."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_runs import RunBuilder
from terminals import Terminal
from verdict_places import drawn_by_watch

from tao_skill_bank.loop.opening import folder_lock
from tao_skill_bank.loop.state import save_state
from tao_skill_bank.reports.deft.report import render_report
from tao_skill_bank.runs import status
from tao_skill_bank.tasks.registry import load_state

WATCH = [sys.executable, "-m", "tao_skill_bank.cli", "deft", "watch"]
ALTERNATE, MAIN = "\x1b[?1049h", "\x1b[?1049l"


@pytest.fixture
def going(tmp_path: Path) -> Iterator[Path]:
    """A run that this process works on."""
    run = RunBuilder(tmp_path / "run", iterations=1, status="running", in_progress="routing", pictures=False).build()
    with folder_lock(run, "command"):
        yield run


@pytest.fixture
def done(tmp_path: Path) -> Path:
    return RunBuilder(tmp_path / "run", iterations=1, pictures=False).build()


def test_a_terminal_is_told_nothing_by_the_name_of_a_folder_or_a_target(done: Path) -> None:
    evil = done.with_name("run\x1b]0;title\x07\u202e")
    done.rename(evil)
    state = load_state(evil)
    state.kpi_target += "\x1b[5m"
    state.results_dir = str(evil)
    save_state(state)
    terminal = Terminal([*WATCH, str(evil)], columns=160)
    said = terminal.until(lambda text: "u202e" in text.partition(MAIN)[2])
    assert terminal.end() == 0
    assert "run\\x1b]0;title\\x07\\u202e" in said
    assert not [mark for mark in ("\x1b]0", "\x07", "\x1b[5m", "\u202e") if mark in said]


@pytest.mark.parametrize("target", ["f1 >= 99%", "FAR < 90% at recall=95%", "recall >= 99.9% at FAR <= 0.5%"])
def test_a_bar_ends_before_the_mark_of_a_limit_that_no_figure_reaches(tmp_path: Path, target: str) -> None:
    run = RunBuilder(tmp_path, iterations=1, pictures=False, target=target, skill=0.3).build()
    shown = [phase.value for phase in status(run).phases]
    assert all(value is not None and value < 95 for value in shown)
    bars = [line for line in drawn_by_watch(run).splitlines() if "━" in line]
    assert len(bars) == len(shown) and all(re.search("━ +│", line) for line in bars)


def test_a_run_that_goes_on_is_drawn_redrawn_at_another_size_and_left_with_q(going: Path) -> None:
    terminal = Terminal([*WATCH, str(going)])
    drawn = terminal.until(lambda text: "routing" in text and "q quits" in text)
    assert ALTERNATE in drawn
    assert "IN PROGRESS" in drawn
    assert "95 % interval" in drawn
    terminal.size(50, 14)
    narrow = terminal.until(lambda text: text.count("q quits") >= 3)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", narrow.split("IN PROGRESS")[-2])
    assert all(len(line.rstrip()) <= 50 for line in last.splitlines())
    assert "95 % interval" not in last
    terminal.type("q")
    rest = terminal.until(lambda text: MAIN in text and str(going.name) in text.split(MAIN)[-1])
    assert "IN PROGRESS" in rest.split(MAIN)[-1]
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert terminal.end() == 0


def test_ctrl_c_gives_the_terminal_back(going: Path) -> None:
    terminal = Terminal([*WATCH, str(going)])
    terminal.until(lambda text: "q quits" in text)
    terminal.type("\x03")
    terminal.until(lambda text: MAIN in text)
    terminal.child.wait(120)
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert terminal.end() in (0, 130)


def test_a_run_that_has_ended_is_summed_up_and_left_at_once(done: Path) -> None:
    terminal = Terminal([*WATCH, str(done)])
    said = terminal.until(lambda text: MAIN in text and "run_20260901_081500" in text.split(MAIN)[-1])
    assert re.search(r"rehearsal: (shown|met, not shown|not met|cannot be told)", said.split(MAIN)[-1])
    assert "approved by flag; nobody was asked" in said.partition(MAIN)[0], "while it is drawn"
    assert "plan approved by flag; nobody was asked" in said.split(MAIN)[-1], "and in what stays"
    assert terminal.end() == 0


def test_without_a_terminal_it_is_a_line_a_stage_and_the_verdict_last(done: Path) -> None:
    shown = subprocess.run([*WATCH, str(done)], capture_output=True, text=True, check=True)
    stages = [line for line in shown.stdout.splitlines() if re.match(r" +\d+ 2026-", line)]
    assert len(stages) == len((done / "loop_log.jsonl").read_text(encoding="utf-8").splitlines())
    assert re.match(r"rehearsal: (shown|met, not shown|not met|cannot be told)", shown.stdout.splitlines()[len(stages)])
    assert "\x1b" not in shown.stdout
    assert shown.stderr == ""


def test_it_waits_for_the_report_of_a_run_whose_last_stage_has_ended(done: Path) -> None:
    released = contextlib.ExitStack()
    released.enter_context(folder_lock(done, "command"))
    with released, subprocess.Popen([*WATCH, str(done)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        stages = len((done / "loop_log.jsonl").read_text(encoding="utf-8").splitlines())
        said = [child.stdout.readline() for _ in range(stages)]
        assert "loop_stop" in said[-1]
        assert child.poll() is None
        report = render_report(done).path
        released.close()
        rest = child.stdout.read().splitlines()
    assert re.match(r"rehearsal: (shown|met, not shown|not met|cannot be told)", rest[0])
    assert rest[1:] == ["plan approved by flag; nobody was asked", report]


def test_once_shows_a_run_that_goes_on_and_returns(going: Path) -> None:
    shown = subprocess.run([*WATCH, str(going), "--once"], capture_output=True, text=True, check=True, timeout=120)
    assert "IN PROGRESS" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "plan approved by flag; nobody was asked"


def test_serve_says_where_the_page_is_and_serves_it_until_it_is_told_to_stop(going: Path) -> None:
    with subprocess.Popen([*WATCH, str(going), "--serve"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        address = child.stdout.readline().strip()
        host = re.fullmatch(r"http://(127\.0\.0\.1:\d+)/", address)
        assert host is not None
        connection = http.client.HTTPConnection(host[1], timeout=120)
        connection.request("GET", "/")
        page = connection.getresponse().read().decode()
        connection.close()
        child.send_signal(signal.SIGINT)
        assert child.wait(120) == 130
    assert "IN PROGRESS" in page
    assert "data-live=" in page


def test_a_folder_without_a_run_is_one_line_and_status_2(tmp_path: Path) -> None:
    for more in ([], ["--serve"]):
        refused = subprocess.run([*WATCH, str(tmp_path), *more], capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert "no run here" in refused.stderr
