"""The network as a function: what changes its answer, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from tao_skill_bank.actions.visual_changenet.layers import SHARPNESS
from tao_skill_bank.actions.visual_changenet.network import Architecture, Network, logits, probabilities, views

GREY = Architecture(1)


@pytest.fixture
def pairs():
    return np.random.default_rng(1).integers(0, 256, (5, 2, 2, 64, 64, 1), dtype=np.uint8)


def trained(seed=0, architecture=GREY):
    """A network with statistics of its own."""
    network = Network(architecture, seed)
    rng = np.random.default_rng(seed)
    state = {k: v + rng.uniform(0.0, 0.3, v.shape).astype(np.float32) for k, v in network.state().items()}
    network.load_state(state)
    return network


def test_the_eight_views_are_all_different_and_keep_image_and_golden_together(pairs):
    seen = views(pairs)
    assert len({view.tobytes() for view in seen}) == 8
    for view in seen:
        assert sorted(view[0, 0, 0].ravel()) == sorted(pairs[0, 0, 0].ravel())
        assert sorted(view[0, 0, 1].ravel()) == sorted(pairs[0, 0, 1].ravel())


def test_a_pair_turned_or_mirrored_has_the_same_score(pairs):
    network = trained()
    expected = logits(network, pairs)
    for view in views(pairs):
        np.testing.assert_allclose(logits(network, view), expected, rtol=1e-4, atol=1e-4)


def test_the_order_of_the_lightings_does_not_matter(pairs):
    network = trained()
    np.testing.assert_allclose(network.forward(pairs[:, ::-1]), network.forward(pairs), rtol=1e-4, atol=1e-4)


def test_a_defect_in_any_one_lighting_is_enough(pairs):
    network = trained()
    first, second = network.forward(pairs[:, :1]), network.forward(pairs[:, 1:])
    # Half of the positions show it: the smooth maximum gives up log(2) at most.
    assert (network.forward(pairs) >= np.maximum(first, second) - np.log(2.0) / SHARPNESS - 1e-2).all()


def test_a_row_has_the_same_score_whatever_stands_beside_it(pairs):
    network = trained()
    together = network.forward(pairs)
    alone = np.concatenate([network.forward(pairs[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_inference_leaves_no_trace_in_the_network(pairs):
    network = trained()
    before = network.state()
    first = network.forward(pairs)
    np.testing.assert_array_equal(network.forward(pairs), first)
    after = network.state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_grey_images_in_colour_channels_differ_from_colour():
    network = trained(3, Architecture(3))
    grey = np.repeat(np.random.default_rng(2).integers(0, 256, (2, 1, 2, 64, 64, 1), dtype=np.uint8), 3, axis=-1)
    tinted = grey.copy()
    tinted[:, :, 0, :, :, 2] //= 2
    assert (np.abs(network.forward(grey) - network.forward(tinted)) > 1e-3).all()


def test_probabilities_do_not_overflow():
    values = probabilities(np.array([-1e6, -30.0, 0.0, 30.0, 1e6]))
    assert values[0] == 0.0 and values[2] == 0.5 and values[4] == 1.0
    assert values[1] == pytest.approx(np.exp(-30.0)) and values[1] > 0.0


def test_weights_of_another_architecture_are_refused():
    with pytest.raises(ValueError, match="other tensors"):
        Network(GREY, 0).load_state(Network(Architecture(1, widths=(4, 4)), 0).state())
