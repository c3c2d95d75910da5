"""What the API answers. Every field is there whether it is known or not: a page reads no absence."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tao_skill_bank.assurance.monitor import Status
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.verdict import Verdict


class Shape(BaseModel):
    """What the page is given."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class PhaseRow(Shape):
    """A phase of a run; `value` is its measure in percent."""

    phase: str
    status: str
    value: float | None
    far: Interval | None
    threshold: float | None
    rows: int | None
    mined: int | None
    synthetic: int | None
    annotated: int | None


class RunRow(Shape):
    """A run in the list. `problem` says why it cannot be read; then the rest is empty."""

    name: str
    folder: str
    task: str = ""
    status: str = ""
    started_at: str = ""
    max_iterations: int = 0
    kpi_target: str = ""
    measure: str = ""
    platform: str = ""
    verdict: Verdict | None = None
    approval: str | None = None
    approved_by: str | None = None
    best_iteration: str | None = None
    best_value: float | None = None
    phases: list[PhaseRow] = Field(default_factory=list)
    stage: str | None = None
    iteration: str = ""
    working: bool = False
    live: str | None = None
    losses: list[float] = Field(default_factory=list)
    elapsed_sec: int = 0
    remaining_sec: int | None = None
    report: bool = False
    samples: bool = False
    problem: str | None = None


class StratumRow(Shape):
    """A part type and lighting of a monitor, in the words of its page; `chart` is SVG in which every number is ours."""

    name: str
    lots: str
    state: str
    alarm: str | None
    chart: str
    range: str
    first: str
    last: str


class MonitorRow(Shape):
    """A monitor: what `monitor status` says; `problem`: it cannot be read."""

    name: str
    head: str = ""
    status: Status | None = None
    strata: list[StratumRow] = Field(default_factory=list)
    reading: str = ""
    problem: str | None = None


class CertificateRow(Shape):
    """A certificate in the words of its page; `problem`: it cannot be read, or is not what its digest says."""

    name: str
    sentence: str = ""
    word: str = ""
    shown: bool = False
    text: str = ""
    threshold: float | None = None
    set: str = ""
    far: str = ""
    far_most: str = ""
    recall: str = ""
    recall_least: str = ""
    needs: list[tuple[str, str, str]] = Field(default_factory=list)
    cautions: list[str] = Field(default_factory=list)
    by: str = ""
    at: str = ""
    digest: str = ""
    problem: str | None = None


class HoldsView(Shape):
    """The monitors and certificates of a workspace."""

    monitors: list[MonitorRow]
    certificates: list[CertificateRow]


class AnnotationRow(Shape):
    """An annotation in the list: how far it is, what it cost and has still to do; `problem`: it cannot be read.

    `cost` is without the `unpriced` answers, whose price nobody knows.
    """

    name: str
    status: str = ""
    working: bool = False
    videos: int | None = None
    done: int | None = None
    calls: int = 0
    cost: float = 0.0
    unpriced: int = 0
    in_flight: int = 0
    left_sec: int | None = None
    questions: bool = False
    problem: str | None = None


class AnnotationList(Shape):
    """The annotations of a workspace."""

    annotations: list[AnnotationRow]


class RunList(Shape):
    """The runs of a workspace, newest first."""

    workspace: str
    name: str
    writable: str | None
    version: str
    user: str
    runs: list[RunRow]
    annotations: list[str]


class TypeRow(Shape):
    """One label in one set at the model's threshold."""

    label: str
    good: bool
    count: int
    wrong: int
    share: Interval


class SetFigures(Shape):
    """The figures of one set under one model."""

    set: str
    iteration: str
    threshold: float
    far: Interval | None
    recall: Interval | None
    types: list[TypeRow]


class LogRow(Shape):
    """An ended stage."""

    seq: int
    ts: str
    iter: str
    stage: str
    status: str
    summary: str
    duration_sec: int


class RunDetail(RunRow):
    """One run, whole."""

    stop_reason: str | None = None
    next_step: str = ""
    sets: list[SetFigures] = Field(default_factory=list)
    log: list[LogRow] = Field(default_factory=list)
    tail: str = ""
    looked: list[dict[str, Any]] = Field(default_factory=list)
    settings: dict[str, Any] = Field(default_factory=dict)


class Column(Shape):
    """Where a column stands in the binary answer: bytes from `offset`, `kind` as JavaScript calls its array."""

    name: str
    kind: Literal["Float64Array", "Uint32Array", "Uint16Array", "Uint8Array"]
    offset: int
    length: int


class Facet(Shape):
    """A column to filter by: its values, and how many rows have each."""

    name: str
    title: str
    values: list[str]
    counts: list[int]


class Marks(Shape):
    """A facet that is not of the file: `rows` (numbers in the file) have the values `codes`, all others the first."""

    name: str
    title: str
    values: list[str]
    rows: list[int]
    codes: list[int]


class MarksView(Shape):
    """What people said of a set's labels, and how much speaks against them.

    `done` of `total` pictures are compared while the suspicion is found out; `total` is 0 where nobody asked for it.
    """

    facets: list[Marks]
    done: int
    total: int
    ready: bool
    problem: str | None


class SampleSet(Shape):
    """One set of rows, in the order of their scores; the columns come from `columns`.

    `partial`: only the first rows of the file, for as long as the others are read.
    """

    run: str
    set: str
    iteration: str
    iterations: list[str]
    rows: int
    scored: bool
    threshold: float | None
    labels: list[str]
    passes: list[bool]
    lights: list[str]
    facets: list[Facet]
    columns: list[Column]
    digest: str
    partial: bool = False


class SampleRow(Shape):
    """One row as text. `sample` is its name for every command."""

    row: int
    sample: str
    input_path: str
    golden_path: str
    object_name: str
    label: str
    good: bool
    score: float | None
    cells: dict[str, str]


class Neighbour(Shape):
    """A look-alike of a board."""

    sample: str
    label: str
    likeness: float
    set: str
    row: int | None


class Board(Shape):
    """One board: what it is, how it scored under each model, why it was mined, what is known of its pictures."""

    run: str
    set: str
    iteration: str
    row: SampleRow
    threshold: float | None
    history: list[dict[str, Any]]
    lights: list[str]
    files: list[dict[str, Any]]
    why: list[str]
    neighbours: list[Neighbour]
    verdicts: list[dict[str, Any]]
    labels: list[str]
    pictures: str | None = None
    label_set: str | None = None
    label: str | None = None
    unknown: str | None = None
