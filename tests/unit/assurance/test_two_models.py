"""Two models on the same parts by the command: counts, tests, and what fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.stats import binomtest

from tao_skill_bank.assurance.two_models import margin_of
from tao_skill_bank.cli import cli
from tao_skill_bank.core.errors import InputError


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["compare", *map(str, args)])


def scored(path: Path, scores: Any, labels: list[str], names: list[str] | None = None) -> Path:
    names = names or [f"p{i}" for i in range(len(labels))]
    rows = [f"{name},{label},{score}" for name, label, score in zip(names, labels, scores, strict=True)]
    path.write_text("\n".join(["sample,label,score", *rows]) + "\n")
    return path


LABELS = ["PASS"] * 400 + ["short"] * 200


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The second flags 12 more good parts and 2 fewer, and misses 3 more defects."""
    first = np.array([0.1] * 398 + [0.9] * 2 + [0.8] * 200)
    second = first.copy()
    second[:12], second[398:400], second[400:403] = 0.9, 0.1, 0.2
    return scored(tmp_path / "a.csv", first, LABELS), scored(tmp_path / "b.csv", second, LABELS)


def test_what_is_fixed_and_broken_is_counted_and_tested_exactly(pair: tuple[Path, Path]) -> None:
    said = json.loads(run(*pair, "--first-threshold", 0.5, "--json").stdout)
    far, misses = said["far"], said["misses"]
    assert (far["broken"], far["fixed"], far["parts"]) == (12, 2, 400)
    assert far["p"] == pytest.approx(binomtest(2, 14, 0.5).pvalue)
    assert far["worse_by"] == pytest.approx(0.025) and far["worse_least"] < 0.025 < far["worse_most"]
    assert (misses["broken"], misses["fixed"], misses["parts"]) == (3, 0, 200)
    assert said["area"]["first"] > said["area"]["second"]


def test_a_model_that_is_worse_by_more_than_the_margin_fails_with_status_4(pair: tuple[Path, Path]) -> None:
    assert run(*pair, "--first-threshold", 0.5, "--fail-if-worse", "0.2pp").exit_code == 4
    assert run(*pair, "--first-threshold", 0.5, "--fail-if-worse", "3pp").exit_code == 0
    assert run(*pair[::-1], "--first-threshold", 0.5, "--fail-if-worse", "0.2pp").exit_code == 0


def test_the_same_model_is_not_worse_and_says_whether_that_is_shown(pair: tuple[Path, Path]) -> None:
    done = run(pair[0], pair[0], "--first-threshold", 0.5, "--fail-if-worse", "0.2pp")
    assert done.exit_code == 0 and "FAR, no worse by more than 0.2 pp: cannot be told" in done.stdout
    assert run(pair[0], pair[0], "--first-threshold", 0.5, "--fail-if-worse", "0.2pp", "--strict").exit_code == 4
    assert run(pair[0], pair[0], "--first-threshold", 0.5, "--fail-if-worse", "3pp", "--strict").exit_code == 0


def test_parts_are_matched_by_name_and_those_of_one_file_are_left_out(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    lines = pair[1].read_text().splitlines()
    pair[1].write_text("\n".join([lines[0], *lines[:0:-1][50:]]) + "\n")
    said = json.loads(run(*pair, "--first-threshold", 0.5, "--json").stdout)
    assert (said["parts"], said["only_first"], said["only_second"]) == (550, 50, 0)
    assert said["far"]["broken"] == 12


def test_files_that_cannot_be_set_side_by_side_are_refused_in_a_line(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    def refused(second: Path, *more: object) -> str:
        done = run(pair[0], second, *(more or ("--first-threshold", 0.5)))
        assert isinstance(done.exception, InputError), done.output
        return done.exception.line()

    other = scored(tmp_path / "other.csv", [0.1] * 600, ["open"] * 200 + ["PASS"] * 400)
    assert "have another label" in refused(other)
    twice = scored(tmp_path / "twice.csv", [0.1] * 2, ["PASS"] * 2, ["p1", "p1"])
    assert "p1 is there twice" in refused(twice)
    strangers = scored(tmp_path / "x.csv", [0.1], ["PASS"], ["q"])
    assert "no part of a.csv" in refused(strangers)
    assert "no threshold is known" in refused(pair[1], "--second-threshold", 0.5)
    # Whether 0.2 is a fifth or a fifth of a point nobody can tell: a gate of 20 points would let all pass.
    for margin in ("much", "0.2", "0.002", "nanpp", "-1pp"):
        assert "no margin" in refused(pair[1], "--first-threshold", 0.5, "--fail-if-worse", margin)


@pytest.mark.parametrize(("text", "share"), [("0.2pp", 0.002), ("0.2 %", 0.002), ("1PP", 0.01)])
def test_a_margin_is_written_in_points_or_percent(text: str, share: float) -> None:
    assert margin_of(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("PASS", "miss rate not measured: none of these parts is a defect"),
        ("short", "FAR not measured: none of these parts is a good part"),
    ],
)
def test_a_rate_of_no_parts_is_not_said_to_be_zero(tmp_path: Path, label: str, said: str) -> None:
    one, other = (scored(tmp_path / f"{name}.csv", [0.1, 0.9, 0.2], [label] * 3) for name in "ab")
    done = run(one, other, "--first-threshold", 0.5, "--fail-if-worse", "0.2pp")
    assert said in done.stdout and " of 0" not in done.stdout
    # A gate that has looked at nothing does not pass.
    assert done.exit_code == 4 and "no worse by more than 0.2 pp: not measured" in done.stdout
    assert run(one, other, "--first-threshold", 0.5).exit_code == 0


def test_a_part_without_a_name_is_not_matched_with_another_one(tmp_path: Path) -> None:
    one, other = (scored(tmp_path / f"{name}.csv", [0.1, 0.9, 0.2], ["PASS", "x", "PASS"]) for name in "ab")
    other.write_text(other.read_text().replace("p2", " "))
    done = run(one, other, "--first-threshold", 0.5)
    assert isinstance(done.exception, InputError) and "b.csv row 3: no sample names this part" in done.exception.line()
