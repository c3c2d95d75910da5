"""`tao-skills annotate …`: the estimate holds, a detached run is watched and stopped, shards are merged."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import annotation
import pytest
from annotation import CANARY, config_for, final_files, run
from polling import wait_until
from scripted_endpoint import Fault, Request, ScriptedEndpoint
from videos import make_video, make_videos

from tao_skill_bank.annotate import allow, api
from tao_skill_bank.annotate.estimate import estimate
from tao_skill_bank.annotate.gate import RunHaltedError
from tao_skill_bank.annotate.holder import desk, folder_lock
from tao_skill_bank.annotate.prices import load_prices
from tao_skill_bank.annotate.run import Advance, annotate, request_stop
from tao_skill_bank.commands.annotate_status import shown
from tao_skill_bank.core import lifecycle
from tao_skill_bank.core.errors import BusyError, InputError
from tao_skill_bank.sharding import sharded
from tao_skill_bank.sharding.sharded import annotate_sharded

WORDS = ("cart", "moves", "slowly", "towards", "worker", "beside", "the", "yellow", "rack", "and", "stops", "there")


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


@pytest.fixture
def server() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as endpoint:
        yield endpoint


def command(*args: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "tao_skill_bank.cli", "annotate", *args]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def prices_file(folder: Path) -> Path:
    path = folder / "prices.yaml"
    path.write_text("dated: 2026-01-01\nmodels:\n  scripted: {input: 1.0, output: 4.0}\n", encoding="utf-8")
    return path


class Vendor:
    """A server whose usage follows a seed: a tokenisation, lengths of answers, tokens of a picture, failures."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.chars_a_token = self.chance.choice([3.6, 4.7])
        self.tokens_a_picture = self.chance.uniform(200, 320)
        self.longwinded = self.chance.uniform(0.85, 1.15)
        self.anomalies = self.chance.uniform(0.35, 0.65)

    def words(self, low: int, high: int) -> str:
        number = round(self.chance.uniform(low, high) * self.longwinded)
        return " ".join(self.chance.choice(WORDS) for _ in range(number))

    def answer(self, request: Request) -> str:
        ranges = {
            "global_caption": (120, 180),
            "dense_caption": (110, 260),
            "chunk_caption": (40, 70),
            "highlight_chunk_caption": (70, 120),
            "description": (250, 400),
        }
        if request.kind in ranges:
            return self.words(*ranges[request.kind])
        if request.kind == "video_filtering":
            return json.dumps({"reason": self.words(10, 25), "suitable": True})
        if request.kind == "video_anomaly_classification":
            label = "anomaly" if self.chance.random() < self.anomalies else "normal"
            return json.dumps({"reason": self.words(15, 40), "label": label})
        if request.kind == "highlight_timestamp_extraction":
            return json.dumps({"reason": self.words(10, 25), "timestamp_sec": 0.5})
        number = 2 if request.kind in ("mcq", "bcq", "open_qa") else 1
        return json.dumps({"items": [self.item(request.kind) for _ in range(number)]})

    def item(self, kind: str) -> dict[str, object]:
        item: dict[str, object] = {"question": f"{self.words(12, 30)} {self.chance.random()}?"}
        if kind == "mcq":
            item |= {"choices": [f"{self.words(5, 12)} {i}" for i in range(4)], "answer": "C"}
        elif kind == "bcq":
            item |= {"answer": "Yes", "explanation": self.words(8, 20)}
        elif kind == "temporal_localization":
            item |= {"start_sec": 0.2, "end_sec": 0.9}
        elif kind in ("scene_description", "event_summary"):
            item |= {"answer": self.words(80, 140)}
        else:
            item |= {"answer": self.words(20, 50)}
        return item | {"reasoning": self.words(40, 80)}

    def usage(self, request: Request, text: str) -> tuple[int, int]:
        read = len(request.prompt) / self.chars_a_token + request.images * self.tokens_a_picture
        return round(read), round(len(text) / self.chars_a_token)

    def fault(self, request: Request) -> Fault | None:
        return Fault(500) if request.tries == 1 and self.chance.random() < 0.03 else None


def inside(seed: int, folder: Path) -> bool:
    """Whether a run's cost, tokens and calls end inside the estimate made before it."""
    vendor = Vendor(seed)
    lengths = (2.0, 11.0, 27.0)
    for i in range(6):
        make_video(folder / "v" / f"{i}.mp4", seconds=lengths[i % 3], fps=1, seed=i, size=(32, 32))
    with ScriptedEndpoint(answers=vendor.answer, usage=vendor.usage, faults=vendor.fault) as endpoint:
        config = config_for(endpoint, folder / "out", folder / "v")
        prices = load_prices(prices_file(folder))
        before = estimate(config, prices)
        assert before.cost is not None
        for found in (before.cost, before.calls, before.input_tokens, before.output_tokens):
            assert found.high <= found.mid * 1.401
            assert found.low >= found.mid * 0.599
        outcome = annotate(config, prices, policy=annotation.QUICK)
        view = api.status(folder / "out")
        return (
            before.cost.low <= outcome.cost <= before.cost.high
            and before.calls.low <= outcome.calls <= before.calls.high
            and before.input_tokens.low <= view.input_tokens <= before.input_tokens.high
            and before.output_tokens.low <= view.output_tokens <= before.output_tokens.high
        )


def test_a_run_ends_inside_the_estimate_that_knew_nothing_of_the_vendor(tmp_path: Path) -> None:
    assert sum(inside(seed, tmp_path / str(seed)) for seed in range(4)) >= 3


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_at_least_45_of_50_runs_end_inside_their_estimate(tmp_path: Path) -> None:
    ended = [inside(seed, tmp_path / str(seed)) for seed in range(100, 150)]
    print(f"{sum(ended)} of {len(ended)} runs ended inside their estimate")
    assert sum(ended) >= 45


def test_an_estimate_calls_nobody_and_writes_nothing(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 2)
    done = command(
        "estimate",
        "--prices",
        str(prices_file(tmp_path)),
        *annotation.overrides(server.url, tmp_path / "out", tmp_path / "v"),
    )
    assert done.returncode == 0, done.stderr
    assert "2 videos" in done.stdout
    assert "cost           $" in done.stdout
    assert server.calls == 0
    assert not (tmp_path / "out").exists()


def test_after_a_run_the_estimate_rests_on_what_was_measured(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 6)
    config, prices = config_for(server, tmp_path / "out", tmp_path / "v"), load_prices(prices_file(tmp_path))
    outcome = annotate(config, prices, policy=annotation.QUICK)
    after = estimate(config, prices)
    assert after.cost is not None
    assert after.cost.low <= outcome.cost <= after.cost.high
    assert after.cost.high <= after.cost.mid * 1.21
    assert after.answered == outcome.calls


def test_a_detached_run_is_watched_stopped_and_taken_up(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 6)
    server.latency = lambda request: 0.05
    arguments = annotation.overrides(server.url, tmp_path / "out", tmp_path / "v")
    request = api.Request(overrides=arguments)
    folder, _ = api.start_detached(request)
    wait_until(lambda: server.calls > 8)
    view = api.status(folder)
    assert view.status == "working"
    assert view.ask_again_sec
    assert view.videos == 6
    text = shown(view)
    assert view.working is not None
    assert f"by worker (process {view.working.pid})" in text
    assert "of 6 (" in text
    assert "  approval  started by a command; nobody was asked\n" in text
    with pytest.raises(BusyError, match="by worker"):
        api.run_here(request)
    assert api.stop(folder)
    wait_until(lambda: lifecycle.holder(desk(folder)) is None)
    for worker in lifecycle._started:
        worker.wait(120)
    stopped = api.status(folder)
    assert stopped.status == "halted"
    assert "stopped as asked" in (stopped.message or "")
    assert not api.stop(folder)
    kept = stopped.answers
    assert 0 < kept < 96
    server.reset()
    outcome = api.run_here(request, approve=api.seal_run(request).digest)
    assert (server.calls, outcome.failed) == (96 - kept, 0)
    complete = api.status(folder)
    assert complete.approval == "approved by flag; nobody was asked"
    assert (complete.videos, complete.done, complete.left_sec) == (6, 6, None)
    assert "████ 6 of 6 (100 %)\n" in shown(complete)
    assert "6 described, 48 answers with questions" in shown(complete)
    for path in folder.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def test_of_many_starts_at_once_one_starts_a_worker_and_the_others_are_told_who_works(
    server: ScriptedEndpoint, tmp_path: Path
) -> None:
    make_videos(tmp_path / "v", 2)
    request = api.Request(overrides=annotation.overrides(server.url, tmp_path / "out", tmp_path / "v"))
    before = len(lifecycle._started)
    together = threading.Barrier(6)

    def start(_: int) -> str:
        together.wait()
        try:
            api.start_detached(request)
        except BusyError as error:
            return error.line()
        return "started"

    with ThreadPoolExecutor(6) as threads:
        said = sorted(threads.map(start, range(6)))
    assert said.count("started") == 1
    assert all("by worker (process" in line for line in said if line != "started")
    assert len(lifecycle._started) - before <= 1
    for worker in lifecycle._started:
        worker.wait(60)
    assert api.status(tmp_path / "out").status == "complete"
    assert server.calls == 2 * 16
    assert not (tmp_path / "out" / api.LOG_FILE).read_text(encoding="utf-8")


def test_a_stop_that_is_asked_for_before_the_worker_works_is_heard(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 4)
    server.latency = lambda request: 0.2
    request = api.Request(overrides=annotation.overrides(server.url, tmp_path / "out", tmp_path / "v"))
    folder, _ = api.start_detached(request)
    assert api.stop(folder)
    for worker in lifecycle._started:
        worker.wait(60)
    assert "stopped as asked" in (api.status(folder).message or "")
    assert server.calls < 64


@pytest.mark.parametrize(
    ("advance", "left"),
    [
        ({"videos": 100, "done": 40, "seconds": 120.0, "went": 20}, 360),
        ({"videos": 100, "done": 2, "seconds": 9.0, "went": 2}, None),
        ({"videos": 100, "done": 100, "seconds": 120.0, "went": 20}, 0),
    ],
)
def test_the_time_left_follows_the_pace_of_the_last_minutes(advance: dict[str, float], left: int | None) -> None:
    assert Advance.model_validate(advance).left_sec == left


def test_status_watches_a_run_to_its_end_in_a_terminal(server: ScriptedEndpoint, tmp_path: Path) -> None:
    import pty

    make_videos(tmp_path / "v", 3)
    seen = threading.Event()
    server.latency = lambda request: 0.0 if seen.is_set() else 1.0
    folder, _ = api.start_detached(
        api.Request(overrides=annotation.overrides(server.url, tmp_path / "out", tmp_path / "v"))
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tao_skill_bank.cli", "annotate", "status", str(folder), "--watch"]
    watching = subprocess.Popen(command, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 4096):
            said += part
            if b"working" in said:
                seen.set()
    except OSError:
        pass  # Linux: nobody holds the other end any more.
    os.close(ours)
    assert watching.wait(60) == 0
    for worker in lifecycle._started:
        worker.wait(60)
    text = said.decode()
    assert "working" in text
    assert "complete: 3 videos, 0 with failures" in text
    assert "3 of 3 (100 %)" in text


def test_shards_do_each_video_once_and_merging_them_costs_nothing(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 7)
    arguments = annotation.overrides(server.url, tmp_path / "out", tmp_path / "v")
    run(config_for(server, tmp_path / "whole", tmp_path / "v"))
    expected = final_files(tmp_path / "whole")
    server.reset()
    # What somebody asked of a whole that was killed then is nothing to a shard that is begun by hand.
    (tmp_path / "out").mkdir()
    request_stop(tmp_path / "out")
    for i in (1, 2, 3):
        api.run_here(api.Request(overrides=arguments, shard=f"{i}/3"))
    assert server.calls == 7 * 16
    told = api.status(tmp_path / "out")
    assert told.parts is not None and told.status == "interrupted"
    assert told.parts.line().startswith("3 shards, 0 at work; 112 answers, $0.0000 and 112 answers without a price")
    assert "  shards    3 shards, 0 at work" in shown(told)
    merged = api.merge(tmp_path / "out")
    assert (len(merged.shards), merged.answers) == (3, 7 * 16)
    outcome = api.run_here(api.Request(overrides=arguments, max_calls=0))
    assert (outcome.calls, server.calls) == (0, 7 * 16)
    assert final_files(tmp_path / "out") == expected


def test_all_shards_in_one_command_do_what_one_machine_does_and_nothing_twice(
    server: ScriptedEndpoint, tmp_path: Path
) -> None:
    make_videos(tmp_path / "v", 3)
    arguments = annotation.overrides(server.url, tmp_path / "out", tmp_path / "v")
    run(config_for(server, tmp_path / "whole", tmp_path / "v"))
    expected = final_files(tmp_path / "whole")
    server.reset()
    request = api.Request(overrides=arguments)
    assert annotate_sharded(request, 2).failed == 0
    assert server.calls == 3 * 16 and final_files(tmp_path / "out") == expected
    launched = (tmp_path / "out" / "shards.log").stat().st_size
    assert annotate_sharded(request, 2).calls == 0
    assert server.calls == 3 * 16 and (tmp_path / "out" / "shards.log").stat().st_size == launched
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def test_a_second_command_in_shards_changes_nothing_of_what_the_first_asks(tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 2)
    request = api.Request(overrides=annotation.overrides("http://127.0.0.1:9", tmp_path / "out", tmp_path / "v"))
    with folder_lock(tmp_path / "out", "annotate run --shards"):
        before = sorted((tmp_path / "out").rglob("*"))
        with pytest.raises(BusyError, match="annotate run --shards"):
            annotate_sharded(request, 2)
        assert sorted((tmp_path / "out").rglob("*")) == before


def test_who_asks_the_whole_to_stop_when_its_last_shard_has_ended_is_heard(
    server: ScriptedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_videos(tmp_path / "v", 1)
    request = api.Request(overrides=annotation.overrides(server.url, tmp_path / "out", tmp_path / "v"))
    shards = sharded.run_missing

    def stopped_late(*args: Any, **more: Any) -> int:
        missing = shards(*args, **more)
        assert missing == 0 and api.stop(tmp_path / "out") is True
        return missing

    with monkeypatch.context() as late:
        late.setattr(sharded, "run_missing", stopped_late)
        with pytest.raises(RunHaltedError, match="stopped as asked"):
            annotate_sharded(request, 1)
    assert not (tmp_path / "out/journal.sqlite3").exists(), "nothing was brought together"
    assert annotate_sharded(request, 1).failed == 0 and server.calls == 16


def test_workers_run_the_allowed_module_where_nobody_has_a_list_and_no_other(
    server: ScriptedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_videos(tmp_path / "v", 2)
    module = tmp_path / "mine.py"
    module.write_text(
        "PROMPT_TEMPLATES = {'scene_description': 'Write the description of the scene. {step_2_output}'}\n"
        "def get_prompt(key, **values):\n    return PROMPT_TEMPLATES[key].format(**values)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    kept = allow.allow(allow.find(str(module)), how="test")
    words = annotation.overrides(server.url, tmp_path / "out", tmp_path / "v", f"prompts_module='{module}'")
    sealed = api.seal_run(api.Request(overrides=words))
    path, keys = api.keep_request(sealed)
    assert keys[allow.VARIABLE] == allow.find(str(module)).sha256
    kept.unlink()
    command = [sys.executable, "-P", "-m", "tao_skill_bank.annotate.worker", str(path), sealed.digest]
    done = subprocess.run(command, env={**os.environ, **keys}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(request.prompt.startswith("Write the description of the scene.") for request in server.requests) == 2
    module.write_text(module.read_text(encoding="utf-8") + "# more\n", encoding="utf-8")
    done = subprocess.run(command, env={**os.environ, **keys}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert "nobody has allowed to run" in done.stderr
    assert sealed.config.results_dir == tmp_path / "out"


def test_merging_without_shards_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards to merge"):
        api.merge(tmp_path)


def test_the_commands_print_json_for_programs_and_one_line_for_errors(server: ScriptedEndpoint, tmp_path: Path) -> None:
    make_videos(tmp_path / "v", 1)
    arguments = annotation.overrides(server.url, tmp_path / "out", tmp_path / "v", "workflow.mode=normal")
    done = command("run", "--json", *arguments)
    assert (done.returncode, json.loads(done.stdout)["videos"]) == (0, 1), done.stderr
    shown = json.loads(command("status", "--json", str(tmp_path / "out")).stdout)
    assert (shown["status"], shown["rows"]["3"]) == ("complete", 8)
    stopped = json.loads(command("stop", "--json", str(tmp_path / "out")).stdout)
    assert stopped["stop_requested"] is False
    missing = command("status", str(tmp_path / "nowhere"))
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1
