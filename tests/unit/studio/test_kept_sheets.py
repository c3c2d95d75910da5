"""A large CSV is parsed once: the next server finds what was read, and reads anew whatever it cannot trust."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from report_runs import RunBuilder

from tao_skill_bank.studio import sheets as module
from tao_skill_bank.studio.ahead import read_ahead
from tao_skill_bank.studio.kept_sheets import FOLDER, MOST_FILES, KeptSheets
from tao_skill_bank.studio.sheets import Sheet, Sheets
from tao_skill_bank.studio.sources import RunSources

LONG_AGO = 1_600_000_000_123_456_789


def written(path: Path, rows: int = 40, seed: int = 0, ago: int = 0) -> Path:
    scores = np.random.default_rng(seed).random(rows)
    lines = [
        f"b{i % 4}/,g/,{'PASS' if i % 3 else 'missing'},C{i},L{i % 2},{s!r}" for i, s in enumerate(scores.tolist())
    ]
    path.write_text("\n".join(["input_path,golden_path,label,object_name,lot,siamese_score", *lines]) + "\n")
    os.utime(path, ns=(LONG_AGO + ago, LONG_AGO + ago))
    return path


def looked(path: Path, cache: Path, *, scored: bool = True) -> Sheet:
    """A look by a server that was just started; what it keeps is on disk when this returns."""
    kept = KeptSheets(cache, least=10)
    found = Sheets(on_disk=kept).read(path, scored=scored)
    if kept.writing is not None:
        kept.writing.join()
    return found


@pytest.fixture(autouse=True)
def long_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change time cannot be set back; the clock of the memory is set forward instead."""
    clock = type("Clock", (), {"time_ns": staticmethod(lambda: 4_000_000_000_000_000_000)})
    monkeypatch.setattr("tao_skill_bank.studio.kept_sheets.time", clock)


@pytest.mark.parametrize("scored", [True, False])
def test_the_second_look_parses_nothing_and_shows_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: bool
) -> None:
    path = written(tmp_path / "a.csv")
    first = looked(path, tmp_path / "cache", scored=scored)
    for name in ("read_scored", "read_pairs"):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("it was parsed again"))
    again = looked(path, tmp_path / "cache", scored=scored)
    assert again.table.columns == first.table.columns and again.table.names == first.table.names
    assert np.array_equal(again.order, first.order) and again.digest == first.digest
    assert (again.scores is None) == (not scored) and (
        again.scores is None or np.array_equal(again.scores, first.scores)
    )
    assert {n: f.counts for n, f in again.facets.items()} == {n: f.counts for n, f in first.facets.items()}
    assert again.find("b1/C5") == 5


def test_a_file_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv")
    looked(path, tmp_path / "cache")
    changed = looked(written(path, seed=1, ago=5), tmp_path / "cache")
    plain = Sheets().read(path, scored=True)
    assert np.array_equal(changed.scores, plain.scores)


@pytest.mark.parametrize("spoil", [b"", b"no arrow file", b"ARROW1\0\0" + bytes(64)])
def test_what_cannot_be_trusted_is_read_anew_and_kept_again(tmp_path: Path, spoil: bytes) -> None:
    path = written(tmp_path / "a.csv")
    first = looked(path, tmp_path / "cache")
    (kept,) = (tmp_path / "cache" / FOLDER).iterdir()
    good = kept.read_bytes()
    kept.write_bytes(spoil)
    assert np.array_equal(looked(path, tmp_path / "cache").scores, first.scores)
    assert kept.read_bytes() == good and kept.stat().st_mode & 0o077 == 0


def test_a_run_that_ended_leaves_its_scored_rows_for_the_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunBuilder(tmp_path / "runs", iterations=1, passes=30, per_label=2, pictures=False).build()
    kept = KeptSheets(tmp_path / "cache", least=10)
    read_ahead(run, kept)
    monkeypatch.setattr(module, "read_scored", lambda *_, **__: pytest.fail("it was parsed again"))
    sources = RunSources(run)
    for label in ("baseline", "iter1"):
        assert len(Sheets(on_disk=kept).read(sources.source("kpi", label).csv, scored=True)) > 30
    read_ahead(tmp_path / "no run", kept)
    assert len(list((tmp_path / "cache" / FOLDER).iterdir())) == 2


def test_small_files_are_not_kept_and_a_folder_that_cannot_be_made_costs_nothing(tmp_path: Path) -> None:
    looked(written(tmp_path / "small.csv", rows=9), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    (tmp_path / "cache").write_text("a file")
    assert len(looked(written(tmp_path / "a.csv"), tmp_path / "cache")) == 40


def test_only_the_last_few_files_are_kept(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 2):
        looked(written(tmp_path / f"{number}.csv", seed=number), tmp_path / "cache")
    assert len(list((tmp_path / "cache" / FOLDER).iterdir())) == MOST_FILES
