"""Beyond one machine: a shard is a run of its own in a folder of its own; merging puts their journals together."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from tao_skill_bank.annotate.config import AnnotationConfig
from tao_skill_bank.annotate.journal import Journal, journal_path
from tao_skill_bank.annotate.layout import SHARDS_FOLDER, shard_folder, shard_folders
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError


class Merged(BaseModel):
    """What was brought together; `missing`: parts of the same division that have no journal here."""

    shards: list[str]
    missing: list[str]
    answers: int
    new: int


def shard_config(config: AnnotationConfig, index: int, count: int) -> AnnotationConfig:
    """The configuration of one shard."""
    return config.model_copy(update={"results_dir": shard_folder(config.results_dir, index, count)})


def merge_journals(results_dir: Path) -> Merged:
    """Copy what the shards below `results_dir` were answered into its own journal. The shards stay as they are.

    A run without `--shard` then finds every answer there and writes the files; what a shard lacks it would pay for.

    Raises:
        InputError: There is no shard, or one of them has a batch at a vendor, which would be paid for again.
    """
    folders = [folder for folder in shard_folders(results_dir) if guard.is_file(journal_path(folder))]
    if not folders:
        raise InputError("no shards to merge", where=results_dir / SHARDS_FOLDER, fix="run with --shard I/N first")
    with Journal(results_dir) as journal:
        before = journal.totals().answers
        for folder in folders:
            with Journal(folder, read_only=True) as shard:
                if batches := shard.open_batches():
                    raise InputError(
                        f"{len(batches)} batches are still open at the vendor", where=folder, fix="run this shard again"
                    )
                for answer in shard.answers():
                    journal.record(answer)
                for number, *row in shard.ledger():
                    journal.copy_ledger([(f"{folder.name} {number}", *row)])
            journal.flush()
        after = journal.totals().answers
    names = [folder.name for folder in folders]
    return Merged(shards=names, missing=_missing(names), answers=after, new=after - before)


def _missing(names: list[str]) -> list[str]:
    counts = {int(name.partition("-of-")[2]) for name in names if name.partition("-of-")[2].isdecimal()}
    wanted = [shard_folder(Path(), i, count).name for count in sorted(counts) for i in range(1, count + 1)]
    return [name for name in wanted if name not in names]
