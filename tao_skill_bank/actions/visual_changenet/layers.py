"""The layers of the local ChangeNet in NumPy: forward, backward, nothing else.

Activations are [n, height, width, channels]. A convolution is a copy into columns (im2col) and one matrix product, so
that the time goes into BLAS. Each layer keeps what its backward needs only in training; without it a layer holds no
state of a call, and several threads may infer with the same one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

KERNEL = 3
EPSILON = 1e-5
RUNNING_SHARE = 0.1
SHARPNESS = 2.0


class Layer(ABC):
    """A layer.

    Attributes:
        parameters: What the optimizer changes, in place.
        buffers: What is stored with the parameters and not trained, changed in place.
        gradients: By the keys of `parameters`, after a backward pass.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self._kept: Any = None

    def _taken(self) -> Any:
        """What `forward` kept for `backward`, which lets go of it."""
        if self._kept is None:
            raise RuntimeError("backward without forward(train=True)")
        kept, self._kept = self._kept, None
        return kept

    @abstractmethod
    def forward(self, x: Array, train: bool) -> Array:
        """The output for `x`; with `train` the layer remembers what `backward` needs."""

    @abstractmethod
    def backward(self, dy: Array) -> Array:
        """The gradient of the loss by the input, from that by the output; fills `gradients`."""


class Conv(Layer):
    """3 x 3 convolution, stride 1, borders padded by zeros, no bias (batch norm has one).

    Its parameter is `weight` [3 * 3 * inputs, outputs].

    Args:
        inputs: Channels in.
        outputs: Channels out.
        rng: Draws the He-normal weights.
        first: The input is the image: its gradient is not needed, and not computed.
        dtype: Of weights and activations.
    """

    def __init__(
        self, inputs: int, outputs: int, rng: np.random.Generator, *, first: bool = False, dtype: Any = np.float32
    ) -> None:
        super().__init__()
        fan_in = KERNEL * KERNEL * inputs
        self.weight = (rng.standard_normal((fan_in, outputs)) * np.sqrt(2.0 / fan_in)).astype(dtype)
        self.first = first
        self.parameters = {"weight": self.weight}

    def forward(self, x: Array, train: bool) -> Array:
        """[n, h, w, inputs] → [n, h, w, outputs]."""
        n, h, w, c = x.shape
        padded = np.zeros((n, h + 2, w + 2, c), x.dtype)
        padded[:, 1:-1, 1:-1] = x
        along_n, along_h, along_w, along_c = padded.strides
        # One row of the kernel is contiguous in memory (3 pixels of c channels): the copy moves such runs.
        windows = np.lib.stride_tricks.as_strided(
            padded, (n, h, w, KERNEL, KERNEL * c), (along_n, along_h, along_w, along_h, along_c), writeable=False
        )
        columns = windows.reshape(n * h * w, KERNEL * KERNEL * c)
        if train:
            self._kept = columns, x.shape
        out: Array = (columns @ self.weight).reshape(n, h, w, -1)
        return out

    def backward(self, dy: Array) -> Array:
        """As `Layer.backward`; the first layer returns `dy` itself."""
        columns, (n, h, w, c) = self._taken()
        flat = dy.reshape(-1, self.weight.shape[1])
        self.gradients = {"weight": columns.T @ flat}
        if self.first:
            return dy
        del columns  # as large as those that follow
        columns = (flat @ self.weight.T).reshape(n, h, w, KERNEL, KERNEL, c)
        dx = np.zeros((n, h + 2, w + 2, c), dy.dtype)
        for i in range(KERNEL):
            for j in range(KERNEL):
                dx[:, i : i + h, j : j + w] += columns[:, :, :, i, j]
        return dx[:, 1:-1, 1:-1]


class BatchNorm(Layer):
    """Batch normalisation a channel; running mean and variance serve inference.

    Parameters are `scale` and `shift`, buffers the running `mean` and `variance`, [channels] each.
    """

    def __init__(self, channels: int, dtype: Any = np.float32) -> None:
        super().__init__()
        self.scale: Array = np.ones(channels, dtype)
        self.shift: Array = np.zeros(channels, dtype)
        self.mean: Array = np.zeros(channels, dtype)
        self.variance: Array = np.ones(channels, dtype)
        self.parameters = {"scale": self.scale, "shift": self.shift}
        self.buffers = {"mean": self.mean, "variance": self.variance}

    def forward(self, x: Array, train: bool) -> Array:
        """By the batch's statistics in training, by the running ones else."""
        if not train:
            scale = self.scale / np.sqrt(self.variance + EPSILON)
            inferred: Array = x * scale + (self.shift - self.mean * scale)
            return inferred
        flat = x.reshape(-1, x.shape[-1])
        mean = flat.mean(axis=0)
        normal = flat - mean
        variance = np.einsum("ij,ij->j", normal, normal) / len(flat)
        self.mean += (RUNNING_SHARE * (mean - self.mean)).astype(x.dtype)
        self.variance += (RUNNING_SHARE * (variance - self.variance)).astype(x.dtype)
        inverse = (1.0 / np.sqrt(variance + EPSILON)).astype(x.dtype)
        normal *= inverse
        self._kept = normal, inverse
        out: Array = (normal * self.scale + self.shift).reshape(x.shape)
        return out

    def backward(self, dy: Array) -> Array:
        """As `Layer.backward`."""
        normal, inverse = self._taken()
        flat = dy.reshape(-1, dy.shape[-1])
        by_scale, by_shift = np.einsum("ij,ij->j", flat, normal), flat.sum(axis=0)
        self.gradients = {"scale": by_scale, "shift": by_shift}
        dx = flat - by_shift / len(flat)
        dx -= normal * (by_scale / len(flat))
        dx *= self.scale * inverse
        out: Array = dx.reshape(dy.shape)
        return out


class Relu(Layer):
    """max(0, x)."""

    def forward(self, x: Array, train: bool) -> Array:
        """Element by element."""
        if train:
            self._kept = x > 0
        return np.maximum(x, np.zeros((), x.dtype))

    def backward(self, dy: Array) -> Array:
        """As `Layer.backward`."""
        on: npt.NDArray[np.bool_] = self._taken()
        return dy * on


class MaxPool(Layer):
    """The greatest of each 2 x 2 block; where several are equal, each gets the gradient."""

    def forward(self, x: Array, train: bool) -> Array:
        """[n, h, w, c] → [n, h / 2, w / 2, c]; h and w are even."""
        top = np.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
        y = np.maximum(top, np.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2]))
        if train:
            self._kept = x, y
        return y

    def backward(self, dy: Array) -> Array:
        """As `Layer.backward`."""
        x, y = self._taken()
        dx = np.empty(x.shape, dy.dtype)
        for i in (0, 1):
            for j in (0, 1):
                dx[:, i::2, j::2] = dy * (x[:, i::2, j::2] == y)
        return dx


class Head(Layer):
    """A logit at every position of every lighting, and their smooth maximum: log(mean(exp(r * logit))) / r.

    A pair is NO_PASS if it is so somewhere. Evidence for PASS elsewhere (a board that lies a little askew, all over)
    cannot talk a defect away, as it could if features were averaged first.

    Parameters are `weight` [channels, 1] and `bias` [1].
    """

    def __init__(self, channels: int, rng: np.random.Generator, dtype: Any = np.float32) -> None:
        super().__init__()
        self.weight = (rng.standard_normal((channels, 1)) * 0.1 * np.sqrt(1.0 / channels)).astype(dtype)
        self.bias: Array = np.zeros(1, dtype)
        self.parameters = {"weight": self.weight, "bias": self.bias}

    def forward(self, x: Array, train: bool) -> Array:
        """[n, positions, channels] → [n]."""
        local = ((x @ self.weight)[..., 0] + self.bias) * SHARPNESS
        greatest = local.max(axis=1, keepdims=True)
        weight = np.exp(local - greatest)
        total = weight.sum(axis=1, keepdims=True)
        if train:
            self._kept = (x, weight / total)
        out: Array = ((greatest + np.log(total / x.shape[1])) / SHARPNESS)[:, 0].astype(x.dtype)
        return out

    def backward(self, dy: Array) -> Array:
        """[n] → [n, positions, channels]; a position gets its share of the smooth maximum."""
        x, share = self._taken()
        by_local = (share * dy[:, None]).astype(x.dtype)
        by_weight = x.reshape(-1, x.shape[2]).T @ by_local.reshape(-1, 1)
        self.gradients = {"weight": by_weight, "bias": by_local.sum().reshape(1)}
        out: Array = by_local[..., None] * self.weight[:, 0]
        return out
