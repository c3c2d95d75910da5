"""One verdict: status, log, terminal, watch, report, compare, tools and hand-off say the same, word for word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from report_runs import RunBuilder
from server_calls import call
from verdict_places import drawn_by_watch, printed, text_of, told_everywhere

from mcp_server.server import build_server
from tao_skill_bank import runs
from tao_skill_bank.core.text import capital, percent
from tao_skill_bank.loop.log import log_path, read_log
from tao_skill_bank.reports.deft.report import REPORT_FILE
from tao_skill_bank.studio.runlist import run_detail
from tao_skill_bank.studio.sheets import Sheets

ASKED = "FAR < 5% at recall=95%"
COUNTS: dict[str, Any] = {
    "shown": ((0, 500), (500, 500)),
    "met": ((9, 300), (96, 100)),
    "far over": ((40, 500), (500, 500)),
    "recall short": ((0, 500), (450, 500)),
    "no defects": ((0, 500), (0, 0)),
    "no good ones": ((0, 0), (90, 90)),
}
WORDS = {
    "shown": "shown",
    "met": "met, not shown",
    "far over": "not met",
    "recall short": "not met",
    "no defects": "cannot be told",
    "no good ones": "cannot be told",
}
FRONT = {"tao": "", "stand-in": "rehearsal: ", "unknown": "trainer unknown: "}
PLATFORMS = ("local", "docker", "slurm", "kubernetes")
# Every kind of counts with every kind of trainer, over the platforms; and runs that no acceptance set decides.
DRAWN: list[tuple[dict[str, Any], str]] = (
    [
        ({"accepted": COUNTS[kind], "trainer": trainer, "platform": PLATFORMS[i % 4]}, FRONT[trainer] + WORDS[kind])
        for i, (kind, trainer) in enumerate((k, t) for k in COUNTS for t in FRONT)
    ]
    + [
        (
            {"acceptance": False, "skill": 3.0, "trainer": trainer, "platform": platform},
            FRONT[trainer] + "met, not shown",
        )
        for trainer, platform in (("tao", "docker"), ("stand-in", "slurm"), ("unknown", "kubernetes"))
    ]
    + [
        ({"acceptance": False, "iterations": 0, "skill": 0.1, "trainer": t, "platform": "docker"}, FRONT[t] + "not met")
        for t in FRONT
    ]
    + [
        ({"accepted": COUNTS["shown"], "target": "FAR < 5% at recall=100%", "trainer": t}, FRONT[t] + "met, not shown")
        for t in FRONT
    ]
    + [
        ({"target": ASKED, "status": status, "trainer": "tao", "stop_reason": "silent-drop: nobody takes x"}, "")
        for status in ("running", "stopped", "failed")
    ]
)


def test_the_drawn_runs_are_thirty_and_cover_every_word_with_every_trainer() -> None:
    heads = {head for _, head in DRAWN if head}
    assert len(DRAWN) == 30
    assert heads == {front + word for front in FRONT.values() for word in WORDS.values()}


@pytest.mark.parametrize(("options", "head"), DRAWN, ids=[f"{i}-{head or 'open'}" for i, (_, head) in enumerate(DRAWN)])
def test_every_place_says_the_same_of_a_drawn_run(tmp_path: Path, options: dict[str, Any], head: str) -> None:
    run = RunBuilder(tmp_path / "r", **{"target": ASKED, "pictures": False, "iterations": 1, **options}).build()
    found = told_everywhere(run, RunBuilder(tmp_path / "o", iterations=0, pictures=False).build())
    assert found.head == head or not head
    assert found.final is bool(head)
    assert found.may_ship is (head == "shown")


@pytest.mark.parametrize(
    ("asked", "name", "rule"),
    [
        pytest.param(
            *(
                "recall >= 99.5% at FAR <= 1%",
                "recall",
                "the threshold whose recall is best among those with FAR <= 1 %",
            ),
            marks=pytest.mark.slow,
        ),
        ("f1 >= 90%", "f1", "the threshold whose f1 is best"),
        pytest.param("FAR < 0.1% at recall=100%", "FAR", "the recall the target asks for", marks=pytest.mark.slow),
    ],
)
def test_every_place_of_a_real_run_speaks_of_what_its_target_asks(
    tmp_path: Path, asked: str, name: str, rule: str
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w")
    with tiny.fake_model():
        run = tiny.approved(tiny.request(workspace, target=asked, iterations=1))
        runs.run_loop(run)
    found, title = runs.status(run).verdict, capital(name)
    lines = read_log(log_path(run))
    assert lines[-1].stage == "loop_stop" and lines[-1].summary.endswith(f"; {found.line}")
    assert found.final and "target met" not in lines[-1].summary
    assert (found.asked, found.claims[0].name) == (asked, name)
    measured = [line.summary for line in lines if line.stage == "evaluate"]
    assert len(measured) == 2 and all(text.startswith(f"{name} ") and f"(target {asked})" in text for text in measured)
    handed = json.loads((run / "best_model.json").read_text())
    assert (handed["verdict"]["line"], handed["metric_contract"]["text"]) == (found.line, asked)
    assert handed["metric_result"]["metric"] == name
    value, others = handed["metric_result"]["value_pct"], name != "FAR"
    status, drawn = printed("status", str(run)), drawn_by_watch(run)
    assert f"best {name}" in status and f"{value:.2f}%" in drawn
    assert not others or "best FAR" not in status
    assert next(line.split()[1] for line in drawn.splitlines() if line.startswith("phase")) == name
    server, named = build_server([run]), {"results_dir": str(run)}
    told = call(server, "get_deft_status", named).data
    assert told["best"] == f"{found.model}: {name} {value:.4g}%"
    assert [phase[f"{name.lower()}_pct"] for phase in told["phases"]] == [
        pytest.approx(phase.value, rel=1e-5) for phase in runs.status(run).phases
    ]
    opened = run_detail(run.name, run, Sheets(), [])
    assert (opened.measure, opened.best_value, opened.verdict) == (name, value, found)
    assert all(phase.far is not None and phase.far.value_pct == phase.value for phase in opened.phases)
    rendered = call(server, "render_report", named).data
    assert (rendered["measure"], rendered["best_pct"]) == (name, value)
    assert rendered["asked"] == found.claims[0].asked
    assert rendered["acceptance_pct"] == found.claims[0].value_pct
    low, high = rendered["best_interval_pct"]
    assert low <= value <= high
    markup = (run / REPORT_FILE).read_text(encoding="utf-8")
    page = " ".join(text_of(markup).split())
    best = text_of(percent(value))
    assert f"On the KPI set {name} went from" in page and f"to {best} in 1 iteration" in page
    assert page.count(f"at {rule}") == 2 and f"{title} per iteration" in page and f"{title}, %" in page
    assert f'aria-label="{title} by phase: base' in markup.replace("\u00a0", " ")
    assert not others or not [words for words in FAR_ONLY if words in page]
    summary = text_of((run / "iter1_summary.md").read_text(encoding="utf-8"))
    assert f"- {title}: {best}" in summary and summary.count("target ") == 1
    assert f"target {asked}" in next(line for line in summary.splitlines() if line.startswith(f"- {title}: "))


FAR_ONLY = ("FAR per iteration", "FAR, %", "Best FAR", "raise FAR", "has FAR", "Own FAR at the recall", "recall target")
