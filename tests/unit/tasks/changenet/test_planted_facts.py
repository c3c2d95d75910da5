"""Faults of every kind planted into drawn boards: found, missed, and what is said of the clean set."""

from __future__ import annotations

from pathlib import Path

from planted_facts import FLIPS, flips_behind_a_model, planted_in_a_plan


def test_the_plan_finds_all_that_was_planted_but_flipped_labels_and_says_nothing_of_the_clean_set(
    tmp_path: Path,
) -> None:
    told, warnings = planted_in_a_plan(tmp_path / "w")
    assert warnings == [] and all(one.false_alarms == 0 for one in told)
    assert {one.fact: one.missed for one in told if one.missed} == {"flipped labels, before a model": 2 * FLIPS}
    assert len(told) == 10 and all(one.planted for one in told)


def test_behind_a_model_most_of_the_flipped_labels_are_suspects_and_none_of_the_clean_set(tmp_path: Path) -> None:
    told = flips_behind_a_model(tmp_path)
    assert told.found >= 15 and told.false_alarms == 0
