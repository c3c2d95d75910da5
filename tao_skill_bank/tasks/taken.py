"""Which corrections a run takes: the first lines of the workspace's file, as many as its plan names, for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from tao_skill_bank.core.models import Strict
from tao_skill_bank.data import corrections
from tao_skill_bank.data.corrections import Corrections, Snapshot


class CorrectionsConfig(Strict):
    """Which corrections of labels a run takes.

    `use`: `all`; `unmeasured` leaves the KPI and acceptance sets, by which models are judged, as they are; `none`.
    `lines` and `sha256`: how much of `labels/corrections.jsonl`; a new run takes all of it, and keeps to that.
    """

    use: Literal["all", "unmeasured", "none"] = "all"
    lines: int = Field(default=0, ge=0)
    sha256: str = ""


class Taking(Protocol):
    """The configuration of a run that takes corrections."""

    workspace: str
    corrections: CorrectionsConfig


def now_taken(workspace: Path) -> CorrectionsConfig:
    """What a new run of this workspace takes: all that was said so far."""
    snapshot = corrections.read(workspace).snapshot
    return CorrectionsConfig(lines=snapshot.lines, sha256=snapshot.sha256)


def taken(config: Taking) -> Corrections:
    """The corrections that a run takes.

    Raises:
        InputError: The file does not begin any more with what the plan was approved with.
    """
    return read_upto(Path(config.workspace), config.corrections)


def read_upto(workspace: Path, of: CorrectionsConfig) -> Corrections:
    """What a workspace's file held when so much of it was taken. Raises as `taken`."""
    if of.use == "none" or not of.lines:
        return Corrections()
    return corrections.read(workspace, Snapshot(of.lines, of.sha256))
