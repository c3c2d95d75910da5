"""A workspace in which every view of the studio has something to show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from annotation import config_for
from annotation import run as annotate
from click.testing import CliRunner
from report_runs import RunBuilder
from scripted_endpoint import ScriptedEndpoint, plain_answer
from videos import make_video

from tao_skill_bank import labels
from tao_skill_bank.assurance import monitor_feed
from tao_skill_bank.commands.certify import cli as certify_command
from tao_skill_bank.data.corrections import Word
from tao_skill_bank.data.score_files import read_score_file


def annotated(root: Path, videos: int, codec: str) -> None:
    """`qa`: questions about so many videos; the variable of the key is set by whoever calls."""
    for number in range(videos):
        make_video(root / "videos" / f"v{number:04d}.mp4", 2.0, 8, seed=number, codec=codec)
    with ScriptedEndpoint(answers=plain_answer) as server:
        annotate(config_for(server, root / "qa", root / "videos"))


def certified(run: Path, to: Path) -> None:
    """A certificate of a run."""
    done = CliRunner().invoke(certify_command, [str(run), "--to", str(to)])
    assert done.exit_code in (0, 4), done.output


def monitored(folder: Path, lots: int = 30, change: int = 20) -> None:
    """A monitor of one part type whose scores have moved since a lot."""
    monitor_feed.start(folder, 0.5, target="FAR < 5% at recall=95%", reference_lots=8)
    rng = np.random.default_rng(1)
    for k in range(lots):
        day = folder.parent / f"day{k:02d}.csv"
        scores = rng.normal(0.2 if k < change else 0.45, 0.03, 30)
        day.write_text("\n".join(["score,part_type", *(f"{score:.5f},<b>U" for score in scores)]) + "\n")
        monitor_feed.feed(folder, read_score_file(day))
        day.unlink()


def full_workspace(folder: Path) -> list[Path]:
    """Two runs, a dispute, corrections, a monitor that alarms, a certificate; returns the runs, the newest first."""
    earlier = RunBuilder(folder, iterations=1, passes=60, per_label=4, skill=0.5).build()
    earlier = earlier.rename(earlier.with_name("run_20260825_090000"))
    root = earlier.parent.parent
    latest = RunBuilder(folder, iterations=2, passes=60, per_label=4, workspace=root).build()
    for who, to in (("Ana", "bridge"), ("Ben", "PASS")):
        labels.say(root, [Word("board2/C5", "mislabeled", who, to=to, set="kpi")])
    labels.say(root, [Word("board2/C7", "data_quality", "Ana", drop=True, set="kpi")])
    certified(latest, root / "certificate")
    monitored(root / "line")
    return [latest, earlier]
