"""The local ChangeNet: a small comparing network for pairs of an image and its golden.

It is a stand-in for TAO's Visual ChangeNet on a machine without a GPU, for rehearsing a run. It learns from the same
rows; its false-accept rate is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.actions.visual_changenet.layers import Array, BatchNorm, Conv, Head, Layer, MaxPool, Relu

Pairs = npt.NDArray[np.uint8]
"""[n, lights, 2, size, size, channels]: image and golden of every lighting, 8 bits."""

IMAGE_SIZE = 64
BLOCK = 2
VIEWS = 8


@dataclass(frozen=True)
class Architecture:
    """What two networks must share for one to take over the other's weights.

    Attributes:
        channels: 1 for grey images, 3 for colour.
        widths: Channels out of each convolution; between two of them the picture is halved.
        image_size: Height and width of the images, pixels.
    """

    channels: int
    widths: tuple[int, ...] = (16, 32, 48)
    image_size: int = IMAGE_SIZE


class Network:
    """The model.

    Image and golden go in as half their difference and half their sum, in blocks of 2 x 2 pixels; three convolutions
    with batch norm follow, shared by all lightings; `Head` looks for a defect at every position that is left.

    Args:
        architecture: Sizes.
        seed: Draws the initial weights.
        dtype: float32; tests of gradients use float64.
    """

    def __init__(self, architecture: Architecture, seed: int | tuple[int, ...], dtype: Any = np.float32) -> None:
        self.architecture = architecture
        self.dtype = dtype
        rng = np.random.default_rng(seed)
        self.trunk: list[Layer] = []
        inputs = 2 * architecture.channels * BLOCK * BLOCK
        for depth, width in enumerate(architecture.widths):
            if depth:
                self.trunk.append(MaxPool())
            self.trunk += [Conv(inputs, width, rng, first=depth == 0, dtype=dtype), BatchNorm(width, dtype), Relu()]
            inputs = width
        self.head = Head(inputs, rng, dtype)
        self._shape: tuple[int, ...] = ()

    @property
    def layers(self) -> list[Layer]:
        """Every layer, the head last."""
        return [*self.trunk, self.head]

    def forward(self, pairs: Pairs, *, train: bool = False) -> Array:
        """The logit of NO_PASS of every pair, [n]."""
        n, lights = pairs.shape[:2]
        x = self._input(pairs)
        for layer in self.trunk:
            x = layer.forward(x, train)
        if train:
            self._shape = x.shape
        return self.head.forward(x.reshape(n, lights * x.shape[1] * x.shape[2], x.shape[3]), train)

    def backward(self, by_logit: Array) -> None:
        """Fill every layer's gradients from the gradient of the loss by the logits, [n]."""
        dy = self.head.backward(by_logit).reshape(self._shape)
        for layer in reversed(self.trunk):
            dy = layer.backward(dy)

    def parameters(self) -> list[Array]:
        """The trained arrays themselves, in a fixed order."""
        return [value for layer in self.layers for value in layer.parameters.values()]

    def gradients(self) -> list[Array]:
        """Their gradients after `backward`, in the same order."""
        return [layer.gradients[name] for layer in self.layers for name in layer.parameters]

    def state(self) -> dict[str, Array]:
        """A copy of everything that inference needs: `0.weight`, `1.scale` and so on."""
        return {name: value.copy() for name, value in self._arrays().items()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over `state`, whose names and shapes are those of `state()`."""
        arrays = self._arrays()
        if arrays.keys() != state.keys():
            raise ValueError(f"other tensors: {sorted(arrays.keys() ^ state.keys())}")
        for name, value in arrays.items():
            value[...] = state[name]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name → shape of every tensor of `state`."""
        return {name: value.shape for name, value in self._arrays().items()}

    def _arrays(self) -> dict[str, Array]:
        return {
            f"{number}.{name}": value
            for number, layer in enumerate(self.layers)
            for name, value in {**layer.parameters, **layer.buffers}.items()
        }

    def _input(self, pairs: Pairs) -> Array:
        """[n, lights, 2, s, s, c] bytes → [n * lights, s / 2, s / 2, 8 c] around zero."""
        n, lights, _, size, _, channels = pairs.shape
        image, golden = (
            pairs[:, :, side].reshape(n * lights, size, size, channels).astype(self.dtype) for side in (0, 1)
        )
        one = np.ones((), self.dtype)
        x = np.empty((n * lights, size, size, 2 * channels), self.dtype)
        np.multiply(image - golden, one / 255, out=x[..., :channels])
        np.multiply(image + golden, one / 255, out=x[..., channels:])
        x[..., channels:] -= one
        half = size // BLOCK
        blocks = x.reshape(n * lights, half, BLOCK, half, BLOCK, 2 * channels).transpose(0, 1, 3, 2, 4, 5)
        return np.ascontiguousarray(blocks).reshape(n * lights, half, half, BLOCK * BLOCK * 2 * channels)


def views(pairs: Pairs, count: int = VIEWS) -> list[Pairs]:
    """The pairs as they are, then mirrored and turned: at most 8 symmetric views. A change stays one in each."""
    out: list[Pairs] = []
    for number in range(count):
        view = pairs
        if number & 1:
            view = view[:, :, :, ::-1]
        if number & 2:
            view = view[:, :, :, :, ::-1]
        if number & 4:
            view = view.swapaxes(3, 4)
        out.append(view)
    return out


def logits(network: Network, pairs: Pairs, count: int = VIEWS) -> npt.NDArray[np.float64]:
    """The mean logit over `count` symmetric views, [n]."""
    total = np.zeros(len(pairs), np.float64)
    for view in views(pairs, count):
        total += network.forward(view)
    return total / count


def probabilities(logit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-logit)), without overflow."""
    small = np.exp(-np.abs(logit))
    out: npt.NDArray[np.float64] = np.where(logit >= 0, 1.0 / (1.0 + small), small / (1.0 + small))
    return out
