"""Training the local ChangeNet: arrays in, weights out. Nothing here touches a disk or a clock.

Equal arrays, settings and seed give equal bits, as long as BLAS is held to one thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tao_skill_bank.actions.visual_changenet.layers import Array
from tao_skill_bank.actions.visual_changenet.network import Architecture, Network, Pairs

State = dict[str, Array]

PASSES_AN_EPOCH = 2
LEAST_STEPS_AN_EPOCH = 25
LEARNING_RATE = 3e-3
WARMUP_STEPS = 30
WEIGHT_DECAY = 1e-3
FIRST_MOMENT, SECOND_MOMENT = 0.9, 0.99
MOST_SHIFT = 4


@dataclass(frozen=True)
class Settings:
    """What a training is asked for.

    Attributes:
        batch_size: Pairs a step, half of them PASS and half not.
        class_weights: Loss weight of PASS and of NO_PASS.
        seed: Decides initial weights, order and augmentation.
    """

    architecture: Architecture
    batch_size: int
    epochs: int
    class_weights: tuple[float, float] = (1.0, 1.0)
    seed: int = 1234


@dataclass(frozen=True)
class Epoch:
    """One finished epoch.

    Attributes:
        number: Counted from 0.
        step: Optimizer steps made so far.
        train_loss: Mean loss of its steps.
        network: As it is now; it goes on changing when the next epoch is asked for.
    """

    number: int
    step: int
    train_loss: float
    network: Network


def steps_an_epoch(rows: int, batch_size: int) -> int:
    """An epoch passes over the rows twice, and makes 25 steps at least, so that a small set trains too."""
    return max(LEAST_STEPS_AN_EPOCH, math.ceil(PASSES_AN_EPOCH * rows / batch_size))


def fit(
    pairs: Pairs, is_defect: npt.NDArray[np.bool_], settings: Settings, initial: State | None = None
) -> Iterator[Epoch]:
    """Train, epoch by epoch.

    Args:
        pairs: [n, lights, 2, size, size, channels].
        is_defect: [n]; both classes must be there.
        settings: How.
        initial: Weights to go on from; else they are drawn. The schedule starts anew in either case.

    Yields:
        Each epoch when it is done.
    """
    if is_defect.all() or not is_defect.any():
        raise ValueError("training needs PASS rows and defects")
    network = Network(settings.architecture, (settings.seed, 0))
    if initial is not None:
        network.load_state(initial)
    rng = np.random.default_rng((settings.seed, 1))
    optimizer = Adam(network.parameters())
    defects, passes = _Deck(np.flatnonzero(is_defect), rng), _Deck(np.flatnonzero(~is_defect), rng)
    half = settings.batch_size // 2
    steps = steps_an_epoch(len(pairs), settings.batch_size)
    for number in range(settings.epochs):
        total = 0.0
        for _ in range(steps):
            rows = np.concatenate([defects.draw(half), passes.draw(settings.batch_size - half)])
            rate = learning_rate(optimizer.steps, steps * settings.epochs)
            total += _step(network, optimizer, augment(pairs[rows], rng), is_defect[rows], settings.class_weights, rate)
        yield Epoch(number, optimizer.steps, total / steps, network)


def learning_rate(done: int, total: int) -> float:
    """The rate of the step after `done` of `total`: linear warm-up, then down a cosine to nothing."""
    warm = min(1.0, (done + 1) / WARMUP_STEPS)
    return LEARNING_RATE * warm * (0.5 + 0.5 * math.cos(math.pi * done / total))


def _step(
    network: Network,
    optimizer: Adam,
    pairs: Pairs,
    is_defect: npt.NDArray[np.bool_],
    class_weights: tuple[float, float],
    rate: float,
) -> float:
    """One step down the weighted cross-entropy of a batch; returns the loss before it."""
    weight = np.where(is_defect, class_weights[1], class_weights[0])
    weight /= weight.sum()
    logit = network.forward(pairs, train=True).astype(np.float64)
    signed = np.where(is_defect, logit, -logit)
    # d(loss)/d(logit) is weight * (probability - target): written so that no exponential overflows.
    by_logit = weight * np.where(is_defect, -1.0, 1.0) / (1.0 + np.exp(np.minimum(signed, 80.0)))
    network.backward(by_logit.astype(np.float32))
    optimizer.step(network.gradients(), rate)
    return float(np.sum(weight * np.logaddexp(0.0, -signed)))


class Adam:
    """Adam with decoupled weight decay on matrices; changes the parameters in place."""

    def __init__(self, parameters: Sequence[Array]) -> None:
        self.parameters = parameters
        self.first = [np.zeros_like(p) for p in parameters]
        self.second = [np.zeros_like(p) for p in parameters]
        self.steps = 0

    def step(self, gradients: Sequence[Array], rate: float) -> None:
        """One step along `gradients`, aligned with the parameters."""
        self.steps += 1
        first_bias = 1.0 - FIRST_MOMENT**self.steps
        second_bias = 1.0 - SECOND_MOMENT**self.steps
        for p, g, m, v in zip(self.parameters, gradients, self.first, self.second, strict=True):
            m += (1.0 - FIRST_MOMENT) * (g - m)
            v += (1.0 - SECOND_MOMENT) * (g * g - v)
            change = (m / first_bias) / (np.sqrt(v / second_bias) + 1e-8)
            if p.ndim > 1:
                change += WEIGHT_DECAY * p
            p -= rate * change


class _Deck:
    """Rows dealt in random order, each once before any comes again."""

    def __init__(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
        self.rows, self.rng = rows, rng
        self.left: npt.NDArray[np.int64] = rows[:0]

    def draw(self, count: int) -> npt.NDArray[np.int64]:
        while len(self.left) < count:
            self.left = np.concatenate([self.left, self.rng.permutation(self.rows)])
        dealt, self.left = self.left[:count], self.left[count:]
        return dealt


def augment(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """Each pair mirrored, turned by 90 degrees or not, and moved by up to 4 pixels; image and golden alike.

    What moves in over the border repeats it.
    """
    size = pairs.shape[3]
    symmetry = rng.integers(0, 8, len(pairs))
    shift = rng.integers(-MOST_SHIFT, MOST_SHIFT + 1, (len(pairs), 2))
    place = np.clip(np.arange(size) + shift[:, :, None], 0, size - 1)
    out = np.empty_like(pairs)
    for number, pair in enumerate(pairs):
        view = pair
        if symmetry[number] & 1:
            view = view[:, :, ::-1]
        if symmetry[number] & 2:
            view = view[:, :, :, ::-1]
        if symmetry[number] & 4:
            view = view.swapaxes(2, 3)
        out[number] = view[:, :, place[number, 0, :, None], place[number, 1, None, :]]
    return out
