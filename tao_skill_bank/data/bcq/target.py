"""What a yes/no run is asked for: a measure and its limit, perhaps at another rate.

target  = measure op number [" at " rate "<=" number]
measure = "accuracy" | "balanced accuracy" | "worst question accuracy" | rate ; rate = "FP rate" | "FN rate"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.text import limit

RATES = ("FP rate", "FN rate")
MEASURES = ("accuracy", "balanced accuracy", "worst question accuracy", *RATES)
_HOW = "for example 'balanced accuracy >= 95%', or 'FN rate <= 1% at FP rate <= 5%'"
_NUMBER = r"(\d+(?:\.\d+)?)\s*(%)?"
_PART = re.compile(rf"\s*([a-z ]+?)\s*(<=|>=|<|>|≤|≥)\s*{_NUMBER}\s*")
_NAMES = {name.lower(): name for name in MEASURES}
Operator = Literal["<=", ">=", "<", ">"]


@dataclass(frozen=True)
class Target:
    """A limit on one measure; shares in 0..1.

    Attributes:
        measure: One of `MEASURES`.
        op: `>=` or `>` for accuracies, `<=` or `<` for rates.
        limit: 0..1.
        at: The rate that the threshold holds; None where answers are taken as they are.
        at_limit: Its limit, 0..1.
    """

    measure: str
    op: Operator
    limit: float
    at: str | None = None
    at_limit: float | None = None

    @property
    def at_most(self) -> bool:
        """Whether lower is better."""
        return self.measure in RATES

    @property
    def short(self) -> str:
        """`>=95%`."""
        return f"{self.op}{_percent(self.limit)}"

    def text(self) -> str:
        """The target in its canonical form."""
        tail = "" if self.at is None or self.at_limit is None else f" at {self.at} <= {_percent(self.at_limit)}"
        return f"{self.measure} {self.op} {_percent(self.limit)}{tail}"

    @staticmethod
    def parse(text: str) -> Target:
        """Read a target. Case, `_` and `-` are free.

        Raises:
            InputError: It is not understood, or asks the wrong way round.
        """
        plain = " ".join(re.sub(r"[_-]", " ", text.casefold()).split())
        head, split, tail = plain.partition(" at ")
        measure, op, value = _part(head, text)
        target = Target(measure, op, value)
        if target.at_most != op.startswith("<"):
            way = "<= or <" if target.at_most else ">= or >"
            raise InputError(f"{measure} is limited by {way}: {text!r}", where="kpi_target", fix=_HOW)
        if not split:
            return target
        rate, how, bound = _part(tail, text)
        if rate not in RATES or how != "<=" or not target.at_most or rate == measure:
            raise InputError(f"target not understood: {text!r}", where="kpi_target", fix=_HOW)
        return Target(measure, op, value, rate, bound)


def _part(text: str, whole: str) -> tuple[str, Operator, float]:
    found = _PART.fullmatch(text)
    name = None if found is None else _NAMES.get(found[1])
    if found is None or name is None:
        raise InputError(f"target not understood: {whole!r}", where="kpi_target", fix=_HOW)
    value = float(found[3]) / (100.0 if found[4] else 1.0)
    if value > 1.0:
        more = "" if found[4] else f": write {found[3]}%"
        raise InputError(f"{found[3]}{found[4] or ''} is no share{more}", where="kpi_target", fix=_HOW)
    op: Operator = {"≤": "<=", "≥": ">="}.get(found[2], found[2])  # type: ignore[assignment]
    return name, op, round(value, 12)


def _percent(share: float) -> str:
    return limit(100.0 * share).replace(" ", "")
