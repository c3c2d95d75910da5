"""Vectors of (video, question) pairs: the parts are of unit length, so that a cosine is a weighted sum of both."""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
_WORD = re.compile(r"\w+")
_TEXT = 64


def unit(rows: npt.NDArray[np.floating]) -> Vectors:
    """Rows at length 1, float32; a row of zeros stays one."""
    values = np.asarray(rows, dtype=np.float64)
    sizes = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.where(sizes > 0, sizes, 1.0)).astype(np.float32)


def pairs(video: Vectors, text: Vectors, weight: float) -> Vectors:
    """[√w·video, √(1-w)·text] of unit parts, float32 [n, d + e]: its cosine is w·video + (1-w)·text."""
    left = np.sqrt(weight) * video.astype(np.float64)
    right = np.sqrt(1.0 - weight) * text.astype(np.float64)
    return np.concatenate([left, right], axis=1).astype(np.float32)


def hashed_words(key: str) -> npt.NDArray[np.float64]:
    """A question's words, hashed with a sign into 64 places, float64 [64]."""
    found = np.zeros(_TEXT, dtype=np.float64)
    words = _WORD.findall(key)
    for word in [*words, *(f"{a} {b}" for a, b in pairwise(words))]:
        digest = hashlib.sha256(word.encode()).digest()
        found[digest[0] % _TEXT] += 1.0 if digest[1] & 1 else -1.0
    return found
