"""The long proofs: a thousand videos at full speed, a hundred kills, a hundred thousand listed videos."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from annotation import CALLS_A_VIDEO, CANARY, config_for, final_files, least_seconds, overrides, run
from scripted_endpoint import ScriptedEndpoint
from videos import make_video, make_videos

from tao_skill_bank.annotate.journal import Journal

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


@pytest.mark.timeout(2400)
def test_a_thousand_videos_take_little_longer_than_their_latencies_over_the_workers(tmp_path: Path) -> None:
    workers, videos = 16, 1000
    make_videos(tmp_path / "v", videos, seconds=1.0, fps=2)
    chance = random.Random(11)
    with ScriptedEndpoint(latency=lambda request: chance.uniform(0.2, 1.0)) as server:
        arguments = overrides(server.url, tmp_path / "out", tmp_path / "v", f"workflow.max_workers={workers}")
        command = [sys.executable, "-m", "tao_skill_bank.actions", "auto_label", "generate", *arguments]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        bound = least_seconds(server, workers)
        print(f"wall {wall:.1f} s, bound {bound:.1f} s, ratio {wall / bound:.3f}, peak {server.peak}")
        assert server.calls == videos * CALLS_A_VIDEO
        assert server.peak <= workers
        assert wall <= 1.10 * bound


@pytest.mark.timeout(2400)
def test_a_hundred_kills_lose_no_journaled_answer_and_change_no_file(tmp_path: Path) -> None:
    kills, videos, workers = 100, 150, 4
    make_videos(tmp_path / "v", videos, seconds=1.0, fps=2)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    chance = random.Random(17)
    with ScriptedEndpoint(latency=lambda request: 0.02) as server:
        run(config_for(server, tmp_path / "quiet", tmp_path / "v"))
        server.reset()
        out = tmp_path / "out"
        command = [sys.executable, str(ROOT / "tests/support/annotate_once.py"), server.url, str(out)]
        command.append(str(tmp_path / "v"))
        journaled: set[str] = set()
        in_the_middle = 0
        for number in range(kills + 1):
            child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert child.stdout is not None
            child.stdout.readline()
            if number == kills:
                assert child.wait(300) == 0
            else:
                before = server.calls
                while server.calls == before and child.poll() is None:
                    time.sleep(0.001)
                time.sleep(chance.uniform(0.0, 0.12))
                child.send_signal(signal.SIGKILL)
                in_the_middle += child.wait() == -signal.SIGKILL
            child.stdout.close()
            if (out / "journal.sqlite3").exists():
                with Journal(out, read_only=True) as journal:
                    now = {answer.key for answer in journal.answers()}
                assert journaled <= now
                journaled = now
        repeated = server.calls - videos * CALLS_A_VIDEO
        print(f"{repeated} calls repeated over {in_the_middle} kills with {workers} workers")
        assert in_the_middle >= 95
        assert repeated <= in_the_middle * workers
        assert final_files(out) == final_files(tmp_path / "quiet")


@pytest.mark.timeout(2400)
def test_a_hundred_thousand_listed_videos_stay_under_500_mb(tmp_path: Path) -> None:
    one = make_video(tmp_path / "one.mp4", seconds=1.0, fps=2)
    listed = tmp_path / "videos.jsonl"
    (tmp_path / "v").mkdir()
    with listed.open("w", encoding="utf-8") as handle:
        for i in range(100_000):
            path = tmp_path / "v" / f"site_{i % 100:03d}_camera_{i:06d}_recording.mp4"
            if i % 40 == 0:
                os.link(one, path)
            handle.write(json.dumps({"video_path": str(path)}) + "\n")
    with ScriptedEndpoint() as server:
        arguments = overrides(server.url, tmp_path / "out", None, f"data.input_jsonl_files=['{listed}']")
        script = (
            "import resource, runpy, sys\n"
            "sys.argv = ['auto_label', 'auto_label', 'generate', *sys.argv[1:]]\n"
            "try:\n    runpy.run_module('tao_skill_bank.actions', run_name='__main__')\n"
            "except SystemExit:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("100000 videos, 97500 with failures"), done.stderr + done.stdout
    megabytes = int(lines[-1]) / (1024 if sys.platform == "linux" else 1024**2)
    print(f"{megabytes:.0f} MB at 100,000 listed videos")
    assert megabytes < 500
    # The same picture under another name is the same call.
    assert server.calls == CALLS_A_VIDEO


_WRITE = """
import resource, sys
from pathlib import Path
from tao_skill_bank.annotate.files import write_step_files
from tao_skill_bank.annotate.layout import STEP_FILES
from tao_skill_bank.annotate.listing import StandingRows
folder, half = Path(sys.argv[1]), [f"/v/camera_{i:06d}.mp4" for i in range(50_000)]
standing = StandingRows(folder)
write_step_files(folder, set(STEP_FILES), 1, standing, half)
write_step_files(folder, set(STEP_FILES), 1, standing, None)
if sys.platform == "linux":
    # The kernel's other figure begins with what the process that started this one held.
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.timeout(1200)
def test_writing_the_files_of_a_hundred_thousand_annotated_videos_takes_little_memory(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    kinds = [f"anomaly_kind_{n}" for n in range(8)]
    text = "What moves? " * 40

    def made() -> Iterator[tuple[str, str, str, int, int, str]]:
        for i in range(100_000):
            video = f"/v/camera_{i:06d}.mp4"
            for step, part in [("1a", ""), ("2", ""), *(("3", kind) for kind in kinds)]:
                row = {"video": video, "prompt_key": part, "qa_output": text, "digest": "0"}
                yield step, video, part, i, 1, json.dumps(row)

    with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as db, db:
        db.executemany("INSERT INTO rows VALUES (?,?,?,?,?,?)", made())
    # The second time all rows stand in the files already, as in a run that is taken up.
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", _WRITE, str(tmp_path)], capture_output=True, text=True, check=True)
        megabytes = int(done.stdout) / (1024 if sys.platform == "linux" else 1024**2)
        print(f"{megabytes:.0f} MB to write the files of 100,000 annotated videos")
        assert megabytes < 250
    with (tmp_path / "step_3_qa/qa_output.jsonl").open(encoding="utf-8") as handle:
        assert sum(1 for _ in handle) == 800_000
