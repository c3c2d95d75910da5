"""Whether the sets that a run measures on can show what is asked of it at all: said in the plan, before a training."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tao_skill_bank.core.text import limit as percentage
from tao_skill_bank.core.text import plural
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.metric import Limit, Target
from tao_skill_bank.metrics.evidence import exact_bounds, trials_to_show

_OF_ALL = 0.1
"""No number of samples shows that nothing ever errs: a set is then called small where it leaves more than this open."""


def size_check(target: Target, sets: Mapping[str, Mapping[str, int]]) -> Check:
    """A warning where even a model without one error would leave a limit of the target open.

    Args:
        target: What is asked.
        sets: Set → how many it has of what the measures are shares of (`Measure.of`); samples count as independent.
    """
    small, enough, unknown = [], [], []
    for asked in target.limits:
        for name, counts in sets.items():
            have = counts.get(asked.of)
            if not asked.measure.share or have is None:
                unknown.append(asked.name)
                continue
            takes = _takes(asked)
            if have >= takes:
                enough.append(f"{name} {plural(have, asked.of)}")
            else:
                more = f"{asked.text} takes {takes:,}" if 0 < asked.limit_pct < 100 else f"{asked.text} is never shown"
                small.append(f"{name} {plural(have, asked.of)}: {asked.name} {_best(asked, have)} ({more})")
    open_ones = (
        f"; for {', '.join(dict.fromkeys(unknown))} how many samples show it is not known before a model"
        if unknown
        else ""
    )
    if small:
        text = f"without one error these would show no more than: {'; '.join(small)}{open_ones}"
        return Check(name="set sizes", status="warn", text=text)
    if not enough:
        return Check(name="set sizes", status="skip", text=open_ones.removeprefix("; "))
    text = f"{', '.join(enough)}: enough to show what is asked if next to none is wrong{open_ones}"
    return Check(name="set sizes", status="ok", text=text)


def _takes(asked: Limit) -> int:
    """How many samples show a limit if none of them is wrong."""
    at_most = asked.at_most
    share = asked.share if 0 < asked.limit_pct < 100 else _OF_ALL if at_most else 1 - _OF_ALL
    return trials_to_show(0.0 if at_most else 1.0, share, at_most=at_most) or 1


def _best(asked: Limit, have: int) -> str:
    """The bound that so many samples give if none of them is wrong."""
    if have == 0:
        return "nothing"
    bounds = exact_bounds(0 if asked.at_most else have, have)
    # Rounded away from what is asked: 94.96 % is not 95 %.
    if asked.at_most:
        return f"≤ {percentage(math.ceil(1000 * bounds.most) / 10)}"
    return f"≥ {percentage(math.floor(1000 * bounds.least) / 10)}"
