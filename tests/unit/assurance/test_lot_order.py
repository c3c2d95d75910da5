"""Which names of lots and files are told to be out of the order of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tao_skill_bank.assurance import monitor_feed
from tao_skill_bank.assurance.lot_order import first_fall, late
from tao_skill_bank.assurance.monitor_record import Fed
from tao_skill_bank.data.score_files import read_score_file


@pytest.mark.parametrize(
    "names",
    [
        ("30.11.2026 shift 1", "01.12.2026 shift 1"),
        ("2026/30-11-2026", "2026/01-12-2026"),
        ("line 12 30_11_2026 2", "line 12 01_12_2026 2"),
        ("30112026", "01122026"),
        ("day2", "day10"),
    ],
)
def test_no_name_is_called_earlier_that_is_not(names: tuple[str, str]) -> None:
    assert first_fall(names) is None


def test_numbers_of_any_length_are_compared() -> None:
    lots = ["2026-11-30 " + digit * 5000 for digit in "98"]
    assert late(lots[0], lots[1:]) == tuple(lots) and late(lots[1], lots[:1]) is None


def test_a_day_is_late_for_its_own_part_type_alone(tmp_path: Path) -> None:
    monitor_feed.start(tmp_path / "line", 0.5)

    def fed(name: str, *lots: tuple[str, str]) -> Fed | None:
        rows = [f"{kind},{lot},0.{k}" for kind, lot in lots for k in range(1, 4)]
        (tmp_path / name).write_text("\n".join(["part_type,lot,score", *rows]) + "\n")
        return monitor_feed.feed(tmp_path / "line", read_score_file(tmp_path / name))

    # As a station writes it: all days of one part type, then all of the next.
    of_types = {"C": (1, 2, 3), "U": (2, 3), "R": (1, 2)}
    first = fed("a.csv", *((kind, f"2026-11-{k:02d}") for kind, days in of_types.items() for k in days))
    second = fed("b.csv", ("R", "2026-11-03"), ("C", "2026-11-04"))
    third = fed("c.csv", ("C", "2026-11-05"), ("U", "2026-11-01"))
    assert first and second and third
    assert (first.late, second.late, third.late) == (None, None, ("2026-11-03", "2026-11-01"))
