"""What a monitor knows is folded out of its record; the checkpoint only saves the folding."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tao_skill_bank.assurance import monitor_feed, monitor_state
from tao_skill_bank.assurance.monitor import status
from tao_skill_bank.assurance.monitor_feed import Rates
from tao_skill_bank.assurance.monitor_record import read_settings
from tao_skill_bank.assurance.monitor_state import CHECKPOINT_FILE, State, read_state
from tao_skill_bank.data.score_files import read_score_file
from tao_skill_bank.reports.monitor import monitor_html


def fed(folder: Path, name: str, kinds: str, seed: int, parts: int = 30, **more: bool) -> None:
    """A lot with parts of each kind, some of them judged where it is of labels."""
    rng, path = np.random.default_rng(seed), folder.parent / f"{name}.csv"
    label = ",PASS" if more else ""
    rows = [f"{kind},{score:.3f}{label}" for kind in kinds for score in rng.normal(0.2, 0.05, parts)]
    path.write_text("\n".join(["part_type,score" + (",label" if more else ""), *rows]) + "\n")
    rates = Rates(0.5 / seed, 0.1 / seed) if more else None
    monitor_feed.feed(folder, read_score_file(path), rates=rates, **more)


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """Two part types, a small lot, labels at falling rates, one part type begun anew."""
    folder = tmp_path / "monitor"
    monitor_feed.start(folder, 0.25, reference_lots=4, least_parts=5)
    for k in range(7):
        fed(folder, f"d{k}", "C" if k < 2 else "CU", k)
    fed(folder, "tiny", "C", 8, parts=3)
    fed(folder, "judged1", "C", 1, labels_only=True)
    fed(folder, "judged2", "C", 2, labels_only=True)
    monitor_feed.restart(folder, "C", "", "new lamp")
    fed(folder, "d7", "CU", 9)
    return folder


def known(folder: Path) -> State:
    return read_state(folder, read_settings(folder))


def test_the_checkpoint_is_what_the_whole_record_comes_to(watched: Path) -> None:
    kept = msgspec.json.decode((watched / CHECKPOINT_FILE).read_bytes(), type=State)
    (watched / CHECKPOINT_FILE).unlink()
    assert known(watched) == kept
    assert kept.end == (watched / "fed.jsonl").stat().st_size and len(kept.stretches) == 2


@pytest.mark.parametrize("spoiled", ["gone", "torn", "not JSON", "another version", "other settings", "behind"])
def test_without_a_usable_checkpoint_a_monitor_says_the_same_and_feeds_on(watched: Path, spoiled: str) -> None:
    path, said = watched / CHECKPOINT_FILE, status(watched)
    page, data = monitor_html(watched, said), path.read_bytes()
    if spoiled == "gone":
        path.unlink()
    elif spoiled == "behind":
        kept = data
        fed(watched, "d8", "CU", 10)
        path.write_bytes(kept)
        assert status(watched).lots == said.lots + 1
        return
    else:
        found = {
            "torn": data[:-40],
            "not JSON": b"\xff\x00",
            "another version": data.replace(b'"version":2', b'"version":99'),
            "other settings": data.replace(b'"settings":"', b'"settings":"0'),
        }
        assert found[spoiled] != data
        path.write_bytes(found[spoiled])
    assert status(watched) == said and monitor_html(watched, said) == page
    fed(watched, "d8", "CU", 10)
    assert path.read_bytes() != data and status(watched).lots == said.lots + 1


def test_a_record_that_was_restored_from_a_copy_counts_and_not_the_checkpoint_of_another(watched: Path) -> None:
    record, before = watched / "fed.jsonl", (watched / "fed.jsonl").read_bytes()
    fed(watched, "d8", "CU", 10)
    record.write_bytes(before)
    assert status(watched).lots == 9
    lines = before.split(b"\n")
    # As long as the other, and with other lines.
    record.write_bytes(b"\n".join([*lines[:-2], lines[-2].replace(b'"parts":30', b'"parts":31'), b""]))
    assert status(watched).parts == known(watched).parts == 30 * 14 + 3 + 2


def test_after_a_long_history_the_newer_half_is_the_reference_of_what_follows(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_state, "KEPT", 6)
    for k in range(20, 34):
        fed(watched, f"d{k}", "C", k)
    (history,) = (found for found in known(watched).strata if found.part_type == "C")
    # 15 lots since it was begun anew: at the twelfth the last six were kept.
    assert (history.lots, history.first, len(history.names), history.names[0]) == (15, 6, 9, "d25")
    assert np.allclose(history.scores[:, 0], 0) and abs(history.scores).max() > 0.5
    assert status(watched).strata[0].evidence is not None
