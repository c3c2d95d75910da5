"""Items whose truth is known, and a judge that knows it: as an oracle, or drawing a share of its answers by lot."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.config import read_config, schema
from tao_skill_bank.annotate.judge.asks import when
from tao_skill_bank.annotate.judge.kept import Judged
from tao_skill_bank.annotate.judge.work import Judging
from tao_skill_bank.annotate.questions import Question, questions_of
from tao_skill_bank.core.overrides import parse_command_line

SECONDS = 12.0
COLOURS = ("red", "green", "blue", "grey")


@dataclass(frozen=True)
class Truth:
    """What is right of a question: the text of a choice, yes or no, a span, or whether an open answer is borne out."""

    answer: Any
    guessed: bool = False


def items(number: int, fault: str = "") -> tuple[dict[str, list[dict[str, Any]]], dict[str, Truth]]:
    """`number` items of each kind that has the fault, by prompt key, and the truth by question.

    Args:
        number: Of each kind.
        fault: `blind` (can be guessed), `judge` (another answer is right), `time` (it is at another time), or none.
    """
    made: dict[str, list[dict[str, Any]]] = {}
    truths: dict[str, Truth] = {}
    for n in range(number):
        named = f"{fault or 'plain'} cart {n}"
        right, claimed = COLOURS[n % 4], COLOURS[(n + (fault == "judge")) % 4]
        item: dict[str, Any] = {"question": f"Which colour has {named} at the door?", "reasoning": "It is seen there."}
        listed = [f"It is {colour}" for colour in COLOURS]
        if fault != "time":
            chosen = {**item, "choices": listed, "answer": "ABCD"[COLOURS.index(claimed)]}
            made.setdefault("normal_mcq", []).append(chosen)
            truths[item["question"]] = Truth(f"It is {right}", fault == "blind")
            asked = f"Does {named} reach the wooden door?"
            word = (n % 2 == 0) != (fault == "judge")
            said = {
                "question": asked,
                "answer": "Yes" if word else "No",
                "explanation": "It is seen.",
                "reasoning": "x",
            }
            made.setdefault("normal_bcq", []).append(said)
            truths[asked] = Truth(n % 2 == 0, fault == "blind")
        if fault in ("", "time"):
            asked = f"When does {named} pass the rack?"
            made.setdefault("normal_temporal_localization", []).append(
                {"question": asked, "start_sec": 4.0, "end_sec": 6.0, "reasoning": "x"}
            )
            truths[asked] = Truth((8.0, 10.0) if fault == "time" else (4.0, 6.0))
        if fault in ("", "judge"):
            asked = f"Why does {named} stop there?"
            text = f"The worker raises a hand in front of it, and so {named} stops."
            made.setdefault("normal_open_qa", []).append({"question": asked, "answer": text, "reasoning": "x"})
            truths[asked] = Truth(fault != "judge")
    return made, truths


def rows(made: Mapping[str, list[dict[str, Any]]], video: str) -> list[dict[str, Any]]:
    """Rows of step 3 with these items of a video."""
    return [
        {"video": video, "prompt_key": key, "qa_output": json.dumps({"items": of}), "video_length": SECONDS}
        for key, of in made.items()
    ]


@dataclass
class Judge:
    """Answers prompts by the truth.

    Attributes:
        truths: By question.
        windows: Question → the letter of the claimed stretch, of `when`.
        random_share: Answers that are drawn by lot.
        yes_blind: It says yes to every blind question.
    """

    truths: Mapping[str, Truth]
    windows: Mapping[str, str] = field(default_factory=dict)
    random_share: float = 0.0
    yes_blind: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def answer(self, prompt: str) -> str:
        """What it says."""
        asked = next(question for question in self.truths if question in prompt)
        truth, lot = self.truths[asked], self._rng.random() < self.random_share
        if "three stretches" in prompt:
            mine = self.windows[asked]
            right = mine if truth.answer == (4.0, 6.0) else next(c for c in "ABC" if c != mine)
            return json.dumps({"answer": self._rng.choice("ABC") if lot else right})
        if "start_sec" in prompt:
            start = self._rng.uniform(0, 10) if lot else truth.answer[0]
            return json.dumps({"start_sec": start, "end_sec": start + 2.0})
        if '"match"' in prompt:
            return json.dumps({"reason": "x", "match": self._rng.random() < 0.5 if lot else truth.answer})
        blind = "cannot see the video" in prompt
        listed = dict(re.findall(r"^([A-D])\. (.+)$", prompt, re.MULTILINE))
        if listed:
            right = next(letter for letter, text in listed.items() if text == truth.answer)
            # Neither right nor what a faulty item claims: by lot it would be that at every try, now and then.
            other = COLOURS[(COLOURS.index(truth.answer.removeprefix("It is ")) + 2) % len(COLOURS)]
            wrong = next(letter for letter, text in listed.items() if text == f"It is {other}")
            knows = not blind or truth.guessed
            return json.dumps({"answer": self._rng.choice("ABCD") if lot else right if knows else wrong})
        word = truth.answer if not blind or truth.guessed else not truth.answer
        if blind and self.yes_blind:
            word = True
        return json.dumps({"answer": "Yes" if (self._rng.random() < 0.5 if lot else word) else "No"})


def windows_of(questions: Iterable[Question]) -> dict[str, str]:
    """Question → the letter of the stretch that its item claims."""
    spans = [q for q in questions if q.item is not None and q.item.span is not None]
    return {q.question: asked.right for q in spans if (asked := when(q, SECONDS)) is not None}


def judged(
    made: Mapping[str, list[dict[str, Any]]],
    judge: Judge,
    checks: str = "[blind,judge,time]",
    makers: Sequence[str] = (),
    judge_model: str = "judge",
) -> Judged:
    """What the checks find of items of one video, with a judge in this process."""
    words = ["results_dir=/nowhere"]
    words += [f"video_reasoning_annotation.{model}.backend=openai" for model in ("vlm", "llm")]
    words += [f"video_reasoning_annotation.{model}.openai.model_name=writer" for model in ("vlm", "llm")]
    words += [
        f"video_reasoning_annotation.quality.{word}" for word in (f"checks={checks}", f"judge.model={judge_model}")
    ]
    config = read_config(parse_command_line(words, schema()).config)
    questions = [q for row in rows(made, "/v/a.mp4") for q in questions_of(row, Path("/v"))]
    assert all(q.item is not None for q in questions), [q.reason for q in questions if q.item is None]
    judge.windows = windows_of(questions)
    work = Judging(config, _Caller(judge), _Library(), makers)  # type: ignore[arg-type]
    asyncio.run(work.all(questions, 8))
    return work.judged()


class _Gate:
    halted = None


@dataclass
class _Said:
    text: str


class _Caller:
    def __init__(self, judge: Judge) -> None:
        self._judge, self.gate = judge, _Gate()

    async def answer(self, call: Any) -> _Said:
        return _Said(self._judge.answer(call.prompt))


class _Video:
    sha256, duration = "0" * 64, SECONDS

    def release(self) -> None:
        pass


class _Library:
    async def open(self, path: str) -> _Video:
        return _Video()
