"""One item after the other: what is refused, what is flagged, what is left out, and the counts of it all."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tao_skill_bank.annotate.quality.rules import Finding
from tao_skill_bank.annotate.quality.text import jaccard, normal, shingles
from tao_skill_bank.annotate.questions import Question
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


FORMAT = "tao-skill-bank-quality-v1"


@dataclass(frozen=True)
class Taken:
    """A question and what became of it.

    Attributes:
        code, reason: Why it is refused; both None where it is not.
        flags: What a person should know of an item that is kept.
        copy_of: The first video of the same content; the item is left out.
    """

    question: Question
    code: str | None
    reason: str | None
    flags: tuple[Finding, ...] = ()
    copy_of: str | None = None

    @property
    def kept(self) -> bool:
        """Whether it goes into the files."""
        return self.code is None and self.copy_of is None


@dataclass
class Examiner:
    """The rules in the order in which questions come: those of a video one behind the other.

    Attributes:
        verdicts: Item digest → (accept or reject, note) of a review.
        content: SHA-256 of a video's file, None where nobody looked at it.
        judged: Item digest → what judged checks found.
    """

    verdicts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    content: Callable[[str], str | None] = lambda video: None
    judged: Mapping[str, Iterable[Finding]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kept: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.flagged: Counter[str] = Counter()
        self.flags: list[dict[str, Any]] = []
        self.copies: dict[str, list[str]] = {}
        self._left_out = 0
        self._sets = SetRules()
        self._known: dict[str, Known] = defaultdict(Known)
        self._of_video = ""
        self._copy_of: str | None = None
        self._first: dict[str, tuple[str, str]] = {}
        self._seen_videos: dict[str, bool] = {}

    def take(self, question: Question) -> Taken:
        """What becomes of a question."""
        if question.video != self._of_video:
            self._of_video, self._known = question.video, defaultdict(Known)
            self._copy_of = self._copied(question)
        if self._copy_of is not None:
            self._left_out += 1
            return Taken(question, None, None, copy_of=self._copy_of)
        taken = self._judged(question)
        if taken.code is not None:
            self.refused[taken.code] += 1
            return taken
        self._count(taken)
        return taken

    @property
    def codes(self) -> dict[str, int]:
        """How many questions each rule refused or left out, in the order of the names."""
        return dict(sorted((self.refused + Counter(duplicate_video=self._left_out)).items()))

    def report(self) -> dict[str, Any]:
        """What `quality.json` holds."""
        found = self._sets.findings()
        flagged = self.flagged + Counter(finding.code for finding in found)
        looked = sum(self._seen_videos.values())
        return {
            "format": FORMAT,
            "items": dict(self.kept),
            "refused": self.codes,
            "flagged": dict(sorted(flagged.items())),
            "videos": {"with_items": self._sets.videos, "content_compared": looked, "of": len(self._seen_videos)},
            "sets": [finding.plain() for finding in found],
            "flags": self.flags,
        }

    def _copied(self, question: Question) -> str | None:
        """The first video of the same content, None for the first itself and where the content is unknown."""
        digest = self.content(question.video)
        self._seen_videos[question.video] = digest is not None
        if digest is None:
            return None
        video, identity = self._first.setdefault(digest, (question.video, question.video_id))
        if video == question.video:
            return None
        copies = self.copies.setdefault(identity, [])
        if question.video_id not in copies:
            copies.append(question.video_id)
        return identity

    def _judged(self, question: Question) -> Taken:
        item, parsed = question.item, question.parsed
        if item is None or parsed is None:
            return Taken(question, question.code or "malformed", question.reason)
        verdict, note = self.verdicts.get(question.digest, ("", ""))
        if verdict == "reject":
            return Taken(question, "review", f"rejected in review: {note}" if note else "rejected in review")
        refusing = next((finding for finding in question.findings if finding.refused), None)
        if refusing is not None:
            return Taken(question, refusing.code, refusing.why)
        judged = tuple(self.judged.get(question.digest, ()))
        refusing = next((finding for finding in judged if finding.refused), None)
        if refusing is not None:
            return Taken(question, refusing.code, refusing.why)
        before = self._known[question.task].add(item.question, item.answer if question.task == "bcq" else "")
        flags = (*question.findings, *judged)
        if before is not None:
            code, other = before
            if code != "opposite_pair":
                same = (
                    "the same question as before" if code == "duplicate" else f"nearly the same question as {other!r}"
                )
                return Taken(question, code, same)
            flags += (Finding(code, False, f"nearly the same question has the opposite answer: {other!r}"),)
        return Taken(question, None, None, flags)

    def _count(self, taken: Taken) -> None:
        question = taken.question
        item = question.item
        assert item is not None
        self.kept[question.task] += 1
        right = item.full_answer[3:] if question.task == "mcq" else item.answer
        self._sets.add(question.video, question.task, item.question, right)
        if question.task == "mcq":
            others = [line[3:] for line in item.choices if not line.startswith(f"{item.answer}. ")]
            self._sets.add_choices(item.answer, right, others)
        for flag in taken.flags:
            self.flagged[flag.code] += 1
            entry = {"digest": question.digest, "video_id": question.video_id, "task": question.task}
            self.flags.append({**entry, "code": flag.code, "why": flag.why, "question": item.question})
