"""Judged checks at work: ordinary calls, journaled before they are used, within the run's limits."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.calls import Call, Caller, CallFailedError
from tao_skill_bank.annotate.config import LEAST_FRAMES, AnnotationConfig
from tao_skill_bank.annotate.judge.asks import TRIES, Asked, Said, blind, looked, read, when
from tao_skill_bank.annotate.judge.kept import UNCHECKED, Judged, agreement
from tao_skill_bank.annotate.media import Library, Video, View
from tao_skill_bank.annotate.quality.rules import Finding
from tao_skill_bank.annotate.questions import Question
from tao_skill_bank.annotate.video import VideoError, spread
from tao_skill_bank.core.errors import BankError

_STEP_ORDER = 9
_FAIR = (0.2, 0.8)
"""Share of yes among blind answers outside which a model says the same whatever is asked."""


@dataclass
class Judging:
    """The checks of a run on its items.

    Attributes:
        caller, library: Of the run; the library shows what the judge is asked about.
        makers: The models that the items were made by; empty where no journal says it, then the run's own count.
    """

    config: AnnotationConfig
    caller: Caller
    library: Library
    makers: Collection[str] = ()
    found: dict[str, dict[str, Finding]] = field(default_factory=lambda: defaultdict(dict))
    asked: Counter[str] = field(default_factory=Counter)
    pairs: dict[str, list[tuple[str, str, bool]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._checks: tuple[str, ...] = self.config.quality.checks
        self._first_words: list[bool] = []
        self._known_blind: list[str] = []

    async def all(self, questions: Iterable[Question], at_once: int) -> None:
        """Ask of every item, so many videos at a time; what ended it early stands in the caller's gate."""
        gate = self.caller.gate
        working: set[asyncio.Task[None]] = set()
        for position, (video, of_video) in enumerate(groupby(questions, lambda q: q.video)):
            items = list(of_video)
            if gate.halted is not None:
                for question in items:
                    self._unchecked(question, self._due(question), "the run ended before")
                continue
            working.add(asyncio.ensure_future(self._video(position, video, items)))
            if len(working) >= at_once:
                done, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        for task in working:
            await task

    def judged(self) -> Judged:
        """What was found, with the figures of each check."""
        found = {check: dict(self.found.get(check, {})) for check in self._checks}
        facts: dict[str, dict[str, Any]] = {}
        model = self.config.judge.model
        makers = self.makers or (self.config.vlm.model, self.config.llm.model)
        share = self._yes_share
        if self._known_blind:
            found["blind"] |= {digest: self._blind_verdict(share) for digest in self._known_blind}
        for check in self._checks:
            refused = Counter(f.code for f in found[check].values())
            facts[check] = {"model": model, "made_items": model in makers}
            facts[check] |= {"items": self.asked[check], "found": dict(sorted(refused.items()))}
        if "blind" in facts:
            facts["blind"]["yes_share"] = None if share is None else round(share, 4)
        if self.pairs and "judge" in facts:
            facts["judge"]["agreement"] = agreement(self.pairs)
        return Judged(facts, found)

    @property
    def _yes_share(self) -> float | None:
        return sum(self._first_words) / len(self._first_words) if self._first_words else None

    def _blind_verdict(self, share: float | None) -> Finding:
        tries = TRIES["bcq"]
        if share is None or not _FAIR[0] <= share <= _FAIR[1]:
            said = f"answered blind {tries} of {tries} times, by a model that says yes to {share or 0:.0%} of all blind"
            return Finding("blind_biased", False, said)
        return Finding("answerable_blind", True, f"answered without the video {tries} of {tries} times")

    def _due(self, question: Question) -> list[str]:
        item = question.item
        assert item is not None
        due = {"blind": question.task in TRIES, "judge": True, "time": item.span is not None}
        return [check for check in self._checks if due[check]]

    async def _video(self, position: int, path: str, questions: Sequence[Question]) -> None:
        source: Video | None = None
        gone = ""
        if any(set(self._due(q)) - {"blind"} for q in questions):
            try:
                source = await self.library.open(path)
            except VideoError as error:
                gone = error.what
        try:
            work = [
                self._item(position, source, gone, question, check)
                for question in questions
                for check in self._due(question)
            ]
            failed = [f for f in await asyncio.gather(*work, return_exceptions=True) if isinstance(f, BaseException)]
        finally:
            if source is not None:
                source.release()
        for ended in failed:
            if not isinstance(ended, BankError):
                raise ended
            self.caller.gate.halt(ended)

    async def _item(self, position: int, source: Video | None, gone: str, question: Question, check: str) -> None:
        """One check of one item; what could not be asked is flagged."""
        self.asked[check] += 1
        try:
            if check == "blind":
                await self._blind(position, question)
            elif source is None:
                self._unchecked(question, [check], gone)
            else:
                await (self._looked if check == "judge" else self._when)(position, source, question)
        except (CallFailedError, VideoError) as error:
            self._unchecked(question, [check], error.what)
        except BankError:
            self._unchecked(question, [check], "the run ended before")
            raise

    def _unchecked(self, question: Question, checks: Iterable[str], why: str) -> None:
        for check in checks:
            self.found[check][question.digest] = Finding(UNCHECKED, False, f"{check}: {why}")

    async def _blind(self, position: int, question: Question) -> None:
        tries = TRIES[question.task]
        for attempt in range(tries):
            said = await self._said("check_blind", position, question, blind(question, attempt), attempt=attempt)
            if said is None:
                self._unchecked(question, ["blind"], "the answer cannot be read")
                return
            if attempt == 0 and question.task == "bcq":
                self._first_words.append(said.answer == "Yes")
            if not said.agrees:
                return
        if question.task == "bcq":
            self._known_blind.append(question.digest)
            return
        why = f"answered without the video {tries} of {tries} times, in other orders of its choices"
        self.found["blind"][question.digest] = Finding("answerable_blind", True, why)

    async def _looked(self, position: int, source: Video, question: Question) -> None:
        flow = self.config.workflow
        number = min(flow.long_video_max_frames, max(LEAST_FRAMES, flow.frames(source.duration)))
        times = spread(0.0, source.duration, number)
        view = View(source.sha256, times=times)
        asked = looked(question)
        said = await self._said("check_judge", position, question, asked, view, source)
        if said is None:
            self._unchecked(question, ["judge"], "the answer cannot be read")
            return
        item = question.item
        assert item is not None
        self.pairs[question.task].append((item.answer, said.answer, said.agrees))
        if said.agrees:
            return
        if question.task in TRIES or item.span is not None:
            why = f"a second look at the video answers {said.answer}, the item {item.answer}"
            self.found["judge"][question.digest] = Finding("judge_disagrees", True, why)
        else:
            why = "a second look at the video does not find what the answer says"
            self.found["judge"][question.digest] = Finding("judge_open_disagrees", False, why)

    async def _when(self, position: int, source: Video, question: Question) -> None:
        asked = when(question, source.duration)
        if asked is None:
            self._unchecked(question, ["time"], "no two other stretches of this length fit into the video")
            return
        view = View(source.sha256, times=asked.times, labelled=False)
        said = await self._said("check_time", position, question, asked, view, source)
        if said is None:
            self._unchecked(question, ["time"], "the answer cannot be read")
        elif not said.agrees:
            why = "of three stretches of the video, another one shows it"
            self.found["time"][question.digest] = Finding("time_unsupported", True, why)

    async def _said(
        self,
        kind: str,
        position: int,
        question: Question,
        asked: Asked,
        view: View | None = None,
        source: Video | None = None,
        *,
        attempt: int = 0,
    ) -> Said | None:
        call = Call(
            kind, question.video, "judge", asked.prompt, (position, _STEP_ORDER), asked.schema, view, source, attempt
        )
        return read(asked, (await self.caller.answer(call)).text)


def to_judge(folder: Path) -> Iterable[Question]:
    """The items of a results folder that its rules and its people let pass."""
    from tao_skill_bank.annotate.results import opened

    with opened(folder, empty=True) as results:
        examiner = results.examiner(judged=False)
        for _, taken in results.taken(examiner):
            if taken.kept:
                yield taken.question
