"""Annotation through the vendors' batches: half the price, and never bought twice, wherever the process is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import annotation
import pytest
from annotation import CANARY, QUICK, config_for, final_files
from polling import wait_until
from scripted_batches import Batch
from scripted_endpoint import Fault, Request, ScriptedEndpoint, plain_answer
from videos import make_videos

from tao_skill_bank.annotate import api
from tao_skill_bank.annotate.batch import BatchPolicy
from tao_skill_bank.annotate.calls import DeniedError
from tao_skill_bank.annotate.config import AnnotationConfig
from tao_skill_bank.annotate.estimate import estimate
from tao_skill_bank.annotate.gate import BudgetReachedError, RunHaltedError
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.prices import Prices, load_prices
from tao_skill_bank.annotate.run import Limits, Outcome, annotate, clear_stop, request_stop
from tao_skill_bank.core.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CALLS_A_VIDEO = 16
SOON = BatchPolicy(settle=0.05, poll=0.02, look=0.02)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("GOOGLE_API_KEY", CANARY)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    make_videos(folder, 3)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as endpoint:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", endpoint.url)
        yield endpoint


def prices(folder: Path) -> Prices:
    path = folder / "prices.yaml"
    path.write_text(
        "dated: 2026-01-01\nmodels:\n  scripted: {input: 1.0, output: 4.0}\n  gemini*: {input: 1.0, output: 4.0}\n",
        encoding="utf-8",
    )
    return load_prices(path)


def run(
    config: AnnotationConfig, limits: Limits | None = None, *, batch: bool = True, policy: BatchPolicy = SOON
) -> Outcome:
    table = prices(config.results_dir.parent)
    return annotate(config, table, limits, batch=batch, policy=QUICK, batch_policy=policy)


@pytest.mark.parametrize("backend", ["openai", "gemini"])
def test_a_run_in_batches_sends_the_very_bodies_of_a_direct_run_and_writes_its_files_for_half_the_price(
    backend: str, server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    # One second, so that whole videos are long and go as frames to both.
    long = "workflow.long_video_threshold_sec=1"
    direct = run(config_for(server, tmp_path / "a/out", three, long, backend=backend), batch=False)
    bodies = sorted(json.dumps(r.body, sort_keys=True) for r in server.requests)
    server.reset()
    batched = run(config_for(server, tmp_path / "b/out", three, long, backend=backend))
    assert (batched.failed, batched.calls, server.calls) == (0, 3 * CALLS_A_VIDEO, 3 * CALLS_A_VIDEO)
    assert sorted(json.dumps(r.body, sort_keys=True) for r in server.requests) == bodies
    assert final_files(tmp_path / "b/out") == final_files(tmp_path / "a/out")
    assert batched.cost == pytest.approx(direct.cost / 2)
    assert 6 <= len(server.batches.all) <= 9
    assert not (tmp_path / "b/out/.batches").exists()
    again = run(config_for(server, tmp_path / "b/out", three, long, backend=backend))
    assert (again.calls, again.known) == (0, 3 * CALLS_A_VIDEO)


@pytest.mark.parametrize("backend", ["openai", "gemini"])
@pytest.mark.parametrize("moment", ["before it is taken on", "while the vendor takes it on", "while it is worked on"])
def test_a_kill_between_sending_and_fetching_buys_no_batch_twice(
    moment: str, backend: str, server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "tests/support/annotate_once.py"), "--batch", backend, server.url]
    command += [str(tmp_path / "out"), str(three), "workflow.mode=normal", "workflow.steps=['1a','2']"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    batches = server.batches
    if moment == "while the vendor takes it on":
        batches.taken = lambda batch: 3600.0
    batches.looks = 10**9
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if moment == "before it is taken on":
        wait_until(lambda: any((tmp_path / "out").glob(".batches/*.jsonl")))
    else:
        wait_until(
            lambda: len(batches.all) == 1 and (moment != "while it is worked on" or batches.all[0].looks < 10**9)
        )
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.stderr is not None
    child.stderr.close()
    batches.taken = lambda batch: 0.0
    batches.looks = 1
    for batch in batches.all:
        batch.looks = 1
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # 6 captions, then 3 descriptions: each in exactly one batch.
    assert server.calls == 9
    assert sum(len(batch.lines) for batch in batches.all) == 9
    assert len(batches.all) == 2
    assert (batches.listed > 0) is (moment == "while the vendor takes it on")
    with Journal(tmp_path / "out", read_only=True) as journal:
        assert (journal.totals().answers, journal.open_batches()) == (9, [])


def test_a_connection_that_is_cut_while_a_batch_is_taken_on_sends_it_once(
    server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    server.batches.taken = lambda batch: -1.0
    outcome = run(config_for(server, tmp_path / "out", three, "workflow.mode=normal"))
    assert (outcome.failed, server.calls) == (0, len({r.prompt + str(r.body) for r in server.requests}))
    assert server.batches.listed == len(server.batches.all)


def test_a_stopped_run_leaves_its_batch_at_the_vendor_and_even_a_direct_run_fetches_it(
    server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    config = config_for(server, tmp_path / "out", three, "workflow.mode=normal")
    server.batches.looks = 10**9

    def taken(batch: Batch) -> float:
        request_stop(tmp_path / "out")
        return 0.0

    server.batches.taken = taken
    with pytest.raises(RunHaltedError, match="stopped as asked"):
        run(config)
    (tmp_path / "out" / ".annotate-stop").unlink()
    view = api.status(tmp_path / "out")
    assert list(view.open_batches.values()) == [3]
    for batch in server.batches.all:
        batch.looks = 0
    server.batches.taken = lambda batch: 0.0
    outcome = run(config, batch=False)
    assert outcome.failed == 0
    # 3 filter calls came out of the batch, everything else directly; nothing was asked twice.
    assert (len(server.batches.all), server.calls) == (1, 3 * (1 + 2 + 1 + 1 + 8))
    assert api.status(tmp_path / "out").open_batches == {}


def test_lines_that_failed_go_into_another_batch_and_the_others_are_kept(
    server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    server.faults = lambda r: Fault(500) if r.tries == 1 and r.number % 5 == 0 else None
    outcome = run(config_for(server, tmp_path / "out", three, "workflow.mode=normal"))
    assert outcome.failed == 0
    assert max(r.tries for r in server.requests) == 2
    assert server.calls - 3 * 13 == sum(r.tries == 2 for r in server.requests) > 3


def test_a_server_that_knows_less_is_asked_otherwise_in_the_next_batch(
    server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    def fault(request: Request) -> Fault | None:
        if "max_tokens" in request.body:
            return Fault(400, '{"error": {"message": "use max_completion_tokens instead of max_tokens"}}')
        return None

    server.faults = fault
    outcome = run(config_for(server, tmp_path / "out", three, "workflow.mode=normal"))
    assert outcome.failed == 0
    # One model at one address learns it in one batch.
    assert server.calls == 3 * 13 + 3


def test_what_an_expired_batch_left_out_goes_into_another_one(
    server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    server.batches.fates = lambda batch: ("expired", "") if batch.name == "batch_0" else ("", "")
    server.batches.skip = lambda batch, number: batch.name == "batch_0" and number > 0
    outcome = run(config_for(server, tmp_path / "out", three, "workflow.mode=normal"))
    assert (outcome.failed, server.calls) == (0, 3 * 13)


def test_a_vendor_with_too_much_waiting_gets_smaller_batches_one_at_a_time(
    server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    server.batches.fates = lambda b: ("failed", "token_limit_exceeded") if len(b.lines) > 2 else ("", "")
    outcome = run(config_for(server, tmp_path / "out", three, "workflow.mode=normal", "workflow.steps=['1a']"))
    assert (outcome.failed, server.calls) == (0, 6)
    assert [(len(batch.lines), batch.fate) for batch in server.batches.all] == [
        *((6, "failed"), (3, "failed"), (3, "failed")),
        *((1, ""), (1, ""), (1, ""), (1, ""), (1, ""), (1, "")),
    ]


def test_a_batch_that_the_vendor_refuses_whole_ends_the_run_with_its_reason(
    server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    server.batches.fates = lambda batch: ("failed", "invalid_model")
    with pytest.raises(DeniedError, match="batch refused: invalid_model too much"):
        run(config_for(server, tmp_path / "out", three))
    assert (len(server.batches.all), server.calls) == (1, 0)
    assert api.status(tmp_path / "out").open_batches == {}


def test_a_server_without_batches_says_so_in_one_line(server: ScriptedEndpoint, three: Path, tmp_path: Path) -> None:
    server.batches.offered = False
    with pytest.raises(DeniedError, match="404") as caught:
        run(config_for(server, tmp_path / "out", three))
    assert "batch interface" in caught.value.line()
    assert server.calls == 0


def test_a_limit_is_kept_and_what_was_within_it_is_still_bought(
    server: ScriptedEndpoint, three: Path, tmp_path: Path
) -> None:
    config = config_for(server, tmp_path / "out", three, "workflow.mode=normal")
    with pytest.raises(BudgetReachedError, match="--max-calls 5"):
        run(config, Limits(max_calls=5))
    assert server.calls == 5
    with Journal(tmp_path / "out", read_only=True) as journal:
        assert journal.totals().answers == 5
    run(config)
    assert server.calls == 3 * 13


def test_batches_are_cut_where_a_file_is_full(server: ScriptedEndpoint, three: Path, tmp_path: Path) -> None:
    policy = BatchPolicy(settle=0.05, poll=0.02, look=0.02, most_calls=2)
    run(config_for(server, tmp_path / "out", three, "workflow.mode=normal", "workflow.steps=['1a']"), policy=policy)
    assert [len(batch.lines) for batch in server.batches.all] == [2, 2, 2]


def test_answers_without_names_are_told_by_their_order(server: ScriptedEndpoint, three: Path, tmp_path: Path) -> None:
    server.batches.nameless = True
    outcome = run(config_for(server, tmp_path / "out", three, "workflow.mode=normal", backend="gemini"))
    assert (outcome.failed, server.calls) == (0, 3 * 13)


def test_shards_with_open_batches_are_not_merged(server: ScriptedEndpoint, three: Path, tmp_path: Path) -> None:
    server.batches.looks = 10**9
    arguments = annotation.overrides(server.url, tmp_path / "out", three)
    request = api.Request(overrides=arguments, shard="1/1")

    def taken(batch: Batch) -> float:
        request_stop(api.resolve(request).results_dir)
        return 0.0

    server.batches.taken = taken
    config = api.resolve(request)
    config.results_dir.mkdir(parents=True)
    with pytest.raises(RunHaltedError):
        run(config)
    with pytest.raises(InputError, match="1 batches are still open"):
        api.merge(tmp_path / "out")


def test_an_estimate_for_batches_costs_half_and_leaves_the_time_to_the_vendor(three: Path, tmp_path: Path) -> None:
    config, table = config_for("http://127.0.0.1:9", tmp_path / "out", three), prices(tmp_path)
    direct, batched = estimate(config, table), estimate(config, table, batch=True)
    assert direct.cost is not None
    assert batched.cost is not None
    assert batched.cost.mid == pytest.approx(direct.cost.mid / 2, rel=1e-3)
    assert batched.seconds is None
    assert any("24 hours for each round of them, 9 rounds" in note for note in batched.notes)


CHECKS = "quality.checks=[blind,judge,time]"


def judging(request: Request) -> str:
    """Answers of a model that writes, and judges: blind it is always right, by the video always wrong."""
    blind = "cannot see the video" in request.prompt
    if not blind and "Look at the video" not in request.prompt and "three stretches" not in request.prompt:
        return plain_answer(request)
    red = re.search(r"^([A-D])\. The red one", request.prompt, re.MULTILINE)
    if red:
        return json.dumps({"answer": red[1] if blind else "ABCD"["ABCD".index(red[1]) - 1]})
    if '"match"' in request.prompt:
        return json.dumps({"reason": "nothing of it is seen", "match": False})
    if '"start_sec"' in request.prompt:
        return json.dumps({"start_sec": 1.0, "end_sec": 2.0})
    return json.dumps({"answer": "A" if "stretches" in request.prompt else "Yes" if blind else "No"})


@dataclass(frozen=True)
class Direct:
    """A run with checks by a model, without batches: what was sent, and what came out."""

    results: Path
    bodies: list[str]
    outcome: Outcome


@pytest.fixture(scope="module")
def direct(three: Path, tmp_path_factory: pytest.TempPathFactory) -> Direct:
    results = tmp_path_factory.mktemp("direct") / "out"
    with ScriptedEndpoint(answers=judging) as server:
        outcome = run(config_for(server, results, three, CHECKS), batch=False)
        return Direct(results, sorted(json.dumps(r.body, sort_keys=True) for r in server.requests), outcome)


def test_checks_by_a_model_go_in_batches_too_and_find_the_same_for_half_the_price(
    server: ScriptedEndpoint, three: Path, tmp_path: Path, direct: Direct
) -> None:
    server.answers = judging
    results = tmp_path / "out"
    batched = run(config_for(server, results, three, CHECKS))
    assert sorted(json.dumps(r.body, sort_keys=True) for r in server.requests) == direct.bodies
    assert (
        sum(len(batch.lines) for batch in server.batches.all) == server.calls == batched.calls == direct.outcome.calls
    )
    assert batched.cost == pytest.approx(direct.outcome.cost / 2)
    assert (results / "judged.json").read_bytes() == (direct.results / "judged.json").read_bytes()
    assert final_files(results) == final_files(direct.results)
    assert batched.refused["answerable_blind"] and batched.refused["judge_disagrees"]
    # The blind check asks again and again, up to five times; all others stand in its first batch.
    asked = [batch for batch in server.batches.all if any("cannot see" in json.dumps(line) for line in batch.lines)]
    assert len(asked) == 5 and asked[0] is max(asked, key=lambda batch: len(batch.lines))
    assert not (results / ".batches").exists()
    again = run(config_for(server, results, three, CHECKS))
    assert (again.calls, again.cost) == (0, pytest.approx(batched.cost))


def test_checks_whose_batch_was_left_open_are_fetched_by_the_next_run_and_paid_once(
    server: ScriptedEndpoint, three: Path, tmp_path: Path, direct: Direct
) -> None:
    server.answers = judging
    results = tmp_path / "out"

    def taken(batch: Batch) -> float:
        if any("cannot see" in json.dumps(line) for line in batch.lines):
            batch.looks = 10**9
            request_stop(results)
        return 0.0

    server.batches.taken = taken
    with pytest.raises(RunHaltedError):
        run(config_for(server, results, three, CHECKS))
    assert "still open at the vendor; a later run fetches its" in (results / "status.json").read_text()
    with Journal(results, read_only=True) as journal:
        assert [len(batch.calls) for batch in journal.open_batches()] == [len(server.batches.all[-1].lines)]
    clear_stop(results)
    server.batches.taken = lambda batch: 0.0
    server.batches.all[-1].looks = 1
    done = run(config_for(server, results, three, CHECKS), batch=False)
    assert server.calls == direct.outcome.calls and done.problems == []
    assert (results / "judged.json").read_bytes() == (direct.results / "judged.json").read_bytes()
    with Journal(results, read_only=True) as journal:
        assert journal.open_batches() == [] and journal.totals().unknown == 0


def test_an_estimate_for_batches_takes_checks_by_a_model_for_half_the_price_too(three: Path, tmp_path: Path) -> None:
    table = prices(tmp_path)
    for more, rounds in (([CHECKS], 9 + 5), (["quality.checks=[judge]"], 9 + 1)):
        config = config_for("http://127.0.0.1:9", tmp_path / "out", three, *more)
        direct, batched = estimate(config, table), estimate(config, table, batch=True)
        assert direct.cost is not None and batched.cost is not None
        assert batched.cost.mid == pytest.approx(direct.cost.mid / 2, rel=1e-3)
        assert any(f"{rounds} rounds at most" in note for note in batched.notes)
