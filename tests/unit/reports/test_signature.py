"""What an auditor signs for stands on the page, and what nobody recorded says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import flat

from tao_skill_bank import __version__
from tao_skill_bank.assurance.certificate import certify
from tao_skill_bank.assurance.subject import subject_of
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.loop.state import save_state
from tao_skill_bank.reports.certificate import certificate_html
from tao_skill_bank.reports.deft.report import REPORT_FILE, render_report, signature
from tao_skill_bank.reports.deft.view import RunView
from tao_skill_bank.tasks.registry import load_state

MakeRun = Callable[..., Path]


def signed(run: Path) -> dict[str, str]:
    return dict(signature(RunView(run)))


def test_everything_that_is_recorded_stands_on_the_page_with_all_its_digits(make_run: MakeRun) -> None:
    run = make_run(pictures=False, platform="docker")
    state = load_state(run)
    trained = Trained(
        by="tao",
        network="fan_tiny_8_p4_hybrid · learnable",
        image="nvcr.example/tao:7.1.0-pyt",
        image_digest="sha256:" + "1" * 64,
        release="7.1.0-pyt",
        image_size=(160, 160),
        host="gpu-node-7",
        submitted_from="login-1",
        software="0.0.9",
        checkpoint_sha256="2" * 64,
    )
    flat.put(state.iterations[state.best_iteration or ""], trained=trained)
    state.plan_digests = {"specs_file": "3" * 64, "kpi_test_csv": "4" * 64}
    assert state.approval is not None
    state.approval.by = "ines@line-3"
    save_state(state)
    found = signed(run)
    assert found["Software"] == f"TAO Skill Bank 0.0.9; this page by {__version__}"
    assert found["Trained by"] == "NVIDIA TAO's Visual ChangeNet (fan_tiny_8_p4_hybrid · learnable, 160 × 160)"
    assert found["TAO release"] == "7.1.0-pyt"
    assert found["Image digest"] == "sha256:" + "1" * 64
    assert found["Trained on host"] == "gpu-node-7"
    assert found["Checkpoint, SHA-256"] == "2" * 64
    assert found["KPI CSV, SHA-256"] == "4" * 64
    assert found["Plan digest"] == "ab" * 32
    assert found["Approved as"] == "ines@line-3"
    assert found["Approved"] == "2026-09-01 08:14:00 UTC, approved by flag; nobody was asked"
    render_report(run)
    html = (run / REPORT_FILE).read_text(encoding="utf-8")
    for text in found.values():
        assert text.split(";")[0].split(",")[0].split(" (")[0].replace("'", "&#39;") in html.replace("\u00a0", " ")


def test_what_an_earlier_version_did_not_record_is_not_guessed(make_run: MakeRun) -> None:
    run = make_run(pictures=False, platform="docker")
    state = load_state(run)
    for iteration in state.iterations.values():
        flat.put(iteration, trained=Trained())
    save_state(state)
    found = signed(run)
    unknown = ("TAO release", "Trained on host", "Submitted from host", "Checkpoint, SHA-256", "Approved as")
    assert {found[name] for name in unknown} == {"not recorded"}
    assert found["Data, SHA-256"] == "not recorded"
    assert found["Trained by"] == "nothing on disk says who trained it"


def test_a_run_that_nobody_approved_says_so(make_run: MakeRun) -> None:
    run = make_run(status="planned", iterations=0, with_baseline=False)
    state = load_state(run)
    state.approval = None
    save_state(state)
    assert signed(run)["Approved"] == "by nobody"


def test_of_a_model_whose_trainer_is_not_known_nobody_says_that_it_had_no_image(make_run: MakeRun) -> None:
    for trainer, said in (("unknown", "not recorded"), ("stand-in", "none")):
        run = make_run(pictures=False, trainer=trainer)
        found = signed(run)
        assert (found["Image"], found["Image digest"]) == (said, said)
        page = " ".join(re.sub(r"<[^>]+>", " ", certificate_html(certify(subject_of(run), who="Ana"))).split())
        assert f" Image {said} Software " in page


def test_a_name_of_who_approved_is_shown_as_it_was_written_and_is_no_markup(make_run: MakeRun) -> None:
    run = make_run(pictures=False, iterations=1)
    state = load_state(run)
    assert state.approval is not None
    state.approval = state.approval.model_copy(update={"by": "<b>Eve</b> & Söhne\u202e"})
    save_state(state)
    render_report(run)
    html = (run / REPORT_FILE).read_text(encoding="utf-8")
    assert "&lt;b&gt;Eve&lt;/b&gt; &amp; Söhne" in html and "<b>Eve" not in html and "\u202e" not in html
