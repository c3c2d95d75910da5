"""The lines of `kpi_gaps.jsonl`, byte for byte what `json.dumps(gap, ensure_ascii=False)` would write."""

from __future__ import annotations

from collections.abc import Sequence
from json.encoder import encode_basestring

import msgspec

from tao_skill_bank.actions.gap_analysis.vlm_tally import Skip
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm.places import Resolver
from tao_skill_bank.data.vlm.samples import Samples

_ENCODER = msgspec.json.Encoder()
_LINES = {
    kind: (
        f'{{"video_id": "%b", "error_type": "{kind}", "question": "%b", "ground_truth": "%b", "response": "%b"}}\n'
    ).encode()
    for kind in ("FP", "FN")
}


def gap_lines(samples: Samples, places: Sequence[int], kinds: Sequence[str], resolver: Resolver) -> bytes:
    """The gaps of a block as JSON lines, UTF-8.

    Args:
        samples: The block.
        places: Which of them are gaps.
        kinds: FP or FN for each gap.
        resolver: Makes paths absolute.

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
