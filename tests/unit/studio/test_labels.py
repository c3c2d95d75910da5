"""Verdicts given on the page: on disk when it says so, once, by whom; and who looked at an acceptance set."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_runs import RunBuilder
from studio_server import Page, page_of

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet import spent
from tao_skill_bank.data.corrections import file


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Path]]:
    run = RunBuilder(tmp_path_factory.mktemp("labels"), iterations=1, passes=40, per_label=3).build()
    with page_of(run.parent.parent) as found:
        yield found, run


def word(sample: str, **more: object) -> dict[str, object]:
    return {"sample": sample, "set": "kpi", "reason": "mislabeled", "who": "Ana", **more}


def test_a_verdict_is_in_the_file_when_the_answer_comes_and_only_once(own: tuple[Page, Path]) -> None:
    page, run = own
    board = page.json("/api/board", run=run.name, set="kpi", row=2)
    said = word(
        board["row"]["sample"], to="bridge", pictures=board["pictures"], run=run.name, score=board["row"]["score"]
    )
    first, again = (page.post("/api/labels", {"words": [said]}).json()["words"] for _ in range(2))
    assert first == again
    found = corrections.read(run.parent.parent)
    assert [line.who for line in found.lines if line.sample.name == board["row"]["sample"]] == ["Ana"]
    seen = page.json("/api/board", run=run.name, set="kpi", row=2)["verdicts"]
    assert [(v["to"], v["status"]) for v in seen] == [("bridge", "relabelled")]


def test_two_readers_who_differ_leave_the_sample_in_dispute_until_one_takes_it_back(own: tuple[Page, Path]) -> None:
    page, _ = own
    page.post("/api/labels", {"words": [word("board2/C5", to="bridge")]})
    page.post("/api/labels", {"words": [word("board2/C5", to="PASS", who="Ben", reason="edge_case")]})
    standing = {s["sample"]: s for s in page.json("/api/labels")["standing"]}["board2/C5"]
    assert standing["status"] == "disputed" and [w["who"] for w in standing["words"]] == ["Ana", "Ben"]
    undone = page.post("/api/labels/undo", {"what": "board2/C5", "who": "Ben", "set": "kpi"})
    assert undone.json()["undone_by"] == "Ben"
    assert {s["sample"]: s["status"] for s in page.json("/api/labels")["standing"]}["board2/C5"] == "relabelled"


@pytest.mark.parametrize(
    "bad",
    [
        word("board2/none", to="PASS"),
        word("board2/C1", to="Good"),
        word("board2/C1", who=" "),
        word("board2/C1", reason="x"),
    ],
)
def test_a_verdict_that_cannot_be_taken_says_why_and_writes_nothing(
    own: tuple[Page, Path], bad: dict[str, object]
) -> None:
    page, run = own
    before = len(corrections.read(run.parent.parent).lines)
    found = page.post("/api/labels", {"words": [word("board2/C9", drop=True), bad]})
    assert found.status_code == 400 and found.json()["error"]
    assert len(corrections.read(run.parent.parent).lines) == before


def test_a_picture_that_changed_since_it_was_looked_at_is_refused(own: tuple[Page, Path]) -> None:
    page, _ = own
    found = page.post("/api/labels", {"words": [word("board2/C7", to="bridge", pictures="0" * 64)]})
    assert found.status_code == 400 and "changed since" in found.json()["error"]


def test_acceptance_boards_are_closed_until_somebody_opens_them_by_name(own: tuple[Page, Path]) -> None:
    page, run = own
    query = {"run": run.name, "set": "acceptance"}
    for path in ("/api/samples", "/api/samples/columns", "/api/samples/rows", "/api/board", "/api/picture", "/api/map"):
        assert page.get(path, **query, row=0, rows="0").status_code == 403, path
    assert page.post("/api/looks", {"run": run.name, "who": " "}).status_code == 400
    assert page.json(f"/api/runs/{run.name}")["looked"] == []
    look = page.post("/api/looks", {"run": run.name, "who": "Ana"}).json()
    assert page.post("/api/looks", {"run": run.name, "who": "Ana"}).json() == look
    assert page.json("/api/samples", **query)["rows"] > 0
    assert [x["who"] for x in page.json(f"/api/runs/{run.name}")["looked"]] == ["Ana"]
    report = page.get(f"/api/runs/{run.name}/report").text
    assert "looked at by Ana" in report and "spent" in report


def test_another_acceptance_set_is_not_spent_by_a_look_at_this_one(tmp_path: Path) -> None:
    csv = tmp_path / "a.csv"
    csv.write_text("input_path,label\n")
    spent.record_look(tmp_path, csv, "Ana")
    assert [look.who for look in spent.looks(tmp_path, csv)] == ["Ana"]
    csv.write_text("input_path,label\nx,PASS\n")
    assert spent.looks(tmp_path, csv) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_where_nothing_can_be_written_looking_works_and_a_look_says_why_not(tmp_path: Path) -> None:
    csv = tmp_path / "a.csv"
    csv.write_text("input_path,label\n")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(InputError, match="cannot be written"):
            spent.record_look(tmp_path, csv, "Ana")
    finally:
        tmp_path.chmod(0o755)


def test_labels_to_check_first_and_the_map_come_when_the_pictures_were_compared(own: tuple[Page, Path]) -> None:
    page, run = own
    query = {"run": run.name, "set": "kpi"}
    page.json("/api/suspects", **query)
    work = next(iter(page.served.studio.likeness._found.values()))
    assert work.ready.wait(60) and work.problem is None
    found = page.json("/api/suspects", **query)
    assert found["done"] == found["total"] == 52 and found["ready"]
    ranked = [s["suspicion"] for s in found["suspects"]]
    assert ranked == sorted(ranked, reverse=True)
    assert len(page.get("/api/map", **query).content) == 52 * 12
    near = page.json("/api/alike", **query, row=3)["rows"]
    assert 3 not in [r["row"] for r in near] and near[0]["likeness"] >= near[-1]["likeness"]
    facet = {f["name"]: f for f in page.json("/api/samples/marks", **query)["facets"]}["suspicion"]
    assert facet["rows"] == [s["row"] for s in found["suspects"]]
    assert facet["codes"] == [2 if s["doubtful"] else 1 for s in found["suspects"]]


def test_what_was_said_of_a_set_is_a_facet_of_it_and_pictures_are_compared_only_when_asked(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "facets", iterations=1, passes=20, per_label=3).build()
    with page_of(run.parent.parent) as page:
        query = {"run": run.name, "set": "kpi"}
        before = page.json("/api/samples/marks", **query)
        assert [f["name"] for f in before.pop("facets")] == ["change"]
        assert before == {"done": 0, "total": 0, "ready": False, "problem": None}
        said = [word("board2/C5", to="bridge"), word("board2/C7", reason="data_quality", drop=True)]
        page.post("/api/labels", {"words": said})
        page.post("/api/labels", {"words": [word("board2/C9", to="PASS", reason="edge_case")]})
        (_, facet) = page.json("/api/samples/marks", **query)["facets"]
        rows = {
            name: page.json("/api/board", **query, sample=f"board2/{name}")["row"]["row"] for name in ("C5", "C7", "C9")
        }
        told = {row: facet["values"][code] for row, code in zip(facet["rows"], facet["codes"], strict=True)}
        assert told == {rows["C5"]: "relabelled", rows["C7"]: "dropped", rows["C9"]: "kept"}
        assert facet["values"][0] == "nothing said" and not page.served.studio.likeness._found
        assert page.json("/api/samples/marks", run=run.name, set="validation")["facets"] == []


@pytest.mark.parametrize("why", ["locked", "full"])
def test_a_verdict_that_could_not_be_kept_now_is_told_from_one_that_cannot_be_taken(
    own: tuple[Page, Path], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """The page sends the first again by itself, and shows the second to whoever gave it."""
    page, run = own
    lock = corrections.corrections_path(run.parent.parent).with_name("corrections.jsonl.lock")
    with contextlib.ExitStack() as held:
        if why == "locked":
            monkeypatch.setattr(file, "_LOCK_SEC", 0.01)
            held.enter_context(guard.locked(lock, make=True))
        else:
            monkeypatch.setattr(file, "append_bytes", full)
        found = page.post("/api/labels", {"words": [word("board2/C11", to="bridge", note=why)]})
    assert found.status_code == 503 and found.json()["fix"]
    monkeypatch.undo()
    assert page.post("/api/labels", {"words": [word("board2/C11", to="bridge", note=why)]}).status_code == 200


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
