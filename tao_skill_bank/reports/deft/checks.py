"""What stands between a run and shipping, as checks; and every gate and warning that a run met on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tao_skill_bank.core.consent import approved
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.text import DASH, capital, interval, percent, plural
from tao_skill_bank.data.changenet.spent import looks
from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.verdict import Claim, Verdict
from tao_skill_bank.reports.deft.status import Status
from tao_skill_bank.reports.deft.view import RunView
from tao_skill_bank.tasks.changenet.measures import was_seen
from tao_skill_bank.tasks.changenet.results import Uncorrected

Outcome = Literal["holds", "open", "unknown"]


@dataclass(frozen=True)
class Check:
    """One condition of shipping.

    Attributes:
        outcome: `holds`, `open`, or `unknown` while it cannot be told.
        range: Its 95 % interval as text, or empty.
        detail: One short line on where the limit comes from.
    """

    name: str
    outcome: Outcome
    value: str
    range: str = ""
    detail: str = ""


def ship_word(view: RunView, status: Status) -> str:
    """The answer to "may it ship?" in a few words: a yes only where the verdict is."""
    if status.tone in ("running", "stopped"):
        return {"running": "Not decided yet", "stopped": "Not decided: the run stopped"}[status.tone]
    found = view.verdict
    if found.may_ship:
        return "Yes"
    if found.rehearsal:
        return "No, a rehearsal: train it with TAO next"
    if found.point_met and found.rehearsal is None:
        return "Cannot be told: nothing says who trained it"
    return {"met, not shown": "Not yet: met, not shown", "not met": "Not yet"}.get(found.word, "Cannot be told")


def ship_checks(view: RunView) -> list[Check]:
    """The conditions of shipping: the verdict's claims, and who trained."""
    found = view.verdict
    if view.target is None:
        return [Check("A target that can be read", "open", DASH, detail=found.text)]
    checks = [_claim_check(claim, found) for claim in found.claims]
    if view.state.config.acceptance_csv is None:
        detail = "the loop chose its data and threshold on the KPI set, which can show nothing"
        checks.append(Check("An acceptance set", "open", "none", detail=detail))
    checks += _looked_at(view)
    if found.model is not None:
        who: dict[bool | None, tuple[Outcome, str]] = {
            False: ("holds", "TAO"),
            True: ("open", "a rehearsal"),
            None: ("unknown", "not recorded"),
        }
        outcome, value = who[found.rehearsal]
        checks.append(Check("Trained by TAO itself", outcome, value, detail=trained_text(found.trained)))
    return checks


_UNSEEN = "An acceptance set that nobody has seen"


def _looked_at(view: RunView) -> list[Check]:
    """Where somebody has looked at acceptance boards: the set is spent for every model that is made afterwards."""
    csv = view.state.config.acceptance_csv
    try:
        found = [] if csv is None else looks(Path(view.state.config.workspace), view.at(csv))
    except (BankError, OSError) as error:
        view.lacks("looks at the acceptance set", view.state.config.workspace, str(error))
        return [Check(_UNSEEN, "unknown", "not known", detail="what was written down of looks cannot be read")]
    if not found:
        return []
    before = was_seen(view.state) or any(look.when < view.state.started_at for look in found)
    rest = "this model was made knowing it" if before else "this model was measured before; no later one counts on it"
    detail = f"{'; '.join(look.line for look in found[:3])}; {rest}"
    return [Check(_UNSEEN, "open" if before else "holds", "spent", detail=detail)]


def _claim_check(claim: Claim, verdict: Verdict) -> Check:
    outcome: Outcome = {"shown": "holds", "unknown": "unknown"}.get(claim.outcome, "open")  # type: ignore[assignment]
    return Check(
        f"{capital(claim.name)} on the {verdict.set} {claim.asked}",
        outcome,
        percent(claim.value_pct),
        _range(claim.measured),
        _evidence(claim),
    )


def _evidence(claim: Claim) -> str:
    """How sure a claim is: its one-sided bound, and what is missing."""
    if claim.outcome == "unknown":
        return claim.why
    bound = "" if claim.bound_pct is None else f"{claim.bound_side} {percent(claim.bound_pct)} with 95 % confidence"
    if claim.outcome == "shown":
        return f"shown: {bound}"
    if claim.outcome == "not met":
        return bound
    more = "" if claim.more is None else f"about {plural(claim.more, claim.of)} more would show it"
    return "; ".join(x for x in (f"met, not shown: {bound}" if bound else "met, not shown", more, claim.why) if x)


def trained_text(trained: Trained) -> str:
    """Who trained, in words."""
    if trained.by == "unknown":
        return "nothing on disk says who trained it"
    what = trained.network or ""
    size = f"{trained.image_size[0]} × {trained.image_size[1]}" if trained.image_size else ""
    real = ", ".join(x for x in (what, size) if x)
    if trained.by == "tao":
        return f"NVIDIA TAO's Visual ChangeNet{f' ({real})' if real else ''}"
    return f"a stand-in for Visual ChangeNet{f': {real}' if real else ''}"


def _range(measured: Interval | None) -> str:
    return interval(measured.low_pct, measured.high_pct) if measured else ""


@dataclass(frozen=True)
class Gate:
    """One thing that a run was held to, or was told: `kind` is `stop`, `warn` or `held`."""

    kind: Literal["stop", "warn", "held"]
    where: str
    text: str


_DROPPED = ("equal_mined", "equal_synthetic", "equal_dropped")


def leakage_text(checked: Mapping[str, Any]) -> str:
    """What the leakage check of an iteration checked, in words."""
    number = {key: value for key, value in checked.items() if isinstance(value, int)}
    said = []
    if "leaked" in number:
        new = plural(number["looked"], "new row") if "looked" in number else "the new rows"
        said.append(f"{number['leaked'] or 'none'} of {new} is an evaluation image by its file")
    if any(key in number for key in _DROPPED):
        dropped = sum(number.get(key, 0) for key in _DROPPED)
        said.append(f"{plural(dropped, 'new row')} dropped for the bytes of one")
    if "equal_own" in number:
        rows = (
            f"{number['equal_own']:,} of {number['own_rows']:,}" if "own_rows" in number else f"{number['equal_own']:,}"
        )
        said.append(f"{rows} rows of the training set have the bytes of one, blank images included")
    if "near_duplicates" in number:
        near = number["near_duplicates"]
        copies = f", {number['near_copies'] or 'none'} of them a copy by its noise" if "near_copies" in number else ""
        named = f"{copies}, named in near_duplicates.csv" if near else ""
        said.append(f"{plural(near, 'new row')} nearly like one{named}")
    return "; ".join(said) or "not recorded"


def corrected_text(set_name: str, before: Uncorrected, far: Interval, recall: Interval) -> str:
    """What corrections of a measured set make of the figure, before and after."""
    made = [f"{n} {what}" for n, what in ((before.relabelled, "relabelled"), (before.dropped, "dropped")) if n]
    out = "; dropped rows were not scored and are in neither" if before.dropped else ""
    after = f"FAR {percent(far.value_pct)} at recall {percent(recall.value_pct)} as corrected"
    written = f"{percent(before.far.value_pct)} at {percent(before.recall.value_pct)} by the labels of the CSV"
    return f"Labels of the {set_name} set were corrected ({', '.join(made)}): {after}, {written}{out}."


def corrected_figures(view: RunView) -> list[Gate]:
    """The figure of the best model before and after corrections, on each set that it is measured on."""
    found: list[Gate] = []
    best = view.best
    of = None if best is None else best.record.evaluation
    if best is not None and of is not None and of.uncorrected is not None:
        found.append(Gate("warn", best.label, corrected_text("KPI", of.uncorrected, of.far, of.recall)))
    accepted = view.accepted("best")
    written = ((view.state.acceptance or {}).get("best") or {}).get("uncorrected")
    if accepted is not None and written is not None:
        before = Uncorrected.model_validate(written)
        text = corrected_text("acceptance", before, accepted.far, accepted.recall)
        found.append(Gate("warn", "acceptance", text))
    return found


_LOOKS = frozenset({"corrections", "labels", "leakage", "pictures", "equal pictures", "boards"})
_ELSEWHERE = frozenset({"credentials", "backbone", "platform", "disk"})
"""Warnings of a plan that are no word on its data."""


def gates(view: RunView, more: Sequence[Gate] = ()) -> list[Gate]:
    """Stops first, then warnings (`more` before the run's own), then the gates that held, in the order of the run."""
    stops = [
        Gate("stop", f"{line.iter} · {line.stage}", line.summary)
        for line in view.lines
        if line.status == "error" and line.stage != "loop_stop"
    ]
    warnings = [*more]
    warnings += [Gate("warn", p.label, text) for p in view.phases for text in p.record.warnings]
    held = []
    approval = view.state.approval
    if approval is not None:
        at = approval.approved_at[:16].replace("T", " ")
        own = f"; {', '.join(approval.words)} accepted by a word of their own" if approval.words else ""
        text = f"Plan {approval.digest[:16]} {approved(approval.how)}, {at} UTC{own}."
        held.append(Gate("held", "plan", text))
    # What the plan looked at is known from the start, also where a run ends at the baseline.
    for check in view.state.checked:
        if check.status == "warn" and check.name not in _ELSEWHERE:
            warnings.append(Gate("warn", "plan", f"{check.name.capitalize()}: {check.text}."))
        elif check.status == "ok" and check.name in _LOOKS:
            held.append(Gate("held", "plan", f"{check.name.capitalize()}: {check.text}."))
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
