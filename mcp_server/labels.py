"""Tools of labels: what people say of samples. A person looked, and is named; a tool only writes it down."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from mcp_server.door import READ, WRITE, add, clip
from mcp_server.roots import Allowed

MOST_LISTED = 30
Home = Annotated[str, Field(description="A workspace, or the results folder of an annotation.")]
Who = Annotated[str, Field(description="The person who looked; ask for the name. Your own only if you looked.")]


class LabelWord(BaseModel):
    """What somebody says of one sample."""

    sample: str = Field(description="input_path/object_name, or a question's video/id.")
    label: str | None = Field(default=None, description="Right label: PASS or a defect; Yes or No.")
    drop: bool = Field(default=False, description="Take it out.")
    undo: bool = Field(default=False, description="Take back the last word on it, or an id.")
    reason: str = Field(default="mislabeled", description="mislabeled, edge_case, data_quality, systematic.")
    set: str | None = Field(default=None, description="training, validation, kpi, acceptance, pool.")
    note: str = ""


class LabelList(BaseModel):
    """How many samples stand how, and the newest words: id, sample, change, status, reader."""

    counts: dict[str, int]
    words: list[str]
    file: str


class LabelsSet(BaseModel):
    """What was written, a line a sample; the next plan shows it."""

    written: list[str]
    next_step: str = "plan_deft_run shows what the next run takes"


def list_labels(workspace: Home, allowed: Allowed) -> LabelList:
    """What was said of samples: corrected labels, drops, verdicts, disputes."""
    from tao_skill_bank.labels import listing

    found = listing(allowed.path(workspace, "workspace"))
    shown = [w for w in found.words if w.status not in ("undone", "replaced")][-MOST_LISTED:]
    words = [
        clip(
            f"{w.line['id']} {w.name} ({w.set}): {w.line['from']} -> "
            f"{'drop' if w.line['drop'] else w.line['to'] or '?'}, {w.status}, {w.line['reason']}, {w.line['who']}",
            160,
        )
        for w in reversed(shown)
    ]
    return LabelList(counts=found.counts, words=words, file=found.file)


def set_labels(workspace: Home, who: Who, words: list[LabelWord], allowed: Allowed) -> LabelsSet:
    """Write down what a person says of samples, all or none; a reason alone keeps the label."""
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.data.corrections import Word
    from tao_skill_bank.labels import say, take_back

    home = allowed.path(workspace, "workspace")
    if any(w.undo for w in words):
        if len(words) > 1:
            raise InputError("an undo stands alone", where="words", fix="take back one word a call")
        done = take_back(home, words[0].sample, who, words[0].set)
        return LabelsSet(written=[f"undone: {done.id} {done.sample.name}"])
    said = [
        Word(w.sample, w.reason, who, to=None if w.drop else w.label, drop=w.drop, set=w.set, note=w.note)
        for w in words
    ]
    made = say(home, said)
    return LabelsSet(written=[clip(f"{m.id} {m.sample.name} of {m.sample.set}", 100) for m in made[:MOST_LISTED]])


def register(server: MCPServer[Any]) -> None:
    """Add the tools of labels."""
    add(server, list_labels, READ)
    add(server, set_labels, WRITE)
