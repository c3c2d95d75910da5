"""Vectors of videos and questions on one encoder: ready-made ones, or the image encoder over 8 frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.bcq.clips import clip_of, content_of
from tao_skill_bank.data.bcq.records import Record
from tao_skill_bank.data.bcq.vectors import Vectors, hashed_words, pairs, unit
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig

FRAMES_VERSION = "frames 1"


class Encoder:
    """One encoder for both sides of a search.

    Args:
        config: The run's settings.
        embedded: What cosmos-embed made for this search; None: ready-made tables, else the frames.
    """

    def __init__(self, config: VlmConfig, embedded: Sequence[Ready] | None = None) -> None:
        self._config = config
        made = {} if config.mining.encoder == "frames" or config.embeds() else config.embeddings.model_dump()
        named = [path for path in made.values() if path is not None]
        self._ready = [Ready(Path(path)) for path in named] if embedded is None else list(embedded)
        self.name = ("ready-made" if embedded is None else "cosmos_embed") if self._ready else FRAMES_VERSION

    def videos(self, paths: Sequence[Path]) -> Vectors:
        """Unit vectors of videos, float32 [n, d]; each is looked at once.

        Raises:
            InputError: A ready-made table has no vector for one of them.
        """
        if self._ready:
            return self._found("video", [str(path) for path in paths])
        return unit(np.stack([_frames(path, content_of(path)) for path in paths]))

    def texts(self, keys: Sequence[str]) -> Vectors:
        """Unit vectors of questions, float32 [n, e]."""
        if self._ready and any(table.has_text for table in self._ready):
            return self._found("text", list(keys))
        return unit(np.stack([hashed_words(key) for key in keys]))

    def pairs(self, records: Sequence[Record]) -> Vectors:
        """Unit vectors of (video, question) pairs."""
        if not records:
            return np.zeros((0, 1), dtype=np.float32)
        weight = {"both": self._config.mining.video_weight, "video": 1.0, "text": 0.0}[self._config.mining.modality]
        return pairs(self.videos([r.path for r in records]), self.texts([r.key for r in records]), weight)

    def _found(self, modality: str, names: list[str]) -> Vectors:
        rows = []
        for name in names:
            row = next((r for t in self._ready if (r := t.vector(modality, name)) is not None), None)
            if row is None:
                raise InputError(
                    f"no {modality} embedding of {name}",
                    where=", ".join(str(t.path) for t in self._ready),
                    fix="add it",
                )
            rows.append(row)
        sizes = sorted({len(row) for row in rows})
        if len(sizes) > 1:
            raise InputError(
                f"{modality} embeddings of {sizes[0]} and of {sizes[-1]} numbers",
                where=", ".join(str(t.path) for t in self._ready),
                fix="embed both sides with one encoder",
            )
        return unit(np.stack(rows))


class Ready:
    """A ready-made table: `filepath, embedding, modality`; a text's `filepath` is the question or a file holding it.

    Args:
        path: The table.
        exact: Its names are those that are asked for, as where this package wrote it.

    Raises:
        InputError: It is no such table, or an embedding is missing or not finite.
    """

    def __init__(self, path: Path, *, exact: bool = False) -> None:
        from tao_skill_bank.core.arrow import read_parquet

        self.path = path
        try:
            table = read_parquet(path)
            columns = [table.column(name).to_pylist() for name in ("filepath", "embedding", "modality")]
        except (ValueError, KeyError, OSError) as error:
            raise InputError(
                f"is no table of filepath, embedding and modality: {error}", where=path, fix="embed again"
            ) from None
        self._rows: dict[tuple[str, str], np.ndarray] = {}
        for name, vector, kind in zip(*columns, strict=True):
            try:
                values = np.asarray(vector, dtype=np.float64)
            except (ValueError, TypeError):
                values = np.zeros(0)
            if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
                raise InputError(f"no finite embedding of {name}", where=path, fix="embed again")
            self._rows[(str(kind), str(name) if exact else self._named(str(kind), str(name)))] = values

    @property
    def has_text(self) -> bool:
        """Whether it holds questions."""
        return any(kind == "text" for kind, _ in self._rows)

    def vector(self, modality: str, name: str) -> np.ndarray | None:
        """The vector of a video's path or a question key."""
        return self._rows.get((modality, name))

    def _named(self, kind: str, name: str) -> str:
        from tao_skill_bank.data.bcq.questions import question_key

        if kind != "text":
            return name if name.startswith("/") else str(self.path.parent.parent / name)
        held = Path(name)
        if held.is_absolute() and guard.is_file(held):
            return question_key(guard.read_text(held))
        return question_key(name)


@lru_cache(maxsize=8192)
def _frames(path: Path, content: str) -> np.ndarray:
    """Mean and spread of the image encoder's vectors of 8 frames, float64 [2 d]."""
    from tao_skill_bank.actions.mining.descriptor import describe

    seen = np.stack([describe(frame) for frame in clip_of(path).frames]).astype(np.float64)
    return np.concatenate([seen.mean(axis=0), seen.std(axis=0)])
