"""What a plan says of the corrections it takes: how many, since when, which could not be applied, what they measure."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.text import plural
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.sample_book import ACCEPTANCE, KPI, MEASURED
from tao_skill_bank.data.corrections import Change, Corrections, Snapshot, counted
from tao_skill_bank.loop.api import latest_run
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.request import OwnWord
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.sets import applied
from tao_skill_bank.tasks.changenet.taken import KEY_OF, taken
from tao_skill_bank.tasks.registry import load_state

CHECK = "corrections"
MEASURED_WORD = "measured-labels"
_TITLES = {KPI: "KPI", ACCEPTANCE: "acceptance"}


def label_checks(config: RunConfig) -> tuple[list[Check], list[OwnWord]]:
    """The checks of a plan's corrections, and the word that those of the measured sets need.

    Raises:
        InputError: The file of corrections cannot be read, or is not what it was.
    """
    found = taken(config)
    if not found.lines:
        off = config.corrections.use == "none" and corrections.read(Path(config.workspace)).lines
        text = "switched off: labels are as the CSVs have them" if off else "none: labels are as the CSVs have them"
        return [Check(name=CHECK, status="skip", text=text)], []
    changes = {
        name: applied(config, name)[1].changes for name, key in KEY_OF.items() if getattr(config, key) is not None
    }
    checks = [_taken(config, found, changes)]
    left = [(name, c) for name, of in changes.items() for c in of if c.outcome not in _FINE]
    if left:
        checks.append(_left(left))
    measured = {name: _made(changes.get(name, [])) for name in MEASURED if _made(changes.get(name, []))}
    words = [_word(measured)] if measured else []
    checks += [Check(name="measured labels", status="warn", text=word.question) for word in words]
    return checks, words


_FINE = ("relabelled", "dropped", "already so")


def _made(changes: list[Change]) -> list[Change]:
    return [change for change in changes if change.outcome in ("relabelled", "dropped")]


def _taken(config: RunConfig, found: Corrections, changes: dict[str, list[Change]]) -> Check:
    before = _before(config)
    made = {name: len(_made(of)) for name, of in changes.items() if _made(of)}
    if before is None:
        parts = [counted(found.changing)]
    else:
        new = corrections.since(before, found)
        parts = [f"{counted(new) if new else 'no correction'} since the last run"]
        if new:
            number, _, rest = counted(new).partition(":")
            parts = [f"{number} since the last run:{rest}" if rest else f"{number} since the last run"]
    rows = ", ".join(f"{name} {count}" for name, count in made.items())
    parts.append(f"rows changed: {rows}" if rows else "no row is changed")
    waiting = {status: found.counts.get(status, 0) for status in ("disputed", "doubted")}
    if waiting["disputed"]:
        parts.append(f"{plural(waiting['disputed'], 'sample')} disputed by their readers and left as they are")
    if waiting["doubted"]:
        parts.append(f"{plural(waiting['doubted'], 'sample')} said to be mislabeled without another label")
    status: Literal["ok", "warn"] = "warn" if any(waiting.values()) else "ok"
    return Check(name=CHECK, status=status, text="; ".join(parts))


def _before(config: RunConfig) -> Corrections | None:
    """What the newest run of the workspace took; None where there is no run, or none that says it."""
    workspace = Path(config.workspace)
    try:
        newest = latest_run(workspace)
        if newest is None:
            return None
        earlier = load_state(newest).config.corrections
        if earlier.use == "none" or not earlier.lines:
            return Corrections()
        return corrections.read(workspace, Snapshot(earlier.lines, earlier.sha256))
    except (BankError, OSError):
        return None


def _left(left: list[tuple[str, Change]]) -> Check:
    name, first = left[0]
    text = (
        f"{plural(len(left), 'correction')} not applied, first {first.found.sample.name} of the {name} set: "
        f"{_WHY[first.outcome]}; look again, or undo it"
    )
    return Check(name="corrections left", status="warn", text=text)


_WHY = {
    "picture changed": "its picture is not the one that was looked at",
    "label changed": "its label in the CSV is neither the one that was looked at nor the new one",
    "not in the set": "it is not in the set any more",
}


def _word(measured: dict[str, list[Change]]) -> OwnWord:
    said = [f"{_TITLES[name]} {_rows(of)}" for name, of in measured.items()]
    question = (
        f"corrected labels change what the figures are measured on: {'; '.join(said)}. Before and after stand in the "
        "report. To leave these sets as they are: corrections.use=unmeasured"
    )
    return OwnWord(name=MEASURED_WORD, question=question)


def _rows(changes: list[Change]) -> str:
    number = {outcome: sum(c.outcome == outcome for c in changes) for outcome in ("relabelled", "dropped")}
    return ", ".join(f"{count} {outcome}" for outcome, count in number.items() if count)
