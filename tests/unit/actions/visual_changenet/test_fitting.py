"""Training: it learns, it repeats itself to the bit, and nothing but seed and data decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.actions.visual_changenet import fitting
from tao_skill_bank.actions.visual_changenet.fitting import Adam, Settings, augment, fit, steps_an_epoch
from tao_skill_bank.actions.visual_changenet.network import Architecture, logits

GREY = Architecture(1)


def boards(count, seed):
    """Pairs of stripes; every third has a blot that the golden does not have."""
    rng = np.random.default_rng(seed)
    pairs = np.zeros((count, 1, 2, 64, 64, 1), np.uint8)
    is_defect = np.arange(count) % 3 == 0
    for pair, defect in zip(pairs, is_defect, strict=True):
        for start in range(int(rng.integers(0, 8)), 64, 12):
            pair[0, :, start : start + 5] = 220
        pair[0, 0] = np.roll(pair[0, 0], int(rng.integers(-1, 2)), axis=0)
        if defect:
            y, x = rng.integers(4, 48, 2)
            pair[0, 0, y : y + 10, x : x + 10] = 255 - pair[0, 0, y : y + 10, x : x + 10]
    return pairs, is_defect


def run(pairs, is_defect, initial=None, **settings):
    given = Settings(GREY, **{"batch_size": 8, "epochs": 1, "seed": 5, **settings})
    epochs = list(fit(pairs, is_defect, given, initial))
    return epochs, epochs[-1].network.state()


def same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first)


def test_it_learns_to_tell_changed_pairs_from_unchanged_ones():
    pairs, is_defect = boards(60, 1)
    epochs, _ = run(pairs, is_defect, epochs=4)
    assert epochs[-1].train_loss < 0.5 * epochs[0].train_loss
    others, truth = boards(60, 2)
    score = logits(epochs[-1].network, others)
    assert score[truth].min() > np.quantile(score[~truth], 0.9)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    pairs, is_defect = boards(24, 1)
    _, first = run(pairs, is_defect)
    _, again = run(pairs, is_defect)
    _, other = run(pairs, is_defect, seed=6)
    assert same(first, again)
    assert not same(first, other)


def test_training_goes_on_from_given_weights():
    pairs, is_defect = boards(24, 1)
    _, first = run(pairs, is_defect, epochs=2)
    fresh, _ = run(pairs, is_defect)
    warm, _ = run(pairs, is_defect, initial=first)
    assert warm[0].train_loss < fresh[0].train_loss


def test_class_weights_move_the_scores_towards_the_dearer_class():
    pairs, is_defect = boards(24, 1)
    plain, _ = run(pairs, is_defect)
    dear, _ = run(pairs, is_defect, class_weights=(1.0, 20.0))
    assert logits(dear[-1].network, pairs).mean() > logits(plain[-1].network, pairs).mean()


def test_an_epoch_passes_over_the_rows_twice_and_makes_25_steps_at_least():
    assert steps_an_epoch(8, 4) == 25
    assert steps_an_epoch(200, 16) == 25
    assert steps_an_epoch(201, 16) == 26
    assert steps_an_epoch(1600, 16) == 200


def test_epochs_are_numbered_from_zero_and_count_their_steps():
    pairs, is_defect = boards(12, 1)
    epochs, _ = run(pairs, is_defect, epochs=2)
    assert [(epoch.number, epoch.step) for epoch in epochs] == [(0, 25), (1, 50)]


@pytest.mark.parametrize("truth", [True, False])
def test_one_class_alone_cannot_be_trained(truth):
    pairs, _ = boards(12, 1)
    with pytest.raises(ValueError, match="needs PASS rows and defects"):
        run(pairs, np.full(12, truth))


def test_the_deck_deals_every_row_before_any_comes_again():
    deck = fitting._Deck(np.arange(10, 17), np.random.default_rng(0))
    dealt = np.concatenate([deck.draw(3) for _ in range(7)])
    for start in range(0, 21, 7):
        assert sorted(dealt[start : start + 7]) == list(range(10, 17))


def test_the_deck_deals_more_rows_than_there_are():
    assert len(fitting._Deck(np.arange(3), np.random.default_rng(0)).draw(8)) == 8


@given(st.integers(0, 2**32 - 1))
def test_augmentation_moves_image_golden_and_lightings_alike(seed):
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 256, (1, 1, 1, 64, 64, 1), dtype=np.uint8)
    out = augment(np.broadcast_to(one, (4, 2, 2, 64, 64, 1)), rng)
    for number in range(4):
        first = out[number, 0, 0]
        assert (out[number] == first).all()
        assert np.isin(first, one).all()


def test_augmentation_shows_every_symmetry_and_shifts_by_at_most_four_pixels():
    dot = np.zeros((400, 1, 2, 64, 64, 1), np.uint8)
    dot[:, :, :, 20, 30] = 255
    places = {tuple(np.argwhere(view[0, 0, :, :, 0])[0]) for view in augment(dot, np.random.default_rng(3))}
    corners = {(y, x) for y, x in [(20, 30), (43, 30), (20, 33), (43, 33)]}
    corners |= {(x, y) for y, x in corners}
    near = {min(max(abs(y - cy), abs(x - cx)) for cy, cx in corners) for y, x in places}
    assert max(near) <= 4
    assert all(any(max(abs(y - cy), abs(x - cx)) <= 4 for y, x in places) for cy, cx in corners)


def test_adam_walks_to_the_bottom_and_shrinks_only_matrices():
    matrix, vector = np.full((2, 2), 3.0), np.full(2, 3.0)
    optimizer = Adam([matrix, vector])
    for _ in range(400):
        optimizer.step([2 * (matrix - 1.0), 2 * (vector - 1.0)], 0.05)
    np.testing.assert_allclose(vector, 1.0, atol=1e-3)
    np.testing.assert_allclose(matrix, 1.0, atol=1e-2)
    still = [np.full((1, 1), 3.0), np.full(1, 3.0)]
    Adam(still).step([np.zeros((1, 1)), np.zeros(1)], 0.5)
    assert float(still[0][0, 0]) < 3.0 and float(still[1][0]) == 3.0
