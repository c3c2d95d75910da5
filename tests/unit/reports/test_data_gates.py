"""What the report says of leakage and of what the plan looked at: counts, names, and nothing that was not looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tao_skill_bank.loop.checks import Check
from tao_skill_bank.reports.deft.checks import gates, leakage_text


@dataclass
class State:
    checked: list[Check]
    approval: None = None


@dataclass
class View:
    """As much of a run as its gates ask for."""

    state: State
    lines: list[Any] = field(default_factory=list)
    phases: list[Any] = field(default_factory=list)


def shown(*checks: Check) -> list[tuple[str, str, str]]:
    return [(g.kind, g.where, g.text) for g in gates(View(State(list(checks))))]  # type: ignore[arg-type]


def test_what_the_plan_saw_stands_in_the_report_of_a_run_that_has_only_begun() -> None:
    equal = "30 of 111 KPI pictures are pixel for pixel those of the training set"
    found = shown(
        Check(name="equal pictures", status="warn", text=equal),
        Check(name="boards", status="ok", text="46 boards by column board, none of them in two sets"),
        Check(name="credentials", status="warn", text="not set: NGC_KEY"),
        Check(name="encoder", status="ok", text="local"),
    )
    assert found == [
        ("warn", "plan", f"Equal pictures: {equal}."),
        ("held", "plan", "Boards: 46 boards by column board, none of them in two sets."),
    ]


def test_of_a_plan_that_was_not_recorded_nothing_is_claimed() -> None:
    assert shown() == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "not recorded"),
        ({"leaked": 0, "looked": 12}, "none of 12 new rows is an evaluation image by its file"),
        ({"equal_own": 36, "own_rows": 200}, "36 of 200 rows of the training set have the bytes of one, blank images"),
        ({"equal_mined": 2, "equal_synthetic": 1}, "3 new rows dropped for the bytes of one"),
        ({"near_duplicates": 8}, "8 new rows nearly like one, named in near_duplicates.csv"),
        (
            {"near_duplicates": 8, "near_copies": 2},
            "8 new rows nearly like one, 2 of them a copy by its noise",
        ),
        ({"near_duplicates": 8, "near_copies": 0}, "8 new rows nearly like one, none of them a copy by its noise"),
    ],
)
def test_leakage_is_told_by_what_was_looked_at_alone(found: dict[str, Any], words: str) -> None:
    assert leakage_text(found).startswith(words)


def test_leakage_that_was_not_looked_at_is_not_told_as_none() -> None:
    assert "is an evaluation image by its file" not in leakage_text({"near_duplicates": 0})
    assert "nearly" not in leakage_text({"leaked": 0, "looked": 3})
