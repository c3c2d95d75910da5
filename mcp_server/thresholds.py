"""Tools on a frozen threshold: what it is shown to do, and whether production still looks as it did."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from mcp_server.door import READ, add, clip
from mcp_server.roots import Allowed

MOST_NOTES = 6


class CertifyResult(BaseModel):
    """What is shown. Rates are shares from 0 to 1; `needed_…` counts further parts without an error."""

    word: str
    text: str
    shown: bool
    threshold: float
    far: float | None = None
    far_at_most: float
    recall: float | None = None
    recall_at_least: float
    needed_pass_rows: int | None = None
    needed_defect_rows: int | None = None
    notes: list[str] = []
    digest: str


class MonitorResult(BaseModel):
    """What a monitor says: `alarm`, `no alarm`, or `reference`; `untested`: what was not looked at."""

    word: str
    untested: str = ""
    lots: int
    parts: int
    flagged: int
    alarms: list[str] = []
    lines: list[str] = []


def certify_threshold(
    scores: Annotated[str, Field(description="Run folder or file of scores with labels.")],
    allowed: Allowed,
    target: Annotated[str | None, Field(description='As "FAR < 1% at recall=99%"; default: the run\'s.')] = None,
    threshold: Annotated[float | None, Field(description="The frozen one; default: the run's.")] = None,
) -> CertifyResult:
    """Will a threshold hold? Exact 95 % bounds of FAR and recall, and how many parts would show the target."""
    from tao_skill_bank.assurance.certificate import certify
    from tao_skill_bank.assurance.subject import subject_of

    made = certify(subject_of(allowed.path(scores, "scores"), target, threshold))
    return CertifyResult(
        word=made.word,
        text=clip(made.text, 400),
        shown=made.shown,
        threshold=made.threshold,
        far=made.far.value,
        far_at_most=made.far.upper_one_sided,
        recall=made.recall.value,
        recall_at_least=made.recall.lower_one_sided,
        needed_pass_rows=made.needed.pass_rows,
        needed_defect_rows=made.needed.defect_rows,
        notes=[clip(note, 200) for note in made.cautions[:MOST_NOTES]],
        digest=made.digest,
    )


def get_monitor_status(
    monitor: Annotated[str, Field(description="The monitor's folder.")], allowed: Allowed
) -> MonitorResult:
    """Whether production scores still look as they did: drift by part type and lighting, FAR, recall."""
    from tao_skill_bank.assurance.monitor import status

    found = status(allowed.path(monitor, "monitor"))
    return MonitorResult(
        word=found.word,
        untested=found.untested,
        lots=found.lots,
        parts=found.parts,
        flagged=found.flagged,
        alarms=[clip(alarm.text, 240) for alarm in found.alarms[:MOST_NOTES]],
        lines=[clip(line, 200) for line in list(found.lines())[1 : 1 + 2 * MOST_NOTES]],
    )


def register(server: MCPServer[Any]) -> None:
    """Add both tools."""
    add(server, certify_threshold, READ)
    add(server, get_monitor_status, READ)
