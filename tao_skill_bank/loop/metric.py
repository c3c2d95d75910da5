"""What a run is to reach, as people write it: `FAR < 1% at recall=99%`. One grammar; a task brings its measures.

    target = measure op number [("at" | "@" | "with" | ",") constraint]
    constraint = measure [op | "=" | "of"] number | number measure
    number = "99.5%" | "99.5 percent" | "0.995"

The case of a name does not matter, nor whether its words are parted by spaces, `-` or `_`. A number above 1 is a
percentage; any other without a percent sign is a share. One kind is refused, with both readings: in a target that is
otherwise in percent, a limit to stay below, such as `FAR < 0.1`, may mean 0.1 % or 10 %.

The contract that is read chooses the operating point, the checkpoint and the iteration, decides, and is printed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.text import limit as percentage
from tao_skill_bank.metrics.evidence import meets

_NUMBER = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>%|percent\b)?", re.IGNORECASE)
_OPERATORS = {
    "<": ("<", "below", "under", "less than", "fewer than"),
    "<=": ("<=", "=<", "≤", "at most", "no more than", "up to"),
    ">": (">", "above", "over", "more than", "greater than"),
    ">=": (">=", "=>", "≥", "at least", "no less than"),
}
_MEANING = {word: op for op, words in _OPERATORS.items() for word in words}
_EQUAL = ("=", "==", "of", "is")
_PARTED = r"[\s_-]*"


@dataclass(frozen=True)
class Measure:
    """A figure, between 0 and 100 %, that a task can take of a model.

    Attributes:
        name: As it is printed: `FAR`, `balanced accuracy`.
        of: What it is a share of, in the singular: `PASS sample`.
        at_most: Whether lower is better, so that a target limits it from above.
        words: Other names that people write.
        group: What samples that are not independent have in common, such as `board`.
        share: Whether it is a share of counted samples, so that a number of samples can be said that would show it.
        constrains: Whether it may stand behind `at`.
        tunable: Whether a threshold moves it, so that a constraint may stand beside it.
        meant: The constraint that is meant where none is written: `recall=100%`.
        needs: A constraint without which any model can reach any limit, as an example of what to write.
    """

    name: str
    of: str
    at_most: bool
    words: tuple[str, ...] = ()
    group: str = "group"
    share: bool = True
    constrains: bool = False
    tunable: bool = True
    meant: str | None = None
    needs: str | None = None

    def better(self, value: float, other: float) -> bool:
        """Whether one figure is better than another."""
        return value < other if self.at_most else value > other


def figure_key(measure: str) -> str:
    """The name of a measure's figure in percent among other figures: `far_pct`, `balanced_accuracy_pct`."""
    return f"{measure.replace(' ', '_').lower()}_pct"


@dataclass(frozen=True)
class Limit:
    """A measure and how far it may go, in percent.

    Attributes:
        strict: Whether a figure that equals the limit does not meet it.
    """

    measure: Measure
    limit_pct: float
    strict: bool = False

    @property
    def name(self) -> str:
        """The measure's name."""
        return self.measure.name

    @property
    def of(self) -> str:
        """What it is a share of."""
        return self.measure.of

    @property
    def at_most(self) -> bool:
        """Whether the figure must not lie above the limit; else not below."""
        return self.measure.at_most

    @property
    def share(self) -> float:
        """The limit in 0..1."""
        return float(Decimal(repr(self.limit_pct)) / 100)

    @property
    def op(self) -> str:
        """`<`, `<=`, `>` or `>=`."""
        return ("<" if self.at_most else ">") + ("" if self.strict else "=")

    @property
    def short(self) -> str:
        """`<0.5%`."""
        return f"{self.op}{_plain(self.limit_pct)}%"

    @property
    def text(self) -> str:
        """`< 5 %`, `≥ 99 %`."""
        return f"{self.op.replace('<=', '≤').replace('>=', '≥')} {percentage(self.limit_pct)}"

    def met(self, value_pct: float) -> bool:
        """Whether a figure meets the limit; one that equals it but for rounding counts as equal."""
        return meets(value_pct, self.limit_pct, at_most=self.at_most, strict=self.strict)


@dataclass(frozen=True)
class Target:
    """A metric contract: what is limited and which way, at which constraints, measured on which set.

    Attributes:
        goal: The figure that is to be reached; the better model is the one whose figure is better.
        constraints: What its threshold must keep at the same time.
        set: The set on which the threshold is frozen and models are compared.
    """

    goal: Limit
    constraints: tuple[Limit, ...] = ()
    set: str = "KPI set"

    @property
    def measure(self) -> Measure:
        """What the goal limits."""
        return self.goal.measure

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Everything that is asked, the goal first."""
        return (self.goal, *self.constraints)

    def limit(self, name: str) -> Limit | None:
        """What is asked of a measure, None where nothing is."""
        return next((limit for limit in self.limits if limit.name == name), None)

    def met(self, value_pct: float) -> bool:
        """Whether a figure reaches the goal."""
        return self.goal.met(value_pct)

    def same_point(self, other: Target) -> bool:
        """Whether thresholds that were frozen for one target hold for the other: nothing but the limit differs."""
        return (self.measure, self.constraints, self.set) == (other.measure, other.constraints, other.set)

    def text(self) -> str:
        """The target in its canonical form: equal targets have equal text."""
        goal = f"{self.goal.name} {self.goal.op} {_plain(self.goal.limit_pct)}%"
        kept = " and ".join(_constraint(limit) for limit in self.constraints)
        return f"{goal} at {kept}" if kept else goal


def _constraint(limit: Limit) -> str:
    """`recall=99%`, `FAR <= 1%`."""
    sign = "=" if limit.op == ">=" else f" {limit.op} "
    return f"{limit.name}{sign}{_plain(limit.limit_pct)}%"


@dataclass(frozen=True)
class Grammar:
    """The measures of a task.

    Attributes:
        measures: In the order in which they are named to a person.
        example: A target that it reads.
        set: The set that its targets are measured on.
    """

    measures: Sequence[Measure]
    example: str
    set: str = "KPI set"

    def parse(self, text: str, where: str = "kpi_target") -> Target:
        """Read a target.

        `where` is the argument that it came in.

        Raises:
            InputError: It is not understood, or no model could meet it; the message says at what and what is known.
        """
        return _Reader(self, text, where).target()


class _Reader:
    """Reads one target from left to right."""

    def __init__(self, grammar: Grammar, text: str, where: str) -> None:
        self._grammar, self._text, self._where = grammar, text, where
        self._rest = text.strip().removesuffix(".").rstrip()
        self._percent: list[bool] = []
        """Whether each number that was read is clearly a percentage."""

    def target(self) -> Target:
        measure = self._measure("it begins with no measure", self._grammar.measures)
        op = self._word(_MEANING)
        if op is None:
            raise self._error(f"no <, <=, > or >= behind {measure.name}", self._rest)
        goal = self._number(f"{measure.name} {op}")
        kept: list[tuple[Measure, str, tuple[str, bool]]] = []
        if self._rest:
            if self._word(dict.fromkeys(("at", "@", "with", ","), "at")) is None:
                raise self._error("nothing but 'at' and a constraint can follow", self._rest)
            kept.append(self._constraint())
        if self._rest:
            raise self._error("that is more than a target has", self._rest)
        constraints = tuple(self._limit(measure, op, *number) for measure, op, number in kept)
        return self._checked(Target(self._limit(measure, op, *goal), constraints, self._grammar.set))

    def _constraint(self) -> tuple[Measure, str, tuple[str, bool]]:
        known = [measure for measure in self._grammar.measures if measure.constrains]
        value = self._number("") if _NUMBER.match(self._rest) else None
        if not known:
            raise self._error("no constraint is known here", self._rest)
        measure = self._measure("no constraint of this name", known)
        usual = "<=" if measure.at_most else ">="
        if value is None:
            op = self._word(_MEANING | dict.fromkeys(_EQUAL, usual)) or usual
            return measure, op, self._number(f"{measure.name} {op}")
        return measure, usual, value

    def _measure(self, why: str, known: Sequence[Measure]) -> Measure:
        words = {word: measure for measure in known for word in (measure.name, *measure.words)}
        for word in sorted(words, key=len, reverse=True):
            spelled = _PARTED.join(re.escape(part) for part in re.split(r"[\s_-]+", word))
            found = re.match(rf"{spelled}(?![^\W\d_])", self._rest, re.IGNORECASE)
            if found is not None:
                self._rest = self._rest[found.end() :].lstrip()
                return words[word]
        names = ", ".join(measure.name for measure in known)
        raise self._error(f"{why} (known: {names})", self._rest)

    def _word(self, meanings: dict[str, str]) -> str | None:
        """What the next word means; None where it is none of these."""
        for word in sorted(meanings, key=len, reverse=True):
            spelled = re.escape(word).replace(r"\ ", r"\s+") + (r"\b" if word[-1].isalpha() else "")
            found = re.match(spelled, self._rest, re.IGNORECASE)
            if found is not None:
                self._rest = self._rest[found.end() :].lstrip()
                return meanings[word]
        return None

    def _number(self, behind: str) -> tuple[str, bool]:
        """The number as written, and whether it has a percent sign."""
        found = _NUMBER.match(self._rest)
        if found is None:
            raise self._error(f"no number behind {behind}", self._rest)
        self._rest = self._rest[found.end() :].lstrip()
        self._percent.append(found["unit"] is not None or Decimal(found["number"]) > 1)
        return found["number"], found["unit"] is not None

    def _limit(self, measure: Measure, op: str, written: str, in_percent: bool) -> Limit:
        if op.startswith(">") == measure.at_most:
            better, sign = ("lower", "<") if measure.at_most else ("higher", ">")
            raise self._error(f"a {better} {measure.name} is better, so it is limited with {sign} or {sign}=", op)
        value = Decimal(written)
        if not in_percent and value <= 1:
            if measure.at_most and (value == 1 or (value > 0 and any(self._percent))):
                raise InputError(
                    f"KPI target not understood: {self._text!r} leaves open whether {written} is percent or a share",
                    where=self._where,
                    fix=f"write {_plain(value)}% or {_plain(value * 100)}%",
                )
            value *= 100
        strict = op in ("<", ">")
        least, most = (0, 100) if not measure.at_most else (100, 0)
        if not 0 <= value <= 100:
            raise self._error(f"{measure.name} is between 0% and 100%", f"{_plain(value)}%")
        if value == most and strict:
            raise self._error("no model can meet it", f"{measure.name} {op} {_plain(value)}%")
        if value == least and not measure.at_most:
            raise self._error("every model meets it", f"{measure.name} {op} {_plain(value)}%")
        return Limit(measure, float(value), strict)

    def _checked(self, target: Target) -> Target:
        measure = target.measure
        if not target.constraints:
            if measure.needs is not None:
                raise self._error(f"some threshold reaches any {measure.name}; add for example 'at {measure.needs}'")
            if measure.meant is None:
                return target
            meant = self._grammar.parse(f"{target.text()} at {measure.meant}", self._where)
            return Target(target.goal, meant.constraints, target.set)
        if not measure.tunable:
            raise self._error(f"no threshold moves {measure.name}, so nothing can be kept beside it")
        for limit in target.constraints:
            if limit.of == target.goal.of:
                raise self._error(f"{limit.name} and {measure.name} are both of each {limit.of}: one decides the other")
        return target

    def _error(self, why: str, at: str | None = None) -> InputError:
        place = "" if at is None else f", at {at!r}" if at else ", at its end"
        return InputError(
            f"KPI target not understood: {self._text!r}{place}: {why}",
            where=self._where,
            fix=f"write it like {self._grammar.example!r}",
        )


def _plain(value: Decimal | float) -> str:
    """A number without an exponent or trailing zeros."""
    text = format(value if isinstance(value, Decimal) else Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
