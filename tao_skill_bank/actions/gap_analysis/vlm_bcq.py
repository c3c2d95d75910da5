"""Gap analysis of yes/no answers: where a video-language model said yes and the truth is no, and the reverse.

`analyze_vlm_bcq` is the one function behind the command line, the loop and the tools. The input is read block by block
and written as it goes, so memory does not grow with it.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring
from pathlib import Path
from typing import IO, BinaryIO

import msgspec
import numpy as np

from tao_skill_bank.actions.gap_analysis.config import VlmBcqConfig, VlmReading
from tao_skill_bank.actions.gap_analysis.outputs import staged_outputs
from tao_skill_bank.actions.gap_analysis.vlm_report import report, summary
from tao_skill_bank.actions.gap_analysis.vlm_result import VlmBcqResult, result_of, video_rows
from tao_skill_bank.actions.gap_analysis.vlm_tally import SKIPS_KEPT, Gaps, Skip, Tally
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.sheets import write_rows
from tao_skill_bank.data.vlm.answers import MODES, modes_of
from tao_skill_bank.data.vlm.evaluation import Evaluation
from tao_skill_bank.data.vlm.formats import Mapped
from tao_skill_bank.data.vlm.judging import JUDGED, Judge, Judged
from tao_skill_bank.data.vlm.labels import labels_of, suggested
from tao_skill_bank.data.vlm.places import Resolver
from tao_skill_bank.data.vlm.samples import Samples

GAPS = "kpi_gaps.jsonl"
INDEX = "kpi_gaps_index.jsonl"
SKIPPED = "kpi_skipped.jsonl"
REPORT = "kpi_gaps_report.txt"
PER_VIDEO = "per_video.csv"
# In the order in which they appear: who finds the gaps finds the rest.
OUTPUTS = (REPORT, PER_VIDEO, SKIPPED, INDEX, GAPS)
# So many samples are looked at again to say what would judge them.
HINTED = 10_000
_SPOOLED = 1 << 20
_ENCODER = msgspec.json.Encoder()
_LINES = {
    kind: (
        f'{{"video_id": "%b", "error_type": "{kind}", "question": "%b", "ground_truth": "%b", "response": "%b"}}\n'
    ).encode()
    for kind in ("FP", "FN")
}


def analyze_vlm_bcq(
    config: VlmBcqConfig,
    *,
    warn: Callable[[str], None] = lambda _: None,
    progress: Callable[[float], None] = lambda _: None,
) -> VlmBcqResult:
    """Find the gaps of an evaluation, write `kpi_gaps.jsonl` and what stands beside it; nothing where there are none.

    Where no sample can be judged, the report and `kpi_skipped.jsonl` are written, and no `kpi_gaps.jsonl`.

    Args:
        config: What to read, how, and where to write.
        warn: Takes one line a skipped sample, the first 20, then a count.
        progress: Takes the share of the file that has been read, 0..1, after each block.

    Raises:
        InputError: Input that cannot be used, or a skipped sample under `strict`; the item is named, nothing written.
        OSError: The results folder cannot be written; nothing of the analysis is left in it.
    """
    results_dir = Path(os.path.abspath(config.results_dir))
    with _Writer(results_dir) as out:
        judge, tally, resolver, mapped = None, None, Resolver(config.videos_dir), None
        for samples in evaluation_of(config, config.predictions_json).samples():
            if isinstance(samples, Mapped):
                mapped, judge = samples, judge_of(config, samples)
                tally = Tally(judge)
                continue
            assert judge is not None and tally is not None
            samples, judged = _distinct(samples, judge.judge(samples), tally, config)
            gaps, skips = tally.add(samples, judged)
            _warn_of(skips, tally, config, warn)
            out.add(samples, gaps, skips, resolver)
            progress(samples.share)
        assert mapped is not None and tally is not None
        skipped = sum(tally.reasons.values())
        if skipped > SKIPS_KEPT:
            warn(f"{skipped - SKIPS_KEPT} more samples skipped, {skipped} in all")
        hint = _hint(config, tally) if tally.read and not tally.judged else None
        result = result_of(tally, results_dir, mapped.shown, hint=hint, places=resolver.said())
        if resolver.files and not resolver.there:
            warn(f"none of the {resolver.files} videos is a file: check videos_dir=")
        files = out.finish(result, tally, always=config.report == "always")
    result = result.model_copy(update={"files": files})
    return result.model_copy(update={"summary": tuple(summary(result))})


def evaluation_of(config: VlmReading, path: Path) -> Evaluation:
    """An evaluation as a configuration reads it.

    Raises:
        InputError: Labels that are none.
    """
    return Evaluation(
        path=path,
        format=config.format,
        fields=config.fields,
        truth=config.truth,
        requests=config.requests,
        annotations=config.annotations_json,
        words=labels_of(config.labels).words,
        skip_unanswered=config.unanswered == "skip",
        all_responses=config.repeats == "all",
    )


def judge_of(config: VlmReading, mapped: Mapped, modes: Sequence[str] | None = None) -> Judge:
    """Who judges as a configuration asks for, or by other modes.

    Raises:
        InputError: Labels that are none, an unknown mode.
    """
    letters = config.letters == "question" or (config.letters == "auto" and mapped.format.choices)
    return Judge(labels_of(config.labels), modes or modes_of(config.answer_in), letters=letters)


def _distinct(samples: Samples, judged: Judged, tally: Tally, config: VlmReading) -> tuple[Samples, Judged]:
    """Samples and what they say, those left out that stand there twice, where that was asked for."""
    again = tally.duplicates.add(samples, judged.codes % 4, all_of_them=config.duplicates != "keep")
    if config.duplicates == "keep" or not again:
        return samples, judged
    if config.duplicates == "error":
        place = again[0]
        where = f"item {samples.items[place]} (video_id {samples.video_ids[place][:80]!r})"
        raise InputError("has the video and question of an item before", where=where, fix="fix it, or duplicates=first")
    kept = samples.without(again)
    return kept, tally.judge.judge(kept)


def _warn_of(skips: Sequence[Skip], tally: Tally, config: VlmBcqConfig, warn: Callable[[str], None]) -> None:
    before = sum(tally.reasons.values()) - len(skips)
    for number, skip in enumerate(skips):
        if config.strict:
            where = f"{config.predictions_json} item {skip.item}"
            raise InputError(skip.why, where=where, fix="fix the sample, or drop --strict to skip it")
        if before + number >= SKIPS_KEPT:
            return
        warn(f"skipped item {skip.item} (video_id {skip.video_id!r}): {skip.why}")


def _hint(config: VlmBcqConfig, tally: Tally) -> str | None:
    """What would judge most of the samples that nothing judged, of what a person could ask for."""
    found: dict[str, list[int]] = {}
    seen = 0
    mapped: Mapped | None = None
    for samples in evaluation_of(config, config.predictions_json).samples():
        if isinstance(samples, Mapped):
            mapped = samples
            continue
        assert mapped is not None
        for mode in MODES:
            codes = judge_of(config, mapped, (mode,)).judge(samples).codes
            counts = np.bincount(codes, minlength=16)
            so_far = found.setdefault(mode, [0] * 16)
            found[mode] = [a + int(b) for a, b in zip(so_far, counts, strict=True)]
        seen += len(samples)
        if seen >= HINTED:
            break
    best = max(found, key=lambda mode: sum(np.array(found[mode])[JUDGED]), default=None)
    if best is not None and (judged := int(sum(np.array(found[best])[JUDGED]))):
        fp, fn = found[best][6], found[best][9]
        return f"answer_in={best} (judges {judged} of {seen}: FP {fp}, FN {fn})"
    truths = list(tally.truths_seen)
    assert mapped is not None
    lettered = config.letters == "question" or (config.letters == "auto" and mapped.format.choices)
    if truths and not lettered and all(len(t.strip(" .()")) == 1 and t.strip(" .()").isalpha() for t in truths):
        return "letters=question, where the question has the choices, a line each"
    labels = suggested(truths) if truths else None
    return None if labels is None else f"labels={labels} (the first is the positive one)"


class _Writer:
    """The outputs of an analysis, all of them or none; nothing appears before `finish` and the end of the block."""

    def __init__(self, results_dir: Path) -> None:
        self._results_dir = results_dir
        self._stack = contextlib.ExitStack()
        self._aside: guard.Within | None = None
        self._handles: dict[str, IO[bytes]] = {}
        self._finished = False

    def __enter__(self) -> _Writer:
        self._stack.__enter__()
        # Whether anything is written at all is known at the end only; until then the skipped ones wait here.
        self._skipped = self._stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_SPOOLED))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]
        if error[0] is None and self._aside is None:
            # Files of an earlier analysis would say that there are gaps.
            for name in OUTPUTS:
                guard.remove(self._results_dir / name)

    def add(self, samples: Samples, gaps: Gaps, skips: Sequence[Skip], resolver: Resolver) -> None:
        """Write what a block has to be written of."""
        if skips:
            self._skipped.write(skipped_lines(skips))
        if not gaps.places:
            return
        lines = gap_lines(samples, gaps.places, gaps.kinds, resolver)
        index = index_lines(samples, gaps.places)
        for name, data in ((GAPS, lines), (INDEX, index)):
            self._handle(name).write(data)

    def finish(self, result: VlmBcqResult, tally: Tally, *, always: bool) -> dict[str, Path]:
        """Write the rest; returns the outputs by name."""
        for handle in self._handles.values():
            handle.close()
        if self._aside is None and result.status != "nothing judged" and not (always and tally.read):
            return {}
        aside = self._folder()
        names = [name for name in OUTPUTS if name in self._handles]
        aside.write(REPORT, "\n".join(report(result, tally)) + "\n")
        if tally.videos_repeat:
            with aside.open(PER_VIDEO) as handle:
                _write_videos(handle, tally)
            names.append(PER_VIDEO)
        if tally.reasons:
            self._skipped.seek(0)
            with aside.open(SKIPPED) as handle:
                shutil.copyfileobj(self._skipped, handle)
            names.append(SKIPPED)
        return {name: self._results_dir / name for name in OUTPUTS if name in (*names, REPORT)}

    def _handle(self, name: str) -> IO[bytes]:
        if name not in self._handles:
            self._handles[name] = self._stack.enter_context(self._folder().open(name))
        return self._handles[name]

    def _folder(self) -> guard.Within:
        if self._aside is None:
            self._aside = self._stack.enter_context(staged_outputs(self._results_dir, OUTPUTS))
        return self._aside


def _write_videos(handle: BinaryIO, tally: Tally) -> None:
    """`per_video.csv`: every video with its samples and gaps, until 50,000 were met, where some have several."""
    text = io.TextIOWrapper(handle, encoding="utf-8", newline="", errors="surrogatepass", write_through=True)
    write_rows(text, ["video_id", "samples", "skipped", "fp", "fn"], video_rows(tally))
    text.flush()
    text.detach()


def gap_lines(samples: Samples, places: Sequence[int], kinds: Sequence[str], resolver: Resolver) -> bytes:
    """The gaps of a block as JSON lines, UTF-8.

    Raises:
        InputError: A `video_id` that can be no path: a NUL in it, or a link to a name that is not UTF-8.
    """
    video_ids = [samples.video_ids[place] for place in places]
    if "\0" in "".join(video_ids):
        raise _no_path(next(i for i, v in enumerate(video_ids) if "\0" in v), video_ids, places, samples)
    paths = resolver.resolve(video_ids)
    # All texts are escaped in one call, as one array, and cut apart where a string ends and the next begins. Only a
    # quote of a text, which has a backslash before it, can look like such a place; then each text is escaped alone.
    texts = [""] * (4 * len(places))
    texts[0::4] = paths
    texts[1::4] = [samples.questions[place] for place in places]
    texts[2::4] = [samples.truths[place] for place in places]
    texts[3::4] = [samples.responses[place] for place in places]
    try:
        whole = _ENCODER.encode(texts)
        pieces = whole[2:-2].split(b'","') if texts else []
        if b'\\","' in whole:
            pieces = [encode_basestring(text)[1:-1].encode() for text in texts]
    except UnicodeEncodeError:
        bad = next(i for i, path in enumerate(paths) if not _is_utf8(path))
        raise _no_path(bad, video_ids, places, samples) from None
    return b"".join([_LINES[kind] for kind in kinds]) % tuple(pieces)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_path(at: int, video_ids: Sequence[str], places: Sequence[int], samples: Samples) -> InputError:
    return InputError(
        f"video_id is no path that can be written: {video_ids[at][:80]!r}",
        where=f"item {samples.items[places[at]]}",
        fix="fix the item",
    )


def index_lines(samples: Samples, places: Sequence[int]) -> bytes:
    """Beside each gap's line, which item it was, its annotation id and its score, where it has them."""
    ids, scores = samples.ids, samples.scores
    if ids is None and scores is None:
        return (b'{"item":%d,"id":null,"score":null}\n' * len(places)) % tuple(samples.items[p] for p in places)
    rows = [
        {
            "item": samples.items[place],
            "id": None if ids is None else ids[place],
            "score": None if scores is None else scores[place],
        }
        for place in places
    ]
    return _ENCODER.encode_lines(rows)


def skipped_lines(skips: Sequence[Skip]) -> bytes:
    """The samples that were not judged, a line each."""
    rows = [{"item": s.item, "video_id": s.video_id, "reason": s.why, "response": s.response} for s in skips]
    return _ENCODER.encode_lines(rows)
