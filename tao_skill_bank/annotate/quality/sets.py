"""The rules that read all items of a run: what many of them have in common."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tao_skill_bank.annotate.quality.text import jaccard, normal, shingles
from tao_skill_bank.metrics.shares import binomial_two_sided, chi_square_tail, poisson_binomial_tail

NEAR = 0.8
_BANDS, _ROWS = 16, 4
_LEAST_VIDEOS, _SHARE_OF_VIDEOS = 5, 0.02
_CONSTANT = 0.95
_P_BALANCE, _P_LENGTH = 0.01, 0.001
_YES_SHARE = (0.4, 0.6)
_ALIKE = 6
_PRIME = (1 << 61) - 1


@dataclass(frozen=True)
class SetFinding:
    """What a rule says of many items at once; all of them are kept.

    Attributes:
        task: Of which task the items are.
        why: With its figures.
        items, videos: How many it is about.
        example: One of the questions, or the video.
    """

    code: str
    task: str
    why: str
    items: int
    videos: int
    example: str = ""

    def plain(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


@dataclass
class _Asked:
    """One question of the set, however often it is asked."""

    text: str
    videos: set[int] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)


class Known:
    """The questions of one video and task that are kept so far."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, frozenset[str], str]] = []

    def add(self, question: str, answer: str) -> tuple[str, str] | None:
        """(code, the earlier question) where it was asked before: `duplicate`, `near_duplicate`, `opposite_pair`.

        Near questions with opposite answers are a pair that teaches the difference; the same question with two answers
        is a contradiction, and a duplicate like any other.
        """
        plain, pieces = normal(question), shingles(question)
        opposite: str | None = None
        for other, theirs, said in self._kept:
            if plain == other:
                return "duplicate", other
            if jaccard(pieces, theirs) >= NEAR:
                if said == answer or not answer:
                    return "near_duplicate", other
                opposite = other
        self._kept.append((plain, pieces, answer))
        return None if opposite is None else ("opposite_pair", opposite)


class SetRules:
    """Counts over the items that are kept; `findings` at the end."""

    def __init__(self) -> None:
        self._questions: dict[str, dict[str, _Asked]] = defaultdict(dict)
        self._videos: dict[str, int] = {}
        self._yes: Counter[bool] = Counter()
        self._yes_of: dict[int, Counter[bool]] = defaultdict(Counter)
        self._letters: Counter[tuple[int, str]] = Counter()
        self._longest: list[tuple[bool, float]] = []

    def add(self, video: str, task: str, question: str, answer: str) -> None:
        """An item that is kept; `answer` as it is compared: Yes or No, the right choice's text, else the whole text."""
        number = self._videos.setdefault(video, len(self._videos))
        plain = normal(question)
        asked = self._questions[task].setdefault(plain, _Asked(question))
        asked.videos.add(number)
        asked.answers[normal(answer)] += 1
        if task == "bcq":
            self._yes[answer == "Yes"] += 1
            self._yes_of[number][answer == "Yes"] += 1

    def add_choices(self, letter: str, right: str, others: Sequence[str]) -> None:
        """The letter of the right choice as shown, and the lengths of the choices."""
        count = len(others) + 1
        self._letters[count, letter] += 1
        longest = max(len(text) for text in others)
        # Of several that are equally long each is the longest with its share of the chance.
        ties = sum(len(text) == longest for text in others)
        if len(right) == longest:
            self._longest.append((False, ties / count))
        else:
            self._longest.append((len(right) > longest, 1 / count))

    @property
    def videos(self) -> int:
        """Videos that have items."""
        return len(self._videos)

    def findings(self) -> list[SetFinding]:
        """What the rules say, in the order of the rules."""
        return [*self._common(), *self._length(), *self._balance(), *self._alike()]

    def _common(self) -> Iterator[SetFinding]:
        limit = max(_LEAST_VIDEOS, _SHARE_OF_VIDEOS * self.videos)
        for task in sorted(self._questions):
            for group in _near(list(self._questions[task].values())):
                videos = set().union(*(asked.videos for asked in group))
                if len(videos) <= limit:
                    continue
                answers = sum((asked.answers for asked in group), Counter[str]())
                items, example = answers.total(), group[0].text
                why = f"asked of {len(videos)} of {self.videos} videos"
                yield SetFinding("common_question", task, why, items, len(videos), example)
                answer, most = answers.most_common(1)[0]
                if most >= _CONSTANT * items:
                    why = f"answered {answer[:60]!r} {most} of {items} times"
                    yield SetFinding("constant_answer", task, why, items, len(videos), example)

    def _length(self) -> Iterator[SetFinding]:
        if not self._longest:
            return
        longest = sum(is_longest for is_longest, _ in self._longest)
        p = poisson_binomial_tail([chance for _, chance in self._longest], longest)
        if p < _P_LENGTH:
            expected = sum(chance for _, chance in self._longest)
            why = f"the right choice is the longest in {longest} of {len(self._longest)}, by chance in {expected:.1f}"
            yield SetFinding("length_cue", "mcq", f"{why} (p = {p:.2g})", len(self._longest), self.videos)

    def _balance(self) -> Iterator[SetFinding]:
        total = self._yes.total()
        if total:
            share = self._yes[True] / total
            p = binomial_two_sided(self._yes[True], total)
            if p < _P_BALANCE and not _YES_SHARE[0] <= share <= _YES_SHARE[1]:
                why = f"{self._yes[True]} of {total} answers are Yes (p = {p:.2g})"
                yield SetFinding("unbalanced", "bcq", why, total, self.videos)
        statistic, freedom = 0.0, 0
        for count in sorted({count for count, _ in self._letters}):
            seen = [self._letters[count, chr(ord("A") + i)] for i in range(count)]
            expected = sum(seen) / count
            statistic += sum((n - expected) ** 2 / expected for n in seen)
            freedom += count - 1
        if freedom and (p := chi_square_tail(statistic, freedom)) < _P_BALANCE:
            letters: Counter[str] = Counter()
            for (_, letter), n in self._letters.items():
                letters[letter] += n
            why = f"right letters {', '.join(f'{k} {letters[k]}' for k in sorted(letters))} (p = {p:.2g})"
            yield SetFinding("unbalanced", "mcq", why, letters.total(), self.videos)

    def _alike(self) -> Iterator[SetFinding]:
        names = list(self._videos)
        for number, said in self._yes_of.items():
            if len(said) == 1 and (total := said.total()) >= _ALIKE:
                word = "Yes" if said[True] else "No"
                yield SetFinding(
                    "unbalanced", "bcq", f"all {total} answers of the video are {word}", total, 1, names[number]
                )


def _near(asked: list[_Asked]) -> list[list[_Asked]]:
    """Questions in groups of near ones: found by MinHash (16 bands of 4), then compared with a group's first."""
    parent = list(range(len(asked)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    pieces = [shingles(a.text) for a in asked]
    buckets: dict[tuple[int, bytes], int] = {}
    for i, signs in enumerate(_signatures(pieces)):
        for band, sign in enumerate(signs):
            first = buckets.setdefault((band, sign), i)
            if root(first) != root(i) and jaccard(pieces[first], pieces[i]) >= NEAR:
                parent[max(root(first), root(i))] = min(root(first), root(i))
    groups: dict[int, list[_Asked]] = defaultdict(list)
    for i, one in enumerate(asked):
        groups[root(i)].append(one)
    return list(groups.values())


def _signatures(sets: Iterable[frozenset[str]]) -> Iterator[list[bytes]]:
    """The bands of 64 minima of hashes of each set."""
    import numpy as np

    number = _BANDS * _ROWS
    seeds = np.random.default_rng(0).integers(1, 1 << 31, (2, number, 1), dtype=np.uint64)
    for pieces in sets:
        hashed = b"".join(hashlib.blake2b(piece.encode(), digest_size=4).digest() for piece in pieces)
        values = np.frombuffer(hashed, dtype=np.uint32).astype(np.uint64)
        if not len(values):
            yield []
            continue
        minima = ((seeds[0] * values + seeds[1]) % np.uint64(_PRIME)).min(axis=1)
        yield [minima[i : i + _ROWS].tobytes() for i in range(0, number, _ROWS)]
