"""Corrections on the rows of a set: new labels, rows that are taken out, and what could not be applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from tao_skill_bank.data.corrections.record import sample_name
from tao_skill_bank.data.corrections.standing import Corrections, Standing

Outcome = Literal["relabelled", "dropped", "already so", "picture changed", "label changed", "not in the set"]


@dataclass(frozen=True)
class Change:
    """What became of one correction: `row` counts from 0 in the set as it was; -1: it is not in it."""

    row: int
    found: Standing
    outcome: Outcome


@dataclass(frozen=True)
class Applied:
    """A set after its corrections.

    Attributes:
        labels: The label of every row as it was, corrected.
        kept: Positions of the rows that are left, in order.
        changes: One for every row that a correction speaks of, and for every correction without a row.
    """

    labels: list[str]
    kept: list[int]
    changes: list[Change] = field(default_factory=list)

    @property
    def made(self) -> list[Change]:
        """Those that changed something."""
        return [change for change in self.changes if change.outcome in ("relabelled", "dropped")]

    @property
    def left(self) -> list[Change]:
        """Those that could not be applied: the picture or the label is not what was looked at."""
        return [c for c in self.changes if c.outcome in ("picture changed", "label changed", "not in the set")]


def apply(
    corrections: Corrections,
    set_name: str,
    input_path: Sequence[str],
    object_name: Sequence[str],
    labels: Sequence[str],
    pictures: Callable[[int], str],
) -> Applied:
    """Apply what stands of one set to its rows.

    Args:
        corrections: What was said.
        set_name: Which set the rows are.
        input_path: [rows].
        object_name: [rows].
        labels: [rows].
        pictures: Row → digest of its pictures as they are now; asked for corrected rows alone.
    """
    wanted = {f.sample.name: f for f in corrections.of_set(set_name) if f.status in ("relabelled", "dropped")}
    new = list(labels)
    out = Applied(new, list(range(len(new))))
    if not wanted:
        return out
    names = {f.sample.object_name.rpartition("/")[2] for f in wanted.values()}
    dropped: set[int] = set()
    seen: set[str] = set()
    for row, own in enumerate(object_name):
        if own.rpartition("/")[2] not in names:
            continue
        name = sample_name(input_path[row], own)
        found = wanted.get(name)
        if found is None:
            continue
        seen.add(name)
        outcome = _outcome(found, labels[row], partial(pictures, row))
        if outcome == "dropped":
            dropped.add(row)
        elif outcome == "relabelled":
            new[row] = found.to or new[row]
        out.changes.append(Change(row, found, outcome))
    out.kept[:] = [row for row in out.kept if row not in dropped]
    # A sample that was to be dropped and is not there any more is as it should be.
    out.changes.extend(
        Change(-1, f, "already so" if f.status == "dropped" else "not in the set")
        for name, f in wanted.items()
        if name not in seen
    )
    return out


def _outcome(found: Standing, label: str, pictures: Callable[[], str]) -> Outcome:
    if label == found.to:
        return "already so"
    if label != found.last.before:
        return "label changed"
    if any(word.pictures != pictures() for word in found.words):
        return "picture changed"
    return "dropped" if found.status == "dropped" else "relabelled"
