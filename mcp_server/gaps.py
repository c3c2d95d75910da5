"""Tools of the two gap analyses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel, Field

from mcp_server.asked import with_request, within
from mcp_server.door import REWRITE, WRITE, add, clip, fitting
from mcp_server.roots import Allowed
from tao_skill_bank.actions.gap_analysis.config import VcnAoiConfig, VlmBcqConfig
from tao_skill_bank.core import guard
from tao_skill_bank.core.asked import options

if TYPE_CHECKING:
    from tao_skill_bank.actions.gap_analysis.vcn_aoi import VcnAoiResult

WEAKEST = 5
MOST_WARNINGS = 6
MOST_LABELS = 700
"""Characters; all labels are in metrics.json."""
RcaFolder = Annotated[str, Field(description="The RCA folder (rca_results/TIME).")]


class WeakSample(BaseModel):
    """A weakest sample: which one, how far on the wrong side of the threshold."""

    sample: str
    label: str
    score: float
    weakness: float


class VcnGaps(BaseModel):
    """The operating point and the weak samples. Rates are shares from 0 to 1."""

    status: Literal["done", "unreachable"]
    results_dir: str
    report: str | None = None
    images: list[str] | None = None
    summary: list[str] | None = None
    threshold: float | None = None
    recall: float | None = None
    recall_interval: list[float] | None = None
    far: float | None = None
    far_interval: list[float] | None = None
    per_label: dict[str, str] | None = Field(default=None, description="Label: misclassified/count, kept")
    weakest: list[WeakSample] | None = Field(default=None, description="The five weakest.")
    warnings: list[str] | None = None
    reason: str | None = None


class RcaReport(BaseModel):
    """The report, and the pictures of its spot check (in rca_images/) that want a verdict."""

    status: Literal["done", "unreachable"]
    results_dir: str
    report: str
    summary: list[str]
    images: list[str]


# Settings of the yes/no analysis that name files.
_VLM_FILES = ("truth", "requests", "annotations_json")
# What its tool offers by name: every argument costs its reader.
_VLM_ARGUMENTS = {"predictions_json", "results_dir", "videos_dir"}


class Verdict(BaseModel):
    """The entered verdict; `open` pictures have none yet."""

    image: str
    verdict: str
    open: int


class Seen(BaseModel):
    """What a picture shows."""

    image: str = Field(description="Its name in rca_images/, or the sample's.")
    verdict: Literal["mislabeled", "edge case", "data quality", "systematic"]
    note: str = ""


class RcaCheck(BaseModel):
    """What does not hold, which pictures have no verdict; and what was packaged beside a report that passes."""

    ok: bool
    faults: list[str]
    open: list[str]
    packaged: list[str]


class QuestionLine(BaseModel):
    """Gaps of one question."""

    question: str
    fp: int
    fn: int
    samples: int


class VlmGaps(BaseModel):
    """Counts; in accuracy_of_all unparseable answers are wrong. No files without gaps."""

    status: str
    results_dir: str
    read: int
    skipped: dict[str, int]
    fp: int
    fn: int
    rates: dict[str, float]
    notes: list[str]
    questions: list[QuestionLine] = Field(description="The five with most gaps.")
    files: list[str]


@with_request(VcnAoiConfig)
def analyze_vcn_gaps(
    allowed: Allowed,
    report: Annotated[bool, Field(description="Also the RCA report: pages, pictures for a spot check.")] = False,
    check_labels: Annotated[bool, Field(description="With report: rank labels that look wrong.")] = False,
    **asked: Any,
) -> VcnGaps:
    """Where a Visual ChangeNet model fails: threshold, FAR, weakest samples of each label, labels in doubt."""
    from tao_skill_bank.actions.gap_analysis.vcn_aoi import analyze_vcn_aoi
    from tao_skill_bank.core.errors import UnreachableError
    from tao_skill_bank.core.settings import validated

    values = within(VcnAoiConfig, asked, allowed)
    out = values["results_dir"]
    if report:
        of_report = {key: value for key, value in asked.items() if key != "results_dir"}
        experiment = asked["inference_results_dir"]
        made = write_rca_report(experiment, allowed, check_labels=check_labels, output=str(out), **of_report)
        return VcnGaps(**made.model_dump())
    try:
        found = analyze_vcn_aoi(validated(VcnAoiConfig, values, "arguments"))
    except UnreachableError as error:
        return VcnGaps(status="unreachable", results_dir=str(out), reason=clip(error.line(), 600))
    return _gaps(found)


@with_request(VcnAoiConfig, without=("results_dir",))
def write_rca_report(
    experiment: Annotated[str, Field(description="The experiment's folder.")],
    allowed: Allowed,
    inference_results_dir: Annotated[str | None, Field(description="Default: the one in the experiment.")] = None,
    train_config: Annotated[str | None, Field(description="Default: the one in the experiment.")] = None,
    check_labels: Annotated[bool, Field(description="Also rank labels by look-alikes; reads every image.")] = False,
    output: Annotated[str | None, Field(description="Results folder; default: a new one in the experiment.")] = None,
    **asked: Any,
) -> RcaReport:
    """Analyse a Visual ChangeNet experiment and write its RCA report into rca_results/TIME, pictures included."""
    from datetime import datetime

    from tao_skill_bank.actions.gap_analysis.vcn_aoi import UNREACHABLE
    from tao_skill_bank.reports.rca.analysis import make_rca
    from tao_skill_bank.reports.rca.data import load_rca

    made = make_rca(
        allowed.path(experiment, "experiment"),
        now=datetime.now().astimezone(),
        inference_dir=allowed.optional(inference_results_dir, "inference_results_dir"),
        train_config=allowed.optional(train_config, "train_config"),
        check_labels=check_labels,
        output=allowed.optional(output, "output"),
        **within(VcnAoiConfig, asked, allowed),
    )
    unreachable = made.analysis is None
    lines = guard.read_text(made.folder / UNREACHABLE).splitlines() if unreachable else made.lines()
    return RcaReport(
        status="unreachable" if unreachable else "done",
        results_dir=str(made.folder),
        report=str(made.report),
        summary=[clip(line, 160) for line in lines[:12]],
        images=[spot.image for spot in load_rca(made.folder).spots if spot.image],
    )


def set_rca_verdict(
    results_dir: RcaFolder,
    image: Annotated[str, Field(description="Its name in rca_images/, or the sample's.")],
    verdict: Literal["mislabeled", "edge case", "data quality", "systematic"],
    allowed: Allowed,
    note: Annotated[str, Field(description="What was seen, one sentence.")] = "",
    who: Annotated[str, Field(description="Who looked; default: the user of this machine.")] = "",
) -> Verdict:
    """Enter what a sample shows: a picture of the spot check, or any that was scored. The next plan reads it."""
    from tao_skill_bank.reports.rca.analysis import set_verdict
    from tao_skill_bank.reports.rca.data import load_rca

    folder = allowed.path(results_dir, "results_dir")
    spot = set_verdict(folder, image, verdict, note, who)
    return Verdict(image=spot.image or spot.filepath, verdict=verdict, open=len(load_rca(folder).open_spots))


def check_rca_report(
    results_dir: RcaFolder,
    allowed: Allowed,
    verdicts: Annotated[list[Seen] | None, Field(description="What pictures show; the next plan reads it.")] = None,
    who: Annotated[str, Field(description="Who looked; default: the user of this machine.")] = "",
) -> RcaCheck:
    """Enter what pictures show, and hold an RCA report against its data; one that passes is packaged."""
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.reports.rca.analysis import set_verdict
    from tao_skill_bank.reports.rca.check import check_rca, open_verdicts
    from tao_skill_bank.reports.rca.package import package_rca, package_sources

    folder = allowed.path(results_dir, "results_dir")
    for number, seen in enumerate(verdicts or ()):
        try:
            set_verdict(folder, seen.image, seen.verdict, seen.note, who)
        except InputError as error:
            entered = f"verdict {number + 1} of {len(verdicts or ())}: {error.what}; those before it are entered"
            raise InputError(entered, where=error.where, fix=error.fix) from None
    faults = check_rca(folder)
    waiting = [] if faults else open_verdicts(folder)
    ok = not faults and not waiting
    for source in package_sources(folder) if ok else []:
        allowed.path(str(source.absolute()), "a file to package")
    packaged = package_rca(folder) if ok else []
    return RcaCheck(
        ok=ok,
        faults=[clip(f, 200) for f in faults[:8]],
        open=[clip(name, 120) for name in waiting],
        packaged=[path.name for path in packaged[:10]],
    )


@with_request(VlmBcqConfig, without={option.name for option in options(VlmBcqConfig)} - _VLM_ARGUMENTS)
async def analyze_vlm_gaps(
    allowed: Allowed,
    ctx: Context,
    settings: Annotated[
        dict[str, str] | None, Field(description="More keys: answer_in, labels, fields.response …")
    ] = None,
    **asked: Any,
) -> VlmGaps:
    """False positives and false negatives of a vision-language model's yes/no evaluation."""
    import anyio.from_thread
    import anyio.to_thread

    from tao_skill_bank.actions.gap_analysis.vlm_bcq import analyze_vlm_bcq
    from tao_skill_bank.actions.gap_analysis.vlm_result import VlmBcqResult
    from tao_skill_bank.core.settings import validated

    more = settings or {}
    values: dict[str, Any] = {key: value for key, value in more.items() if not key.startswith("fields.")}
    values |= {key: allowed.path(value, key) for key, value in values.items() if key in _VLM_FILES}
    values["fields"] = {key.removeprefix("fields."): v for key, v in more.items() if key.startswith("fields.")}
    config = validated(VlmBcqConfig, {**values, **within(VlmBcqConfig, asked, allowed)}, "arguments")

    def work() -> VlmBcqResult:
        return analyze_vlm_bcq(config, progress=lambda share: anyio.from_thread.run(ctx.report_progress, share, 1.0))

    found = await anyio.to_thread.run_sync(work)
    rates = {name: getattr(found, name) for name in ("accuracy", "precision", "recall", "f1")}
    rates["accuracy_of_all"] = found.rates.accuracy_of_all
    return VlmGaps(
        status=found.status,
        results_dir=str(found.results_dir),
        read=found.read,
        skipped=found.skipped,
        fp=found.fp,
        fn=found.fn,
        rates={name: rate for name, rate in rates.items() if rate is not None},
        notes=[
            clip(note, 200)
            for note in (f"read as {found.format}", found.thinking, *found.examples[:2], found.hint)
            if note
        ],
        questions=[
            QuestionLine(question=clip(q.question, 120), fp=q.fp, fn=q.fn, samples=q.samples)
            for q in found.questions[:5]
        ],
        files=[str(path) for path in found.files.values()],
    )


def register(server: MCPServer[Any]) -> None:
    """Add the tools of the gap analyses."""
    for function in (analyze_vcn_gaps, set_rca_verdict, check_rca_report, analyze_vlm_gaps):
        add(server, function, REWRITE)
    # It makes a new folder each time.
    add(server, write_rca_report, WRITE)


def _gaps(analysis: VcnAoiResult) -> VcnGaps:
    from tao_skill_bank.actions.gap_analysis.vcn_aoi import GAPS
    from tao_skill_bank.reports.rca.data import read_weak

    metrics = analysis.metrics
    rows = read_weak(
        analysis.results_dir / GAPS, max(1, analysis.image_rows // max(1, analysis.kept)), metrics.threshold
    )
    return VcnGaps(
        status="done",
        results_dir=str(analysis.results_dir),
        **metrics.model_dump(include={"threshold", "recall", "recall_interval", "far", "far_interval"}),
        per_label=fitting(
            {label: f"{c.misclassified}/{c.count}, {c.kept} kept" for label, c in metrics.per_label.items()},
            MOST_LABELS,
        ),
        warnings=[clip(line, 200) for line in analysis.warnings[:MOST_WARNINGS]] or None,
        weakest=[
            WeakSample(
                sample=clip(Path(r.filepath).name, 60), label=clip(r.label, 40), score=r.score, weakness=r.weakness
            )
            for r in sorted(rows, key=lambda r: -r.weakness)[:WEAKEST]
        ],
    )
