"""What people said of a workspace's questions, on its sets: answers turned round, rows taken out; the files stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import canonical_json, sha256_text
from tao_skill_bank.data import corrections
from tao_skill_bank.data.bcq.records import Record, RecordSet, again
from tao_skill_bank.data.changenet.sample_book import ACCEPTANCE, KPI, MEASURED, POOL, TRAINING, VALIDATION
from tao_skill_bank.data.corrections import ANNOTATION, Applied, Corrections
from tao_skill_bank.tasks.taken import read_upto, taken
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig

CALLED = {"kpi": KPI, "acceptance": ACCEPTANCE, "base": TRAINING, "val": VALIDATION, "pool": POOL}
"""A set of this task, as corrections call it."""
WORDS = ("Yes", "No")


def answer_of(record: Record) -> str:
    """The right answer as a label; empty where the row has none."""
    return "" if record.gt is None else record.gt.capitalize()


def looked_at(record: Record) -> str:
    """Digest of what a person looks at: the video's bytes and the question."""
    return sha256_text(canonical_json([record.content, record.key]))


def applied(config: VlmConfig, held: RecordSet) -> Applied:
    """What the run's corrections make of a set as its file has it.

    Raises:
        InputError: A new answer that was written into the file by hand and is none.
    """
    found, name = taken(config), CALLED[held.name]
    if name in MEASURED and config.corrections.use == "unmeasured":
        found = Corrections()
    rows = held.records
    done = corrections.apply(
        found, name, [r.video for r in rows], [r.id for r in rows], [answer_of(r) for r in rows],
        lambda row: looked_at(rows[row]),
    )  # fmt: skip
    for change in done.made:
        if change.outcome == "relabelled" and change.found.to not in WORDS:
            raise InputError(
                f"the new answer of {change.found.sample.name} in the {name} set is {change.found.to!r}",
                where=corrections.corrections_path(Path(config.workspace)),
                fix=f"take it back (labels undo {change.found.last.id}) and say Yes or No",
            )
    return done


def corrected(config: VlmConfig, held: RecordSet) -> RecordSet:
    """A set with the run's corrections.

    Raises:
        InputErrors: Corrected rows contradict one another, or leave a measured set with one answer alone.
    """
    done = applied(config, held)
    if not done.made:
        return held
    turned = {c.row for c in done.made if c.outcome == "relabelled"}
    rows = [
        replace(r, gt="yes" if done.labels[place] == "Yes" else "no") if place in turned else r
        for place, r in enumerate(held.records)
    ]
    kept = set(done.kept)
    out = tuple(r for place, r in enumerate(held.records) if place not in kept)
    return again(held, [rows[place] for place in done.kept], out, Path(config.workspace))


def refused(config: VlmConfig) -> set[str]:
    """Digests of a teacher's answers that a person refused: before the run was planned, or when they reviewed them."""
    said = (config.corrections, config.annotate.reviewed)
    found = [one for of in said for one in read_upto(Path(config.workspace), of).of_set(ANNOTATION)]
    return {standing.sample.object_name for standing in found if standing.status == "dropped"}
