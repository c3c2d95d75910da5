"""What the stand-in takes of a cosmos-rl spec, and the annotations that the spec names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.actions.cosmos_rl import features
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import get
from tao_skill_bank.core.tomlio import read_toml
from tao_skill_bank.data.bcq.clips import clip_of
from tao_skill_bank.data.bcq.questions import plain_answer, question_key, without_tags
from tao_skill_bank.metrics import FloatArray

CHECKPOINT = "standin.npz"
CONFIG = "config.json"
NETWORK = "stand-in: logistic regression on drawn features, not a VLM"


@dataclass(frozen=True)
class Rows:
    """Annotations as the stand-in takes them: ids, questions, truths, φ [n, d], question words [n, 16]."""

    ids: list[str]
    questions: list[str]
    truth: npt.NDArray[np.bool_]
    phi: FloatArray
    words: FloatArray

    def __len__(self) -> int:
        return len(self.ids)


def read_spec(args: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """The file behind `--config`, and the spec in it.

    Raises:
        InputError: There is none.
    """
    found = list(args)
    if "--config" not in found[:-1]:
        raise InputError("--config is missing", where="command line", fix="give --config SPEC.toml")
    path = Path(found[found.index("--config") + 1])
    return path, read_toml(path)


def text(spec: dict[str, Any], key: str, where: Path) -> str:
    """A text that the spec must hold.

    Raises:
        InputError: It does not.
    """
    value = get(spec, key)
    if not isinstance(value, str) or not value:
        raise InputError(f"{key} is missing", where=where, fix="set it in the spec")
    return value


def read_rows(annotations: Path, media: Path) -> Rows:
    """Read annotations and look at their videos.

    Raises:
        InputError: A record that is not one, a video that cannot be seen.
    """
    try:
        found = json.loads(guard.read_text(annotations, "annotations"))
    except FileNotFoundError:
        raise InputError("no such file", where=annotations, fix="name one that is there") from None
    ids, questions, truth, words, phi = [], [], [], [], []
    seen: dict[Path, FloatArray] = {}
    for row, raw in enumerate(found, start=1):
        try:
            video = raw["video"][0] if isinstance(raw["video"], list) else raw["video"]
            asked, answer = (str(turn["value"]) for turn in raw["conversations"][:2])
            name = str(raw["id"])
        except (KeyError, TypeError, ValueError, IndexError):
            raise InputError(f"row {row} is no record", where=annotations, fix="fix the file") from None
        path = media / video
        if path not in seen:
            seen[path] = features.describe(clip_of(path).frames)
        ids.append(name)
        questions.append(without_tags(asked))
        truth.append(plain_answer(answer) == "yes")
        words.append(features.words_of(question_key(asked)))
        phi.append(seen[path])
    return Rows(ids, questions, np.array(truth, dtype=np.bool_), np.array(phi), np.array(words))


def folder_name(*parts: object) -> str:
    """14 digits for the folder of a training. Equal trainings have equal names, so that runs can be compared."""
    digest = hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()
    return str(int(digest, 16) % 10**14).zfill(14)
