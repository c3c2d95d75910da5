"""What judges found, as a results folder keeps it: `judged.json`, by item and check."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.quality.rules import Finding
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import write_json

FILE = "judged.json"
FORMAT = "tao-skill-bank-judged-v1"
UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Judged:
    """Findings of judged checks.

    Attributes:
        facts: Check → its model, whether that made the items too, how many items it was asked of, and its figures.
        found: Check → item digest → finding.
    """

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    found: dict[str, dict[str, Finding]] = field(default_factory=dict)

    @property
    def findings(self) -> dict[str, list[Finding]]:
        """Item digest → findings, in the order of the checks."""
        out: dict[str, list[Finding]] = defaultdict(list)
        for check in sorted(self.found):
            for digest, finding in self.found[check].items():
                out[digest].append(finding)
        return out

    def with_newer(self, newer: Judged, *, stopped: bool = False) -> Judged:
        """These, with what a later run found by its checks in the place of what stood.

        What the later run could not ask stands as it was found before. Of a check with another judge than before that
        is so for the whole of it where the run was `stopped`: figures are those of one judge.
        """
        facts, found = {**self.facts}, {**self.found}
        for check, of in newer.found.items():
            told, before = newer.facts.get(check, {}), self.found.get(check, {})
            same = check not in self.facts or self.facts[check].get("model") == told.get("model")
            if stopped and not same:
                continue
            kept = before if same else {}
            found[check] = {d: kept.get(d, f) if f.code == UNCHECKED else f for d, f in of.items()}
            codes = Counter(finding.code for finding in found[check].values())
            facts[check] = {**told, "found": dict(sorted(codes.items()))}
        return Judged(facts, found)

    def lines(self) -> list[str]:
        """For a card: a check and its model each."""
        return [
            f"{check} by {facts.get('model')}"
            + (" (the model that made the items)" if facts.get("made_items") else "")
            + (f", {facts['agreement']['all']['agree']:.0%} agree" if facts.get("agreement") else "")
            for check, facts in sorted(self.facts.items())
        ]


def write_judged(folder: Path, judged: Judged) -> None:
    """Keep them."""
    found = {
        check: {digest: {"code": f.code, "refused": f.refused, "why": f.why} for digest, f in sorted(of.items())}
        for check, of in sorted(judged.found.items())
    }
    write_json(folder / FILE, {"format": FORMAT, "checks": judged.facts, "findings": found})


def read_judged(folder: Path) -> Judged:
    """What stands; empty where nobody was asked.

    Raises:
        InputError: The file is something else.
    """
    path = folder / FILE
    if not guard.exists(path):
        return Judged()
    try:
        value: Any = json.loads(guard.read_text(path))
        if value["format"] != FORMAT:
            raise ValueError
        found = {
            str(check): {str(d): Finding(str(f["code"]), bool(f["refused"]), str(f["why"])) for d, f in of.items()}
            for check, of in value["findings"].items()
        }
        return Judged({str(check): dict(facts) for check, facts in value["checks"].items()}, found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError("is no record of judged checks", where=path, fix="run the checks again") from None


def agreement(pairs: Mapping[str, Sequence[tuple[str, str, bool]]]) -> dict[str, dict[str, float | int | None]]:
    """Task → how many were compared, the share that agrees, and Cohen's kappa where both gave one of few answers.

    Args:
        pairs: Task → (the item's answer, the judge's, whether they agree).
    """
    from tao_skill_bank.metrics.paired import cohen_kappa

    out: dict[str, dict[str, float | int | None]] = {}
    for task, of in sorted(pairs.items()):
        kappa = cohen_kappa([a for a, _, _ in of], [b for _, b, _ in of]) if task in ("mcq", "bcq") else None
        out[task] = {"n": len(of), "agree": round(sum(same for _, _, same in of) / len(of), 4)}
        out[task] |= {} if kappa is None else {"kappa": round(kappa, 4)}
    every = [same for of in pairs.values() for _, _, same in of]
    return out | ({"all": {"n": len(every), "agree": round(sum(every) / len(every), 4)}} if every else {})
