"""How many planted errors the rules find, and how many good items they refuse: by rule, language, unseen wordings.

    python benchmarks/quality.py [--quick]

400 good items, 60 of them traps that look like errors; 25 items of each error. The wordings of the language rules are
in `quality_wordings.yaml`: the unseen ones were written after the patterns.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tao_skill_bank.annotate.quality.examine import Examiner
from tao_skill_bank.annotate.quality.model_text import UnusableError, prose_of
from tao_skill_bank.annotate.questions import questions_of
from tao_skill_bank.annotate.records import Recorded

LENGTH = 30.0
EACH = 25
GOOD = 400
LANGUAGE_RULES = (
    *("refusal", "source_leak", "unanswerable", "bcq_hedged", "bcq_contradiction", "choice_contradiction"),
)
WORDINGS: dict[str, dict[str, dict[str, list[str]]]] = yaml.safe_load(
    Path(__file__).with_name("quality_wordings.yaml").read_text(encoding="utf-8")
)
_OPEN = ("open_qa", "causal_linkage", "temporal_event_desc", "scene_description", "event_summary")
_THINGS = {
    "en": ("cart", "forklift", "box", "gate", "belt", "lamp", "ladder", "bucket", "drone", "pallet"),
    "de": ("Wagen", "Stapler", "Karton", "Riegel", "Eimer", "Kran", "Roller", "Behälter", "Lüfter", "Korb"),
    "zh": ("推车", "叉车", "箱子", "闸门", "传送带", "台灯", "梯子", "水桶", "无人机", "托盘"),
}
_PLACES = {
    "en": ("near the door", "beside the rack", "behind the column", "under the stairs", "in front of the office"),
    "de": ("neben der Tür", "beim Regal", "hinter der Säule", "unter der Treppe", "vor dem Büro"),
    "zh": ("在门旁", "在货架边", "在柱子后面", "在楼梯下", "在办公室前"),
}
_TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "bcq": "Does the {t} stand {p}?",
        "bcq_explanation": "It stands {p}.",
        "bcq_reasoning": "The {t} is seen {p} in all pictures, so the answer is yes.",
        "mcq": "What is seen {p} at first?",
        "open": "What happens to the {t} {p}?",
        "open_answer": "The {t} is moved {p} by a worker in a vest.",
        "reason": "The worker takes the {t} and puts it {p}.",
    },
    "de": {
        "bcq": "Steht der {t} {p}?",
        "bcq_explanation": "Er steht {p}.",
        "bcq_reasoning": "Der {t} ist in allen Bildern {p} zu sehen, also ja.",
        "mcq": "Was ist zuerst {p} zu sehen?",
        "open": "Was geschieht mit dem {t} {p}?",
        "open_answer": "Ein Arbeiter mit Weste schiebt den {t} {p}.",
        "reason": "Der Arbeiter nimmt den {t} und stellt ihn {p} ab.",
    },
    "zh": {
        "bcq": "{t}是否停放{p}？",
        "bcq_explanation": "它停放{p}。",
        "bcq_reasoning": "所有画面中{t}都{p}，所以答案是是的。",
        "mcq": "最先出现{p}的是什么？",
        "open": "{p}的{t}发生了什么？",
        "open_answer": "一名穿背心的工人把{t}移动到那里。",
        "reason": "工人拿起{t}并放好。",
    },
}
# Good items that look like errors: what changes in a good one of the kind.
TRAPS: list[tuple[str, dict[str, str]]] = [
    ("open_qa", {"answer": "The caption on the TV says Closed for today."}),
    ("open_qa", {"question": "What does the caption at the bottom of the screen say?"}),
    ("open_qa", {"answer": "Camera B shows the truck first, then it turns."}),
    ("open_qa", {"answer": 'He shouts "I can\'t help you" and steps back.'}),
    ("open_qa", {"answer": "The driver cannot see the pedestrian behind the truck."}),
    ("open_qa", {"answer": "An unknown man pushes the barrier aside."}),
    ("open_qa", {"answer": "The clock on the wall shows 10:45 while the bell rings."}),
    ("open_qa", {"answer": "A car of the 1980s passes the gate slowly."}),
    ("open_qa", {"reasoning": "I cannot see any worker in the frame before that."}),
    ("open_qa", {"answer": "A witness gives a description of the thief to the guard."}),
    ("open_qa", {"answer": "The sign reads Sorry, we are closed and hangs on the door."}),
    ("open_qa", {"answer": "He is unable to lift the crate and calls a colleague."}),
    ("bcq", {"explanation": "Yes, there is no obstacle before it."}),
    ("bcq", {"explanation": "No obstacle is in its way.", "reasoning": "So no worker has to step aside."}),
    ("bcq", {"explanation": "The way is not clear of boxes, yet it stands there."}),
    ("bcq", {"reasoning": "One may say no at first. It does stop, so yes."}),
    ("bcq", {"explanation": "It may be seen twice.", "reasoning": "No other one is near."}),
    ("mcq", {"reasoning": "Camera C shows it, and lane A is empty."}),
    ("open_qa", {"answer": "Der Untertitel auf dem Bildschirm sagt Ende und die Tür geht zu."}),
    ("open_qa", {"answer": "他对同事说“我帮不了你”，然后离开了大厅。"}),
]


@dataclass(frozen=True)
class Planted:
    """An item with what it is: `rule` is the planted error, empty for a good one."""

    row: dict[str, Any]
    rule: str
    language: str
    seen: bool = True
    trap: bool = False


def good_item(kind: str, language: str, number: int) -> dict[str, Any]:
    """A good item of a kind; no two of a number are alike."""
    things, places, texts = _THINGS[language], _PLACES[language], _TEXTS[language]
    thing, place = things[number % len(things)], places[number // len(things) % len(places)]

    def said(name: str) -> str:
        return texts[name].format(t=thing, p=place)

    if kind == "bcq":
        return {
            "question": said("bcq"),
            "answer": "Yes",
            "explanation": said("bcq_explanation"),
            "reasoning": said("bcq_reasoning"),
        }
    if kind == "mcq":
        choices = [things[(number + i) % len(things)] for i in range(4)]
        return {"question": said("mcq"), "choices": choices, "answer": "B", "reasoning": said("reason")}
    return {"question": said("open"), "answer": said("open_answer"), "reasoning": said("reason")}


def row(kind: str, items: list[dict[str, Any]], video: str) -> dict[str, Any]:
    """A row of step 3."""
    key = kind if kind in _OPEN[3:] else f"normal_{kind}"
    text = json.dumps({"items": items}, ensure_ascii=False)
    return {"video": video, "prompt_key": key, "qa_output": text, "video_length": LENGTH}


def good() -> Iterator[Planted]:
    """400 good items, 60 of them traps."""
    for i in range(GOOD - 60):
        language = ("en", "de", "zh")[i % 3]
        kind = ("bcq", "mcq", "open_qa")[i // 3 % 3]
        yield Planted(row(kind, [good_item(kind, language, i)], f"/v/good{i}.mp4"), "", language)
    for i in range(60):
        kind, changed = TRAPS[i % len(TRAPS)]
        language = "en" if i % len(TRAPS) < 18 else ("de", "zh")[i % 2]
        item = {**good_item(kind, "en", i), **changed}
        yield Planted(row(kind, [item], f"/v/trap{i}.mp4"), "", language, trap=True)


def language_errors(language: str) -> Iterator[Planted]:
    """25 items of each language rule and half of the wordings."""
    for rule in LANGUAGE_RULES:
        for half in ("seen", "unseen"):
            wordings = WORDINGS[language][rule][half]
            for i in range(max(EACH, 5 * len(wordings))):
                said = wordings[i % len(wordings)]
                kind, item = _spoilt(rule, language, i, said)
                yield Planted(row(kind, [item], f"/v/{rule}-{half}{i}.mp4"), rule, language, seen=half == "seen")


def _spoilt(rule: str, language: str, number: int, said: str) -> tuple[str, dict[str, Any]]:
    if rule == "bcq_hedged":
        place = ("answer", "explanation")[number // 5 % 2]
        return "bcq", {**good_item("bcq", language, number), place: said}
    if rule == "bcq_contradiction":
        return "bcq", {**good_item("bcq", language, number), "reasoning": said}
    if rule == "choice_contradiction":
        item = good_item("mcq", language, number)
        wrong = "ACD"[number % 3]
        other = item["choices"]["ABCD".index(wrong)]
        return "mcq", {**item, "reasoning": said.format(L=wrong, other=other)}
    kind = "open_qa" if rule != "source_leak" else ("open_qa", "bcq", "mcq")[number % 3]
    place = "reasoning" if rule == "source_leak" else "answer"
    item = good_item(kind, language, number)
    return kind, {**item, place: said}


_REASONS = (
    "Option F is out of view.",
    "Options A-C stay behind option D.",
    "The second option moves.",
    "Option G rolls.",
)
_LETTERS = ("Both A and B", "A and B", "The first option", "The latter", "Only C")
_TIMES = ("At 0:45 it turns.", "After 31 seconds it stops.", "At 2 minutes he turns.", "From 00:40 to 00:44 it rolls.")
_TOKENS = ("<video>", "<image>", "<audio>", "<|im_end|>", "<|endoftext|>")


def shape_errors() -> Iterator[Planted]:
    """25 items of each rule that needs no words of a language."""
    for i in range(EACH):
        bcq, mcq, open_qa = (good_item(kind, "en", i) for kind in ("bcq", "mcq", "open_qa"))
        yield _one("reasoning_letters", "mcq", {**mcq, "reasoning": _REASONS[i % 4]}, i)
        choices = [*mcq["choices"][:3], _LETTERS[i % 5]]
        yield _one("choice_letters", "mcq", {**mcq, "choices": choices, "reasoning": "It rolls."}, i)
        yield _one("timestamp_outside", "open_qa", {**open_qa, "reasoning": _TIMES[i % 4]}, i)
        yield _one("media_token", "open_qa", {**open_qa, "question": f"{_TOKENS[i % 5]} {open_qa['question']}"}, i)
        short = ("trivial", _OPEN[1 + i % 4], {**open_qa, "answer": "It rolls away."}, i)
        yield _one(*short)
        near = {**bcq, "question": f"Does the worker in the yellow vest push cart {i} to the open door of the hall?"}
        again = {**near, "question": near["question"].replace("hall", "yard")}
        yield Planted(
            row("bcq", [bcq, {**bcq, "question": bcq["question"].upper()}], f"/v/d{i}.mp4"), "duplicate", "en"
        )
        yield Planted(row("bcq", [near, again], f"/v/n{i}.mp4"), "near_duplicate", "en")


def _one(rule: str, kind: str, item: dict[str, Any], number: int) -> Planted:
    return Planted(row(kind, [item], f"/v/{rule}{number}.mp4"), rule, "en")


def texts() -> Iterator[tuple[str, str]]:
    """(rule, code it was met with) of 25 model texts of each rule for whole texts."""
    sentence = "A worker walks past a cart near the door of the hall. "
    for i in range(EACH):
        for rule, text, finish in (
            ("think_open", f"<think>Okay, picture {i} shows a hall and", "stop"),
            ("cut_off", f"A worker walks past cart {i} near the", "length"),
            ("refusal", WORDINGS["en"]["refusal"]["unseen"][i % 5], "stop"),
            ("", sentence * 5 + "And then a", "length"),
            ("", f"<think>Well.</think> {sentence}", "stop"),
        ):
            recorded = Recorded("k", "caption", "v", "e", "m", text, finish, 1, 1, 0.0, 0.0, "")
            try:
                prose_of(recorded)
            except UnusableError as error:
                yield rule, error.code
            else:
                yield rule, ""


def met(planted: Planted) -> str:
    """The rule by which the last question of an item's row is refused; empty where it is kept."""
    examiner = Examiner()
    taken = [examiner.take(question) for question in questions_of(planted.row, Path("/v"))]
    return taken[-1].code or ""


def measure() -> dict[str, Any]:
    """Recall of each rule by language and half, and the share of good items and traps that are refused."""
    found: dict[tuple[str, str, bool], Counter[bool]] = defaultdict(Counter)
    missed: list[str] = []
    for planted in itertools.chain(*(language_errors(language) for language in WORDINGS), shape_errors()):
        code = met(planted)
        found[planted.language, planted.rule, planted.seen][code == planted.rule] += 1
        if code != planted.rule:
            missed.append(f"{planted.language} {planted.rule} ({code or 'kept'}): {planted.row['qa_output'][:200]}")
    for rule, code in texts():
        found["en", f"text {rule or 'good'}", True][code == rule] += 1
    refused: Counter[str] = Counter()
    for planted in good():
        code = met(planted)
        refused["traps" if planted.trap else "good"] += bool(code)
        if code:
            missed.append(f"refused a good one ({code}): {planted.row['qa_output'][:200]}")
    recall = {key: counts[True] / counts.total() for key, counts in found.items()}
    traps, plain = refused["traps"] / 60, (refused["good"] + refused["traps"]) / GOOD
    return {"recall": recall, "good_refused": plain, "traps_refused": traps, "missed": list(dict.fromkeys(missed))}


def main(show: bool) -> None:
    """Print the table."""
    result = measure()
    print(f"{'language':<9} {'rule':<22} {'seen':>6} {'unseen':>7}")
    for language, rule in dict.fromkeys((key[0], key[1]) for key in result["recall"]):
        halves = [result["recall"].get((language, rule, seen)) for seen in (True, False)]
        shown = ["      " if value is None else f"{value:6.2f}" for value in halves]
        print(f"{language:<9} {rule:<22} {shown[0]} {shown[1]}")
    print(f"good items refused: {100 * result['good_refused']:.2f} %; traps: {100 * result['traps_refused']:.2f} %")
    for line in result["missed"] if show else ():
        print(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.add_argument("--missed", action="store_true", help="show what was missed")
    main(parser.parse_args().missed)
