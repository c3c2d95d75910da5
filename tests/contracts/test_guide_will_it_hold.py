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


def test_the_month_of_a_plant_goes_as_the_guide_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    judged(tmp_path / "acceptance.csv", 1)
    judged(tmp_path / "judged.csv", 2, better=-0.2)
    (tmp_path / "month").mkdir()

    def typed(line: str) -> tuple[int, str]:
        program, *args = shlex.split(line, comments=True)
        assert program == "tao-skills"
        done = CliRunner().invoke(cli, args)
        return done.exit_code, done.stdout

    def evening(day: int) -> str:
        rng = np.random.default_rng(day)
        lots = [f"2026-11-{day:02d} {shift}" for shift in "123" for _ in range(40)]
        rows = [
            f"{lot},{score:.6f}"
            for lot, score in zip(lots, rng.normal(0.2 + 0.1 * (day >= 20), 0.08, 120), strict=True)
        ]
        (tmp_path / f"month/2026-11-{day:02d}.csv").write_text("\n".join(["lot,score", *rows]) + "\n")
        return f"tao-skills monitor feed plant month/2026-11-{day:02d}.csv"

    (month,) = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    start, before, after, move, anew = month.splitlines()
    assert typed(next(line for line in LINES if " certify " in line))[0] == 0 and typed(start)[0] == 0
    assert {typed(evening(day))[0] for day in range(1, 19)} == {0}
    evening(19)
    assert typed(before)[0] == 0
    typed(evening(20))
    evening(21)
    status, said = typed(after)
    assert status == 4 and "the usual score lies higher since about lot 2026-11-20" in said
    assert typed(move)[0] == 0 and (tmp_path / "moved-november/changed.csv").is_file()
    assert typed(anew)[0] == 0
