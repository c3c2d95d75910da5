"""What the grid is given: columns in the order of scores, rows, exports, one board."""

from __future__ import annotations

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from studio_server import Page, page_of

from tao_skill_bank import frames
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.studio import sheets as sheets_module
from tao_skill_bank.studio.sheets import Sheets, by_score


def columns(page: Page, about: dict[str, Any], **query: Any) -> dict[str, Any]:
    data = page.get("/api/samples/columns", **query).content
    kinds = {"Float64Array": "<f8", "Uint32Array": "<u4", "Uint16Array": "<u2", "Uint8Array": "u1"}
    return {
        c["name"]: np.frombuffer(data, kinds[c["kind"]], count=c["length"], offset=c["offset"])
        for c in about["columns"]
    }


def test_a_run_shows_its_verdict_and_every_phase(page: Page, finished: Path) -> None:
    found = page.json("/api/runs")
    row = found["runs"][0]
    assert row["name"] == finished.name and row["verdict"]["head"] and found["writable"] is None
    assert [p["phase"] for p in row["phases"]] == ["baseline", "iter1", "iter2"]
    assert row["phases"][2]["far"]["low_pct"] <= row["phases"][2]["value"] <= row["phases"][2]["far"]["high_pct"]


def test_the_piles_of_a_threshold_are_those_of_the_run(page: Page, finished: Path) -> None:
    about = page.json("/api/samples", run=finished.name, set="kpi")
    found = columns(page, about, run=finished.name, set="kpi")
    expected = frames.scores(finished, about["iteration"])
    assert np.all(np.diff(found["score"]) >= 0)
    assert np.array_equal(found["score"], expected["siamese_score"].to_numpy()[found["row"]])
    good = np.array(about["passes"])[found["label"]]
    missed = int(np.count_nonzero(~good & (found["score"] <= about["threshold"])))
    false_calls = int(np.count_nonzero(good & (found["score"] > about["threshold"])))
    told = expected["predicted_defect"].astype(bool)
    assert missed == int((expected["is_defect"] & ~told).sum())
    assert false_calls == int((~expected["is_defect"] & told).sum())
    types = page.json(f"/api/runs/{finished.name}")["sets"]
    kpi = next(s for s in types if s["set"] == "kpi")
    assert sum(t["wrong"] for t in kpi["types"] if not t["good"]) == missed


def test_what_changed_since_the_baseline_is_told_a_board(page: Page, finished: Path) -> None:
    def facets(**more: str) -> dict[str, dict[str, list[int]]]:
        return {f["name"]: f for f in page.json("/api/samples/marks", run=finished.name, set="kpi", **more)["facets"]}

    best = page.json("/api/samples", run=finished.name, set="kpi")["iteration"]
    found = facets()["change"]
    before, after = frames.scores(finished, "baseline"), frames.scores(finished, best)
    was, now = (f["predicted_defect"].astype(bool) == f["is_defect"] for f in (before, after))
    rows, codes = np.array(found["rows"]), np.array(found["codes"])
    assert rows[codes == 1].tolist() == np.flatnonzero(~was & now).tolist()
    assert rows[codes == 2].tolist() == np.flatnonzero(was & ~now).tolist()
    assert "change" not in facets(iteration="baseline")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_export_is_read_back_with_the_rows_in_their_order(page: Page, finished: Path, kind: str) -> None:
    wanted = np.array([7, 3, 120], dtype="<u4")
    sent = page.client.post(
        "/api/samples/export", content=wanted.tobytes(), params={"run": finished.name, "set": "kpi", "kind": kind}
    )
    read = pd.read_csv if kind == "csv" else pd.read_parquet
    found = read(io.BytesIO(sent.content))
    expected = frames.scores(finished).iloc[[7, 3, 120]]
    assert list(found["object_name"]) == list(expected["object_name"])
    assert list(found["siamese_score"]) == list(expected["siamese_score"])
    assert list(found["sample"]) == [f"board2/{name}" for name in expected["object_name"]]


@pytest.mark.parametrize(
    ("query", "content"), [({"kind": "xls"}, b""), ({}, b"abc"), ({}, np.array([10**6], "<u4").tobytes())]
)
def test_an_export_of_what_is_not_there_is_refused(
    page: Page, finished: Path, query: dict[str, str], content: bytes
) -> None:
    params = {"run": finished.name, "set": "kpi", **query}
    found = page.client.post("/api/samples/export", content=content, params=params)
    assert found.status_code == 400 and found.json()["fix"]


def test_a_board_is_found_by_the_name_that_its_row_prints(page: Page, finished: Path) -> None:
    by_row = page.json("/api/board", run=finished.name, set="kpi", row=4)
    by_name = page.json("/api/board", run=finished.name, set="kpi", sample=by_row["row"]["sample"])
    assert by_name == by_row
    assert [h["iteration"] for h in by_row["history"]] == ["baseline", "iter1", "iter2"]
    assert by_row["lights"] == ["SolderLight", "WhiteLight"] and all(
        f["input"] and f["golden"] for f in by_row["files"]
    )
    assert page.get("/api/board", run=finished.name, sample="board2/none").status_code == 400


def test_rows_are_found_by_name_all_at_once_and_a_doubled_one_by_its_first(tmp_path: Path) -> None:
    csv = tmp_path / "rows.csv"
    rows = ["a/,C1,AOI", "a/,C2,back", "b/x/,C1,back", "a,C2,AOI", "a/,C1,AOI"]
    csv.write_text(
        "\n".join(
            ["input_path,golden_path,label,object_name,lighting", *(",g,PASS,".join(r.split(",", 1)) for r in rows)]
        )
    )
    sheet = Sheets().read(csv, scored=False)
    names = ["b/x/C1", "a/C2", "a//C1", "/C3", "C3", "c/C1", "a/C9"]
    assert sheet.rows_of(names) == {"b/x/C1": 2, "a/C2": 1, "a//C1": 0}
    assert sheet.find("b/x/C1") == 2 and sheet.find("b/C1") is None
    # Lighting filters where the file has it as a column.
    assert sheet.facets["lighting"].values == ["AOI", "back"] and sheet.facets["lighting"].counts == [3, 2]


def test_a_picture_is_sent_whole_small_or_in_part(page: Page, finished: Path) -> None:
    at = {"run": finished.name, "set": "kpi", "row": 4}
    whole = page.get("/api/picture", **at)
    assert whole.content.startswith(b"\x89PNG") and whole.headers["accept-ranges"] == "bytes"
    assert page.get("/api/picture", **at, side="golden", light=1, edge=64).content[8:12] == b"WEBP"
    part = page.client.get("/api/picture", params=at, headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, whole.content[4:10])
    last = page.client.get("/api/picture", params=at, headers={"Range": "bytes=-5"})
    assert last.content == whole.content[-5:] and last.headers["content-range"].endswith(f"/{len(whole.content)}")
    beyond = page.client.get("/api/picture", params=at, headers={"Range": "bytes=9999999-"})
    assert beyond.status_code == 416
    for odd in ("bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 5000, "bytes=-", "bytes=--1"):
        assert page.client.get("/api/picture", params=at, headers={"Range": odd}).status_code == 416
    assert page.get("/api/picture", **{**at, "light": 9}).status_code == 400


@pytest.mark.parametrize("name", ["training", "validation", "pool", "acceptance"])
def test_every_set_of_a_run_can_be_opened_or_says_why_not(page: Page, finished: Path, name: str) -> None:
    found = page.get("/api/samples", run=finished.name, set=name)
    if found.status_code == 200:
        about = json.loads(found.text)
        assert about["rows"] == sum(np.bincount(columns(page, about, run=finished.name, set=name)["label"]))
    else:
        assert found.json()["fix"]


def test_a_set_or_an_iteration_that_is_not_there_is_named(page: Page, finished: Path) -> None:
    for query in ({"set": "nothing"}, {"iteration": "iter9"}):
        found = page.get("/api/samples", run=finished.name, **query)
        assert found.status_code == 400 and "one of" in found.json()["fix"]


@pytest.mark.parametrize("values", [1, 2, 7, 5000], ids=lambda n: f"{n} values")
def test_rows_stand_by_their_score_and_equal_ones_as_in_the_file(values: int) -> None:
    scores = np.random.default_rng(values).integers(0, values, 5000) / 7
    assert np.array_equal(by_score(scores), np.argsort(scores, kind="stable"))


def test_where_a_row_stands_is_never_seen_half_told(tmp_path: Path) -> None:
    rows = 20_000
    lines = [f"b/,g/,PASS,C{i},{(i * 7919 % rows) / rows}" for i in range(rows)]
    csv = tmp_path / "many.csv"
    csv.write_text("\n".join(["input_path,golden_path,label,object_name,siamese_score", *lines]) + "\n")
    sheet = Sheets().read(csv, scored=True)
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(sheet.score_of, range(0, rows, 40)))
    assert found == [(i * 7919 % rows) / rows for i in range(0, rows, 40)]


def large(path: Path, rows: int) -> Path:
    """A scored CSV with its worst board in the last row, and a line end within a cell in every tenth."""
    lines = [
        f"line1/{n:06d}/,golden/AX/,{'missing' if n % 7 else 'PASS'},C{n % 40},"
        f'"a{chr(10) if n % 10 == 0 else ","}b",{n / rows!r}'
        for n in range(rows)
    ]
    path.write_text("\n".join(["input_path,golden_path,label,object_name,note,siamese_score", *lines]) + "\n")
    return path


def test_the_first_rows_of_a_large_file_are_there_before_it_is_read_and_give_way_to_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets_module, "FIRST_BYTES", 4_000)
    monkeypatch.setattr(sheets_module, "_LARGE", 20_000)
    path, sheets = large(tmp_path / "a.csv", 1_000), Sheets()
    part = sheets.first(path, scored=True)
    assert part is not None and part.partial and 50 < len(part) < 100
    assert sheets.first(path, scored=True) is part and sheets.first_known(path, [0, len(part) - 1]) is part
    assert sheets.first_known(path, [len(part)]) is None, "a row that is not among the first waits for the whole"
    whole = sheets.read(path, scored=True)
    assert len(whole) == 1_000 and not whole.partial and whole.digest != part.digest
    assert sheets.first(path, scored=True) is None and sheets.first_known(path, [0]) is None
    assert part.scores is not None and whole.scores is not None
    for row in range(len(part)):
        assert part.score_of(row) == whole.score_of(row)
        assert part.table.column("note")[row] == whole.table.column("note")[row]


def test_the_first_rows_are_kept_no_longer_than_until_the_whole_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets_module, "FIRST_BYTES", 4_000)
    monkeypatch.setattr(sheets_module, "_LARGE", 20_000)
    path, sheets = large(tmp_path / "a.csv", 1_000), Sheets(kept=1)
    part = sheets.first(path, scored=True)
    assert part is not None
    sheets.read(path, scored=True)
    sheets.read(large(tmp_path / "b.csv", 10), scored=True)
    assert sheets.first_known(path, [0]) is None, "the whole gave way to another set, and the part is as old as it"
    assert sheets.first(path, scored=True) is not part


def test_what_is_small_or_wrong_at_its_start_is_read_whole_and_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Sheets().first(large(tmp_path / "a.csv", 1_000), scored=True) is None
    monkeypatch.setattr(sheets_module, "FIRST_BYTES", 4_000)
    monkeypatch.setattr(sheets_module, "_LARGE", 20_000)
    text = large(tmp_path / "b.csv", 1_000).read_text()
    for name, spoiled in (
        ("score", text.replace(",0.001\n", ",high\n", 1)),
        ("header", text.replace("label,", "", 1)),
        ("quote", text.replace('"a', "a", 1)),
        ("one endless row", text[:70] + '"' + "x" * 30_000),
        ("line ends of an old machine", text.replace("\n", "\r")),
    ):
        (tmp_path / "b.csv").write_text(spoiled, newline="")
        assert Sheets().first(tmp_path / "b.csv", scored=True) is None, name
    # What is wrong further down is told when all of it is read.
    (tmp_path / "b.csv").write_text(text.replace(",0.999\n", ",high\n"))
    sheets = Sheets()
    assert sheets.first(tmp_path / "b.csv", scored=True) is not None
    with pytest.raises(InputError, match="row 1000: siamese_score is not a finite number"):
        sheets.read(tmp_path / "b.csv", scored=True)


def test_the_page_gets_the_first_rows_of_a_set_in_one_answer_and_their_text_while_it_is_read(
    page: Page, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page.served.studio, "sheets", Sheets())
    asked = {"run": finished.name, "set": "kpi", "iteration": "baseline"}
    assert page.get("/api/samples/first", **asked).status_code == 204
    monkeypatch.setattr(sheets_module, "FIRST_BYTES", 2_000)
    monkeypatch.setattr(sheets_module, "_LARGE", 2_001)
    monkeypatch.setattr(sheets_module.Sheets, "read", lambda *_, **__: pytest.fail("all of it was read"))
    data = page.get("/api/samples/first", **asked).content
    length = int.from_bytes(data[:4], "little")
    about = json.loads(data[4 : 4 + length])
    assert about["partial"] and (4 + length) % 8 == 0
    row = np.frombuffer(
        data, "<u4", about["rows"], 4 + length + {c["name"]: c["offset"] for c in about["columns"]}["row"]
    )
    assert sorted(row) == list(range(about["rows"]))
    texts = page.json("/api/samples/rows", **asked, rows=f"{row[-1]},{row[0]}")["rows"]
    expected = frames.scores(finished, "baseline")
    assert [t["score"] for t in texts] == expected["siamese_score"].to_numpy()[[row[-1], row[0]]].tolist()
    assert page.get("/api/picture", **asked, row=int(row[-1])).status_code == 200


def test_a_run_whose_workspace_was_moved_says_how_it_is_taken_up_where_its_paths_lead_to_the_old_place(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.parent.parent, tmp_path / "moved")
    asked = {"run": finished.name, "set": "kpi", "iteration": "baseline"}
    with page_of(tmp_path / "moved") as page:
        whole = page.get("/api/samples", **asked)
        answers = [page.get("/api/picture", **asked, row=0), page.get("/api/board", **asked, row=0)]
        answers.append(page.get("/api/samples", **{**asked, "set": "validation"}))
    assert whole.status_code == 200, "what lies in the run itself is shown"
    here = tmp_path / "moved" / "results" / finished.name
    for answer in answers:
        told = answer.json()
        assert answer.status_code == 400 and told["what"].startswith(f"this run was made in {finished}")
        assert f"tao-skills deft adopt {here}" in told["fix"]
