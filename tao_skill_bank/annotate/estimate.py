"""What a run will take before its first call: calls, tokens, cost and time, each as an interval.

The lengths of answers follow from the prompts, which name them; what the journal has measured of the same model goes
before. Lengths of videos come from a look at all of them, or at an even sample of many.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from pydantic import BaseModel

from tao_skill_bank.annotate.calls import tokens_at_most
from tao_skill_bank.annotate.config import AnnotationConfig, ModelOptions, Workflow
from tao_skill_bank.annotate.journal import Journal, JustBegunError, journal_path
from tao_skill_bank.annotate.judge.asks import FRAMES_A_WINDOW, TRIES
from tao_skill_bank.annotate.prices import Price, Prices
from tao_skill_bank.annotate.prompts import KEYS, Prompts, values_of
from tao_skill_bank.annotate.scope import Limits, check, effective_steps
from tao_skill_bank.annotate.sealed import Sealed, seal
from tao_skill_bank.annotate.video import VideoError, chunk_length, chunks, probe
from tao_skill_bank.core import guard

WIDTH = 0.40
MEASURED_WIDTH = 0.20
"""Half width of the interval: from the prompts alone, and where the journal has measured every kind of call."""
_SAMPLE = 200
_LEAST_MEASURED = 5
_CHARS_A_TOKEN = 4.2
_TOKENS_A_WORD = 1.45
_REPAIRS = 1.03
# Expected words of an answer, the middle of what each prompt asks for; JSON's own signs are in it.
_WORDS = {
    "video_filtering": 28,
    "video_anomaly_classification": 40,
    "highlight_timestamp_extraction": 32,
    "highlight_chunk_caption": 95,
    "global_caption": 150,
    "dense_caption": 190,
    "chunk_caption": 55,
    "description": 325,
    "mcq": 260,
    "bcq": 230,
    "open_qa": 240,
    "causal_linkage": 150,
    "temporal_localization": 115,
    "temporal_event_desc": 150,
    "scene_description": 200,
    "event_summary": 205,
}
# Items that each prompt for questions asks for, and words of a judge's answer.
_ITEMS = {"mcq": 2, "bcq": 2, "open_qa": 2}
_JUDGE_WORDS, _JUDGE_PROMPT_TOKENS = 12, 160
_MEDIA_PARTS = {"global_caption": 150, "dense_caption": 190, "dense_section": 190, "highlight_section": 110}
# Tokens of what is looked at: a second of native video and a frame, at low resolution and otherwise.
_SECOND = {"MEDIA_RESOLUTION_LOW": 100}
_SECOND_OTHERWISE = 290
_GEMINI_FRAME = {"MEDIA_RESOLUTION_LOW": 66}
_FRAME = 258
_SECONDS_A_CALL = {"vlm": 6.0, "llm": 4.0}
_TOKENS_A_SECOND = 90.0


class Range(BaseModel):
    """An interval with its middle."""

    low: float
    mid: float
    high: float


class Estimate(BaseModel):
    """What a run takes. Cost in USD, None where a model's price is unknown.

    Time in seconds at full speed; None for batches, whose time is the vendor's.

    Attributes:
        digest: By what the run is approved as it would start now.
        unusable: Videos (of those looked at) that cannot be annotated, or are too long.
        answered: Answers that are in the journal already; the figures are for the whole run, they are part of it.
        spent: USD of those.
        notes: What the figures rest on.
    """

    digest: str
    videos: int
    unusable: int
    steps: list[str]
    calls: Range
    input_tokens: Range
    output_tokens: Range
    cost: Range | None
    seconds: Range | None
    answered: int
    spent: float
    prices_dated: str
    notes: list[str]


class _Sum:
    """Calls, tokens, cost and seconds, added up."""

    def __init__(self) -> None:
        self.calls = self.read = self.wrote = self.seconds = 0.0
        self.cost: float | None = 0.0
        self.measured = 0.0

    def add(self, number: float, read: float, wrote: float, seconds: float, price: Price | None) -> None:
        """Add so many calls, each of so many tokens in and out and seconds."""
        self.calls += number
        self.read += number * read
        self.wrote += number * wrote
        self.seconds += number * seconds
        if price is None:
            self.cost = None
        elif self.cost is not None:
            self.cost += number * (read * price.input + wrote * price.output) / 1e6

    def take(self, other: _Sum) -> None:
        """Add another sum."""
        self.calls, self.read, self.wrote = self.calls + other.calls, self.read + other.read, self.wrote + other.wrote
        self.seconds, self.measured = self.seconds + other.seconds, self.measured + other.measured
        self.cost = None if self.cost is None or other.cost is None else self.cost + other.cost


def estimate(
    config: AnnotationConfig, prices: Prices, limits: Limits | None = None, *, batch: bool = False
) -> Estimate:
    """Estimate a run without calling anybody. Reads the videos' lengths and the journal; writes nothing.

    Raises:
        InputError: The request cannot be met.
    """
    check(config)
    return estimate_sealed(seal(config, prices, limits, batch=batch))


def estimate_sealed(sealed: Sealed, *, general_prompts: bool = False) -> Estimate:
    """Estimate what was sealed. Reads the videos' lengths and the journal; writes nothing.

    `general_prompts` are reckoned with instead of its own, which are not run then.

    Raises:
        InputError: It cannot be met.
    """
    config, prices, batch, videos = sealed.config, sealed.prices, sealed.batch, sealed.listing.videos
    prompts = check(config.model_copy(update={"prompts_module": ""}) if general_prompts else config)
    steps = effective_steps(config)
    every = max(1, math.ceil(len(videos) / _SAMPLE))
    looked_at = videos[::every]
    lengths, unusable = _lengths(looked_at, config.workflow.max_video_length_sec)
    total, answered, spent, share = _Sum(), 0, 0.0, 1.0
    usage: dict[tuple[str, str], tuple[int, float, float, float]] = {}
    if guard.exists(journal_path(config.results_dir)):
        with contextlib.suppress(JustBegunError), Journal(config.results_dir, read_only=True) as journal:
            usage = journal.usage_by_kind()
            totals = journal.totals()
            answered, spent = totals.answers, totals.cost
        share = _anomalies(usage)
    elif config.workflow.mode == "auto":
        share = 0.5
    scale = len(videos) / max(1, len(looked_at))
    for length in lengths:
        _add_video(total, config, prompts, steps, prices, usage, length, scale, share)
    checks = _checks(config, prices, lengths, scale)
    width = WIDTH - (WIDTH - MEASURED_WIDTH) * (total.measured / total.calls if total.calls else 0)
    notes = [f"prices of {prices.dated}", f"lengths of {len(looked_at)} of {len(videos)} videos"]
    if config.workflow.mode == "auto" and not usage:
        notes.append("half of the videos taken as anomalies; the first run tells")
    notes.append(f"{total.measured / total.calls:.0%} of the calls by measured usage" if total.calls else "no calls")
    if checks.calls:
        notes.append(f"checks by {config.judge.model}: {checks.calls:.0f} calls at most, at every try that may be due")
        total.take(checks)
    if batch:
        total.cost = None if total.cost is None else total.cost * prices.batch
        notes.append(f"in batches at {prices.batch:.0%} of the price; a vendor takes up to 24 hours for each round of")
        notes[-1] += f" them, {_rounds(config, steps)} rounds at most"
    dearest = _dearest_call(config, prompts, prices, lengths) if total.calls else None
    if dearest is not None:
        dearest *= prices.batch if batch else 1.0
        notes.append(f"one call may cost ${dearest:.4f} at most: --max-cost needs that much above the cost")
    if total.cost is None:
        notes.append("no price for a model: give --price MODEL=INPUT,OUTPUT")
    return Estimate(
        digest=sealed.digest,
        videos=len(videos),
        unusable=unusable,
        steps=sorted(steps),
        calls=_range(total.calls, min(width, 0.15)),
        input_tokens=_range(total.read, width),
        output_tokens=_range(total.wrote, width),
        cost=None if total.cost is None else _range(total.cost, width, digits=6),
        seconds=None if batch else _range(total.seconds / config.workflow.max_workers, width),
        answered=answered,
        spent=spent,
        prices_dated=prices.dated,
        notes=notes,
    )


def _rounds(config: AnnotationConfig, steps: frozenset[str]) -> int:
    """How many batches a video goes through one after the other, a repair of its questions included.

    Of the checks the blind one asks again and again, the others once, all at the same time.
    """
    number = {"0": 2 if config.workflow.mode == "auto" else 1, "1c": 2, "3": 2}
    number["4"] = max((max(TRIES.values()) if check == "blind" else 1 for check in config.quality.checks), default=0)
    return sum(number.get(step, 1) for step in steps)


def _lengths(videos: list[str], most: float) -> tuple[list[float], int]:
    lengths: list[float] = []
    unusable = 0
    for video in videos:
        try:
            length = probe(Path(video)).duration
        except (VideoError, OSError):
            unusable += 1
            continue
        if length > most:
            unusable += 1
        else:
            lengths.append(length)
    return lengths, unusable


def _anomalies(usage: dict[tuple[str, str], tuple[int, float, float, float]]) -> float:
    """The share of anomalies among the videos that were described so far."""
    described = {
        key: sum(v[0] for (k, _), v in usage.items() if k == f"{key}_description") for key in ("anomaly", "normal")
    }
    known = sum(described.values())
    return described["anomaly"] / known if known else 0.5


def _add_video(
    total: _Sum,
    config: AnnotationConfig,
    prompts: Prompts,
    steps: frozenset[str],
    prices: Prices,
    usage: dict[tuple[str, str], tuple[int, float, float, float]],
    length: float,
    scale: float,
    share: float,
) -> None:
    """Add the calls of one video, times `scale`; in auto mode by the share of anomalies."""
    flow = config.workflow
    modes = {"anomaly": share, "normal": 1 - share} if flow.mode == "auto" else {flow.mode: 1.0}
    spans = chunks(length, chunk_length(length, flow.chunk_duration_options, flow.max_chunks))

    def call(which: str, key: str, times: float, media: float = 0.0) -> None:
        options: ModelOptions = getattr(config, which)
        kind = key.removeprefix("anomaly_").removeprefix("normal_")
        measured = usage.get((key, options.model))
        if measured is not None and measured[0] >= _LEAST_MEASURED:
            _, read, wrote, seconds = measured
            seconds = seconds or _SECONDS_A_CALL[which] + wrote / _TOKENS_A_SECOND
            total.measured += times
        else:
            read = _prompt_tokens(prompts, key, len(spans)) + media
            wrote = min(_WORDS[kind] * _TOKENS_A_WORD, float(options.max_tokens))
            seconds = _SECONDS_A_CALL[which] + wrote / _TOKENS_A_SECOND
        if kind in flow.qa_types:
            times *= _REPAIRS
        total.add(times, read, wrote, seconds, prices.of(options.model))

    whole = _whole_tokens(config.vlm, flow, length)
    if "0" in steps:
        call("vlm", "video_filtering", scale, whole)
        if flow.mode == "auto":
            call("vlm", "video_anomaly_classification", scale, whole)
    for mode, part in modes.items():
        times = part * scale
        if "1a" in steps:
            call("vlm", f"{mode}_global_caption", times, whole)
            call("vlm", f"{mode}_dense_caption", times, whole)
        if "1b" in steps:
            for start, end in spans:
                call("vlm", f"{mode}_chunk_caption", times, _span_tokens(config.vlm, flow, end - start))
        if "1c" in steps and mode == "anomaly":
            window = min(length, max(2.0, flow.highlight_before_sec + flow.highlight_after_sec))
            call("llm", "highlight_timestamp_extraction", times)
            call("vlm", "highlight_chunk_caption", times, _span_tokens(config.vlm, flow, window))
        if "2" in steps:
            call("llm", f"{mode}_description", times)
        if "3" in steps:
            for kind in flow.qa_types:
                key = kind if kind in KEYS else f"{mode}_{kind}"
                call("llm", key, times)


def _checks(config: AnnotationConfig, prices: Prices, lengths: list[float], scale: float) -> _Sum:
    """Calls of judged checks: every try of every item that the prompts ask for."""
    total, flow, judge = _Sum(), config.workflow, config.judge
    price = prices.of(judge.model)
    items = {kind: _ITEMS.get(kind, 1) for kind in flow.qa_types}
    blind = sum(items.get(kind, 0) * tries for kind, tries in TRIES.items())
    timed = items.get("temporal_localization", 0)
    for length in lengths:
        frames = {"blind": 0, "judge": flow.frames(length), "time": 3 * FRAMES_A_WINDOW}
        times = {"blind": blind, "judge": sum(items.values()), "time": timed}
        for name in config.quality.checks:
            read = _JUDGE_PROMPT_TOKENS + frames[name] * _frame_tokens(judge)
            wrote = min(_JUDGE_WORDS * _TOKENS_A_WORD, float(judge.max_tokens))
            seconds = _SECONDS_A_CALL["vlm"] + wrote / _TOKENS_A_SECOND
            total.add(scale * times[name], read, wrote, seconds, price)
    return total


def _prompt_tokens(prompts: Prompts, key: str, pieces: int) -> float:
    """Tokens of a prompt with texts of the expected lengths in it."""
    blank = dict.fromkeys(values_of(key), "")
    empty = prompts.text(key, **blank)
    used = [name for name in blank if len(prompts.text(key, **{**blank, name: "x"})) > len(empty)]
    words = sum(
        {"chunk_captions_str": pieces * 62, "step_2_output": 325}.get(name, _MEDIA_PARTS.get(name, 1)) for name in used
    )
    return len(empty) / _CHARS_A_TOKEN + words * _TOKENS_A_WORD


def _whole_tokens(vlm: ModelOptions, flow: Workflow, length: float) -> float:
    if length > flow.long_video_threshold_sec:
        return flow.frames(length) * _frame_tokens(vlm)
    return _span_tokens(vlm, flow, length)


def _span_tokens(vlm: ModelOptions, flow: Workflow, length: float) -> float:
    if vlm.backend == "gemini":
        return length * _SECOND.get(vlm.gemini.media_resolution or "", _SECOND_OTHERWISE)
    return flow.frames(length) * _frame_tokens(vlm)


def _dearest_call(config: AnnotationConfig, prompts: Prompts, prices: Prices, lengths: list[float]) -> float | None:
    """What one call of the run may cost at most, about, in USD: what no limit can use up to its end."""
    flow, found = config.workflow, []
    for which, options, frames, seconds in (
        ("vlm", config.vlm, max((flow.frames(length) for length in lengths), default=0), max(lengths, default=0.0)),
        ("llm", config.llm, 0, 0.0),
        *([("judge", config.judge, _most_frames(config, lengths), 0.0)] if config.quality.checks else []),
    ):
        native = which == "vlm" and options.backend == "gemini" and seconds <= flow.long_video_threshold_sec
        prompt = max(_prompt_tokens(prompts, key, flow.max_chunks) for key in KEYS) * _CHARS_A_TOKEN
        read = tokens_at_most(prompt, frames=0 if native else frames, seconds=seconds if native else 0.0)
        found.append(prices.cost(options.model, read, options.max_tokens))
    return None if None in found else max(cost for cost in found if cost is not None)


def _most_frames(config: AnnotationConfig, lengths: list[float]) -> int:
    return max((3 * FRAMES_A_WINDOW, *(config.workflow.frames(length) for length in lengths)))


def _frame_tokens(vlm: ModelOptions) -> float:
    """A frame with its label."""
    own = _GEMINI_FRAME.get(vlm.gemini.media_resolution or "", _FRAME) if vlm.backend == "gemini" else _FRAME
    return own + 9


def _range(mid: float, width: float, digits: int = 1) -> Range:
    return Range(low=round(mid * (1 - width), digits), mid=round(mid, digits), high=round(mid * (1 + width), digits))
