"""What stands between a run and shipping, as checks; and every gate and warning that a run met on its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tao_skill_bank.core.text import interval, limit, percent, plural, whole
from tao_skill_bank.loop.state import Interval
from tao_skill_bank.metrics import samples_needed
from tao_skill_bank.reports.deft.status import Status
from tao_skill_bank.reports.deft.view import RunView

Outcome = Literal["holds", "open", "unknown"]


@dataclass(frozen=True)
class Check:
    """One condition of shipping.

    Attributes:
        name: What is asked.
        outcome: `holds`, `open`, or `unknown` while it cannot be told.
        value: What was found, as text.
        range: Its 95 % interval as text, or empty.
        detail: One short line on where the limit comes from.
    """

    name: str
    outcome: Outcome
    value: str
    range: str = ""
    detail: str = ""


def ship_word(view: RunView, status: Status) -> str:
    """The answer to "may it ship?" in a few words."""
    if status.tone == "met":
        return "Yes, in rehearsal: train it with TAO next" if view.state.config.platform == "local" else "Yes"
    return {"near": "Not yet", "running": "Not decided yet", "stopped": "Not decided: the run stopped"}[status.tone]


def ship_checks(view: RunView) -> list[Check]:
    """The conditions of shipping, the deciding ones first."""
    best, target, accepted = view.best, view.target, view.accepted("best")
    found: list[Check] = []
    if target is None:
        found.append(Check("A target that can be read", "open", "–", detail="the run's target cannot be parsed"))
    else:
        far_limit, recall_limit = f"{target.op} {limit(target.far_pct)}", f"≥ {limit(100 * target.recall)}"
        sets: list[tuple[str, Interval | None, float | None, Interval | None, str]] = []
        if view.state.config.acceptance_csv is not None or accepted is not None:
            far, recall = (accepted.far, accepted.recall) if accepted else (None, None)
            sets.append(("acceptance set", far, far.value_pct if far else None, recall, "decides"))
        far_pct = best.record.far_pct if best else None
        sets.append(("KPI set", best.far if best else None, far_pct, best.recall if best else None, "optimistic"))
        for where, rate, value, recall, role in sets:
            outcome: Outcome = "unknown" if value is None else "holds" if target.met(value) else "open"
            found.append(
                Check(f"FAR on the {where} {far_limit}", outcome, percent(value), _range(rate), _role(role, sets))
            )
            got = recall.value_pct if recall else None
            outcome = "unknown" if got is None else "holds" if got >= 100 * target.recall - 1e-9 else "open"
            found.append(Check(f"Recall on the {where} {recall_limit}", outcome, percent(got), _range(recall)))
        found.append(_enough(view, target.recall))
    if view.state.config.platform == "local":
        found.append(
            Check(
                "Trained by TAO itself", "open", "rehearsal", detail="the local network stands in for Visual ChangeNet"
            )
        )
    return found


def _role(role: str, sets: list[tuple[str, Interval | None, float | None, Interval | None, str]]) -> str:
    if role == "decides":
        return "never seen by the loop, so it decides"
    return "the loop chose its data and threshold on it" if len(sets) > 1 else "no acceptance set: the KPI set decides"


def _enough(view: RunView, recall: float) -> Check:
    best = view.best
    if recall >= 1.0:
        low = best.recall.low_pct if best and best.recall else None
        text = "no number of samples shows 100 %"
        return Check(
            "Defect samples show the recall",
            "unknown" if low is None else "open",
            percent(low) if low is None else f"≥ {percent(low)}",
            detail=text,
        )
    need, have = samples_needed(recall), best.recall.trials if best and best.recall else None
    outcome: Outcome = "unknown" if have is None else "holds" if have >= need else "open"
    return Check(
        "KPI defects enough to show the recall",
        outcome,
        whole(have),
        detail=f"{plural(need, 'sample')} without a miss would show {limit(100 * recall)}",
    )


def _range(found: Interval | None) -> str:
    return interval(found.low_pct, found.high_pct) if found else ""


@dataclass(frozen=True)
class Gate:
    """One thing that a run was held to, or was told: `kind` is `stop`, `warn` or `held`."""

    kind: Literal["stop", "warn", "held"]
    where: str
    text: str


def leakage_text(found: Mapping[str, Any]) -> str:
    """What the leakage check of an iteration found, in words."""
    number = {key: value for key, value in found.items() if isinstance(value, int)}
    dropped = sum(number.get(key, 0) for key in ("equal_mined", "equal_synthetic", "equal_dropped"))
    return (
        f"{plural(number.get('leaked', 0), 'row')} leaked, {plural(dropped, 'new row')} dropped for equal bytes, "
        f"{plural(number.get('near_duplicates', 0), 'near-duplicate')} of test images counted"
    )


def gates(view: RunView) -> list[Gate]:
    """Stops first, then warnings, then the gates that held, each in the order of the run."""
    stops = [
        Gate("stop", f"{line.iteration} · {line.stage}", line.summary)
        for line in view.lines
        if line.status == "error" and line.stage != "loop_stop"
    ]
    warnings = [Gate("warn", p.label, text) for p in view.phases for text in p.record.warnings]
    held = []
    approval = view.state.approval
    if approval is not None:
        how = {"flag": "on the command line", "tty": "at the terminal", "elicitation": "in the client"}[approval.how]
        text = f"Plan {approval.digest[:16]} approved {how}, {approval.approved_at[:16].replace('T', ' ')} UTC."
        held.append(Gate("held", "plan", text))
    for phase in view.phases:
        found = phase.record.leakage
        if found is None:
            continue
        held.append(Gate("held", phase.label, f"Leakage check: {leakage_text(found)}."))
    for phase in view.phases:
        dropped_labels = [
            label for label, verdict in (phase.record.routing_verdicts or {}).items() if verdict.startswith("dropped")
        ]
        if dropped_labels:
            shown = ", ".join(label.lower() for label in dropped_labels)
            warnings.append(Gate("warn", phase.label, f"Nothing could supply {shown}; the plan accepts that."))
    return [*stops, *warnings, *held]
