"""What somebody asks of the loop, the plan it becomes, and the summary that a person approves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from tao_skill_bank.core.seal import digest_of
from tao_skill_bank.core.text import clean
from tao_skill_bank.loop.asked import Request as Request
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.order import StageOrder
from tao_skill_bank.loop.settings import RunSettings

_WIDTH = 160


@dataclass(frozen=True)
class ResolvedPlan:
    """A request with nothing left open.

    `contents` maps a file's key to the SHA-256 of its bytes; `settings` are those that neither the workspace nor a
    default says, `key=value` each, whoever wrote them: the request, or the state of the run that is taken up.
    """

    task: str
    config: Any
    kpi_target: str
    max_iterations: int
    contents: dict[str, str]
    minutes_per_iteration: float
    order: StageOrder
    settings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """By what the plan is approved."""
        return plan_digest(self.task, self.config, self.kpi_target, self.max_iterations, self.contents, self.order)


def plan_digest(
    task: str,
    config: RunSettings,
    kpi_target: str,
    max_iterations: int,
    contents: dict[str, str],
    order: StageOrder,
) -> str:
    """SHA-256 (hex) of a resolved plan."""
    value = {
        "task": task,
        "config": config.model_dump(mode="json"),
        "kpi_target": kpi_target,
        "max_iterations": max_iterations,
        "contents": contents,
        "order": order.model_dump(mode="json"),
    }
    return digest_of(value)


class Split(BaseModel):
    """One CSV of the data set: rows and label counts."""

    name: str
    csv: str
    rows: int
    labels: dict[str, int]


class OwnWord(BaseModel):
    """What a plan asks a person for a word of its own, beside the approval: `name` is what they type."""

    name: str
    question: str


class PreFlight(BaseModel):
    """The Pre-Flight Summary. Measurements in it are for reading; the digest covers none of them.

    `facts` are (name, value) of what the task's own settings come to; `words` must be said beside the approval;
    `settings` as `ResolvedPlan` has them.
    """

    digest: str
    kpi_target: str
    max_iterations: int
    config: dict[str, Any]
    splits: list[Split]
    checks: list[Check]
    estimate_minutes: float
    warnings: list[str] = Field(default_factory=list)
    facts: list[tuple[str, str]] = Field(default_factory=list)
    words: list[OwnWord] = Field(default_factory=list)
    settings: list[str] = Field(default_factory=list)

    @classmethod
    def of(cls, plan: ResolvedPlan, checks: list[Check], splits: list[Split], **more: Any) -> PreFlight:
        """The summary of a plan that has no fault; `more` is what else the task knows."""
        return cls(
            digest=plan.digest,
            kpi_target=plan.kpi_target,
            max_iterations=plan.max_iterations,
            config=plan.config.model_dump(mode="json"),
            splits=splits,
            checks=checks,
            estimate_minutes=round(plan.minutes_per_iteration * (plan.max_iterations + 1), 1),
            warnings=[f"{check.name}: {check.text}" for check in checks if check.status == "warn"],
            settings=list(plan.settings),
            **more,
        )

    def lines(self) -> list[str]:
        """The summary as text, a line each."""
        rows = [
            ("workspace", self.config["workspace"]),
            ("KPI target", self.kpi_target),
            ("iterations", f"at most {self.max_iterations}"),
            ("platform", self.config["platform"]),
            *self.facts,
            *_rows_of(self.settings),
            ("estimate", f"{self.estimate_minutes:.1f} min"),
        ]
        out = ["Pre-Flight Summary", ""]
        out += [f"  {name:<15} {value}" for name, value in rows]
        out += ["", "  data set"]
        for split in self.splits:
            labels = ", ".join(f"{label} {count}" for label, count in list(split.labels.items())[:8])
            more = "" if len(split.labels) <= 8 else f", and {len(split.labels) - 8} more labels"
            out.append(f"  {split.name:<15} {split.rows} rows: {labels}{more}")
        out += ["", "  checks"]
        out += [f"  [{check.status:>4}] {check.name}: {check.text}" for check in self.checks]
        for word in self.words:
            out += ["", f"  needs a word of its own: {word.question}", f"                  say it: {word.name}"]
        out += ["", f"  plan digest     {self.digest}"]
        return [clean(line) for line in out]


def _rows_of(settings: list[str]) -> list[tuple[str, str]]:
    """Every setting, as many on a line as fit; none is cut, as each is approved."""
    rows: list[str] = []
    for text in settings:
        if rows and len(rows[-1]) + len(text) < _WIDTH:
            rows[-1] += f", {text}"
        else:
            rows.append(text)
    return [("" if place else "settings", row) for place, row in enumerate(rows)]
