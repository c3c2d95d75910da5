"""The boards that one run has right and another wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from tao_skill_bank.core.errors import BankError
from tao_skill_bank.studio import samples
from tao_skill_bank.studio.sheets import Sheets
from tao_skill_bank.studio.sources import RunSources

SHOWN = 24


def fixed_and_broken(sheets: Sheets, first: RunSources, second: RunSources) -> dict[str, Any]:
    """KPI boards that change side between the best models of two runs, those farthest over the line first.

    Boards are the same where path, name and label are; `boards_problem` says why none can be compared.
    """
    try:
        (a, one), (b, two) = (samples.read(sheets, sources, "kpi", None) for sources in (first, second))
    except (BankError, OSError) as error:
        return _none(str(error))
    if one.scores is None or two.scores is None or a.threshold is None or b.threshold is None:
        return _none("one of the runs has no scores at a threshold")
    match = samples.matched(two.table, one.table)
    known = match >= 0
    if not known.any():
        return _none("the runs share no board of their KPI sets")
    good = two.is_pass[two.place]
    old = np.where(known, match, 0)
    same = known & (one.is_pass[one.place][old] == good)
    was = (one.scores[one.place][old] > a.threshold) != good
    score = two.scores[two.place]
    now = (score > b.threshold) != good
    over = np.abs(score - b.threshold)
    found: dict[str, Any] = {"boards_problem": None}
    for name, rows in (("fixed", np.flatnonzero(same & ~was & now)), ("broken", np.flatnonzero(same & was & ~now))):
        ranked = rows[np.argsort(-over[rows], kind="stable")]
        found[f"{name}_count"] = len(rows)
        found[name] = [row.model_dump() for row in samples.rows(two, [int(r) for r in ranked[:SHOWN]])]
    return found


def _none(why: str) -> dict[str, Any]:
    return {"boards_problem": why, "fixed": [], "broken": [], "fixed_count": 0, "broken_count": 0}
