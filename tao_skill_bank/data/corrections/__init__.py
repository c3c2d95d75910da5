"""What a person says of a sample: one file, one function that writes it, one that reads it, one that applies it."""

from tao_skill_bank.data.corrections.file import Book, Known, Word, append, corrections_path, drafts, put, read, undo
from tao_skill_bank.data.corrections.record import ANNOTATION, DROP, REASONS, Correction, Reason, Sample, sample_name
from tao_skill_bank.data.corrections.rows import Applied, Change, apply
from tao_skill_bank.data.corrections.standing import Corrections, Snapshot, Standing, counted, since

__all__ = [
    "ANNOTATION",
    "DROP",
    "REASONS",
    "Applied",
    "Book",
    "Change",
    "Correction",
    "Corrections",
    "Known",
    "Reason",
    "Sample",
    "Snapshot",
    "Standing",
    "Word",
    "append",
    "apply",
    "corrections_path",
    "counted",
    "drafts",
    "put",
    "read",
    "sample_name",
    "since",
    "undo",
]
