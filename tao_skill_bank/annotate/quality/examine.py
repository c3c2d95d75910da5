"""One item after the other: what is refused, what is flagged, what is left out, and the counts of it all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tao_skill_bank.annotate.quality.rules import Finding
from tao_skill_bank.annotate.quality.sets import Known, SetRules
from tao_skill_bank.annotate.questions import Question

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
