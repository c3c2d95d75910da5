"""A new threshold: chosen on some parts, shown on others, beside the old one; and the conformal bound."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.stats import norm

from tao_skill_bank.assurance.recalibrate import recalibrate, set_apart
from tao_skill_bank.cli import cli
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.score_files import read_score_file
from tao_skill_bank.tasks.changenet.metric import GRAMMAR

TARGET = "FAR < 5% at recall=95%"


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["recalibrate", *map(str, args)])


def drawn(
    path: Path, seed: int = 0, goods: int = 900, defects: int = 450, boards: int = 90, shift: float = 0.0
) -> Path:
    rng = np.random.default_rng(seed)
    label = ["PASS"] * goods + ["short"] * defects
    score = np.concatenate([rng.normal(0.2, 0.1, goods), rng.normal(0.7, 0.1, defects)]) + shift
    rows = [
        f"p{i},{name},{value:.6f},b{rng.integers(boards)}"
        for i, (name, value) in enumerate(zip(label, score, strict=True))
    ]
    path.write_text("\n".join(["sample,label,score,board", *rows]) + "\n")
    return path


def test_the_boards_that_choose_do_not_judge(tmp_path: Path) -> None:
    sets = set_apart(read_score_file(drawn(tmp_path / "s.csv")))
    choosing, judging = (set(side.boards or []) for side in (sets.choosing, sets.judging))
    assert choosing and judging and not choosing & judging
    assert len(sets.choosing) + len(sets.judging) == 1350


def test_boards_are_not_split_by_rows_since_one_part_names_no_board(tmp_path: Path) -> None:
    path = drawn(tmp_path / "s.csv", goods=40, defects=20)
    head, *rows = path.read_text().splitlines()
    rows[6] = rows[6].rsplit(",", 1)[0] + ","
    path.write_text("\n".join([head, *rows]) + "\n")
    refused = run(path, "--target", TARGET)
    assert isinstance(refused.exception, InputError)
    assert "s.csv row 7: column board is empty" in refused.exception.line()


def test_old_and_new_stand_side_by_side_and_every_part_between_them_is_named(tmp_path: Path) -> None:
    path = drawn(tmp_path / "s.csv", shift=0.1)
    done = run(path, "--target", TARGET, "--threshold", 0.45, "--to", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    low, high = sorted((said["old"], said["new"]))
    judged = set_apart(read_score_file(path)).judging
    between = int(np.count_nonzero((judged.score > low) & (judged.score <= high)))
    with (tmp_path / "out" / "changed.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(said["changed"]) == between > 0
    assert said["sides"]["far"]["broken"] + said["sides"]["far"]["fixed"] + said["sides"]["misses"]["broken"] == between
    assert said["certificate"]["threshold"] == said["new"] and said["old_certificate"]["threshold"] == 0.45
    assert said["certificate"]["far"]["n"] + said["certificate"]["recall"]["n"] == said["shown_on"]


def test_what_was_written_is_not_written_over(tmp_path: Path) -> None:
    args = (drawn(tmp_path / "s.csv"), "--target", TARGET, "--threshold", 0.45, "--to", tmp_path / "out")
    assert run(*args).exit_code == 0
    before = (tmp_path / "out" / "recalibration.json").read_bytes()
    again = run(*args)
    assert isinstance(again.exception, InputError) and "recalibration already" in again.exception.line()
    assert (tmp_path / "out" / "recalibration.json").read_bytes() == before


def test_a_file_of_its_own_judges(tmp_path: Path) -> None:
    said = json.loads(
        run(
            drawn(tmp_path / "s.csv"), "--proof", drawn(tmp_path / "p.csv", seed=1), "--target", TARGET, "--json"
        ).stdout
    )
    assert (said["chosen_on"], said["shown_on"], said["proof"]) == (1350, 1350, "own file")
    assert said["certificate"]["data"].endswith("p.csv")


@pytest.mark.parametrize("told_by", ["name", "whole file"])
def test_parts_that_choose_prove_nothing(tmp_path: Path, told_by: str) -> None:
    path = drawn(tmp_path / "s.csv")
    head, *rows = path.read_text().splitlines()
    copy = tmp_path / "copy.csv"
    if told_by == "name":
        head_and_rows = [head, *drawn(tmp_path / "p.csv", seed=1).read_text().splitlines()[1:], *rows[:3]]
    else:
        path.write_text("\n".join(row.split(",", 1)[1] for row in (head, *rows)) + "\n")
        head_and_rows = [row.split(",", 1)[1] for row in (head, *rows[::-1])]
    copy.write_text("\n".join(head_and_rows) + "\n")
    refused = run(path, "--proof", copy, "--target", TARGET, "--to", tmp_path / "out")
    shared = 3 if told_by == "name" else 1350
    assert isinstance(refused.exception, InputError)
    assert f"{shared} of its parts choose the threshold too" in refused.exception.line()
    assert not (tmp_path / "out").exists()


def test_the_next_defect_escapes_as_rarely_as_the_conformal_bound_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    target = GRAMMAR.parse("FAR < 50% at recall=95%")
    escapes = []
    for _ in range(150):
        scores = rng.normal(size=60)
        table = tmp_path / "s.csv"
        table.write_text("label,score\nPASS,-9\n" + "".join(f"short,{s:.9f}\n" for s in scores))
        new = recalibrate(set_apart(read_score_file(table), conformal=True), target).new
        escapes.append(norm.cdf(new))
    # Two may be missed, and the next one falls below the third with a probability of 3 / 61, which is at most 5 %.
    assert np.mean(escapes) == pytest.approx(3 / 61, abs=3 * 0.0275 / 150**0.5)


def test_a_conformal_bound_says_what_it_is_and_shows_nothing_of_far(tmp_path: Path) -> None:
    done = run(drawn(tmp_path / "s.csv"), "--conformal", "--target", TARGET)
    assert "on average over sets of 450 defects" in done.stdout and "of FAR nothing is shown" in done.stdout


def test_what_cannot_be_chosen_is_refused_in_a_line(tmp_path: Path) -> None:
    few = drawn(tmp_path / "few.csv", goods=20, defects=10)

    def refused(*args: object) -> str:
        done = run(*args)
        assert isinstance(done.exception, InputError), done.output
        return done.exception.line()

    assert "at least 99 of defects" in refused(few, "--conformal", "--target", "FAR < 5% at recall=99%")
    assert "no number of defects" in refused(few, "--conformal", "--target", "FAR < 5% at recall=100%")
    assert "no target" in refused(few)
    assert "share to set apart" in refused(few, "--target", TARGET, "--split", 1.5)
    assert "two ways" in refused(few, "--target", TARGET, "--conformal", "--proof", few)


def test_a_target_without_recall_has_no_conformal_bound_and_is_refused_for_that(tmp_path: Path) -> None:
    done = run(drawn(tmp_path / "s.csv"), "--conformal", "--target", "f1 >= 0.9")
    assert isinstance(done.exception, InputError) and "limits none" in done.exception.line()


def test_the_new_threshold_leaves_room_on_both_sides_so_that_its_proof_can_show_the_target(tmp_path: Path) -> None:
    said = json.loads(
        run(drawn(tmp_path / "s.csv", shift=0.25), "--target", TARGET, "--threshold", 0.45, "--json").stdout
    )
    assert said["old_certificate"]["word"] == "not met" and said["certificate"]["word"] == "shown"
    # Good parts about 0.45, defects about 0.95, spread 0.1: not at the edge of either.
    assert 0.62 < said["new"] < 0.79 and said["statement"] == "on parts that did not choose it: shown"


def test_where_no_threshold_meets_the_target_it_is_said_that_moving_it_does_not_help(tmp_path: Path) -> None:
    path = drawn(tmp_path / "s.csv")
    rows = path.read_text().splitlines()
    # Defects among the good parts: nothing parts them.
    path.write_text("\n".join([rows[0], *(row.replace(",short,0.", ",short,0.0") for row in rows[1:])]) + "\n")
    done = run(path, "--target", TARGET, "--threshold", 0.45)
    assert done.exit_code == 0 and "moving it does not help here, mend what changed or train again" in done.stdout
    assert "on parts that did not choose it: not met" in done.stdout


def test_where_so_few_choose_that_another_threshold_may_meet_the_target_it_is_not_said_that_moving_it_is_no_help(
    tmp_path: Path,
) -> None:
    # Two false calls of twenty good parts at full recall: FAR 10 % here, and 1 to 32 % of parts like these.
    good, bad = [0.9, 0.8, *[0.1] * 18], [0.7] * 20
    few = tmp_path / "few.csv"
    few.write_text("\n".join(["label,score", *(f"PASS,{x}" for x in good), *(f"short,{x}" for x in bad)]) + "\n")
    said = run(few, "--proof", drawn(tmp_path / "s.csv"), "--target", TARGET, "--threshold", 0.45).stdout
    assert "no threshold meets" in said and "FAR is 10 %): by so few that may be chance, give more parts" in said
    assert "does not help" not in said and "on parts that did not choose it: " in said


def test_defects_alone_choose_by_recall_and_nothing_is_said_of_far(tmp_path: Path) -> None:
    done = run(drawn(tmp_path / "s.csv", goods=0), "--target", TARGET, "--threshold", 0.45)
    assert done.exit_code == 0 and "FAR not measured" in done.stdout
