"""What stands of all that was said: the last word of every reader, and whether the readers agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from tao_skill_bank.core.seal import digest_of
from tao_skill_bank.core.text import plural
from tao_skill_bank.data.corrections.record import Correction, Sample

Status = Literal["relabelled", "dropped", "kept", "doubted", "disputed"]


@dataclass(frozen=True)
class Standing:
    """One sample.

    Attributes:
        words: The last word of each reader that was not undone, oldest first; never empty.
        status: `relabelled` and `dropped` change the sample; `kept`: it was looked at and its label is right;
            `doubted`: its label is wrong, and nobody gave another; `disputed`: two readers differ, so nothing is
            changed until they agree.
    """

    sample: Sample
    words: tuple[Correction, ...]
    status: Status

    @property
    def last(self) -> Correction:
        """The newest word."""
        return self.words[-1]

    @property
    def to(self) -> str | None:
        """The label that it gets; None where nothing is relabelled."""
        return next(w.to for w in self.words if w.to is not None) if self.status == "relabelled" else None

    @property
    def readers(self) -> tuple[str, ...]:
        """Who looked."""
        return tuple(word.who for word in self.words)

    @property
    def unfit(self) -> bool:
        """What the sample shows says nothing of the model: more data like it would teach nothing, or the wrong thing.

        Its label is wrong and stands, or its picture is damaged, or its readers differ.
        """
        return self.status in ("doubted", "disputed") or any(word.reason == "data_quality" for word in self.words)


@dataclass(frozen=True)
class Snapshot:
    """How far the file was read: its first `lines` lines, and the SHA-256 of their bytes. They never change."""

    lines: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Corrections:
    """All that was said, in order, and what stands of it."""

    lines: tuple[Correction, ...] = ()
    snapshot: Snapshot = field(default_factory=Snapshot)

    @cached_property
    def by_id(self) -> dict[str, Correction]:
        """Every word by its id, undone ones too; what was taken back stays so, in whatever order copies were joined."""
        found: dict[str, Correction] = {}
        for line in self.lines:
            if line.id not in found or found[line.id].undone_by is None:
                found[line.id] = line
        return found

    @cached_property
    def standing(self) -> dict[Sample, Standing]:
        """What stands, by sample, in the order in which samples were first spoken of."""
        words: dict[Sample, dict[str, Correction]] = {}
        for line in self.by_id.values():
            if line.undone_by is None:
                # The newest of a reader: where it is undone, the one before it stands again.
                readers = words.setdefault(line.sample, {})
                readers.pop(line.who, None)
                readers[line.who] = line
        return {
            sample: Standing(sample, tuple(found.values()), _status(found.values())) for sample, found in words.items()
        }

    def of_set(self, name: str) -> list[Standing]:
        """What stands of the samples of one set."""
        return [found for sample, found in self.standing.items() if sample.set == name]

    @cached_property
    def counts(self) -> dict[Status, int]:
        """How many samples stand how."""
        return dict(Counter(found.status for found in self.standing.values()))

    @property
    def changing(self) -> list[Standing]:
        """Those that change a sample."""
        return [found for found in self.standing.values() if found.status in ("relabelled", "dropped")]

    def digest(self) -> str:
        """SHA-256 of what stands; equal for equal words in another order, or said by others."""
        said = sorted([*s.model_dump().values(), f.status, f.to or "", f.unfit] for s, f in self.standing.items())
        return digest_of({"standing": said})


def since(earlier: Corrections, now: Corrections) -> list[Standing]:
    """What changes a sample now and did not, or otherwise, before."""
    before = {f.sample: (f.status, f.to) for f in earlier.changing}
    return [found for found in now.changing if before.get(found.sample) != (found.status, found.to)]


def counted(found: Sequence[Standing]) -> str:
    """`14 corrections: 9 relabelled, 5 dropped`."""
    number = Counter(one.status for one in found)
    parts = [f"{number[status]} {status}" for status in ("relabelled", "dropped") if number[status]]
    count = len(found)
    return f"{plural(count, 'correction')}" + (f": {', '.join(parts)}" if parts else "")


def _status(words: Iterable[Correction]) -> Status:
    words = list(words)
    said = {word.says for word in words}
    labels = said - {None}
    before = {("label", word.before) for word in words}
    if len(labels) > 1 or (None in said and labels & before):
        return "disputed"
    if not labels:
        return "doubted"
    if any(word.drop for word in words):
        return "dropped"
    return "kept" if labels <= before else "relabelled"
