"""What a plan says of the corrections it takes: how many, since when, which could not be applied, what they measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.text import plural
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.sample_book import ACCEPTANCE, KPI, MEASURED
from tao_skill_bank.data.corrections import Change, Corrections, counted
from tao_skill_bank.loop.api import latest_run
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.request import OwnWord
from tao_skill_bank.tasks.registry import load_state
from tao_skill_bank.tasks.taken import Taking, read_upto, taken

CHECK = "corrections"
MEASURED_WORD = "measured-labels"
_TITLES = {KPI: "KPI", ACCEPTANCE: "acceptance"}


@dataclass(frozen=True)
class Named:
    """What a task calls its files, one of them, what a person looks at, and where both figures stand."""

    files: str
    file: str
    look: str
    shown: str = ""


def label_checks(
    config: Taking, named: Named, changes_of: Callable[[], Mapping[str, Sequence[Change]]]
) -> tuple[list[Check], list[OwnWord]]:
    """The checks of a plan's corrections, and the word that those of the measured sets need.

    Raises:
        InputError: The file of corrections cannot be read, or is not what it was.
    """
    found = taken(config)
    if not found.lines:
        off = config.corrections.use == "none" and corrections.read(Path(config.workspace)).lines
        text = f"{'switched off' if off else 'none'}: labels are as {named.files} have them"
        return [Check(name=CHECK, status="skip", text=text)], []
    changes = changes_of()
    checks = [_taken(_newest_config(Path(config.workspace)), found, changes)]
    left = [(name, c) for name, of in changes.items() for c in of if c.outcome not in _FINE]
    if left:
        checks.append(_left(left, named))
    measured = {name: made for name in MEASURED if (made := _made(changes.get(name, [])))}
    words = [_word(measured, named)] if measured else []
    checks += [Check(name="measured labels", status="warn", text=word.question) for word in words]
    return checks, words


_FINE = ("relabelled", "dropped", "already so")


def _made(changes: Sequence[Change]) -> list[Change]:
    return [change for change in changes if change.outcome in ("relabelled", "dropped")]


def _taken(newest: Taking | None, found: Corrections, changes: Mapping[str, Sequence[Change]]) -> Check:
    before = _before(newest)
    if before is None:
        parts = [counted(found.changing)]
    else:
        new = corrections.since(before, found)
        number, colon, rest = (counted(new) if new else "no correction").partition(":")
        parts = [f"{number} since the last run{colon}{rest}"]
    rows = ", ".join(f"{name} {len(made)}" for name, of in changes.items() if (made := _made(of)))
    parts.append(f"rows changed: {rows}" if rows else "no row is changed")
    waiting = {status: found.counts.get(status, 0) for status in ("disputed", "doubted")}
    if waiting["disputed"]:
        parts.append(f"{plural(waiting['disputed'], 'sample')} disputed by their readers and left as they are")
    if waiting["doubted"]:
        parts.append(f"{plural(waiting['doubted'], 'sample')} said to be mislabeled without another label")
    status: Literal["ok", "warn"] = "warn" if any(waiting.values()) else "ok"
    return Check(name=CHECK, status=status, text="; ".join(parts))


def _newest_config(workspace: Path) -> Taking | None:
    """The configuration of a workspace's newest run; None where there is none, or none that can be read."""
    try:
        newest = latest_run(workspace)
        config = None if newest is None else load_state(newest).config
    except (BankError, OSError):
        return None
    return config if hasattr(config, "corrections") else None


def _before(newest: Taking | None) -> Corrections | None:
    """What the newest run of the workspace took; None where there is no run, or none that says it."""
    if newest is None:
        return None
    try:
        return read_upto(Path(newest.workspace), newest.corrections)
    except (BankError, OSError):
        return None


def _left(left: Sequence[tuple[str, Change]], named: Named) -> Check:
    name, first = left[0]
    text = (
        f"{plural(len(left), 'correction')} not applied, first {first.found.sample.name} of the {name} set: "
        f"{_why(first, named)}; look again, or undo it"
    )
    return Check(name="corrections left", status="warn", text=text)


def _why(change: Change, named: Named) -> str:
    if change.outcome == "picture changed":
        return f"its {named.look} is not the one that was looked at"
    if change.outcome == "label changed":
        return f"its label in {named.file} is neither the one that was looked at nor the new one"
    return "it is not in the set any more"


def _word(measured: Mapping[str, list[Change]], named: Named) -> OwnWord:
    said = [f"{_TITLES[name]} {_rows(of)}" for name, of in measured.items()]
    question = (
        f"corrected labels change what the figures are measured on: {'; '.join(said)}. {named.shown}"
        "To leave these sets as they are: corrections.use=unmeasured"
    )
    return OwnWord(name=MEASURED_WORD, question=question)


def _rows(changes: list[Change]) -> str:
    number = {outcome: sum(c.outcome == outcome for c in changes) for outcome in ("relabelled", "dropped")}
    return ", ".join(f"{count} {outcome}" for outcome, count in number.items() if count)
