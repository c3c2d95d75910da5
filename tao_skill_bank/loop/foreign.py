"""Read what another program's `deft_state.json` says: the published loop writes the same file, in versions of its own.

Nothing of it is checked or taken over: only the keys that the published loop is known to write are told, as they stand,
and what they do not say (who approved it, on how many samples a FAR was measured) is said to be not known.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.text import clean, is_number

_TOP = ("kpi_target", "status", "stop_reason", "current_iteration", "max_iterations", "started_at")
_PHASE = ("status", "stage_completed", "threshold", "val_loss", "best_ckpt_path", "mining_mined_count")
MOST_PHASES = 20
MOST_TEXT = 160


@dataclass(frozen=True)
class Foreign:
    """What such a state says.

    Attributes:
        version: As it stands there.
        facts: The known keys of the run.
        phases: Label to the known keys of the baseline or an iteration; `far_pct` among them where it is a number.
        unknown: Keys that are not known here, by their number.
    """

    version: Any
    facts: dict[str, str] = field(default_factory=dict)
    phases: dict[str, dict[str, str]] = field(default_factory=dict)
    unknown: int = 0

    @property
    def best(self) -> str | None:
        """The label of the lowest FAR."""
        measured = {label: float(known["far_pct"]) for label, known in self.phases.items() if "far_pct" in known}
        return min(measured, key=lambda label: measured[label]) if measured else None

    def listed(self, run: Path) -> str:
        """The line of it in a list of runs: whose it is, how it stands, its lowest FAR, what makes a report of it."""
        told = [f"a run of another program (state version {_shown(self.version)}), read and never written"]
        told += [f"status {self.facts['status']}"] if "status" in self.facts else []
        if self.best is not None:
            told.append(f"lowest FAR {self.phases[self.best]['far_pct']}% in {self.best}")
        return "; ".join([*told, f"for a report: tao-skills deft import {shlex.quote(str(run))} NEW_FOLDER"])

    def lines(self) -> list[str]:
        """As text, a line a fact; the last line says what is not known."""
        out = [f"a state of another program (version {_shown(self.version)}): read, never written"]
        out += [f"  {key:<18} {value}" for key, value in self.facts.items()]
        for label, known in self.phases.items():
            told = ", ".join(f"{key} {value}" for key, value in known.items())
            out.append(f"  {label:<18} {told or 'nothing that is known here'}{', lowest FAR' * (label == self.best)}")
        more = f"; {self.unknown} further keys were not looked at" if self.unknown else ""
        return [*out, f"  not known: who approved it, how many samples a FAR was measured on, its interval{more}"]


class ForeignStateError(InputError):
    """The state is another program's: it can be looked at, and not worked on. `said` is what it says."""

    def __init__(self, what: str, said: Foreign, *, where: Any, fix: str) -> None:
        self.said = said
        super().__init__(what, where=where, fix=fix)


def foreign(raw: Mapping[str, Any]) -> Foreign:
    """The known keys of a state that another program wrote."""
    iterations = raw.get("iterations")
    labelled = iterations if isinstance(iterations, Mapping) else {}
    phases = {
        _shown(label): _phase(value)
        for label, value in list(labelled.items())[:MOST_PHASES]
        if isinstance(value, Mapping)
    }
    known = {*_TOP, "version", "format", "iterations", "results_dir", "config", "approval"}
    own = {*_PHASE, "far_pct"}
    unknown = len(set(raw) - known) + sum(len(set(v) - own) for v in labelled.values() if isinstance(v, Mapping))
    return Foreign(raw.get("version"), _known(raw, _TOP), phases, unknown)


def _phase(value: Mapping[str, Any]) -> dict[str, str]:
    far = value.get("far_pct")
    return {**({"far_pct": f"{far:g}"} if is_number(far) else {}), **_known(value, _PHASE)}


def _known(value: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    plain = {key: value[key] for key in keys if isinstance(value.get(key), (str, int, float))}
    return {key: _shown(found) for key, found in plain.items() if found != ""}


def _shown(value: Any) -> str:
    text = " ".join(clean(str(value)[:1000]).split())
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
