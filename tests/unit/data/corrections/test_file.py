"""The file of corrections: what is written stays, what was torn is not counted, readers who differ change nothing."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.core.errors import BankError, InputError, InputErrors
from tao_skill_bank.data import corrections
from tao_skill_bank.data.corrections import Known, Sample, Word


class Names:
    """A book of a few samples of the KPI set, all labelled PASS."""

    label_advice = "a label is PASS or a fault"

    def __init__(self, pictures: str = "p0", names: Sequence[str] = ("a/1", "a/2", "b/1")) -> None:
        self.pictures, self.names = pictures, names

    def find(self, name: str, set_name: str | None = None) -> Known:
        if name not in self.names:
            raise InputError("no such sample", where=name)
        folder, _, own = name.rpartition("/")
        return Known(Sample(set=set_name or "kpi", input_path=folder, object_name=own), "PASS", self.pictures)

    def label_fault(self, label: str) -> str | None:
        return "is no label" if label == "ok" else None


def says(name: str = "a/1", to: str | None = "bridge", who: str = "Ana", **more: object) -> Word:
    return Word(name, str(more.pop("reason", "mislabeled")), who, to=to, **more)  # type: ignore[arg-type]


def standing(home: Path) -> dict[str, str]:
    return {s.name: f.status for s, f in corrections.read(home).standing.items()}


def test_a_word_is_read_back_as_it_was_said(tmp_path: Path) -> None:
    [made] = corrections.append(tmp_path, [says(note="two  pads\nwhite", run="r1", score=1.25)], Names())
    [line] = corrections.corrections_path(tmp_path).read_text().splitlines()
    entry = json.loads(line)
    assert entry["sample"] == {"set": "kpi", "input_path": "a", "object_name": "1"}
    assert (entry["from"], entry["to"], entry["drop"], entry["reason"]) == ("PASS", "bridge", False, "mislabeled")
    assert (entry["who"], entry["note"], entry["run"], entry["score"]) == ("Ana", "two pads white", "r1", 1.25)
    assert entry["undone_by"] is None
    assert corrections.read(tmp_path).lines == (made,)


def test_the_same_word_of_the_same_reader_is_not_written_twice(tmp_path: Path) -> None:
    [first] = corrections.append(tmp_path, [says()], Names())
    assert corrections.append(tmp_path, [says(), says()], Names()) == [first, first]
    corrections.append(tmp_path, [says(who="Ben")], Names())
    assert len(corrections.read(tmp_path).lines) == 2


@pytest.mark.parametrize(
    ("word", "what"),
    [
        (says("a/9"), "no such sample"),
        (says(to="ok"), r"the new label is no label .*\(a label is PASS or a fault\)"),
        (says(who="  "), "who: says nobody"),
        (says(who="A\x1b[2J"), "cannot be shown"),
        (says(reason="because"), "unknown reason"),
        (says(pictures="other"), "what was looked at has changed"),
        (says(note="x" * 5000), "longer than"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_nothing_is_written(tmp_path: Path, word: Word, what: str) -> None:
    with pytest.raises(InputError, match=what):
        corrections.append(tmp_path, [word], Names())
    with pytest.raises(InputErrors, match="1 of 2 corrections cannot be taken"):
        corrections.append(tmp_path, [says(), word], Names())
    assert not corrections.corrections_path(tmp_path).exists()


def test_two_readers_who_differ_leave_the_sample_disputed_until_they_agree(tmp_path: Path) -> None:
    corrections.append(tmp_path, [says(to="bridge"), says("a/2", to="bridge")], Names())
    corrections.append(tmp_path, [says(to="missing", who="Ben"), says("a/2", to="bridge", who="Ben")], Names())
    assert standing(tmp_path) == {"a/1": "disputed", "a/2": "relabelled"}
    corrections.append(tmp_path, [says(to="bridge", who="Ben")], Names())
    assert standing(tmp_path)["a/1"] == "relabelled"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([says(to=None)], "doubted"),
        ([says(to=None), says(to="bridge", who="Ben")], "relabelled"),
        ([says(to=None), says(to=None, reason="systematic", who="Ben")], "disputed"),
        ([says(to=None, reason="edge-case"), says(to=None, reason="Systematic", who="Ben")], "kept"),
        ([says(to="PASS"), says(to="bridge", who="Ben")], "disputed"),
        ([says(to=None, drop=True, reason="data_quality"), says(to="bridge", who="Ben")], "disputed"),
        ([says(to="drop")], "relabelled"),
        ([says(to="drop"), says(to=None, drop=True, who="Ben")], "disputed"),
    ],
)
def test_what_words_together_make_of_a_sample(tmp_path: Path, words: list[Word], status: str) -> None:
    corrections.append(tmp_path, words, Names())
    assert standing(tmp_path) == {"a/1": status}


def test_an_undone_word_gives_way_to_the_one_before_it(tmp_path: Path) -> None:
    corrections.append(tmp_path, [says(to="bridge")], Names())
    [second] = corrections.append(tmp_path, [says(to="missing")], Names())
    corrections.undo(tmp_path, second.id, "Cem")
    [found] = corrections.read(tmp_path).changing
    assert (found.to, found.readers) == ("bridge", ("Ana",))
    with pytest.raises(InputError, match="was undone by Cem"):
        corrections.undo(tmp_path, second.id, "Cem")
    corrections.undo(tmp_path, "a/1", "Cem")
    assert standing(tmp_path) == {}
    assert len(corrections.read(tmp_path).lines) == 4
    with pytest.raises(InputError, match="no correction of it stands"):
        corrections.undo(tmp_path, "a/1", "Cem")


def test_a_name_in_two_sets_is_not_undone_by_guessing(tmp_path: Path) -> None:
    corrections.append(tmp_path, [says(set="kpi"), says(set="pool")], Names())
    with pytest.raises(InputError, match="kpi and pool"):
        corrections.undo(tmp_path, "a/1", "Ana")
    corrections.undo(tmp_path, "a/1", "Ana", set_name="pool")
    assert [s.set for s in corrections.read(tmp_path).standing] == ["kpi"]


@given(cut=st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_a_torn_last_line_is_not_counted_and_not_lost(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    home = tmp_path_factory.mktemp("torn")
    corrections.append(home, [says("a/1"), says("a/2")], Names())
    path = corrections.corrections_path(home)
    data = path.read_bytes()
    torn = data[: len(data) - min(cut, len(data.splitlines()[1]))]
    path.write_bytes(torn)
    assert standing(home) == {"a/1": "relabelled"}
    corrections.append(home, [says("b/1")], Names())
    assert standing(home) == {"a/1": "relabelled", "b/1": "relabelled"}
    aside = [p.read_bytes() for p in path.parent.glob("*.corrupt-*")]
    assert torn == path.read_bytes()[: path.read_bytes().index(b"\n") + 1] + b"".join(aside)


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    corrections.append(tmp_path, [says("a/1"), says("a/2")], Names())
    path = corrections.corrections_path(tmp_path)
    path.write_text("{}\n" + path.read_text())
    with pytest.raises(InputError, match=r"corrections\.jsonl line 1: cannot be read"):
        corrections.read(tmp_path)


def test_a_snapshot_reads_what_stood_then_and_refuses_a_file_that_was_changed(tmp_path: Path) -> None:
    corrections.append(tmp_path, [says("a/1")], Names())
    then = corrections.read(tmp_path)
    corrections.append(tmp_path, [says("a/2", to=None, drop=True), says("a/1", to="missing")], Names())
    now = corrections.read(tmp_path)
    assert corrections.read(tmp_path, then.snapshot).standing == then.standing
    assert then.digest() != now.digest()
    assert corrections.counted(corrections.since(then, now)) == "2 corrections: 1 relabelled, 1 dropped"
    path = corrections.corrections_path(tmp_path)
    path.write_text(path.read_text().replace("Ana", "Eva", 1))
    with pytest.raises(InputError, match="lines are only ever added"):
        corrections.read(tmp_path, then.snapshot)


def test_the_digest_asks_what_stands_not_who_said_it_when(tmp_path: Path) -> None:
    for home, who in ((tmp_path / "one", "Ana"), (tmp_path / "two", "Ben")):
        corrections.append(home, [says("a/1", who=who)], Names())
    one, two = (corrections.read(tmp_path / name).digest() for name in ("one", "two"))
    assert one == two


def _many(home: str, who: str) -> None:
    for number in range(20):
        corrections.append(Path(home), [says(f"a/{1 + number % 2}", to=f"d{number}", who=who)], Names())


def test_of_four_writers_at_once_no_word_is_lost(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_many, args=(str(tmp_path), f"reader {n}")) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = corrections.read(tmp_path).lines
    assert len(lines) == len({line.id for line in lines}) == 80


def test_a_folder_that_cannot_be_written_to_says_why_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrections.append(tmp_path, [says("a/1")], Names())

    def refused(path: Path, data: bytes) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("tao_skill_bank.data.corrections.file.append_bytes", refused)
    with pytest.raises(BankError, match="corrections cannot be kept here: Read-only file system"):
        corrections.append(tmp_path, [says("a/2")], Names())
    assert standing(tmp_path) == {"a/1": "relabelled"}


def test_lines_of_another_copy_are_taken_once_and_a_foreign_id_is_refused(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    corrections.append(there, [says("a/1"), says("a/2")], Names())
    corrections.undo(there, "a/2", "Ana")
    lines = list(corrections.read(there).by_id.values())
    assert corrections.put(here, lines) == (lines, 2)
    assert corrections.put(here, lines) == (lines, 0)
    assert corrections.read(here).standing == corrections.read(there).standing
    with pytest.raises(InputError, match="id of another correction"):
        corrections.put(here, [lines[0].model_copy(update={"to": "missing"})])


def _join(home: Path, *lines: dict[str, object]) -> None:
    corrections.corrections_path(home).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("other", [{"to": "missing"}, {"who": "Eve"}, {"to": None, "drop": True}, {"when": "later"}])
def test_a_line_cannot_put_itself_in_the_place_of_another_word(tmp_path: Path, other: dict[str, object]) -> None:
    [made] = corrections.append(tmp_path, [says("a/1")], Names())
    line = json.loads(made.json_line())
    _join(tmp_path, line, {**line, **other})
    with pytest.raises(InputError, match=rf"line 2: has the id {made.id} of another word, in line 1"):
        corrections.read(tmp_path)


def test_a_word_that_was_taken_back_stays_so_when_copies_are_joined_in_any_order(tmp_path: Path) -> None:
    [made] = corrections.append(tmp_path, [says("a/1")], Names())
    undone = corrections.undo(tmp_path, made.id, "Ana")
    said, back = json.loads(made.json_line()), json.loads(undone.json_line())
    for order in ([said, back], [back, said], [said, back, said]):
        _join(tmp_path, *order)
        assert corrections.read(tmp_path).by_id == {made.id: undone}
        assert standing(tmp_path) == {}


@pytest.mark.parametrize("key", ["who", "to", "note", "undone_by"])
def test_a_line_that_would_work_a_terminal_is_named(tmp_path: Path, key: str) -> None:
    [made] = corrections.append(tmp_path, [says("a/1")], Names())
    _join(tmp_path, {**json.loads(made.json_line()), key: "x\x1b[2J"})
    with pytest.raises(InputError, match=r"line 1: cannot be read: .*sign that cannot be shown"):
        corrections.read(tmp_path)


def test_a_line_with_an_empty_label_is_named(tmp_path: Path) -> None:
    [made] = corrections.append(tmp_path, [says("a/1")], Names())
    _join(tmp_path, {**json.loads(made.json_line()), "to": ""})
    with pytest.raises(InputError, match=r"line 1: cannot be read"):
        corrections.read(tmp_path)
