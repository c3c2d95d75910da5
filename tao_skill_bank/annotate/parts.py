"""What the shards of a whole have come to, before they are brought together."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from tao_skill_bank.annotate.holder import desk
from tao_skill_bank.annotate.journal import Journal, JustBegunError, journal_path
from tao_skill_bank.annotate.layout import shard_folders
from tao_skill_bank.annotate.ledger import may_have
from tao_skill_bank.core import guard, lifecycle
from tao_skill_bank.core.errors import InputError


class Parts(BaseModel):
    """What the shards of a whole have in journals of their own, together.

    `unknown` and `may_cost` also hold what a killed worker of a shard had sent, as everywhere.
    """

    count: int
    working: int
    answers: int
    cost: float
    unpriced: int
    unknown: int
    may_cost: float

    def line(self) -> str:
        """All of it, for people."""
        text = f"{self.count:,} shards, {self.working:,} at work; {self.answers:,} answers, ${self.cost:.4f}"
        text += f" and {self.unpriced:,} answers without a price" if self.unpriced else ""
        return f"{text}; {may_have(self.unknown, self.may_cost)}" if self.unknown else text


def parts_of(results_dir: Path) -> Parts | None:
    """What its shards have come to so far; None where none has a journal. Waits for nobody."""
    folders = [folder for folder in shard_folders(results_dir) if guard.is_file(journal_path(folder))]
    found = Parts(count=len(folders), working=0, answers=0, cost=0.0, unpriced=0, unknown=0, may_cost=0.0)
    for folder in folders:
        try:
            said = lifecycle.announced(desk(folder))
        except InputError:
            # A link or a pipe: whoever works there is not known.
            said = None
        found.working += lifecycle.living(said) is not None
        try:
            with Journal(folder, read_only=True) as journal:
                totals = journal.totals()
        except JustBegunError:
            continue
        lost, lost_cost = (0, 0.0) if said else (totals.in_flight, totals.in_flight_cost)
        found.answers += totals.answers
        found.cost += totals.cost
        found.unpriced += totals.unpriced
        found.unknown += totals.unknown + lost
        found.may_cost += totals.may_cost + lost_cost
    return found if folders else None
