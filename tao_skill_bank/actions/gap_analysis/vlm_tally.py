"""Counts of a yes/no evaluation, block by block, in bounded memory."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tao_skill_bank.data.vlm.judging import FN, FP, JUDGED, TN, TP, USABLE_TRUTH, Judge, Judged, Thinking
from tao_skill_bank.data.vlm.labels import BOTH, NEITHER, NO, YES
from tao_skill_bank.data.vlm.samples import Samples

SKIPS_KEPT = 20
SNIPPET = 80
QUESTIONS_COUNTED = 10_000
VIDEOS_COUNTED = 50_000
DUPLICATES_TRACKED = 200_000
DIFFERING_SHOWN = 5
# A text longer than this is told from others by its digest, so that the tables of questions and videos stay small.
TEXT_KEPT = 200
CountTable = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Skip:
    """A sample left out: its item, its video, why, and the response that is to blame."""

    item: int
    video_id: str
    why: str
    response: str


class Named:
    """A table of 16 counts for each of the first `most` different names; row 0 pools what comes after them.

    Args:
        most: How many names.
        pools: Once there are so many, the others are still counted, in row 0; else counting ends there.
    """

    def __init__(self, most: int, *, pools: bool = True) -> None:
        self.places: dict[str, int] = {}
        self.counts: CountTable = np.zeros((256, 16), dtype=np.int64)
        self._most = most
        self._pools = pools
        self.repeats = False
        self._has_long = False

    def add(self, names: Sequence[str], codes: npt.NDArray[np.uint8]) -> None:
        """Count samples under their names."""
        if (not self._pools and len(self.places) >= self._most) or self._add_new(names, codes):
            return
        self.repeats = True
        known = self.places
        try:
            places = np.fromiter(map(known.__getitem__, names), dtype=np.int64, count=len(names))
        except KeyError:
            full = len(known) >= self._most and not self._has_long
            asked = (known.get(name) or (0 if full else self._place(name)) for name in names)
            places = np.fromiter(asked, dtype=np.int64, count=len(names))
        self._make_room()
        found = np.bincount(places * 16 + codes)
        self.counts.reshape(-1)[: len(found)] += found

    def _add_new(self, names: Sequence[str], codes: npt.NDArray[np.uint8]) -> bool:
        """Count samples that all have names of their own, none of them seen before, at once; False for others."""
        known, first = self.places, len(self.places) + 1
        if first + len(names) > self._most or not names or names[0] in known:
            return False
        if len(set(names)) < len(names) or not known.keys().isdisjoint(names):
            return False
        if max(map(len, names), default=0) > TEXT_KEPT:
            return False
        known.update(zip(names, range(first, first + len(names)), strict=True))
        self._make_room()
        self.counts[np.arange(first, first + len(names)), codes] = 1
        return True

    def _make_room(self) -> None:
        while len(self.counts) <= len(self.places):
            self.counts = np.concatenate((self.counts, np.zeros_like(self.counts)))

    def _place(self, name: str) -> int:
        """The row of a name, which gets one while there are some left."""
        key = name
        if len(name) > TEXT_KEPT:
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
            self._has_long = True
            key = f"{name[:TEXT_KEPT]}... (sha256 {digest[:16]})"
        place = self.places.get(key)
        if place is None:
            if len(self.places) >= self._most:
                return 0
            place = self.places[key] = len(self.places) + 1
        return place


@dataclass
class Duplicates:
    """Samples with the video and question of one before; `differing` of these pairs with two truths."""

    count: int = 0
    differing: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)
    full: bool = False
    # Pairs, and the truths that each was seen with: none, YES, NO, or both bits. Of blocks without a pair seen before
    # the truths wait until a later block has one.
    _seen: set[int] = field(default_factory=set)
    _bits: dict[int, int] = field(default_factory=dict)
    _waiting: list[tuple[list[int], list[int]]] = field(default_factory=list)

    def add(self, samples: Samples, truths: npt.NDArray[np.uint8], *, all_of_them: bool) -> list[int]:
        """Count some samples; returns the places of those that were there before."""
        if self.full:
            return []
        keys = list(map(hash, zip(samples.video_ids, samples.questions, strict=True)))
        bits = np.where(truths == BOTH, NEITHER, truths).tolist()
        before = len(self._seen)
        self._seen.update(keys)
        repeated: list[int] = []
        if len(self._seen) == before + len(keys):
            self._waiting.append((keys, bits))
        else:
            for waiting in self._waiting:
                self._bits.update(zip(*waiting, strict=True))
            self._waiting.clear()
            repeated = [
                place
                for place, (key, bit) in enumerate(zip(keys, bits, strict=True))
                if self._was_there(key, bit, samples, place) and place not in samples.repeated
            ]
        self.count += len(repeated)
        self.full = not all_of_them and len(self._seen) >= DUPLICATES_TRACKED
        return repeated

    def _was_there(self, key: int, bit: int, samples: Samples, place: int) -> bool:
        """Whether a pair was there before; it is remembered, and whether its truths differ."""
        before = self._bits.get(key)
        now = self._bits[key] = (before or NEITHER) | bit
        if now == BOTH != before:
            self.differing += 1
            if len(self.examples) < DIFFERING_SHOWN:
                self.examples.append((samples.video_ids[place], samples.questions[place]))
        return before is not None


@dataclass
class ThinkingCounts:
    """Responses with think tags, and what both ways to read them would judge: tables of 16."""

    tagged: int = 0
    cut_off: int = 0
    anywhere: CountTable = field(default_factory=lambda: np.zeros(16, dtype=np.int64))
    after_think: CountTable = field(default_factory=lambda: np.zeros(16, dtype=np.int64))

    def add(self, found: Thinking | None, codes: npt.NDArray[np.uint8]) -> None:
        """Count a block; one without tags reads the same both ways."""
        self.tagged += found.tagged if found else 0
        self.cut_off += found.cut_off if found else 0
        self.anywhere += np.bincount(found.anywhere if found else codes, minlength=16)
        self.after_think += np.bincount(found.after_think if found else codes, minlength=16)


@dataclass(frozen=True)
class Gaps:
    """The gaps of a block: their places in it, and for each FP or FN."""

    places: list[int]
    kinds: list[str]


@dataclass
class Tally:
    """Counts of everything seen so far; `table[response * 4 + truth]`."""

    judge: Judge
    read: int = 0
    table: CountTable = field(default_factory=lambda: np.zeros(16, dtype=np.int64))
    reasons: Counter[str] = field(default_factory=Counter)
    first_skips: list[Skip] = field(default_factory=list)
    questions: Named = field(default_factory=lambda: Named(QUESTIONS_COUNTED))
    videos: Named = field(default_factory=lambda: Named(VIDEOS_COUNTED, pools=False))
    duplicates: Duplicates = field(default_factory=Duplicates)
    thinking: ThinkingCounts = field(default_factory=ThinkingCounts)
    scores: array[float] = field(default_factory=lambda: array("d"))
    score_truths: array[int] = field(default_factory=lambda: array("b"))
    truths_seen: Counter[str] = field(default_factory=Counter)

    def add(self, samples: Samples, judged: Judged) -> tuple[Gaps, list[Skip]]:
        """Count a block; returns its gaps and all of its skips."""
        codes = judged.codes
        self.read += len(samples)
        self.table += np.bincount(codes, minlength=16)
        self.questions.add(samples.questions, codes)
        self.videos.add(samples.video_ids, codes)
        self.thinking.add(judged.thinking, codes)
        if samples.scores is not None:
            known = np.flatnonzero(USABLE_TRUTH[codes])
            self.scores.extend(np.asarray(samples.scores, dtype=np.float64)[known].tolist())
            self.score_truths.extend((codes[known] % 4 == YES).tolist())
        wrong = np.flatnonzero((codes == FP) | (codes == FN))
        kinds = {FP: "FP", FN: "FN"}
        gaps = Gaps(wrong.tolist(), [kinds[code] for code in codes[wrong].tolist()])
        return gaps, self._skips(samples, judged)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """(tp, fp, tn, fn)."""
        tp, fp, tn, fn = (int(self.table[code]) for code in (TP, FP, TN, FN))
        return tp, fp, tn, fn

    @property
    def videos_repeat(self) -> bool:
        """Some video has several samples."""
        if not self.videos.repeats:
            return False
        counted = self.videos.counts[1 : len(self.videos.places) + 1]
        return bool(len(counted)) and int(counted.sum(axis=1).max()) > 1

    @property
    def judged(self) -> int:
        """Samples with one clear answer and one clear truth."""
        return int(self.table[JUDGED].sum())

    @property
    def unusable(self) -> int:
        """Samples whose truth is none."""
        return int(self.table[~USABLE_TRUTH].sum())

    @property
    def with_truth(self) -> tuple[int, int]:
        """Samples whose truth is yes, and no, whatever was answered."""
        square = self.table.reshape(4, 4)
        return int(square[:, YES].sum()), int(square[:, NO].sum())

    def _skips(self, samples: Samples, judged: Judged) -> list[Skip]:
        skips = []
        for place in np.flatnonzero(~JUDGED[judged.codes]).tolist():
            code = int(judged.codes[place])
            why = judged.marks.get(place) if USABLE_TRUTH[code] or place in judged.marks else None
            reason = why or self.judge.why(code)
            self.reasons[reason] += 1
            text = samples.truths[place] if why is None and not USABLE_TRUTH[code] else samples.responses[place]
            snippet = text[:SNIPPET] + ("..." if len(text) > SNIPPET else "")
            shown = reason if why is not None and not text else f"{reason}: {snippet!r}"
            skip = Skip(samples.items[place], samples.video_ids[place], shown, samples.responses[place])
            skips.append(skip)
            if len(self.first_skips) < SKIPS_KEPT:
                self.first_skips.append(skip)
            if not USABLE_TRUTH[code] and len(self.truths_seen) < 100:
                self.truths_seen[samples.truths[place][:TEXT_KEPT]] += 1
        return skips
