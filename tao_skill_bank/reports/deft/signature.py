"""What somebody who signs for a run must know: software, image, checkpoint, data, machines, and who approved."""

from __future__ import annotations

from tao_skill_bank.core.consent import approved
from tao_skill_bank.core.text import capital
from tao_skill_bank.core.version import __version__
from tao_skill_bank.reports.deft.checks import trained_text
from tao_skill_bank.reports.deft.view import RunView

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
