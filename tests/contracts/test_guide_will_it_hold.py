"""The guide on certificates and monitors, typed as it is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tao_skill_bank.cli import cli

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/will-it-hold.md"
LINES = [
    line
    for block in re.findall(r"^```console\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def judged(path: Path, seed: int, better: float = 0.0) -> None:
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(0.2 - better, 0.08, 600), rng.normal(0.8, 0.08, 300)])
    rows = [
        f"p{i},{'PASS' if i < 600 else 'short'},{score:.6f},{'CU'[i % 2]},b{i % 60}" for i, score in enumerate(scores)
    ]
    path.write_text("\n".join(["sample,label,score,part_type,board", *rows]) + "\n")


def test_every_line_of_the_guide_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    judged(tmp_path / "acceptance.csv", 1)
    # Since then good parts have come to lie near the threshold.
    judged(tmp_path / "judged.csv", 2, better=-0.2)
    judged(tmp_path / "retrained.csv", 3, better=0.05)
    (tmp_path / "days").mkdir()
    for day in (1, 2):
        scores = np.random.default_rng(day).normal(0.2, 0.08, 50)
        rows = [f"{'CU'[i % 2]},{score:.6f}" for i, score in enumerate(scores)]
        (tmp_path / f"days/day{day}.csv").write_text("\n".join(["part_type,score", *rows]) + "\n")
    said = {}
    for line in LINES:
        program, *args = shlex.split(line)
        assert program == "tao-skills"
        done = CliRunner().invoke(cli, args)
        assert done.exit_code == 0, f"{line}: {done.output} {done.exception}"
        said[args[0]] = done.stdout
    assert len(LINES) == 6
    assert said["certify"].startswith("shown: FAR")
    assert "reference, 2 of 25 lots" in said["monitor"]
    assert "parts change sides" in said["recalibrate"] and (tmp_path / "moved/changed.csv").is_file()
    assert "FAR, no worse by more than 1 pp: not worse" in said["compare"]
    for made in ("certificate/certificate.html", "line/monitor.html", "moved/recalibration.json"):
        assert (tmp_path / made).is_file()
