"""`tao-skills labels`: what a person types, what it answers, and that the customer's files stay as they are."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny import make_workspace

from tao_skill_bank import cli


@dataclass
class Done:
    """A command's end."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def labels(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["tao-skills", "labels", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return labels


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "w")


def listed(run: Run, workspace: Path) -> list[dict[str, object]]:
    found = json.loads(run("list", workspace, "--json").out)
    return list(found["corrections"])


ANA = ("--who", "Ana")


def test_a_workspace_of_which_nobody_said_anything_lists_that(run: Run, workspace: Path) -> None:
    assert run("list", workspace).out == "nothing was said of any sample\n"


def test_a_label_is_set_listed_and_undone_and_no_csv_is_touched(run: Run, workspace: Path) -> None:
    before = {p: p.read_bytes() for p in workspace.rglob("*.csv")}
    done = run("set", workspace, "kp/C3", "PASS", "--set", "kpi", "--reason", "mislabeled", *ANA, "--note", "a shadow")
    assert (done.status, done.err) == (0, "")
    assert "kp/C3 of the kpi set: missing -> PASS (mislabeled, Ana)" in done.out
    assert run("drop", workspace, "tr/C1", "--reason", "data-quality", *ANA).status == 0
    shown = run("list", workspace).out
    assert "kp/C3  missing -> PASS  relabelled, mislabeled, Ana  (a shadow)" in shown
    assert "1 relabelled, 1 dropped" in shown
    first, second = listed(run, workspace)
    assert first["sample"] == {"set": "kpi", "input_path": "kp/", "object_name": "C3"}
    assert (first["from"], first["to"], first["who"], first["status"]) == ("missing", "PASS", "Ana", "relabelled")
    assert (second["to"], second["drop"], second["reason"]) == ("drop", True, "data_quality")
    assert run("undo", workspace, str(first["id"]), "--who", "Ben").status == 0
    assert run("undo", workspace, "tr/C1").status == 0
    assert "nothing stands: 2 taken back (--json shows them)" in run("list", workspace).out
    assert [entry["status"] for entry in listed(run, workspace)] == ["undone", "undone"]
    assert {p: p.read_bytes() for p in workspace.rglob("*.csv")} == before


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("set", "W", "kp/C333", "PASS", *ANA), "no such sample"),
        (("set", "W", "C3", "PASS", *ANA), "stands in the sets"),
        (("set", "W", "kp/C3", "PASS", "--set", "pool", *ANA), "is not in the pool set (it is in: kpi)"),
        (("set", "W", "kp/C3", "OK", *ANA), "a word for a good part"),
        (("set", "W", "kp/C3", "Bridge", *ANA), "defect names are lower-case"),
        (("set", "W", "kp/C3", "", *ANA), "the new label is empty"),
        (("set", "W", "kp/C3", "PASS", "--who", " "), "says nobody"),
        (("set", "W", "kp/C3", "PASS"), "--who"),
        (("set", "W", "kp/C3", "PASS", "--reason", "tired", *ANA), "unknown reason"),
        (("undo", "W", "kp/C3"), "no correction of it stands"),
        (("undo", "W", "0123abcd"), "none has that id"),
        (("import", "W", "W/none.csv"), "no such file"),
        (("list", "W/nowhere"), "no such folder"),
        (("set", "W/specs", "kp/C3", "PASS", *ANA), "holds no set of samples"),
    ],
)
def test_what_cannot_be_taken_is_one_line_and_changes_nothing(
    run: Run, workspace: Path, words: tuple[str, ...], what: str
) -> None:
    done = run(*(word.replace("W", str(workspace)) if word.startswith("W") else word for word in words))
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert what in done.err
    assert not list((workspace / "labels").glob("*.jsonl"))


def test_a_csv_goes_out_and_comes_back_without_a_change(run: Run, workspace: Path, tmp_path: Path) -> None:
    run("set", workspace, "kp/C3", "PASS", *ANA, "--note", "=1+1, 'quoted'")
    run("set", workspace, "kp/C3", "bridge", "--who", "Ben")
    run("drop", workspace, "po/C5", *ANA)
    run("undo", workspace, "po/C5")
    sheet = tmp_path / "out.csv"
    assert run("export", workspace, sheet).out.startswith("3 corrections in ")
    assert run("import", workspace, sheet).out == "0 of 3 corrections are new\n"
    other = make_workspace(tmp_path / "other")
    assert run("import", other, sheet).out == "3 of 3 corrections are new\n"
    assert listed(run, other) == listed(run, workspace)
    again = tmp_path / "again.csv"
    run("export", other, again)
    assert again.read_bytes() == sheet.read_bytes()


def test_an_export_is_written_over_an_export_and_over_nothing_else(run: Run, workspace: Path, tmp_path: Path) -> None:
    run("set", workspace, "kp/C3", "PASS", *ANA)
    others = [next(workspace.rglob("*.csv")), workspace / "labels" / "corrections.jsonl", tmp_path / "notes.txt"]
    others[2].write_bytes(b"\xff my notes\n")
    for other in others:
        before = other.read_bytes()
        done = run("export", workspace, other)
        assert (done.status, "is not written over" in done.err) == (2, True)
        assert other.read_bytes() == before
    for _ in range(2):
        assert run("export", workspace, tmp_path / "out.csv").status == 0


def test_no_exported_cell_is_a_formula_to_a_spreadsheet(run: Run, workspace: Path, tmp_path: Path) -> None:
    for number, note in enumerate(("=HYPERLINK(1)", "+1", "-1", "@x", "'=1")):
        run("set", workspace, f"kp/C{number}", "shift", *ANA, "--note", note)
    sheet = tmp_path / "out.csv"
    run("export", workspace, sheet)
    with sheet.open(newline="") as handle:
        cells = [cell for row in csv.DictReader(handle) for cell in row.values()]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")]


def test_rows_written_by_hand_are_taken_and_bad_ones_stop_them_all(run: Run, workspace: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "hand.csv"
    sheet.write_text(
        "input_path,object_name,to,reason,who,drop\nkp,C3,PASS,mislabeled,Ana,\ntr/,C1,,edge case,Ana,yes\n"
    )
    assert run("import", workspace, sheet).out == "2 of 2 corrections are new\n"
    sheet.write_text(
        "input_path,object_name,to,reason,who,from\n"
        "kp,C4,bridge,mislabeled,Ana,\nkp,C99,PASS,mislabeled,Ana,\nkp,C6,PASS,mislabeled,Ana,shift\n"
    )
    done = run("import", workspace, sheet)
    assert done.status == 2
    assert "2 of 3 rows cannot be taken, first: row 2: kp/C99: no such sample" in done.err
    assert len(listed(run, workspace)) == 2


def test_a_picture_that_changed_since_the_export_is_not_taken(run: Run, workspace: Path, tmp_path: Path) -> None:
    run("set", workspace, "kp/C3", "PASS", *ANA)
    run("export", workspace, tmp_path / "out.csv")
    picture = next((workspace / "images" / "kp").glob("C3_*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    done = run("import", workspace, tmp_path / "out.csv")
    assert (done.status, "what was looked at has changed since" in done.err) == (2, True)
