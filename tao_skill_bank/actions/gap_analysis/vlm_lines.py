"""The lines of `kpi_gaps.jsonl`, byte for byte what `json.dumps(gap, ensure_ascii=False)` would write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from json.encoder import encode_basestring
from pathlib import Path

import msgspec

from tao_skill_bank.actions.gap_analysis.vlm_read import Prediction
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError

FOLDERS_REMEMBERED = 100_000
_NO_NAMES = ("", ".", "..")
_ENCODER = msgspec.json.Encoder()
_LINES = {
    kind: (
        f'{{"video_id": "%b", "error_type": "{kind}", "question": "%b", "ground_truth": "%b", "response": "%b"}}\n'
    ).encode()
    for kind in ("FP", "FN")
}


class Resolver:
    """`video_id` → absolute path, with every symbolic link on the way resolved; each folder is looked up once."""

    def __init__(self, videos_dir: Path | None) -> None:
        self._root = guard.real_path(videos_dir) if videos_dir is not None else os.getcwd()
        self._folders: dict[str, tuple[str, bool]] = {}

    def resolve(self, video_ids: Sequence[str]) -> list[str]:
        """The paths of `video_ids`, in order."""
        folders, paths = self._folders, []
        for video_id in video_ids:
            folder, slash, name = video_id.rpartition("/")
            # "/x" and "x" both leave the empty text before their last slash; the slash tells them apart.
            known = folders.get(folder or slash) or self._look_up(folder or slash)
            if name in _NO_NAMES:
                paths.append(guard.real_path(os.path.join(self._root, video_id)))
                continue
            path = known[0] + name
            paths.append(guard.real_path(path) if known[1] and os.path.islink(path) else path)
        return paths

    def _look_up(self, folder: str) -> tuple[str, bool]:
        """The resolved folder with a slash behind it, and whether it is there at all."""
        real = guard.real_path(os.path.join(self._root, folder))
        known = (real.rstrip("/") + "/", os.path.isdir(real))
        if len(self._folders) < FOLDERS_REMEMBERED:
            self._folders[folder] = known
        return known


def gap_lines(
    items: Sequence[Prediction], places: Sequence[int], kinds: Sequence[str], resolver: Resolver, first: int
) -> bytes:
    """The gaps of a block as JSON lines, UTF-8.

    Args:
        items: The block.
        places: Which of them are gaps.
        kinds: FP or FN for each gap.
        resolver: Makes paths absolute.
        first: The number of the block's first item, for messages.

    Raises:
        InputError: A `video_id` that can be no path: a NUL in it, or a link to a name that is not UTF-8.
    """
    chosen = [items[place] for place in places]
    video_ids = [item.video_id for item in chosen]
    if "\0" in "".join(video_ids):
        raise _no_path(next(i for i, v in enumerate(video_ids) if "\0" in v), video_ids, places, first)
    paths = resolver.resolve(video_ids)
    # All texts are escaped in one call, as one array, and cut apart where a string ends and the next begins. Only a
    # quote of a text, which has a backslash before it, can look like such a place; then each text is escaped alone.
    texts = [""] * (4 * len(chosen))
    texts[0::4] = paths
    texts[1::4] = [item.question for item in chosen]
    texts[2::4] = [item.gt for item in chosen]
    texts[3::4] = [item.response for item in chosen]
    try:
        whole = _ENCODER.encode(texts)
        pieces = whole[2:-2].split(b'","') if texts else []
        if b'\\","' in whole:
            pieces = [encode_basestring(text)[1:-1].encode() for text in texts]
    except UnicodeEncodeError:
        bad = next(i for i, path in enumerate(paths) if not _is_utf8(path))
        raise _no_path(bad, video_ids, places, first) from None
    return b"".join([_LINES[kind] for kind in kinds]) % tuple(pieces)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_path(at: int, video_ids: Sequence[str], places: Sequence[int], first: int) -> InputError:
    return InputError(
        f"video_id is no path that can be written: {video_ids[at][:80]!r}",
        where=f"item {first + places[at]}",
        fix="mend the item",
    )
