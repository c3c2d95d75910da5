"""The one verdict of a run: what was asked, on which set, what was measured, how sure that is, and one word.

A pure function of figures that are on disk. Whoever prints a verdict (report, status, log, terminal, tools, hand-off)
prints this object; nothing else decides whether a target is met. The words:

    shown            on a set that the loop never saw, every claim's one-sided 95 % bound meets its limit
    met, not shown   the figures meet the limits; the samples are too few, or the loop has seen them
    not met          a figure does not meet its limit
    cannot be told   something that would decide was not measured

A model that the bank's own network stands in for is a rehearsal, whatever its figures: the word says so in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import computed_field

from tao_skill_bank.core.settings import Frozen
from tao_skill_bank.core.text import capital, limit, plural, ranged
from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.metric import Limit
from tao_skill_bank.metrics.evidence import trials_to_show

Word = Literal["shown", "met, not shown", "not met", "cannot be told"]
Outcome = Literal["shown", "met", "not met", "unknown"]
REHEARSAL = "rehearsal"
SEEN_BY_LOOP = "the loop has seen this set"
TRAINER_UNKNOWN = "trainer unknown"


class Claim(Frozen):
    """One figure against its limit; rates in percent.

    Attributes:
        name: `FAR`, `recall`.
        of: What it is a share of.
        asked: The limit as text.
        at_most: Whether the figure must not lie above it.
        value_pct: What was measured; None where nothing was.
        measured: The figure with its counts and two-sided interval, where they are known.
        bound_pct: The one-sided 95 % bound on the side of the limit.
        outcome: `shown`, `met` (the point, not the bound), `not met`, `unknown`.
        more: About how many more samples would show it at the same rate (on a set that the loop has seen: how many of
            a set of its own); None where none are needed or no number does.
        why: Why it is not shown although it is met, or not known; empty otherwise.
    """

    name: str
    of: str
    asked: str
    at_most: bool
    value_pct: float | None = None
    measured: Interval | None = None
    bound_pct: float | None = None
    outcome: Outcome = "unknown"
    more: int | None = None
    why: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def word(self) -> Word:
        """The word of the verdict, of this claim alone: what a place that shows it prints."""
        return word_of([self])

    @property
    def bound_side(self) -> str:
        """`at most` or `at least`: the side of `bound_pct`."""
        return "at most" if self.at_most else "at least"

    @property
    def text(self) -> str:
        """`FAR 3.11 % (1.4–5.9 %), asked < 5 %`."""
        if self.value_pct is None:
            return f"{self.name} not known, asked {self.asked}"
        low, high = (self.measured.low_pct, self.measured.high_pct) if self.measured else (None, None)
        return f"{self.name} {ranged(self.value_pct, low, high)}, asked {self.asked}"


class Verdict(Frozen):
    """What can be said of a run's model against its target.

    Attributes:
        word: One of four.
        head: The word, with what must never be read without it in front: `rehearsal: met, not shown`.
        text: The evidence as one sentence.
        set: The set that decides, as `acceptance set`.
        independent: Whether the loop never saw that set.
        model: The iteration whose model was judged.
        claims: Figures against limits.
        rehearsal: Whether the bank's own network was trained and not TAO's; None where nothing says who trained.
        trained: Who trained it, and on what.
        final: Whether the run has come to its end.
    """

    word: Word
    head: str
    text: str
    asked: str
    set: str | None = None
    independent: bool = False
    model: str | None = None
    threshold: float | None = None
    claims: tuple[Claim, ...] = ()
    rehearsal: bool | None = None
    trained: Trained = Trained()
    final: bool = False

    @computed_field  # type: ignore[prop-decorator]
    @property
    def line(self) -> str:
        """All of it in one line: what every place that quotes a verdict prints."""
        return f"{self.head}: {self.text}"

    @property
    def point_met(self) -> bool:
        """Whether every figure meets its limit, be it shown or not."""
        return self.word in ("shown", "met, not shown")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def may_ship(self) -> bool:
        """Whether nothing that was asked is open: shown, by the end of a run, on a model of TAO's own training."""
        return self.word == "shown" and self.rehearsal is False and self.final


def claim(asked: Limit, measured: Interval | None, value_pct: float | None = None, *, independent: bool) -> Claim:
    """One figure against its limit.

    `value_pct` is the figure where its counts are not known; `independent`: the loop never saw the set.
    """
    made: dict[str, Any] = {"name": asked.name, "of": asked.of, "asked": asked.text, "at_most": asked.at_most}
    if measured is not None and measured.trials == 0:
        return Claim(**made, why=f"the set has no {asked.of}")
    value = measured.value_pct if measured is not None else value_pct
    if value is None:
        return Claim(**made, why=f"{asked.name} was not measured")
    bound = None if measured is None else measured.bound_pct(at_most=asked.at_most)
    made.update(value_pct=value, measured=measured, bound_pct=bound)
    if not asked.met(value):
        return Claim(**made, outcome="not met")
    one_group = measured is not None and measured.groups == 1
    if independent and bound is not None and asked.met(bound) and not one_group:
        return Claim(**made, outcome="shown")
    factor = measured.factor if measured is not None else 1.0
    total = None
    if asked.measure.share:
        total = trials_to_show(value / 100, asked.limit_pct / 100, at_most=asked.at_most, factor=factor)
    have = measured.trials if measured is not None and independent else 0
    more = None if total is None or one_group else max(1, total - have)
    return Claim(**made, outcome="met", more=more, why=_why_open(asked, total, one_group))


def _why_open(asked: Limit, total: int | None, one_group: bool) -> str:
    if one_group:
        return f"every {asked.of} is of one {asked.measure.group}, which says nothing of others"
    if total is not None:
        return ""
    if not asked.measure.share:
        return f"{asked.name} is no share of samples, so how many more would show it cannot be said"
    if asked.limit_pct in (0.0, 100.0):
        return f"no number of samples shows {asked.name} of {limit(asked.limit_pct)}"
    return f"{asked.name} is too close to its limit: at that rate no feasible number of samples shows it"


def word_of(claims: Sequence[Claim]) -> Word:
    """The word that claims have together: the weakest of them decides."""
    outcomes = {c.outcome for c in claims}
    if "not met" in outcomes:
        return "not met"
    if not outcomes or "unknown" in outcomes:
        return "cannot be told"
    return "shown" if outcomes == {"shown"} else "met, not shown"


def verdict(
    asked: str,
    claims: Sequence[Claim],
    trained: Trained,
    *,
    model: str,
    threshold: float | None,
    set_name: str,
    independent: bool,
    final: bool,
    pending: str = "",
    seen: str = SEEN_BY_LOOP,
) -> Verdict:
    """The verdict on one model.

    Args:
        asked: The target.
        claims: Its figures against the limits, all of one set.
        trained: Who trained it.
        model: The iteration.
        threshold: The threshold it was judged at.
        set_name: The set, as `acceptance set`.
        independent: Whether the loop never saw that set, nor anybody before the run.
        seen: Why it is not independent, where it is not.
        final: Whether the run has come to its end.
        pending: What is still to be measured and would decide, so that what is met so far cannot be told yet.
    """
    word = word_of(claims)
    if pending and word != "not met":
        word = "cannot be told"
    rehearsal = {"tao": False, "stand-in": True}.get(trained.by)
    front = "" if rehearsal is False else f"{REHEARSAL}: " if rehearsal else f"{TRAINER_UNKNOWN}: "
    text = f"{'' if final else 'so far, '}{model} on the {set_name}: {'; '.join(c.text for c in claims)}"
    tail = pending or _tail(word, claims, independent, seen)
    return Verdict(
        word=word,
        head=f"{front}{word}",
        text=f"{text}. {capital(tail)}" if tail else text,
        asked=asked,
        set=set_name,
        independent=independent,
        model=model,
        threshold=threshold,
        claims=tuple(claims),
        rehearsal=rehearsal,
        trained=trained,
        final=final,
    )


def nothing_measured(asked: str, why: str, *, final: bool) -> Verdict:
    """The verdict of a run in which nothing could be judged, and why."""
    return Verdict(word="cannot be told", head="cannot be told", text=why, asked=asked, final=final)


def _tail(word: Word, claims: Sequence[Claim], independent: bool, seen: str) -> str:
    """What would turn `met, not shown` into `shown`, or why something cannot be told."""
    whys = list(dict.fromkeys(c.why for c in claims if c.why))
    if word == "cannot be told":
        return "; ".join(whys)
    if word != "met, not shown":
        return ""
    counts = [f"{plural(c.more, c.of)} for {c.name}" for c in claims if c.more is not None]
    if counts and independent:
        whys.insert(0, f"shown with about {' and '.join(_more(c) for c in claims if c.more is not None)}")
    elif counts:
        whys.insert(0, f"{seen}; an acceptance set shows it with about {' and '.join(counts)}")
    return "; ".join(whys)


def _more(found: Claim) -> str:
    assert found.more is not None
    return f"{plural(found.more, f'more {found.of}')} for {found.name}"
