"""Each layer's backward against numerical gradients, in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from tao_skill_bank.actions.visual_changenet.layers import BatchNorm, Conv, Head, Layer, MaxPool, Relu
from tao_skill_bank.actions.visual_changenet.network import Architecture, Network

STEP = 1e-6


def numerical(loss, array):
    """The gradient of `loss()` by every element of `array`, by central differences."""
    out = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + STEP
        above = loss()
        array[place] = kept - STEP
        below = loss()
        array[place] = kept
        out[place] = (above - below) / (2 * STEP)
    return out


def check(layer: Layer, x, seed=0, by_input=True):
    """Compare every gradient of sum(output * weights) with its numerical twin."""
    weights = np.random.default_rng(seed).standard_normal(layer.forward(x, True).shape)

    def loss():
        return float(np.sum(layer.forward(x, True) * weights))

    loss()
    dx = layer.backward(weights)
    analytic = {name: value.copy() for name, value in layer.gradients.items()}
    assert analytic.keys() == layer.parameters.keys()
    for name, value in layer.parameters.items():
        np.testing.assert_allclose(analytic[name], numerical(loss, value), rtol=1e-5, atol=1e-6, err_msg=name)
    if by_input:
        np.testing.assert_allclose(dx, numerical(loss, x), rtol=1e-5, atol=1e-6)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_the_convolution_is_the_sum_over_its_window(rng):
    layer = Conv(2, 3, rng, dtype=np.float64)
    x = rng.standard_normal((2, 4, 6, 2))
    kernel = layer.weight.reshape(3, 3, 2, 3)
    expected = np.zeros((2, 4, 6, 3))
    for n, row, column, i, j in np.ndindex(2, 4, 6, 3, 3):
        y, z = row + i - 1, column + j - 1
        if 0 <= y < 4 and 0 <= z < 6:
            expected[n, row, column] += x[n, y, z] @ kernel[i, j]
    np.testing.assert_allclose(layer.forward(x, False), expected, atol=1e-12)


def test_the_gradients_of_the_convolution_are_the_numerical_ones(rng):
    check(Conv(2, 3, rng, dtype=np.float64), rng.standard_normal((2, 4, 4, 2)))


def test_the_first_convolution_spends_nothing_on_the_gradient_of_the_image(rng):
    layer = Conv(2, 3, rng, first=True, dtype=np.float64)
    x = rng.standard_normal((1, 4, 4, 2))
    check(layer, x, by_input=False)
    dy = np.ones(layer.forward(x, True).shape)
    assert layer.backward(dy) is dy


def test_the_gradients_of_batch_norm_are_the_numerical_ones(rng):
    layer = BatchNorm(3, np.float64)
    layer.scale[...] = rng.uniform(0.5, 2.0, 3)
    layer.shift[...] = rng.standard_normal(3)
    check(layer, rng.standard_normal((3, 2, 2, 3)))


def test_batch_norm_learns_the_statistics_that_inference_uses(rng):
    layer = BatchNorm(1, np.float64)
    x = rng.normal(5.0, 2.0, (64, 8, 8, 1))
    for _ in range(200):
        layer.forward(x, True)
    inferred = layer.forward(x, False)
    assert abs(float(inferred.mean())) < 1e-6
    assert abs(float(inferred.std()) - 1.0) < 1e-4
    # A single other image is normalised by what was learnt, not by itself.
    assert float(layer.forward(np.full((1, 2, 2, 1), 7.0), False).mean()) == pytest.approx(1.0, abs=0.05)


def test_the_gradients_of_relu_are_the_numerical_ones(rng):
    check(Relu(), rng.standard_normal((2, 3, 3, 2)))


def test_the_gradients_of_max_pooling_are_the_numerical_ones(rng):
    check(MaxPool(), rng.standard_normal((2, 4, 6, 3)))


def test_max_pooling_takes_the_greatest_of_each_block():
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(MaxPool().forward(x, False)[0, :, :, 0], [[5, 7], [13, 15]])


def test_the_gradients_of_the_head_are_the_numerical_ones(rng):
    check(Head(3, rng, np.float64), rng.standard_normal((4, 5, 3)))


def test_equal_positions_share_the_gradient_of_the_head(rng):
    layer = Head(1, rng, np.float64)
    layer.weight[...] = 20.0
    layer.forward(np.array([[[2.0], [2.0], [1.0]]]), True)
    np.testing.assert_allclose(layer.backward(np.array([1.0]))[0, :, 0], [10.0, 10.0, 0.0], atol=1e-12)


def test_a_defect_somewhere_is_not_talked_away_by_the_rest(rng):
    layer = Head(1, rng, np.float64)
    layer.weight[...] = 1.0
    x = np.zeros((2, 64, 1))
    x[:, 17] = 9.0
    x[1] -= np.where(x[1] == 9.0, 0.0, 50.0)
    plain, doubted = layer.forward(x, False)
    assert doubted == pytest.approx(plain, abs=1e-5)


def test_the_head_does_not_overflow(rng):
    layer = Head(1, rng)
    layer.weight[...] = 1e4
    out = layer.forward(np.array([[[1e3], [-1e3]], [[-1e3], [-1e3]]], np.float32), False)
    np.testing.assert_allclose(out, [1e7, -1e7], rtol=1e-5)


@pytest.mark.parametrize("layer", [Conv(1, 1, np.random.default_rng(0)), BatchNorm(1), Relu(), MaxPool()])
def test_a_layer_that_only_inferred_has_nothing_to_go_back_on(layer):
    layer.forward(np.ones((1, 2, 2, 1), np.float32), False)
    with pytest.raises(RuntimeError, match="without forward"):
        layer.backward(np.ones((1, 2, 2, 1), np.float32))


def test_the_gradients_of_the_whole_network_are_the_numerical_ones(rng):
    network = Network(Architecture(channels=1, widths=(2, 3), image_size=8), 3, dtype=np.float64)
    pairs = rng.integers(0, 256, (3, 2, 2, 8, 8, 1), dtype=np.uint8)
    weights = rng.standard_normal(3)

    def loss():
        return float(np.sum(network.forward(pairs, train=True) * weights))

    loss()
    network.backward(weights)
    analytic = [g.copy() for g in network.gradients()]
    for parameter, gradient in zip(network.parameters(), analytic, strict=True):
        np.testing.assert_allclose(gradient, numerical(loss, parameter), rtol=1e-4, atol=1e-6)
