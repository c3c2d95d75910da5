"""How many items are wrong: a random sample that a person judges, and the exact interval that it gives."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import write_json
from tao_skill_bank.metrics import clopper_pearson
from tao_skill_bank.metrics.shares import apportioned

SAMPLE_FILE = "sample.json"
FORMAT = "tao-skill-bank-sample-v1"
LEAST_JUDGED = 20
ALL = "all"


@dataclass(frozen=True)
class Sample:
    """What is judged: item digest → task, in the order of the draw."""

    seed: int
    items: dict[str, str]


@dataclass(frozen=True)
class Rate:
    """Errors among the judged items of a task, of so many in the sample.

    `rate`, `low` and `high` (Clopper-Pearson, 95 %) are None where fewer than 20 are judged or items have changed.
    """

    errors: int
    judged: int
    of: int
    rate: float | None = None
    low: float | None = None
    high: float | None = None

    def line(self) -> str:
        """For people."""
        said = f"{self.judged} of {self.of} judged, {self.errors} wrong"
        if self.rate is None or self.low is None or self.high is None:
            return f"{said}: no rate"
        return f"{said}: {100 * self.rate:.2f} % (95 % interval {100 * self.low:.2f}–{100 * self.high:.2f} %)"


@dataclass(frozen=True)
class Measured:
    """The error rate of each task and of all.

    Attributes:
        changed: Sampled items that are there no more; then nothing is measured.
    """

    rates: dict[str, Rate]
    changed: int = 0

    @property
    def all(self) -> Rate:
        """Over all tasks."""
        return self.rates[ALL]

    def tags(self) -> list[str]:
        """For `metadata.tags` of TAO's files; empty where nothing is measured."""
        whole = self.rates.get(ALL)
        if whole is None or whole.rate is None or whole.low is None or whole.high is None:
            return []
        span = f"{whole.low:.4f}-{whole.high:.4f}"
        return [f"error_rate={whole.rate:.4f}", f"error_rate_95={span}", f"error_sample={whole.judged}"]

    def lines(self) -> list[str]:
        """For the card; empty where nothing is measured."""
        return [f"{task}: {rate.line()}" for task, rate in self.rates.items()] if self.tags() else []


def draw(items: Mapping[str, str], number: int, seed: int) -> Sample:
    """A sample of `number` items, proportional over the tasks by largest remainder; all where there are no more.

    Items come in the order of sha256(seed + digest).
    """
    taken = apportioned(Counter(items.values()), min(number, len(items)))
    order = sorted(items, key=lambda digest: hashlib.sha256(f"{seed}{digest}".encode()).hexdigest())
    chosen: dict[str, str] = {}
    for digest in order:
        if taken[items[digest]]:
            taken[items[digest]] -= 1
            chosen[digest] = items[digest]
    return Sample(seed, chosen)


def measure(sample: Sample, there: Mapping[str, str], verdicts: Mapping[str, tuple[str, str]]) -> Measured:
    """What the verdicts on a sample say.

    Args:
        sample: What was drawn.
        there: Item digest → task of the items that there are, whatever a review says of them.
        verdicts: Item digest → (accept or reject, note).
    """
    changed = sum(digest not in there for digest in sample.items)
    rates = {}
    for task in [*sorted(set(sample.items.values())), ALL]:
        mine = [digest for digest, of in sample.items.items() if task in (of, ALL)]
        said = [verdicts[digest][0] for digest in mine if digest in verdicts]
        errors = said.count("reject")
        if changed or len(said) < LEAST_JUDGED:
            rates[task] = Rate(errors, len(said), len(mine))
        else:
            rates[task] = Rate(errors, len(said), len(mine), errors / len(said), *clopper_pearson(errors, len(said)))
    return Measured(rates, changed)


def write_sample(folder: Path, sample: Sample) -> Path:
    """Keep a sample in its results folder."""
    path = folder / SAMPLE_FILE
    listed = [{"digest": digest, "task": task} for digest, task in sample.items.items()]
    write_json(path, {"format": FORMAT, "seed": sample.seed, "n": len(listed), "items": listed})
    return path


def read_sample(folder: Path) -> Sample | None:
    """The sample of a folder, None where none was drawn.

    Raises:
        InputError: The file is something else.
    """
    path = folder / SAMPLE_FILE
    if not guard.exists(path):
        return None
    try:
        value: Any = json.loads(guard.read_text(path))
        if value["format"] != FORMAT:
            raise ValueError
        return Sample(int(value["seed"]), {str(item["digest"]): str(item["task"]) for item in value["items"]})
    except (ValueError, OverflowError, TypeError, KeyError, RecursionError):
        raise InputError("is no sample", where=path, fix="draw it again with annotate sample") from None
