"""Corrections on rows: against a plain rule, and what cannot be applied is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data import corrections
from tao_skill_bank.data.corrections import Known, Sample, Word

LABELS = ["PASS", "bridge", "PASS", "PASS", "missing"]
FOLDERS = ["a/", "a", "b", "./b", "c//"]
NAMES = ["1", "2", "1", "sub/3", "1"]


class Rows:
    def find(self, name: str, set_name: str | None = None) -> Known:
        for folder, own, label in zip(FOLDERS, NAMES, LABELS, strict=True):
            if corrections.sample_name(folder, own) == name:
                return Known(Sample(set="kpi", input_path=folder, object_name=own), label, "p")
        raise InputError("unknown", where=name)

    def label_fault(self, label: str) -> str | None:
        return None


def apply(home: Path, labels: list[str] = LABELS, pictures: str = "p") -> corrections.Applied:
    return corrections.apply(corrections.read(home), "kpi", FOLDERS, NAMES, labels, lambda row: pictures)


SAID = st.tuples(st.integers(0, 4), st.sampled_from(["PASS", "bridge", "missing", None]))


@given(words=st.lists(SAID, max_size=6, unique_by=lambda w: w[0]))
@settings(max_examples=40, deadline=None)
def test_rows_are_relabelled_and_dropped_as_a_plain_rule_says(
    tmp_path_factory: pytest.TempPathFactory, words: list[tuple[int, str | None]]
) -> None:
    home = tmp_path_factory.mktemp("rows")
    names = [corrections.sample_name(f, n) for f, n in zip(FOLDERS, NAMES, strict=True)]
    corrections.append(
        home, [Word(names[row], "mislabeled", "Ana", to=to, drop=to is None) for row, to in words], Rows()
    )
    out = apply(home)
    said = dict(words)
    assert out.kept == [row for row in range(5) if said.get(row, "stay") is not None]
    assert [out.labels[row] for row in out.kept] == [said.get(row) or LABELS[row] for row in out.kept]
    assert len(out.made) == sum(to != LABELS[row] for row, to in words)
    assert not out.left


def test_a_correction_of_another_picture_or_another_label_is_left_and_named(tmp_path: Path) -> None:
    corrections.append(
        tmp_path,
        [Word("a/1", "mislabeled", "Ana", to="bridge"), Word("a/2", "mislabeled", "Ana", drop=True)],
        Rows(),
    )
    assert [c.outcome for c in apply(tmp_path, pictures="q").left] == ["picture changed"] * 2
    done = apply(tmp_path, ["bridge", "shift", "PASS", "PASS", "missing"])
    assert [c.outcome for c in done.changes] == ["already so", "label changed"]
    assert done.kept == [0, 1, 2, 3, 4]


def test_a_dropped_sample_that_is_gone_is_as_it_should_be_and_a_relabelled_one_is_missed(tmp_path: Path) -> None:
    corrections.append(
        tmp_path,
        [Word("a/1", "mislabeled", "Ana", to="bridge"), Word("a/2", "mislabeled", "Ana", drop=True)],
        Rows(),
    )
    found = corrections.apply(corrections.read(tmp_path), "kpi", [], [], [], lambda row: "p")
    assert [(c.found.sample.name, c.outcome) for c in found.changes] == [
        ("a/1", "not in the set"),
        ("a/2", "already so"),
    ]


def test_corrections_of_one_set_do_not_touch_another(tmp_path: Path) -> None:
    corrections.append(tmp_path, [Word("a/1", "mislabeled", "Ana", to="bridge")], Rows())
    out = corrections.apply(corrections.read(tmp_path), "pool", FOLDERS, NAMES, LABELS, lambda row: "p")
    assert (out.labels, out.kept, out.changes) == (LABELS, [0, 1, 2, 3, 4], [])
