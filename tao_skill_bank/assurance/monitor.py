"""Whether production still looks as it did: lots of scores without labels, and what a review station found out.

Without labels: for each part type and lighting three statistics a lot (median, 95th percentile and quartile distance of
its scores) go through a detector whose average run to a false alarm, over all of them together, is at least the number
of lots that was asked for (`metrics.drift`). The first lots are the reference; the acceptance set is none, since a line
has far fewer defects. With labels: bounds of FAR and recall that hold at every look (`metrics.anytime`), from parts
that were drawn for a label at known rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import computed_field

from tao_skill_bank.assurance.monitor_record import (
    Lot,
    Record,
    Settings,
    Statistic,
    read_settings,
    stratum_name,
)
from tao_skill_bank.assurance.monitor_state import History, State, Stretch, read_state
from tao_skill_bank.core.text import plural
from tao_skill_bank.loop.metric import Limit
from tao_skill_bank.metrics.anytime import AnytimeBounds, Drawn, anytime_bounds
from tao_skill_bank.tasks.changenet.metric import FAR, GRAMMAR, recall_asked

MOST_SMALL = 10
"""After so many lots in a row that are too small to test, this is an alarm."""
_CHANGES: dict[Statistic, tuple[str, str]] = {
    "level": ("the usual score lies lower", "the usual score lies higher"),
    "tail": ("the scores near the line lie lower", "the scores near the line lie higher"),
    "spread": ("scores lie closer together", "scores lie further apart"),
}
"""What is said of a statistic that falls, and of one that rises."""


class Alarm(Record):
    """What is no longer as it was, since when, and in which words; `size`: what is no longer tested."""

    kind: Literal["drift", "size", "FAR", "recall"]
    part_type: str = ""
    lighting: str = ""
    statistic: str = ""
    lot: str = ""
    since: str = ""
    text: str


class StratumStatus(Record):
    """One part type and lighting. `evidence` is the highest of its detectors, as a share of the limit.

    `drawn_lots` are far larger than the reference's, and tested by as many parts as those have; `least_parts` has a lot
    that is tested; `newest_tested` is false where the last lot was too small, though others were tested.
    """

    part_type: str
    lighting: str
    lots: int
    reference: int
    small_lots: int
    drawn_lots: int = 0
    least_parts: int = 0
    newest_tested: bool = True
    parts: int
    flagged: int
    evidence: float | None
    alarm: Alarm | None

    @property
    def by_size(self) -> str:
        """Which lots were not tested, or by some of their parts, for their size; empty: none."""
        small = f"{self.small_lots} too small to test (under {self.least_parts} parts)"
        drawn = f"{self.drawn_lots} far larger than the reference's, tested by a draw of their parts"
        return ", ".join(text for text, number in ((small, self.small_lots), (drawn, self.drawn_lots)) if number)


class Bound(Record):
    """A rate of all production from judged parts, 0..1; both bounds hold at every look, each at 95 %."""

    value: float | None
    least: float
    most: float
    parts: int


class Status(Record):
    """The whole of a monitor.

    `word` is `alarm`, `no alarm`, or `reference` while no lot could be tested and no judged part held against a target.
    """

    word: Literal["alarm", "no alarm", "reference"]
    threshold: float
    target: str | None
    lots: int
    parts: int
    flagged: int
    far: Bound | None
    recall: Bound | None
    alarms: tuple[Alarm, ...]
    strata: tuple[StratumStatus, ...]
    reference_lots: int
    lots_to_false_alarm: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def untested(self) -> str:
        """What nothing is known of yet: part types without a tested lot, rates that were asked for; empty: nothing."""
        waiting = sum(stratum.evidence is None for stratum in self.strata)
        idle = sum(not stratum.newest_tested for stratum in self.strata)
        far, recall = asked_rates(self.target)
        left = {
            f"{waiting} of {plural(len(self.strata), 'part type')} (each lighting apart) not tested yet": waiting > 0,
            f"the newest lot of {idle} is too small to test": idle > 0,
            "FAR not looked at: no good part was judged": far is not None and self.far is None,
            "recall not looked at: no defect was judged": recall is not None and self.recall is None,
        }
        return "; ".join(text for text, holds in left.items() if holds)

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        left = f"; {self.untested}" if self.untested else ""
        yield f"{self.word}: {self.lots} lots, {self.parts} parts, {self.flagged} flagged at {self.threshold!r}{left}"
        yield from (f"ALARM: {alarm.text}" for alarm in self.alarms)
        for stratum in self.strata:
            name = stratum_name(stratum.part_type, stratum.lighting)
            if stratum.evidence is None:
                state = f"reference, {stratum.reference} of {self.reference_lots} lots"
            else:
                state = f"evidence of a change {100 * stratum.evidence:.2g} % of the limit"
            aside = f", {stratum.by_size}" if stratum.by_size else ""
            yield f"{name}: {stratum.lots} lots{aside}; {state}"
        for label, bound in (("FAR", self.far), ("recall", self.recall)):
            if bound is not None and bound.value is not None:
                ends = f"{100 * bound.least:.3g} to {100 * bound.most:.3g} % at every look"
                yield f"{label} of production {100 * bound.value:.3g} %, {ends} ({bound.parts} judged parts)"


def status(folder: Path) -> Status:
    """What a monitor says now.

    Raises:
        InputError: As `read_settings`, `read_fed`.
    """
    settings = read_settings(folder)
    return status_of(settings, read_state(folder, settings))


def status_of(settings: Settings, state: State) -> Status:
    """The same of what a monitor knows."""
    strata = [_stratum(settings, history) for history in sorted(state.strata, key=lambda known: known.stratum)]
    alarms = [s.alarm for s in strata if s.alarm is not None]
    far, recall = _bound(state.stretches, good=True), _bound(state.stretches, good=False)
    alarms += _over(settings, far, recall)
    held = any(None not in pair for pair in zip((far, recall), asked_rates(settings.target), strict=True))
    tested = held or any(s.evidence is not None for s in strata)
    return Status(
        word="alarm" if alarms else "no alarm" if tested else "reference",
        threshold=settings.threshold,
        target=settings.target,
        lots=len(state.lots),
        parts=state.parts,
        flagged=state.flagged,
        far=far,
        recall=recall,
        alarms=tuple(alarms),
        strata=tuple(strata),
        reference_lots=settings.reference_lots,
        lots_to_false_alarm=settings.lots_to_false_alarm,
    )


def _stratum(settings: Settings, history: History) -> StratumStatus:
    gathered = history.sizes is not None
    least = max(settings.least_parts, math.ceil(history.sizes.least) if history.sizes is not None else 0)
    drifted = None if history.alarm is None else _drift(settings, history.alarm)
    return StratumStatus(
        part_type=history.part_type,
        lighting=history.lighting,
        lots=history.lots,
        reference=settings.reference_lots if gathered else len(history.reference_parts),
        small_lots=history.small,
        drawn_lots=history.drawn,
        least_parts=least,
        newest_tested=history.last is None or not history.small_since,
        parts=history.parts,
        flagged=history.flagged,
        evidence=None if history.last is None else math.exp(min(700.0, history.over)),
        alarm=drifted or _too_small(history, least, settings.least_parts),
    )


def _too_small(history: History, least: int, asked: int) -> Alarm | None:
    """That nothing looks at a stratum (any more), which is no all-clear.

    Beginning it anew mends what its reference asks for, and not the `asked` parts that the monitor was made with.
    """
    if history.small_since < MOST_SMALL:
        return None
    name = stratum_name(*history.stratum)
    state = "not tested" if history.last is None else "not tested any more"
    last = f"its last {plural(history.small_since, 'lot')} had under {least} parts"
    if least > asked:
        why = "too few to be held against its reference; restart it"
    else:
        why = "the least that this monitor tests; feed larger lots, or start another with a smaller --least-parts"
    return Alarm(
        kind="size",
        part_type=history.part_type,
        lighting=history.lighting,
        text=f"{name}: {state}: {last}, {why}",
    )


def _drift(settings: Settings, lot: Lot) -> Alarm:
    """The alarm that a lot raised; the stronger detector speaks."""
    assert lot.log_evidence is not None and lot.starts is not None and lot.rises is not None
    i = int(np.argmax(lot.log_evidence))
    statistic = settings.statistics[i]
    name = stratum_name(lot.part_type, lot.lighting)
    return Alarm(
        kind="drift",
        part_type=lot.part_type,
        lighting=lot.lighting,
        statistic=statistic,
        lot=lot.lot,
        since=lot.starts[i],
        text=f"{name}: {_CHANGES[statistic][lot.rises[i]]} since about lot {lot.starts[i]} (noticed at lot {lot.lot})",
    )


def _bound(judged: Sequence[Stretch], *, good: bool) -> Bound | None:
    """The share that is flagged of all good parts (FAR) or of all defects (recall)."""
    stretches: list[dict[float, list[int]]] = []
    for stretch in judged:
        stretches.append({stretch.least: [0, 0]})
        for group in (group for group in stretch.groups if group.good is good):
            hits_and_parts = stretches[-1].setdefault(group.rate, [0, 0])
            hits_and_parts[0] += group.parts if group.flagged else 0
            hits_and_parts[1] += group.parts
    # Flagged and passed parts have rates of their own, and each is unbiased for all parts of its kind.
    samples = [[Drawn(rate, hits, parts) for rate, (hits, parts) in sorted(stretch.items())] for stretch in stretches]
    found: AnytimeBounds = anytime_bounds(*samples)
    if found.value is None:
        return None
    parts = sum(sample.number for stretch in samples for sample in stretch)
    return Bound(value=found.value, least=found.least, most=found.most, parts=parts)


@cache
def asked_rates(target_text: str | None) -> tuple[Limit | None, float | None]:
    """The limit of FAR and the least recall that judged parts are held against."""
    if target_text is None:
        return None, None
    target = GRAMMAR.parse(target_text)
    return target.limit(FAR.name), recall_asked(target)


def _over(settings: Settings, far: Bound | None, recall: Bound | None) -> list[Alarm]:
    """What the judged parts show to be worse than what was asked."""
    alarms = []
    asked, floor = asked_rates(settings.target)
    if far is not None and asked is not None and far.least > asked.share:
        alarms.append(
            Alarm(
                kind="FAR", text=f"FAR is at least {100 * far.least:.3g} %, asked {asked.text} ({far.parts} good parts)"
            )
        )
    if recall is not None and floor is not None and recall.most < floor:
        most = _most_pct(recall.most)
        text = f"recall is at most {most} %, asked ≥ {100 * floor:g} % ({recall.parts} defects)"
        alarms.append(Alarm(kind="recall", text=text))
    return alarms


def _most_pct(share: float) -> str:
    """An upper bound in percent, with the digits that tell it from 100."""
    for digits in (3, 5, 7):
        text = f"{100 * share:.{digits}g}"
        if text != "100" or share >= 1:
            return text
    return "100"
