"""The money of an annotation: what the vendor charges is in the ledger whatever happens; limits are used and kept."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from annotation import CALLS_A_VIDEO, CANARY, QUICK, config_for
from money import MOST, TOKENS, BadDay, charged, prices_file, totals_of
from scripted_endpoint import Fault, Request, ScriptedEndpoint, answer_of
from videos import make_videos

from tao_skill_bank.annotate import api
from tao_skill_bank.annotate.batch import BatchPolicy
from tao_skill_bank.annotate.calls import DeniedError
from tao_skill_bank.annotate.config import AnnotationConfig
from tao_skill_bank.annotate.gate import BudgetReachedError
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.prices import load_prices
from tao_skill_bank.annotate.run import Limits, Outcome, annotate
from tao_skill_bank.commands.annotate_status import shown
from tao_skill_bank.core.errors import BankError

ROOT = Path(__file__).resolve().parents[2]
SOON = BatchPolicy(settle=0.05, poll=0.02, look=0.02)
BACKENDS = ("openai", "gemini")
LATE_SEC = 1.2
"""An answer that comes so late finds nobody who waits for it."""
IMPATIENT = tuple(f"{role}.{backend}.timeout=0.8" for role in ("vlm", "llm") for backend in BACKENDS)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("GOOGLE_API_KEY", CANARY)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("six")
    make_videos(folder, 6, seconds=1.0, fps=2)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as endpoint:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", endpoint.url)
        yield endpoint


def run(config: AnnotationConfig, limits: Limits | None = None, *, batch: bool = False) -> Outcome:
    table = load_prices(prices_file(config.results_dir.parent))
    return annotate(config, table, limits, batch=batch, policy=QUICK, batch_policy=SOON)


def script(server: ScriptedEndpoint, day: BadDay) -> None:
    server.faults, server.latency, server.usage = day.fault, day.seconds, day.usage


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("workers", [4, 16])
@pytest.mark.parametrize("batch", [False, True])
def test_the_ledger_holds_the_vendors_bill_on_a_bad_day(
    backend: str, workers: int, batch: bool, server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    script(server, BadDay(seed=workers, latency=0.01, late=0.0 if batch else LATE_SEC, share=0.2))
    config = config_for(
        server, tmp_path / "out", six, f"workflow.max_workers={workers}", *TOKENS, *IMPATIENT, backend=backend
    )
    for _ in range(3):
        with contextlib.suppress(BankError):
            run(config, batch=batch)
        totals = totals_of(tmp_path / "out")
        assert charged(server) <= totals.cost + totals.may_cost + totals.in_flight_cost + 1e-9
        assert server.calls <= totals.calls


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", [False, True])
def test_without_faults_the_ledger_is_the_vendors_bill_to_the_cent(
    backend: str, batch: bool, server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    server.usage = BadDay(1).usage
    outcome = run(config_for(server, tmp_path / "out", six, *TOKENS, backend=backend), batch=batch)
    assert outcome.cost == pytest.approx(charged(server))
    assert (outcome.unknown, outcome.may_cost, outcome.calls) == (0, 0.0, server.calls)


def child(server: ScriptedEndpoint, folder: Path, videos: Path, *more: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    command = [sys.executable, str(ROOT / "tests/support/annotate_once.py"), "--prices", str(prices_file(folder))]
    command += [*more[: more.index("--")], server.url, str(folder / "out"), str(videos), *more[more.index("--") + 1 :]]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def killed(
    server: ScriptedEndpoint, folder: Path, videos: Path, backend: str, workers: int, kills: int, *, batch: bool = False
) -> int:
    """Kill a run at random moments on a bad day, and look after each whether the bill is in the ledger."""
    chance = random.Random(kills + workers)
    day = BadDay(seed=workers + 7, latency=0.05, late=0.0 if batch else LATE_SEC, share=0.15)
    script(server, day)
    how = ("--batch", backend) if batch else ("--backend", backend)
    in_the_middle = 0
    for _ in range(4 * kills):
        process = child(server, folder, videos, *how, "--", f"workflow.max_workers={workers}", *TOKENS, *IMPATIENT)
        assert process.stdout is not None
        process.stdout.readline()
        before = server.calls
        while server.calls == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        ended = process.wait()
        process.stdout.close()
        # What was on its way arrives, and is charged.
        while server.in_flight:
            time.sleep(0.01)
        totals = totals_of(folder / "out")
        assert charged(server) <= totals.cost + totals.may_cost + totals.in_flight_cost + 1e-9
        assert server.calls <= totals.calls
        in_the_middle += ended == -signal.SIGKILL
        if in_the_middle == kills or ended == 0:
            break
    view = api.status(folder / "out")
    assert view.unknown > 0 and (day.came_late > 0 or kills < 25)
    assert f"up to ${view.may_cost:.4f} more may have been billed" in shown(view)
    return in_the_middle


@pytest.mark.parametrize(
    ("backend", "workers", "batch"), [("openai", 16, False), ("gemini", 4, False), ("openai", 4, True)]
)
def test_after_a_kill_at_any_moment_the_bill_is_in_the_ledger(
    backend: str, workers: int, batch: bool, server: ScriptedEndpoint, tmp_path: Path
) -> None:
    make_videos(tmp_path / "v", 20, seconds=1.0, fps=2)
    assert killed(server, tmp_path, tmp_path / "v", backend, workers, 2, batch=batch) >= 1


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("workers", [4, 16])
def test_after_each_of_a_hundred_kills_the_bill_is_in_the_ledger(
    backend: str, workers: int, server: ScriptedEndpoint, tmp_path: Path
) -> None:
    make_videos(tmp_path / "v", 300, seconds=1.0, fps=2)
    in_the_middle = killed(server, tmp_path, tmp_path / "v", backend, workers, 25)
    totals = totals_of(tmp_path / "out")
    print(f"{in_the_middle} kills: charged ${charged(server):.4f}, ledger ${totals.cost:.4f} + ${totals.may_cost:.4f}")
    assert in_the_middle >= 24


def test_kills_do_not_carry_a_run_past_its_limit_of_calls(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 20, seconds=1.0, fps=2)
    server.latency = lambda request: 0.05
    for _ in range(10):
        process = child(server, tmp_path, tmp_path / "v", "--max-calls", "12", "--", "workflow.max_workers=4")
        assert process.stdout is not None
        process.stdout.readline()
        before = server.calls
        while server.calls == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(0.15)
        process.send_signal(signal.SIGKILL)
        stopped = process.wait() > 0
        process.stdout.close()
        if stopped:
            break
    assert stopped
    assert server.calls <= 12


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("batch", [False, True])
def test_without_faults_nine_tenths_of_a_limit_are_used_before_a_stop_and_it_is_never_passed(
    workers: int, batch: bool, server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    server.usage = BadDay(1).usage
    server.latency = lambda request: 0.005
    config = config_for(server, tmp_path / "out", six, f"workflow.max_workers={workers}", *TOKENS)
    most = 0.1 * (0.5 if batch else 1.0)
    with pytest.raises(BudgetReachedError) as caught:
        run(config, Limits(max_cost=most), batch=batch)
    totals = totals_of(tmp_path / "out")
    used = charged(server)
    assert totals.cost == pytest.approx(used)
    assert 0.9 * most <= used <= most
    # The line, the status and the ledger say the same.
    # Half a hundredth of a cent may be printed either way: the sum depends on the order in which answers came.
    said = re.match(r"stopped after (\d+) calls and \$(\d+\.\d+): ", caught.value.what)
    assert said is not None and int(said[1]) == totals.calls
    assert abs(float(said[2]) - totals.cost) <= 0.51e-4
    view = api.status(tmp_path / "out")
    assert (view.calls, view.cost) == (totals.calls, pytest.approx(totals.cost, abs=1e-6))
    next_one = float(caught.value.what.split("the next may cost $")[1].split(",")[0])
    assert used + next_one > most - 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("workers", [4, 16])
def test_on_a_bad_day_too_a_run_stops_for_a_limit_only_where_the_next_call_might_pass_it(
    backend: str, workers: int, server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    script(server, BadDay(seed=workers, latency=0.01, share=0.2))
    config = config_for(server, tmp_path / "out", six, f"workflow.max_workers={workers}", *TOKENS, backend=backend)
    most, stops = 0.0, 0
    for _ in range(12):
        most += 0.02
        try:
            run(config, Limits(max_cost=most))
        except BudgetReachedError as error:
            totals = totals_of(tmp_path / "out")
            ledger = totals.cost + totals.may_cost + totals.in_flight_cost
            next_one = float(error.what.split("the next may cost $")[1].split(",")[0])
            assert charged(server) <= ledger + 1e-9 and ledger <= most + 1e-9
            assert ledger + next_one > most - 1e-4
            stops += 1
        except BankError:
            continue
    assert stops > 2


def test_a_limit_of_calls_is_used_to_the_last_one_and_never_passed(
    server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    server.latency = lambda request: 0.005
    with pytest.raises(BudgetReachedError, match="--max-calls 37"):
        run(config_for(server, tmp_path / "out", six, "workflow.max_workers=16"), Limits(max_calls=37))
    assert server.calls == 37


def test_calls_of_an_unknown_outcome_count_in_the_limits_of_every_later_run(
    server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    # No call is answered: an answer in between would let the run go on, and when one comes is chance.
    server.faults = lambda request: Fault(0)
    more = ("workflow.steps=['1a']", "workflow.mode=normal", "workflow.max_workers=1", *TOKENS)
    config = config_for(server, tmp_path / "out", six, *more)
    with pytest.raises(BankError):
        run(config)
    totals = totals_of(tmp_path / "out")
    assert totals.unknown > 0
    server.faults = lambda request: None
    calls = server.calls
    with pytest.raises(BudgetReachedError, match=r"up to \$\d.* more may have been billed \(\d+ calls without a known"):
        run(config, Limits(max_cost=totals.cost + totals.may_cost))
    with pytest.raises(BudgetReachedError, match=f"--max-calls {totals.calls}"):
        run(config, Limits(max_calls=totals.calls))
    assert server.calls == calls


def test_a_server_that_cannot_be_reached_charges_nothing_and_is_no_call(six: Path, tmp_path: Path) -> None:
    with ScriptedEndpoint() as gone:
        address = gone.url
    with pytest.raises(BankError):
        run(config_for(address, tmp_path / "out", six, "workflow.max_workers=2"))
    totals = totals_of(tmp_path / "out")
    assert (totals.calls, totals.cost, totals.unknown) == (0, 0.0, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_answer_that_is_all_thinking_is_billed_named_and_not_asked_for_again(
    backend: str, server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    def fault(request: Request) -> Fault | None:
        if request.kind != "dense_caption":
            return None
        spent = (100, MOST)
        thoughts = {} if backend == "gemini" else {"reasoning_content": "Well, the cart"}
        answer = answer_of(None, spent, backend == "gemini", "length", **thoughts)
        return Fault(200, json.dumps(answer), billed=spent)

    server.faults = fault
    more = ("workflow.steps=['1a']", "workflow.mode=normal", *TOKENS)
    config = config_for(server, tmp_path / "out", six, *more, backend=backend)
    outcome = run(config)
    assert (outcome.failed, server.calls) == (6, 12)
    assert outcome.cost == pytest.approx(charged(server))
    failure = api.status(tmp_path / "out").failures[0]
    setting = {"openai": "vlm.openai.max_tokens", "gemini": "vlm.gemini.max_output_tokens"}[backend]
    assert f"all 512 tokens of {setting} went into thinking" in failure
    assert run(config).failed == 6
    assert server.calls == 12
    # With another limit it is another question.
    server.faults = lambda request: None
    raised = (*more, "vlm.openai.max_tokens=2048", "vlm.gemini.max_output_tokens=2048")
    assert run(config_for(server, tmp_path / "out", six, *raised, backend=backend)).failed == 0


@pytest.mark.parametrize("text", [None, "", "<think>The cart comes from the left and"])
def test_a_model_whose_first_answers_are_all_thinking_halts_the_run_after_three(
    text: str | None, server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    spent = (100, 4096)
    server.faults = lambda request: Fault(200, json.dumps(answer_of(text, spent, False, "length")), billed=spent)
    config = config_for(server, tmp_path / "out", six, "workflow.max_workers=8")
    for _ in range(2):
        with pytest.raises(
            DeniedError, match=r"all 4,096 tokens of vlm\.openai\.max_tokens went into thinking"
        ) as caught:
            run(config)
        assert "turn the model's thinking off" in caught.value.line()
        assert server.calls == 3
    assert totals_of(tmp_path / "out").cost == pytest.approx(charged(server))


@pytest.mark.parametrize("batch", [False, True])
def test_an_empty_answer_that_ended_by_itself_is_asked_for_twice_and_its_field_is_named(
    batch: bool, server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    spent = (100, 50)
    answer = json.dumps(answer_of(None, spent, False, reasoning_content="A cart passes."))
    server.faults = lambda r: Fault(200, answer, billed=spent) if r.kind == "dense_caption" else None
    config = config_for(server, tmp_path / "out", six, "workflow.steps=['1a']", "workflow.mode=normal", *TOKENS)
    outcome = run(config, batch=batch)
    assert (outcome.failed, outcome.calls) == (6, 6 + 2 * 6)
    assert outcome.cost == pytest.approx(charged(server))
    assert (
        "the answer is empty; the server put its text into reasoning_content"
        in api.status(tmp_path / "out").failures[0]
    )


class _Elsewhere(BaseHTTPRequestHandler):
    """Counts what reaches it, and sends everything back to where it came from."""

    def do_POST(self) -> None:
        server: Any = self.server
        server.reached += 1
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(307)
        self.send_header("location", server.back)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirect_is_followed_nowhere_and_named(
    status: int, backend: str, server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    elsewhere: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    elsewhere.reached, elsewhere.back = 0, f"{server.url}/v1/chat/completions"
    thread = threading.Thread(target=elsewhere.serve_forever, daemon=True)
    thread.start()
    target = f"http://127.0.0.1:{elsewhere.server_port}/v1/chat/completions"
    server.faults = lambda request: Fault(status, "", {"location": target})
    try:
        with pytest.raises(DeniedError, match=f"would send the call on to {target}"):
            run(config_for(server, tmp_path / "out", six, "workflow.max_workers=4", backend=backend))
    finally:
        elsewhere.shutdown()
        thread.join()
        elsewhere.server_close()
    totals = totals_of(tmp_path / "out")
    assert (server.calls, elsewhere.reached, totals.calls, totals.cost, totals.unknown) == (1, 0, 1, 0.0, 0)


@pytest.mark.parametrize("left", ["nothing", "an empty file", "a journal without answers"])
def test_finished_steps_without_their_journal_are_not_bought_again(
    left: str, server: ScriptedEndpoint, six: Path, tmp_path: Path
) -> None:
    config = config_for(server, tmp_path / "out", six)
    run(config)
    journal = tmp_path / "out/journal.sqlite3"
    for path in (tmp_path / "out").glob("journal.sqlite3*"):
        path.unlink()
    if left == "an empty file":
        journal.touch()
    elif left == "a journal without answers":
        Journal(tmp_path / "out").close()
    calls = server.calls
    assert calls == 6 * CALLS_A_VIDEO
    with pytest.raises(BankError, match="everything would be bought again") as caught:
        run(config)
    assert "restore journal.sqlite3" in caught.value.line()
    assert server.calls == calls
    # Step 4 asks nobody.
    assert run(config_for(server, tmp_path / "out", six, "workflow.steps=['4']")).items
