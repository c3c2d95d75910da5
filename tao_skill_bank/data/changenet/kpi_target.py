"""The KPI target as people write it: `FAR < 0.1% at recall=100%`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from tao_skill_bank.core.errors import InputError

EXAMPLE = "FAR < 0.1% at recall=100%"

_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_OPERATORS = {
    "<": "<",
    "below": "<",
    "under": "<",
    "less than": "<",
    "<=": "<=",
    "=<": "<=",
    "≤": "<=",
    "at most": "<=",
    "no more than": "<=",
}
_WORDS = "|".join(re.escape(word) for word in sorted(_OPERATORS, key=len, reverse=True))
_FAR = rf"(?:far|false[ -]accept rate)\s*(?P<op>{_WORDS})\s*(?P<far>{_NUMBER})\s*(?P<unit>%|percent)?"
_RECALL_LAST = rf"recall\s*(?:=|>=|≥|of)?\s*(?P<recall>{_NUMBER})\s*(?P<recall_unit>%|percent)?"
_RECALL_FIRST = rf"(?P<recall_b>{_NUMBER})\s*(?P<recall_unit_b>%|percent)?\s*recall"
_TARGET = re.compile(rf"\s*{_FAR}\s*(?:at|@|with|,)\s*(?:{_RECALL_LAST}|{_RECALL_FIRST})\s*\.?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class KpiTarget:
    """A limit on the false-accept rate at a NO_PASS recall.

    Attributes:
        op: `<` or `<=`, as written: `<` is not met by a FAR that equals the limit.
        far_pct: The limit, in percent.
        recall: The NO_PASS recall it is read at, as a share in (0, 1].
    """

    op: Literal["<", "<="]
    far_pct: float
    recall: float

    @classmethod
    def parse(cls, text: str) -> KpiTarget:
        """Read a target.

        The FAR needs its percent sign: `FAR < 0.1` may mean 0.1 % or 10 %, and is refused. The recall may be a
        percentage or a share (`1.0` is 100 %, and so is `1`), because no plant asks for a recall of 1 %.

        Raises:
            InputError: Anything that is not understood; the message shows how a target is written.
        """
        match = _TARGET.fullmatch(text)
        if match is None:
            raise InputError(
                f"KPI target not understood: {text!r}", where="kpi_target", fix=f"write it like {EXAMPLE!r}"
            )
        written = match["far"]
        if match["unit"] is None:
            raise InputError(
                f"KPI target {text!r} leaves open whether {written} is a percentage or a share",
                where="kpi_target",
                fix=f"write {written}% or {_plain(Decimal(written) * 100)}%",
            )
        op: Literal["<", "<="] = "<=" if _OPERATORS[match["op"].lower()] == "<=" else "<"
        far = float(written)
        if far > 100 or (far == 0 and op == "<"):
            raise InputError(
                f"no model can have FAR {op} {written}%" if far == 0 else f"FAR {written}% is more than all of it",
                where="kpi_target",
                fix=f"write it like {EXAMPLE!r}",
            )
        recall = Decimal(match["recall"] or match["recall_b"])
        share = recall / 100 if (match["recall_unit"] or match["recall_unit_b"]) or recall > 1 else recall
        if not 0 < share <= 1:
            raise InputError(
                f"recall {recall} of KPI target {text!r} is not between 0% and 100%",
                where="kpi_target",
                fix=f"write it like {EXAMPLE!r}",
            )
        return cls(op, far, float(share))

    def met(self, far_pct: float) -> bool:
        """Whether a FAR, in percent, meets the limit. A FAR equal to it but for rounding counts as equal."""
        if math.isclose(far_pct, self.far_pct, rel_tol=1e-12):
            return self.op == "<="
        return far_pct < self.far_pct

    def text(self) -> str:
        """The target in its canonical form: equal targets have equal text."""
        far, recall = (_plain(Decimal(repr(value))) for value in (self.far_pct, self.recall))
        return f"FAR {self.op} {far}% at recall={_plain(Decimal(recall) * 100)}%"


def _plain(value: Decimal) -> str:
    """A decimal without an exponent or trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
