"""The monitor: what alarms and what does not, labels at known rates, and that nothing fed is lost or counted twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tao_skill_bank.assurance import monitor_feed as monitor
from tao_skill_bank.assurance.certificate import certify
from tao_skill_bank.assurance.monitor import status
from tao_skill_bank.assurance.monitor_feed import Rates
from tao_skill_bank.assurance.monitor_record import read_fed
from tao_skill_bank.assurance.subject import subject_of
from tao_skill_bank.cli import cli
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.score_files import read_score_file
from tao_skill_bank.reports.certificate import write_certificate
from tao_skill_bank.reports.monitor import head, monitor_html

TARGET = "FAR < 1% at recall=99%"


def day(folder: Path, name: str, scores: Any, **columns: Any) -> Path:
    """A file of scores with further columns, each one text or one a row."""
    path = folder / f"{name}.csv"
    head = ["score", *columns]
    cells = [[v] * len(scores) if isinstance(v, str) else list(v) for v in columns.values()]
    rows = zip((f"{s:.6f}" for s in scores), *cells, strict=True)
    path.write_text("\n".join([",".join(head), *(",".join(row) for row in rows)]) + "\n")
    return path


def days(folder: Path, number: int, seed: int = 0, change: int | None = None, by: float = 0.0) -> list[Path]:
    """Lots whose median varies by 0.02 from lot to lot; from lot `change` on the scores of U lie higher."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(number):
        scores, kinds = [], []
        for kind in "CU":
            shift = by if change is not None and k >= change and kind == "U" else 0.0
            scores.append(rng.normal(0.2 + 0.02 * rng.normal() + shift, 0.05, size=60))
            kinds += [kind] * 60
        found.append(day(folder, f"day{k:03d}", np.concatenate(scores), part_type=kinds, lot=f"D{k:03d}"))
    return found


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["monitor", *map(str, args)])


def feed(folder: Path, *files: Path, **more: Any) -> None:
    for path in files:
        monitor.feed(folder, read_score_file(path), **more)


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    folder = tmp_path / "monitor"
    monitor.start(folder, 0.5, target=TARGET, reference_lots=20)
    return folder


def test_a_change_of_one_part_type_alarms_with_status_4_and_names_it_and_its_beginning(
    tmp_path: Path, watched: Path
) -> None:
    done = run("feed", watched, *days(tmp_path, 50, change=35, by=0.06), "--json")
    assert done.exit_code == 4
    said = json.loads(done.stdout)
    assert said["word"] == "alarm" and [a["part_type"] for a in said["alarms"]] == ["U"]
    assert abs(int(said["alarms"][0]["since"][1:]) - 35) <= 2
    assert "U: " in said["alarms"][0]["text"] and "higher since about lot" in said["alarms"][0]["text"]
    assert run("status", watched).exit_code == 4


def test_the_run_to_a_false_alarm_is_in_lots_of_the_line_however_many_part_types_a_lot_has(tmp_path: Path) -> None:
    def watch(name: str, kinds: str) -> float:
        rng = np.random.default_rng(5)
        monitor.start(tmp_path / name, 0.9, reference_lots=5)
        for k in range(9):
            one = rng.normal(0.2, 0.05, 30)
            scores = np.concatenate([one] + [rng.normal(0.2, 0.05, 30) for _ in kinds[1:]])
            types = [kind for kind in kinds for _ in range(30)]
            feed(tmp_path / name, day(tmp_path, f"{name}{k}", scores, part_type=types, lot=f"D{k}"))
            rng = np.random.default_rng(100 + k)
        return next(s.evidence for s in status(tmp_path / name).strata if s.part_type == "A" and s.evidence is not None)

    assert watch("one", "A") == pytest.approx(4 * watch("four", "ABCD"))


@pytest.mark.parametrize(("spread", "said"), [(1.8, "further apart"), (0.5, "closer together")])
def test_a_change_of_spread_alone_alarms_in_words_of_its_own(
    tmp_path: Path, watched: Path, spread: float, said: str
) -> None:
    # The median and the scores from the 90th percentile on stay as they are.
    rng = np.random.default_rng(8)
    for k in range(60):
        scores = rng.normal(0.2 + 0.01 * rng.normal(), 0.05, size=60)
        inner = np.abs(scores - np.median(scores)) < 0.06
        wide = np.median(scores) + (scores - np.median(scores)) * np.where(inner & (k >= 30), spread, 1.0)
        feed(watched, day(tmp_path, f"d{k}", np.minimum(wide, np.sort(scores)[-7])))
    (alarm,) = status(watched).alarms
    assert alarm.statistic == "spread" and f"all parts: scores lie {said} since about lot d" in alarm.text
    page = monitor_html(watched, status(watched))
    assert page.count("<polyline") == 3 and "Look for what changed then" in page and "the line below" in page


def test_a_monitor_that_was_started_with_two_statistics_goes_on_with_these(tmp_path: Path, watched: Path) -> None:
    settings = json.loads((watched / "monitor.json").read_text())
    assert settings.pop("statistics") == ["level", "tail", "spread"]
    (watched / "monitor.json").write_text(json.dumps(settings))
    feed(watched, *days(tmp_path, 22))
    assert {len(lot.values) for line in read_fed(watched)[0] for lot in line.lots} == {2}
    found = status(watched)
    page = monitor_html(watched, found)
    assert found.word == "no alarm" and page.count("<polyline") == 4
    assert "Look for what changed" not in page and "the line below" not in page
    (watched / "checkpoint.json").unlink()
    assert status(watched) == found


def test_a_lots_median_is_to_the_last_digit_what_a_monitor_at_work_has(tmp_path: Path, watched: Path) -> None:
    # Half of the parts lie far from the other half, so that it is between two scores.
    pairs = np.sort(np.random.default_rng(0).random((300, 2)).round(2), axis=1)
    rows = [(f"L{k:03d}", score) for k, pair in enumerate(pairs) for score in pair for _ in range(3)]
    feed(watched, day(tmp_path, "x", [score for _, score in rows], lot=[lot for lot, _ in rows]))
    (line,) = read_fed(watched)[0]
    assert [lot.values[0] for lot in line.lots] == [float(np.median(np.repeat(pair, 3))) for pair in pairs]


def test_scores_whose_distance_is_no_number_leave_a_record_that_can_be_read(tmp_path: Path, watched: Path) -> None:
    path = tmp_path / "far.csv"
    path.write_text("score\n" + "-1e308\n" * 15 + "1e308\n" * 6)
    feed(watched, path)
    (lot,) = read_fed(watched)[0][0].lots
    assert np.isfinite(lot.values).all()


def test_lots_as_before_do_not_alarm(tmp_path: Path, watched: Path) -> None:
    done = run("feed", watched, *days(tmp_path, 45, seed=3))
    assert done.exit_code == 0 and done.stdout.startswith("no alarm: 45 lots")


def test_while_the_reference_is_gathered_nothing_is_claimed(tmp_path: Path, watched: Path) -> None:
    feed(watched, *days(tmp_path, 20))
    found = status(watched)
    assert found.word == "reference" and all(s.evidence is None for s in found.strata)


def test_after_a_restart_the_next_lots_are_the_reference_and_what_was_fed_stays(tmp_path: Path, watched: Path) -> None:
    feed(watched, *days(tmp_path, 50, change=30, by=0.1))
    before = (watched / "fed.jsonl").read_bytes()
    assert run("restart", watched, "--part-type", "U", "--note", "new lamp").exit_code == 0
    found = status(watched)
    assert found.word == "no alarm" and {s.part_type: s.lots for s in found.strata} == {"C": 50, "U": 0}
    assert (watched / "fed.jsonl").read_bytes().startswith(before)
    refused = run("restart", watched, "--part-type", "X")
    assert isinstance(refused.exception, InputError) and "no stratum X" in refused.exception.line()


def test_one_file_of_all_days_says_what_a_file_a_day_says(tmp_path: Path, watched: Path) -> None:
    files = days(tmp_path, 30, change=25, by=0.1)
    feed(watched, *files)
    other = tmp_path / "other"
    monitor.start(other, 0.5, target=TARGET, reference_lots=20)
    whole = tmp_path / "whole.csv"
    lines = [path.read_text().splitlines() for path in files]
    whole.write_text("\n".join([lines[0][0], *(row for rows in lines for row in rows[1:])]) + "\n")
    feed(other, whole)
    pairs = zip(status(watched).strata, status(other).strata, strict=True)
    assert all((a.lots, a.parts, a.flagged) == (b.lots, b.parts, b.flagged) for a, b in pairs)
    assert [a.lot for a in status(watched).alarms] == [a.lot for a in status(other).alarms]


def test_files_whose_numbers_fall_are_refused_before_any_is_fed_since_a_shell_sorts_day10_before_day2(
    tmp_path: Path, watched: Path
) -> None:
    files = sorted(day(tmp_path, f"day{k}", [0.1 * k] * 30) for k in (1, 2, 9, 10))
    refused = run("feed", watched, *files)
    assert isinstance(refused.exception, InputError)
    said, (first, tenth, second, ninth) = refused.exception.line(), files
    assert "day10.csv: stands before" in said and f"names: {first}, {second}, {ninth} and {tenth}), or" in said
    assert not (watched / "fed.jsonl").exists()
    assert run("feed", watched, *files, "--as-given").exit_code == 0 and status(watched).lots == 4


def test_a_day_that_comes_after_a_later_one_is_taken_and_said_in_a_line(tmp_path: Path, watched: Path) -> None:
    assert run("feed", watched, day(tmp_path, "line_2026-11-30", [0.1] * 30)).stderr == ""
    done = run("feed", watched, day(tmp_path, "line_2026-11-29", [0.2] * 30))
    (said,) = done.stderr.splitlines()
    assert "lot line_2026-11-29 came after lot line_2026-11-30" in said and done.exit_code == 0
    # The newest first within a file, as a database gives them.
    lots = [f"2026-12-{k:02d}" for k in (3, 2, 1) for _ in range(20)]
    done = run("feed", watched, day(tmp_path, "x", [0.3] * 60, lot=lots))
    assert "lot 2026-12-02 came after lot 2026-12-03" in done.stderr
    assert [line.late for line in read_fed(watched)[0]] == [
        None, ("line_2026-11-30", "line_2026-11-29"), ("2026-12-03", "2026-12-02")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        ("4711", "0815"),
        ("2026-11-30", "2026-12-01"),
        ("30.11.2026", "01.12.2026"),
        ("L2 2026-11-30", "today"),
    ],
)
def test_orders_out_of_number_and_dates_that_end_with_the_year_are_taken_without_a_word(
    tmp_path: Path, watched: Path, names: tuple[str, str]
) -> None:
    for name in names:
        assert run("feed", watched, day(tmp_path, f"x{names.index(name)}", [0.1] * 30, lot=name)).stderr == ""
        assert run("feed", watched, day(tmp_path, name, [0.2] * 30)).stderr == ""


def test_a_monitor_of_any_finite_run_to_a_false_alarm_can_still_be_read(watched: Path) -> None:
    path = watched / "monitor.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lots_to_false_alarm": 1e12}))
    assert status(watched).lots_to_false_alarm == 1e12


def test_a_file_that_was_fed_counts_once_and_a_lot_of_another_file_is_refused(tmp_path: Path, watched: Path) -> None:
    (path,) = days(tmp_path, 1)
    feed(watched, path)
    again = run("feed", watched, path)
    assert "fed before" in again.stderr and status(watched).parts == 120
    other = day(tmp_path, "other", [0.1] * 30, part_type="C", lot="D000")
    refused = run("feed", watched, other)
    assert isinstance(refused.exception, InputError) and "lot D000 of C was fed before" in refused.exception.line()
    assert status(watched).parts == 120


@pytest.mark.parametrize("column", ["lot", "batch", "part_type", "component", "lighting", "light"])
@pytest.mark.parametrize("blank", [[7], range(30)], ids=["one cell", "every cell"])
def test_an_empty_cell_of_what_tells_lots_and_part_types_apart_is_refused_by_file_row_and_column(
    tmp_path: Path, watched: Path, column: str, blank: Any
) -> None:
    path = day(tmp_path, "today", [0.1] * 30, **{column: [" " if row in blank else "A" for row in range(30)]})
    refused = run("feed", watched, path)
    assert isinstance(refused.exception, InputError)
    assert f"today.csv row {min(blank) + 1}: column {column} is empty" in refused.exception.line()
    assert read_fed(watched)[0] == []


def test_another_column_that_says_the_lot_of_every_part_is_taken(tmp_path: Path, watched: Path) -> None:
    feed(watched, day(tmp_path, "today", [0.1] * 30, lot=["A", *[""] * 29], batch="B7"))
    assert [lot.lot for line in read_fed(watched)[0] for lot in line.lots] == ["B7"]


@pytest.mark.parametrize(
    ("first", "then", "what"),
    [
        ({"part_type": "C"}, {}, "part type of a part is not told here"),
        ({}, {"part_type": "C"}, "part type of a part is told here"),
        ({"lighting": "white"}, {}, "lighting of a part is not told here"),
        # One name that is no designator, and no part type would be told of any.
        ({"object_name": ["C1", "U2"] * 15}, {"object_name": ["C1", "plate"] * 15}, "part type of a part is not told"),
    ],
)
def test_a_file_that_no_longer_tells_part_types_apart_is_not_fed_to_another_stratum_in_silence(
    tmp_path: Path, watched: Path, first: Any, then: Any, what: str
) -> None:
    feed(watched, day(tmp_path, "one", [0.1] * 30, **first))
    refused = run("feed", watched, day(tmp_path, "two", [0.2] * 30, **then))
    assert isinstance(refused.exception, InputError) and what in refused.exception.line()
    assert "two.csv" in refused.exception.line() and len(read_fed(watched)[0]) == 1


def test_a_small_lot_is_counted_and_not_tested(tmp_path: Path, watched: Path) -> None:
    feed(watched, day(tmp_path, "tiny", [0.9] * 5))
    (stratum,) = status(watched).strata
    assert (stratum.small_lots, stratum.flagged, stratum.reference) == (1, 5, 0)


def line_of(folder: Path, seed: int, sizes: Any) -> Path:
    """A monitor's line of lots of these sizes, all of one distribution, with the median varying from lot to lot."""
    rng = np.random.default_rng(seed)
    monitor.start(folder, 9.0, reference_lots=20)
    path = folder / "all.csv"
    rows = [f"L{k},{s:.6f}" for k, n in enumerate(sizes) for s in rng.normal(0.1 * rng.normal(), 1, size=n)]
    path.write_text("\n".join(["lot,score", *rows]) + "\n")
    feed(folder, path)
    return folder


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lots_that_shrink_with_unchanged_scores_are_no_change_of_the_scores_and_alarm_as_untested(
    tmp_path: Path, seed: int
) -> None:
    folder = line_of(tmp_path / "m", seed, [200] * 25 + [20] * 60)
    found = status(folder)
    (stratum,) = found.strata
    (alarm,) = found.alarms
    assert alarm.text == (
        "all parts: not tested any more: its last 60 lots had under 160 parts, too few to be held against its "
        "reference; restart it"
    )
    assert (stratum.lots, stratum.small_lots, stratum.parts) == (85, 60, 6200)
    assert "60 too small to test (under 160 parts)" in "\n".join(found.lines())
    assert "60 too small to test" in monitor_html(folder, found)
    assert found.untested == "the newest lot of 1 is too small to test"


def test_the_tenth_lot_in_a_row_that_is_too_small_alarms_with_status_4_until_one_is_large_enough(
    tmp_path: Path, watched: Path
) -> None:
    rng = np.random.default_rng(2)

    def fed(name: str, parts: int) -> int:
        return run("feed", watched, day(tmp_path, name, rng.normal(0.2, 0.05, parts))).exit_code

    # Before there is a reference, where none of the lots has the parts that one takes, as well.
    assert [fed(f"a{k}", 19) for k in range(10)] == [0] * 9 + [4]
    said = run("status", watched).stdout
    # Nothing was tested yet, there is no reference, and beginning anew would change nothing.
    assert "not tested: its last 10 lots had under 20 parts, the least that this monitor tests; feed larger" in said
    assert "any more" not in said + (watched / "monitor.html").read_text() and "restart it" not in said
    assert [fed(f"b{k}", 100) for k in range(21)] == [0] * 21
    assert [fed(f"c{k}", 50) for k in range(10)] == [0] * 9 + [4]
    said = run("status", watched).stdout
    assert "not tested any more: its last 10 lots had under 80 parts" in said and "restart it" in said
    assert "not tested any more" in (watched / "monitor.html").read_text()
    assert run("restart", watched).exit_code == 0


def test_lots_that_grow_are_tested_by_as_many_parts_as_the_reference_has(tmp_path: Path) -> None:
    folder = line_of(tmp_path / "m", 1, [50] * 25 + [1000] * 20)
    found = status(folder)
    assert found.alarms == () and "20 far larger than the reference's" in "\n".join(found.lines())
    lots = [lot for line in read_fed(folder)[0] for lot in line.lots]
    assert [lot.drawn for lot in lots] == [0] * 25 + [50] * 20 and found.parts == 21_250
    # A draw of 50 parts varies as a lot of 50 does; the 95th percentile of 1000 parts would vary less.
    assert np.std([lot.values[1] for lot in lots[25:]]) > 0.13


def test_lots_whose_sizes_always_varied_are_all_tested(tmp_path: Path) -> None:
    sizes = np.random.default_rng(1).integers(50, 300, 40)
    found = status(line_of(tmp_path / "m", 1, sizes.clip(60, 290)))
    assert found.untested == "" and found.strata[0].small_lots == found.strata[0].drawn_lots == 0


def test_one_odd_lot_of_the_reference_does_not_widen_what_is_tested(tmp_path: Path) -> None:
    found = status(line_of(tmp_path / "m", 1, [20, 200, 2000, *[200] * 30, 20]))
    assert found.strata[0].small_lots == 1 and found.strata[0].least_parts == 160


@pytest.mark.slow
@pytest.mark.parametrize("later", [20, 161, 249, 2000])
def test_false_alarms_stay_under_what_is_promised_whatever_size_later_lots_have(tmp_path: Path, later: int) -> None:
    lines = (line_of(tmp_path / str(seed), seed, [200] * 30 + [later] * 70) for seed in range(40))
    alarms = sum(any(alarm.kind == "drift" for alarm in status(folder).alarms) for folder in lines)
    # 80 lots, three detectors, a limit of 6,000: 4 % at most; of 40 lines more than 5 are as rare as 1 in 300.
    assert alarms <= 5


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_line_that_a_crash_tore_off_is_fed_again_and_nothing_is_lost(tmp_path: Path, watched: Path, cut: int) -> None:
    files = days(tmp_path, 23)
    feed(watched, *files[:-1])
    whole = status(watched)
    feed(watched, files[-1])
    after = status(watched)
    record = watched / "fed.jsonl"
    torn = record.read_bytes()[:-cut]
    record.write_bytes(torn)
    assert status(watched) == whole
    feed(watched, files[-1])
    assert status(watched) == after
    assert (watched / "fed.jsonl.corrupt-1").read_bytes() == torn.split(b"\n")[-1]


def test_two_feeders_at_once_lose_nothing_and_double_nothing(tmp_path: Path, watched: Path) -> None:
    files = [str(path) for path in days(tmp_path, 12)]
    command = [sys.executable, "-m", "tao_skill_bank.cli", "monitor", "feed", str(watched)]
    orders = (files, ["--as-given", *files[::-1]])
    feeders = [subprocess.Popen([*command, *order], stdout=subprocess.DEVNULL) for order in orders]
    assert [feeder.wait(120) for feeder in feeders] == [0, 0]
    lots = [lot.lot for line in read_fed(watched)[0] for lot in line.lots if lot.part_type == "C"]
    assert sorted(lots) == [f"D{k:03d}" for k in range(12)]


def test_labels_of_some_parts_are_weighted_by_the_rate_they_were_drawn_at(tmp_path: Path, watched: Path) -> None:
    # 10 flagged good parts all judged, 20 of 1000 passed ones judged at 2 %: FAR about 10 / 1010.
    scores = [0.9] * 10 + [0.1] * 1000
    labels = ["PASS"] * 30 + [""] * 980
    path = day(tmp_path, "judged", scores, label=labels)
    refused = run("feed", watched, path)
    assert isinstance(refused.exception, InputError) and "--rate-passed" in refused.exception.line()
    assert read_fed(watched)[0] == []
    feed(watched, path, rates=Rates(passed=0.02))
    far = status(watched).far
    assert far is not None and far.parts == 30 and far.value == pytest.approx(10 / 1010)
    assert far.least < 10 / 1010 < far.most


def test_labels_that_come_later_count_as_labels_alone(tmp_path: Path, watched: Path) -> None:
    feed(watched, day(tmp_path, "today", [0.9] * 10 + [0.1] * 100))
    later = day(tmp_path, "later", [0.9] * 10, label=["PASS"] * 9 + ["short"])
    refused = run("feed", watched, later, "--labels")
    assert isinstance(refused.exception, InputError) and "--rate-flagged" in refused.exception.line()
    refused = run("feed", watched, later, "--labels", "--rate-flagged", 1)
    assert isinstance(refused.exception, InputError) and "--rate-passed" in refused.exception.line()
    done = run("feed", watched, later, "--labels", "--rate-flagged", 1, "--rate-passed", 0.02, "--json")
    said = json.loads(done.stdout)
    assert said["parts"] == 110 and said["far"]["parts"] == 9 and said["recall"]["parts"] == 1


def test_false_calls_judged_before_any_passed_part_show_nothing_of_all_parts(tmp_path: Path, watched: Path) -> None:
    feed(watched, day(tmp_path, "today", [0.9] * 3 + [0.1] * 300))
    feed(watched, day(tmp_path, "later", [0.9] * 3, label="PASS"), rates=Rates(1.0, 0.02), labels_only=True)
    found = status(watched)
    assert found.far is not None and found.far.least < 0.01 and found.alarms == ()


def test_flagged_parts_alone_are_refused_as_labels_of_all_parts(tmp_path: Path, watched: Path) -> None:
    path = day(tmp_path, "judged", [0.9] * 10 + [0.1] * 1000, label=["PASS"] * 10 + [""] * 1000)
    refused = run("feed", watched, path)
    assert isinstance(refused.exception, InputError) and "not every passed part has a label" in refused.exception.line()
    rates = day(tmp_path, "rates", [0.9] * 10 + [0.1] * 9, label=["PASS"] * 10 + [""] * 9, rate=["1"] * 10 + [""] * 9)
    assert "--rate-passed" in str(run("feed", watched, rates).exception)
    assert read_fed(watched)[0] == []


@pytest.mark.parametrize("labels_only", [True, False], ids=["labels that come later", "all parts, rates of the judged"])
@pytest.mark.parametrize("side", [0.1, 0.9], ids=["passed", "flagged"])
def test_several_rates_on_one_side_need_the_smallest_of_any_part(
    tmp_path: Path, watched: Path, labels_only: bool, side: float
) -> None:
    # Whether a part with the smallest rate was drawn is chance: what is believed then may not depend on it.
    scores = [side] * 10 + [1 - side] * 5 + ([] if labels_only else [side] * 20)
    columns = {"label": ["PASS"] * 15 + [""] * (len(scores) - 15), "rate": ["0.5"] * 9 + ["0.05"] + ["1"] * 5}
    columns["rate"] += [""] * (len(scores) - 15)
    path = day(tmp_path, "judged", scores, **columns)
    refused = run("feed", watched, path, *(["--labels"] if labels_only else []))
    word = "passed" if side < 0.5 else "flagged"
    assert (
        isinstance(refused.exception, InputError) and f"{word} parts have rates from 0.05" in refused.exception.line()
    )
    assert f"--rate-{word}" in refused.exception.line() and read_fed(watched)[0] == []
    feed(watched, path, rates=Rates(**{word: 0.02}), labels_only=labels_only)
    (line,) = read_fed(watched)[0]
    assert line.least_rate == 0.02 and {group.rate for group in line.labelled} == {0.5, 0.05, 1.0}


def test_a_rate_written_for_every_part_counts_whether_the_part_was_drawn_or_not(tmp_path: Path, watched: Path) -> None:
    rate = ["1"] * 2 + ["0.5"] * 10 + ["0.01"] * 30
    path = day(tmp_path, "judged", [0.9] * 2 + [0.1] * 40, label=["PASS"] * 7 + [""] * 35, rate=rate)
    feed(watched, path)
    assert read_fed(watched)[0][0].least_rate == 0.01
    zero = day(tmp_path, "zero", [0.9] * 2 + [0.1] * 4, label=["PASS"] * 4 + [""] * 2, rate=["1"] * 4 + ["0"] * 2)
    refused = run("feed", watched, zero)
    assert isinstance(refused.exception, InputError) and "a rate of 0 " in refused.exception.line()


def test_a_blank_cell_of_a_judged_part_takes_the_rate_of_its_side(tmp_path: Path, watched: Path) -> None:
    path = day(tmp_path, "judged", [0.9] * 2 + [0.1] * 4, label="PASS", rate=["1", "1", "0.5", "", "0.5", ""])
    refused = run("feed", watched, path, "--labels")
    assert isinstance(refused.exception, InputError) and "no rate for a judged part" in refused.exception.line()
    feed(watched, path, rates=Rates(passed=0.1), labels_only=True)
    assert {(group.rate, group.parts) for group in read_fed(watched)[0][0].labelled} == {(1.0, 2), (0.5, 2), (0.1, 2)}


def test_the_bounds_follow_when_fewer_parts_are_drawn_than_before(tmp_path: Path, watched: Path) -> None:
    for name, passed, rate in (("one", 500, 0.5), ("two", 50, 0.05)):
        judged = day(tmp_path, name, [0.9] * 10 + [0.1] * passed, label="PASS")
        feed(watched, judged, rates=Rates(1.0, rate), labels_only=True)
    far = status(watched).far
    assert far is not None and far.value == pytest.approx(20 / 2020) and far.least < 20 / 2020 < far.most < 0.05


def test_judged_parts_that_show_the_target_to_be_missed_alarm(tmp_path: Path, watched: Path) -> None:
    scores = [0.9] * 60 + [0.1] * 940
    path = day(tmp_path, "judged", scores, label=["PASS"] * 1000)
    done = run("feed", watched, path)
    assert done.exit_code == 4 and "ALARM: FAR is at least" in done.stdout and "asked < 1 %" in done.stdout


def test_defects_that_escape_alarm_for_recall(tmp_path: Path, watched: Path) -> None:
    path = day(tmp_path, "judged", [0.9] * 40 + [0.1] * 10, label=["short"] * 50)
    assert "ALARM: recall is at most" in run("feed", watched, path).stdout


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("escape rate < 0.1% at FAR <= 2%", None),
        ("FAR < 5%", "recall is at most 99.99"),
    ],
)
def test_one_missed_defect_alarms_only_where_all_recall_was_asked(
    tmp_path: Path, target: str, said: str | None
) -> None:
    monitor.start(tmp_path / "m", 0.5, target=target)
    feed(tmp_path / "m", day(tmp_path, "judged", [0.1, *[0.9] * 599, *[0.1] * 600], label=["x"] * 600 + ["PASS"] * 600))
    alarms = [alarm.text for alarm in status(tmp_path / "m").alarms]
    assert (alarms == []) if said is None else (len(alarms) == 1 and said in alarms[0])


def test_names_of_strangers_are_text_on_the_page(tmp_path: Path, watched: Path) -> None:
    feed(watched, day(tmp_path, "x", [0.1] * 30, part_type="<img src=x onerror=alert(1)>"))
    run("status", watched)
    page = (watched / "monitor.html").read_text()
    assert "<img" not in page and "&lt;img" in page


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["feed", "none", "x.csv"], "no monitor here"),
        (["start", "new"], "no threshold"),
        (["start", "new", "--threshold", "nan"], "not a number"),
        (["start", "new", "--threshold", "0.5", "--reference-lots", "1"], "reference_lots"),
        (["start", "new", "--threshold", "0.5", "--lots-to-false-alarm", "inf"], "lots_to_false_alarm"),
        (["start", "new", "--threshold", "0.5", "--target", "quick"], "not understood"),
        (["start", "new", "--threshold", "0.5", "--target", "f1 >= 0.9"], "holds nothing against f1"),
        (["start", "new", "--threshold", "0.5", "--target", "accuracy >= 99%"], "holds nothing against accuracy"),
        (
            ["start", "new", "--threshold", "0.5", "--target", "precision >= 90% at recall=99%"],
            "nothing against precision",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*args)
    assert isinstance(done.exception, InputError) and said in done.exception.line()
    assert list(tmp_path.iterdir()) == []


def test_a_monitor_follows_the_threshold_that_its_certificate_is_of(tmp_path: Path) -> None:
    judged = day(tmp_path, "judged", [0.9] * 20 + [0.1] * 20, label=["short"] * 20 + ["PASS"] * 20)
    write_certificate(certify(subject_of(judged, TARGET, 0.5)), tmp_path / "c")
    known = ["--certificate", tmp_path / "c" / "certificate.json"]
    refused = run("start", tmp_path / "m", *known, "--threshold", 0.4)
    assert isinstance(refused.exception, InputError) and "0.4 is not the certified 0.5" in refused.exception.line()
    assert not (tmp_path / "m").exists()
    assert run("start", tmp_path / "same", *known, "--threshold", 0.5).exit_code == 0
    assert run("start", tmp_path / "own", *known).exit_code == 0


@pytest.mark.parametrize(
    ("target", "threshold", "labels", "left"),
    [
        (TARGET, 9, {}, "FAR not looked at: no good part was judged; recall not looked at: no defect was judged"),
        (TARGET, 9, {"label": "PASS"}, "recall not looked at: no defect was judged"),
        ("FAR < 2%", 0, {"label": "short"}, "FAR not looked at: no good part was judged"),
        ("recall >= 50% at FAR <= 50%", 1, {"label": ["PASS"] * 15 + ["short"] * 15}, ""),
        (None, 9, {}, ""),
    ],
)
def test_where_a_target_is_set_nothing_alarms_says_which_rate_was_not_looked_at(
    tmp_path: Path, target: str | None, threshold: float, labels: Any, left: str
) -> None:
    folder = tmp_path / "m"
    monitor.start(folder, threshold, target=target, reference_lots=2)
    rng = np.random.default_rng(1)
    for k in range(4):
        feed(folder, day(tmp_path, f"d{k}", rng.normal([0.5] * 15 + [1.5] * 15, 0.05), **labels))
    found = status(folder)
    assert (found.word, found.untested) == ("no alarm", left)
    assert head(found) == ("Nothing alarms of what was tested" if left else "Nothing alarms")
    assert left in next(found.lines()) and left in monitor_html(folder, found)
    assert json.loads(run("status", folder, "--json").stdout)["untested"] == left


def test_judged_parts_that_are_held_against_nothing_are_no_all_clear(tmp_path: Path, watched: Path) -> None:
    monitor.start(tmp_path / "free", 0.5)
    path = day(tmp_path, "judged", [0.9] * 5 + [0.1] * 20, label=["PASS"] * 25)
    feed(tmp_path / "free", path)
    feed(watched, path)
    assert status(tmp_path / "free").far is not None
    assert (status(tmp_path / "free").word, status(watched).word) == ("reference", "alarm")


def test_that_nothing_alarms_is_said_of_what_was_tested(tmp_path: Path) -> None:
    monitor.start(tmp_path / "m", 0.9, reference_lots=4)
    rng = np.random.default_rng(1)
    for k in range(7):
        kinds = "C" * 30 + "U" * 30 * (k > 4)
        feed(tmp_path / "m", day(tmp_path, f"d{k}", rng.normal(0.2, 0.05, len(kinds)), part_type=list(kinds)))
    found = status(tmp_path / "m")
    assert found.word == "no alarm" and head(found) == "Nothing alarms of what was tested"
    left = "1 of 2 part types (each lighting apart) not tested yet"
    assert next(found.lines()).endswith(left) and left in monitor_html(tmp_path / "m", found)
    monitor.restart(tmp_path / "m", "U", "", "")
    for k in range(7, 13):
        kinds = "C" * 30 + "U" * 30
        feed(tmp_path / "m", day(tmp_path, f"d{k}", rng.normal(0.2, 0.05, 60), part_type=list(kinds)))
    whole = status(tmp_path / "m")
    assert (whole.untested, head(whole)) == ("", "Nothing alarms")
