"""Samples by the names that pages print: found, refused with what to write, digested by their pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import make_workspace

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.sample_book import SampleBook, book_of


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("book") / "w", lights=("SolderLight", "WhiteLight"))


@pytest.fixture(scope="module")
def book(workspace: Path) -> SampleBook:
    return book_of(workspace)


@pytest.mark.parametrize("name", ["kp/C3", "kp//C3", "./kp/C3", "kp/C3_WhiteLight.png", "kp/C3_SolderLight"])
def test_a_sample_is_found_by_its_name_and_by_that_of_its_picture(book: SampleBook, name: str) -> None:
    if name.endswith("SolderLight"):
        name += ".png"
    known = book.find(name)
    assert (known.sample.set, known.sample.name, known.label) == ("kpi", "kp/C3", "missing")
    assert len(known.pictures) == 64


def test_a_whole_path_finds_its_sample(book: SampleBook, workspace: Path) -> None:
    path = workspace / "images" / "po" / "C7_WhiteLight.png"
    assert book.find(str(path)).sample.name == "po/C7"


def test_the_end_of_a_path_is_taken_where_it_fits_one_sample(book: SampleBook) -> None:
    with pytest.raises(InputError, match=r"stands in the sets training and validation and kpi"):
        book.find("C3_SolderLight.png")
    assert book.find("C3_SolderLight.png", "pool").sample.name == "po/C3"


@pytest.mark.parametrize(
    ("name", "set_name", "what"),
    [
        ("kp/C99", None, "no such sample in the sets"),
        ("kp/C33", "kpi", r"no such sample in the kpi set \(did you mean 'kp/C3'"),
        ("kp/C3", "pool", r"is not in the pool set \(it is in: kpi\)"),
        ("kp/C3", "kpis", "no set 'kpis'"),
        ("", None, "no sample is named"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_write(
    book: SampleBook, name: str, set_name: str | None, what: str
) -> None:
    with pytest.raises(InputError, match=what):
        book.find(name, set_name)


def test_a_set_that_the_workspace_has_not_is_named(tmp_path: Path) -> None:
    small = book_of(make_workspace(tmp_path / "w", pool=0, acceptance=False))
    with pytest.raises(InputError, match=r"there is no pool set \(it has training, validation, kpi\)"):
        small.find("kp/C3", "pool")


@pytest.mark.parametrize("set_name", ["kpi", "KPI", "testing_set", "test"])
def test_sets_go_by_their_usual_names(book: SampleBook, set_name: str) -> None:
    assert book.find("kp/C3", set_name).sample.set == "kpi"


@pytest.mark.parametrize("label", ["OK", "good", "pass", "0", "", "NA", "Bridge", "a\tb", " bridge"])
def test_what_is_no_label_is_not_taken(book: SampleBook, label: str) -> None:
    assert book.label_fault(label)


@pytest.mark.parametrize("label", ["PASS", "bridge", "drop", "defect_7"])
def test_a_label_is_taken(book: SampleBook, label: str) -> None:
    assert book.label_fault(label) is None


def test_a_picture_that_changes_has_another_digest_and_one_that_is_gone_is_refused(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    before = book_of(workspace).find("kp/C3")
    golden = workspace / "images" / "golden" / "kp" / "C3_SolderLight.png"
    golden.write_bytes(golden.read_bytes() + b"\0")
    after = book_of(workspace).find("kp/C3")
    assert after.pictures != before.pictures
    word = corrections.Word("kp/C3", "mislabeled", "Ana", to="bridge", pictures=before.pictures)
    with pytest.raises(InputError, match="what was looked at has changed since"):
        corrections.append(workspace, [word], book_of(workspace))
    golden.unlink()
    with pytest.raises(InputError, match="is missing"):
        book_of(workspace).find("kp/C3")


def test_one_picture_under_two_labels_is_mended_in_the_csv_first(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    csv = workspace / "kpi" / "testing_set.csv"
    csv.write_text(csv.read_text() + "kp/,golden/kp/,PASS,C3\n")
    with pytest.raises(InputError, match="has several labels in the kpi set: PASS, missing"):
        book_of(workspace).find("kp/C3")
