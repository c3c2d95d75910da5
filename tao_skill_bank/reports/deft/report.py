"""`DEFT_Loop_Report.html` and the iteration summaries: rendered by code, from disk, at any moment of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill_bank.assurance.certificate import Certificate, certify
from tao_skill_bank.assurance.subject import subject_of
from tao_skill_bank.core import fsio
from tao_skill_bank.core.consent import approved
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.text import capital, clean, listed, plural, score
from tao_skill_bank.core.version import __version__
from tao_skill_bank.loop.state import is_iteration_label
from tao_skill_bank.reports.certificate import bound_text, needs, rate_text
from tao_skill_bank.reports.deft import sections
from tao_skill_bank.reports.deft.added import additions
from tao_skill_bank.reports.deft.advice import recommendations
from tao_skill_bank.reports.deft.checks import corrected_figures, gates, ship_checks, ship_word, trained_text
from tao_skill_bank.reports.deft.deciding import deciding
from tao_skill_bank.reports.deft.explorer import explorer
from tao_skill_bank.reports.deft.gallery import Album, weakest
from tao_skill_bank.reports.deft.narrative import unsupported
from tao_skill_bank.reports.deft.status import rate, status_of
from tao_skill_bank.reports.deft.view import NARRATIVE, Phase, RunView
from tao_skill_bank.reports.page import render_page, script
from tao_skill_bank.reports.summary import ReportSummary
from tao_skill_bank.tasks.changenet.metric import FAR, RECALL, recall_floor
from tao_skill_bank.tasks.changenet.stages.accept import kpi_reached

UNKNOWN = "not recorded"
CONTENTS = {
    "specs_file": "spec",
    "training_csv": "training CSV",
    "validation_csv": "validation CSV",
    "kpi_test_csv": "KPI CSV",
    "acceptance_csv": "acceptance CSV",
    "mining_pool_csv": "mining pool CSV",
}
"""What the files of a plan's digests are called."""


REPORT_FILE = "DEFT_Loop_Report.html"
TEMPLATE = "deft_report.html.j2"
SUMMARY_WORDS = 300


def render_report(results_dir: Path) -> ReportSummary:
    """Write `DEFT_Loop_Report.html` into the run folder, in one step: a reader never sees half a page.

    Everything comes from disk. The same folder gives the same bytes: no clock is read. Artifacts that are missing
    are named on the page.

    Raises:
        InputError: `results_dir` holds no readable `deft_state.json`.
    """
    view = RunView(results_dir)
    status = status_of(view)
    path = results_dir / REPORT_FILE
    fsio.write_text(path, report_html(view))
    best, accepted, measure = view.best, view.accepted("best"), view.state.measure
    found, value = view.goal_of(best) if best else (None, None)
    held = accepted.figures.get(measure) if accepted else None
    return ReportSummary(
        path=str(path),
        status=status.wording,
        why=status.why,
        verdict=view.verdict,
        kpi_target=view.state.kpi_target,
        measure=measure,
        asked=view.target.goal.text if view.target else None,
        best_iteration=best.label if best else None,
        best_pct=value,
        best_interval=found,
        acceptance_pct=held.value_pct if held else None,
        best_far_pct=best.record.far_pct if best else None,
        best_far=best.far if best else None,
        threshold=best.record.threshold if best else None,
        acceptance_far_pct=accepted.far.value_pct if accepted else None,
        acceptance_recall_pct=accepted.recall.value_pct if accepted else None,
        iterations=sum(1 for p in view.measured if p.number > 0),
        missing=len(view.missing),
    )


def render_run(results_dir: Path) -> None:
    """Write the report of a run, and a summary of every iteration that was measured."""
    view = RunView(results_dir)
    for phase in view.measured:
        if phase.number:
            _write_summary(view, phase)
    render_report(results_dir)


def run_html(results_dir: Path) -> str:
    """The report of a run as text."""
    return report_html(RunView(results_dir))


def report_html(view: RunView, *, live: str = "") -> str:
    """The page of a run as one HTML document.

    Args:
        view: The run.
        live: For a page that is served: the mark of what it shows. Its script asks for the mark and loads the page
            again when that has changed; without a script the browser does every few seconds.
    """
    best, status = view.best, status_of(view)
    album = Album(view)
    decides = deciding(view, album)
    passes = weakest(album, best, defects=False) if best else []
    defects = weakest(album, best, defects=True) if best else []
    context: dict[str, Any] = {
        "view": view,
        "state": view.state,
        "status": status,
        "verdict": view.verdict,
        "ended_because": state_reason(view),
        "ship": ship_word(view, status),
        "checks": ship_checks(view),
        "target": view.target,
        "recall_floor": None if view.target is None else recall_floor(view.target),
        "baseline": view.baseline,
        "best": best,
        "base_accepted": view.accepted("baseline"),
        "accepted": view.accepted("best"),
        "advice": recommendations(view, status),
        "gates": gates(view, corrected_figures(view)),
        "deciding": decides,
        "signature": signature(view),
        "holds": holds(view),
        "passes": passes,
        "defects": defects,
        "lights_shown": album.lights_shown,
        "pictures_left_out": album.left_out,
        "pair": next((s for s in defects if s.seen), None),
        "approach": sections.approach(view),
        "start": sections.baseline_text(view),
        "far_figure": sections.far_figure(view),
        "threshold_rule": sections.threshold_rule(view),
        "measure": view.state.measure,
        "beside": view.state.measure not in (FAR.name, RECALL.name),
        "explorer": explorer(view),
        "additions": additions(view),
        "defect_rows": sections.defect_rows(view),
        "pool_rows": sections.pool_rows(view),
        "lanes": sections.lanes(view),
        "stages_seen": sections.stages_seen(view),
        "elapsed_sec": sections.elapsed_sec(view),
        "cards": sections.cards(view),
        "script": script("report.js"),
        "live": live,
        "narrative": [],
        "not_on_page": [],
    }
    page = render_page(TEMPLATE, **context)
    if view.narrative:
        # A note may have been written by hand, or before the run went on: its figures are held against this page.
        wrong = unsupported("\n\n".join(view.narrative), page)
        shown = {"not_on_page": wrong} if wrong else {"narrative": view.narrative}
        page = render_page(TEMPLATE, **{**context, **shown})
    return page


def state_reason(view: RunView) -> str:
    """Why the loop ended, in words that are no verdict; empty while it goes on or where it was stopped."""
    if view.state.status != "complete" or view.best is None or view.target is None:
        return ""
    value = view.state.value(view.best.record)
    if value is not None and view.target.met(value):
        return kpi_reached(view.state.measure)
    return f"{plural(view.state.max_iterations, 'iteration')} used up"


def write_narrative(results_dir: Path, text: str) -> Path:
    """Put a short text beside a run, which the next rendering includes, escaped.

    Args:
        results_dir: The run folder.
        text: Plain paragraphs, at most 300 words; it replaces an earlier one.

    Raises:
        InputError: No run there, no text, too long a one, or one with a figure that the run's page does not show.
    """
    view = RunView(results_dir)
    words = len(text.split())
    if not 0 < words <= SUMMARY_WORDS:
        raise InputError(
            f"the narrative has {words} words", where=results_dir / NARRATIVE, fix=f"write 1 to {SUMMARY_WORDS}"
        )
    view.narrative = []
    wrong = unsupported(text, report_html(view))
    if wrong:
        raise InputError(
            f"the narrative says {listed(wrong)}, which the page does not show",
            where=results_dir / NARRATIVE,
            fix="use the figures of the page, as they stand there",
        )
    fsio.write_text(results_dir / NARRATIVE, clean(text.strip()) + "\n")
    return results_dir / NARRATIVE


def iter_summary(results_dir: Path, label: str) -> Path:
    """Write `<label>_summary.md` (`iter2_summary.md`) into the run folder: at most 300 words.

    Raises:
        InputError: There is no such iteration in the run's state, or no readable state.
    """
    view = RunView(results_dir)
    phase = next((p for p in view.phases if p.label == label), None)
    if phase is None or not is_iteration_label(label):
        known = [p.label for p in view.phases]
        raise InputError(f"no iteration {label!r}", where=results_dir, fix=f"the run has {listed(known, 30)}")
    return _write_summary(view, phase)


def _write_summary(view: RunView, phase: Phase) -> Path:
    record, status, measure = phase.record, status_of(view), view.state.measure
    beside = {FAR.name: rate(phase.far, record.far_pct), RECALL.name: rate(phase.recall)}
    added = ((record.mining_mined_count, "the pool"), (record.anomalygen_count, "the generator"))
    text = render_page(
        "iteration_summary.md.j2",
        view=view,
        phase=phase,
        record=record,
        status=status,
        measure=measure,
        beside={name: figure for name, figure in beside.items() if name != measure},
        added=[f"{plural(count, 'row')} from {source}" for count, source in added if count is not None],
        costly=[f"{_md(f.label)} (weakest score {score(f.weakest)})" for f in phase.figures.values() if f.cost_pct],
        done=[line for line in view.lines if line.iter == phase.label],
        advice=[a for a in recommendations(view, status) if a.rule != "rehearsal"][:2],
        rate=rate,
        md=_md,
    )
    path = view.root / f"{phase.label}_summary.md"
    fsio.write_text(path, _limited(text))
    return path


def _md(text: str) -> str:
    """Foreign text in Markdown: one line, at most 200 characters, with nothing that Markdown or HTML would act on."""
    flat = " ".join(clean(text).split())
    flat = flat if len(flat) <= 200 else flat[:199] + "…"
    for char in "\\`*_[]|":
        flat = flat.replace(char, "\\" + char)
    return flat.replace("&", "&amp;").replace("<", "&lt;")


def _limited(text: str) -> str:
    """At most 300 words: whole lines are kept while they fit."""
    kept: list[str] = []
    left = SUMMARY_WORDS
    for line in text.splitlines():
        left -= len(line.split())
        if left < 0:
            break
        kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def holds(view: RunView) -> dict[str, Any] | None:
    """What the section shows: the certificate without who and when, so that the same run gives the same bytes.

    None while no model was measured, or where its scores are gone.
    """
    if view.best is None:
        return None
    try:
        made: Certificate = certify(subject_of(view.root), who="nobody yet")
    except (BankError, OSError):
        return None
    return {"made": made, "needs": needs(made), "rate": rate_text, "bound": bound_text}


def signature(view: RunView) -> list[tuple[str, str]]:
    """(name, text) of each fact; what is not recorded says so."""
    trained, approval = view.verdict.trained, view.state.approval
    no_image = UNKNOWN if trained.by == "unknown" else "none"
    rows = [
        ("Software", f"TAO Skill Bank {trained.software or UNKNOWN}; this page by {__version__}"),
        ("Trained by", trained_text(trained)),
        ("TAO release", trained.release or (UNKNOWN if trained.by != "stand-in" else "none: a rehearsal")),
        ("Image", trained.image or no_image),
        ("Image digest", trained.image_digest or (UNKNOWN if trained.image else no_image)),
        ("Trained on host", trained.host or UNKNOWN),
        ("Submitted from host", trained.submitted_from or UNKNOWN),
        ("Checkpoint, SHA-256", trained.checkpoint_sha256 or UNKNOWN),
    ]
    if view.best is None:
        rows = [("Software", f"this page by TAO Skill Bank {__version__}")]
    found = view.state.plan_digests
    rows += [(f"{capital(CONTENTS[key]) if key in CONTENTS else key}, SHA-256", it) for key, it in found.items()]
    if not found:
        rows.append(("Data, SHA-256", UNKNOWN))
    if approval is None:
        return [*rows, ("Approved", "by nobody")]
    when = approval.approved_at[:19].replace("T", " ")
    return [
        *rows,
        ("Plan digest", approval.digest),
        ("Approved as", approval.by or UNKNOWN),
        ("Approved", f"{when} UTC, {approved(approval.how)}"),
    ]
