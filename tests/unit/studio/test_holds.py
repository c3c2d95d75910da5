"""Monitors and certificates on the page: what the commands say, word for word and figure for figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_runs import RunBuilder
from studio_full import certified, monitored
from studio_server import page_of

from tao_skill_bank.assurance.certificate import certify, read_certificate
from tao_skill_bank.assurance.monitor import status
from tao_skill_bank.assurance.subject import subject_of
from tao_skill_bank.reports.monitor import monitor_html


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its certificate, and a monitor whose scores have moved."""
    run = RunBuilder(tmp_path_factory.mktemp("holds"), iterations=1, passes=40, per_label=3).build()
    root = run.parent.parent
    certified(run, root / "certificate")
    monitored(root / "line")
    return root


def test_a_monitor_says_what_its_status_says_and_shows_its_lots(workspace: Path) -> None:
    told = status(workspace / "line")
    with page_of(workspace) as page:
        (found,) = page.json("/api/holds")["monitors"]
    assert found["name"] == "line" and found["status"] == json.loads(told.model_dump_json())
    assert told.word == "alarm" and found["head"] == "Something has changed"
    (row,) = found["strata"]
    assert row["alarm"] == told.alarms[0].text and row["chart"].startswith("<svg") and "since" in row["chart"]
    assert "<b>" not in row["chart"] and row["last"] == "day29"
    assert found["reading"] in monitor_html(workspace / "line", told)


def test_a_certificate_and_a_run_as_it_stands_have_the_bounds_that_certify_prints(workspace: Path) -> None:
    made = read_certificate(workspace / "certificate" / "certificate.json")
    run = next((workspace / "results").iterdir())
    with page_of(workspace) as page:
        found = {c["name"]: c for c in page.json("/api/holds")["certificates"]}
        (written,) = found.values()
        now = page.json(f"/api/holds/run/{run.name}")
        html = page.get("/api/holds/certificate", **{"in": "certificate"})
        assert page.get("/api/holds/certificate", **{"in": "../certificate"}).status_code == 400
    assert written["digest"] == made.digest and written["word"] == made.word
    assert written["far_most"] in html.text and written["recall_least"] in html.text
    assert "sandbox" in html.headers["content-security-policy"]
    same = ("far", "far_most", "recall", "recall_least", "needs", "word", "sentence")
    assert {key: now[key] for key in same} == {key: written[key] for key in same}
    assert certify(subject_of(run), who="x").far.upper_one_sided == made.far.upper_one_sided


def test_what_was_changed_or_torn_is_there_with_the_reason(workspace: Path, tmp_path: Path) -> None:
    text = (workspace / "certificate" / "certificate.json").read_text()
    for name, content in (
        ("changed", text.replace('"shown": ', '"shown":  ').replace("certified_by", "certified_by", 1)),
        ("forged", text.replace('"threshold": ', '"threshold": 1', 1)),
        ("torn", text[:40]),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "certificate.json").write_text(content)
    (tmp_path / "line").mkdir()
    (tmp_path / "line" / "monitor.json").write_text("{}")
    with page_of(tmp_path) as page:
        found = page.json("/api/holds")
    problems = {c["name"]: c["problem"] for c in found["certificates"]}
    assert problems["changed"] is None  # the digest is of the content, not of its spaces
    assert "was changed" in problems["forged"] and "no certificate" in problems["torn"]
    assert "no monitor of this version" in found["monitors"][0]["problem"]


def test_a_folder_that_leads_out_of_the_workspace_hides_no_other(workspace: Path, tmp_path: Path) -> None:
    outside, home = tmp_path / "outside", tmp_path / "home"
    for folder in (outside, home / "own"):
        folder.mkdir(parents=True)
        (folder / "monitor.json").write_text("{}")
        (folder / "certificate.json").write_text("{}")
    (home / "linked").symlink_to(outside)
    (home / "file").mkdir()
    for name in ("monitor.json", "certificate.json"):
        (home / "file" / name).symlink_to(outside / name)
    with page_of(home) as page:
        found = page.json("/api/holds")
        assert page.json("/api/annotations") == {"annotations": []}
        assert page.get("/api/holds/certificate", **{"in": "linked"}).status_code == 400
    assert {row["name"] for kind in found.values() for row in kind} == {"own"}
