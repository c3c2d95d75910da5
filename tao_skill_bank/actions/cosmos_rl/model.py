"""The stand-in's model: logistic regression on (question words) x (φ of the clip), trained by damped Newton steps.

Fine-tuning has the prior ½(θ-θ₀)ᵀH(θ-θ₀) with H the Hessian of what the model was first trained on, so that it keeps
what it can. float64 on one thread: the same bytes everywhere.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.threads import one_blas_thread
from tao_skill_bank.metrics import FloatArray

RIDGE = 0.5
PRIOR = 0.3
_CLIP = 4.0
_STEPS = 40
_SMALL = 1e-8
_PARTS = ("theta", "start", "mean", "spread", "root")


@dataclass(frozen=True)
class Model:
    """What a checkpoint holds.

    Attributes:
        theta: float64 [17 * (d + 1)].
        start: float64 [p], θ₀ of the prior.
        mean: float64 [d] of φ over the first training's rows.
        spread: float64 [d], its standard deviation; 1 where nothing varies.
        root: float64 [m, p], √W·X of the first training, so that H = rootᵀ·root + 0.3·I.
        rows: What it was trained with, first and last.
    """

    theta: FloatArray
    start: FloatArray
    mean: FloatArray
    spread: FloatArray
    root: FloatArray
    rows: tuple[int, int]


def design(phi: FloatArray, words: FloatArray, mean: FloatArray, spread: FloatArray) -> FloatArray:
    """h⊗[z, 1], float64 [n, 17 * (d + 1)], of φ [n, d] and question words [n, 16]."""
    z = np.clip((phi - mean) / spread, -_CLIP, _CLIP)
    seen = np.column_stack([z, np.ones(len(z))])
    asked = np.column_stack([np.ones(len(words)), 2.0 * words])
    return (asked[:, :, None] * seen[:, None, :]).reshape(len(z), -1)


def fit(phi: FloatArray, words: FloatArray, truth: npt.NDArray[np.bool_]) -> Model:
    """Train from nothing on φ [n, d], words [n, 16] and truths [n]."""
    with one_blas_thread():
        mean = phi.mean(axis=0)
        spread = phi.std(axis=0)
        spread = np.where(spread > 1e-9, spread, 1.0)
        x = design(phi, words, mean, spread)
        alpha = _newton(np.zeros(len(x)), x @ x.T / RIDGE, truth)
        theta = x.T @ alpha / RIDGE
        chance = _sigmoid(x @ theta)
        root = x * np.sqrt(chance * (1 - chance))[:, None]
        return Model(theta, theta, mean, spread, root, (len(x), len(x)))


def tune(model: Model, phi: FloatArray, words: FloatArray, truth: npt.NDArray[np.bool_]) -> Model:
    """Train on from a model; the prior stays that of its first training."""
    with one_blas_thread():
        x = design(phi, words, model.mean, model.spread)
        # H⁻¹Xᵀ by the small matrix of the first training's rows: H itself has millions of entries.
        small = PRIOR * np.eye(len(model.root)) + model.root @ model.root.T
        back = (x.T - model.root.T @ np.linalg.solve(small, model.root @ x.T)) / PRIOR
        alpha = _newton(x @ model.start, x @ back, truth)
        return replace(model, theta=model.start + back @ alpha, rows=(model.rows[0], len(x)))


def scores(model: Model, phi: FloatArray, words: FloatArray) -> FloatArray:
    """The probability of yes, float64 [n]."""
    with one_blas_thread():
        return _sigmoid(design(phi, words, model.mean, model.spread) @ model.theta)


def loss(model: Model, phi: FloatArray, words: FloatArray, truth: npt.NDArray[np.bool_]) -> float:
    """Mean negative log likelihood."""
    chance = np.clip(scores(model, phi, words), 1e-12, 1 - 1e-12)
    return float(-np.mean(np.where(truth, np.log(chance), np.log(1 - chance))))


def save(model: Model, path: Path) -> None:
    """Write a checkpoint."""
    out = io.BytesIO()
    parts = {name: getattr(model, name) for name in _PARTS}
    np.savez(out, rows=np.array(model.rows, dtype=np.int64), **parts)
    fsio.write_bytes(path, out.getvalue())


def load(path: Path) -> Model:
    """Read a checkpoint.

    Raises:
        InputError: It is missing or not one of these.
    """
    try:
        with np.load(io.BytesIO(guard.read_bytes(path, "checkpoint")), allow_pickle=False) as held:
            first, last = held["rows"].tolist()
            return Model(**{name: held[name] for name in _PARTS}, rows=(first, last))
    except FileNotFoundError:
        raise InputError("no such checkpoint", where=path, fix="name one that was trained here") from None
    except (ValueError, KeyError, OSError) as error:
        raise InputError(f"no checkpoint of the stand-in: {error}", where=path, fix="train again") from None


def _newton(margin: FloatArray, kernel: FloatArray, truth: npt.NDArray[np.bool_]) -> FloatArray:
    """α of the least logistic loss plus ½(θ-θ₀)ᵀH(θ-θ₀), θ = θ₀ + H⁻¹Xᵀα; steps are halved while they climb.

    Args:
        margin: Xθ₀, float64 [n].
        kernel: XH⁻¹Xᵀ, float64 [n, n].
        truth: Bool [n].
    """
    y = truth.astype(np.float64)
    alpha = np.zeros(len(y))

    def value(at: FloatArray) -> float:
        moved = kernel @ at
        total = margin + moved
        return float(np.sum(np.logaddexp(0.0, total) - y * total) + 0.5 * at @ moved)

    current = value(alpha)
    for _ in range(_STEPS):
        chance = _sigmoid(margin + kernel @ alpha)
        weight = chance * (1 - chance)
        step = np.linalg.solve(np.eye(len(y)) + weight[:, None] * kernel, y - chance - alpha)
        size = 1.0
        while size > 1e-6 and (following := value(alpha + size * step)) > current:
            size /= 2
        if size <= 1e-6:
            break
        alpha = alpha + size * step
        if current - following < _SMALL * (1.0 + abs(current)):
            break
        current = following
    return alpha


def _sigmoid(values: FloatArray) -> FloatArray:
    out: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * values))
    return out
