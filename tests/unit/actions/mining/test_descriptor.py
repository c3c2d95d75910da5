"""The local descriptor: near for look-alikes, far for others, the same on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tao_skill_bank.actions.mining import encoders
from tao_skill_bank.actions.mining.descriptor import describe, dimension


def crop(*, background=255, lines=(), dots=(), colour=0):
    """A drawn circuit-board crop: lines (x0, y0, x1, y1, width) and dots (x, y, radius)."""
    image = Image.new("RGB", (64, 64), (background,) * 3)
    draw = ImageDraw.Draw(image)
    for x0, y0, x1, y1, width in lines:
        draw.line((x0, y0, x1, y1), fill=colour, width=width)
    for x, y, radius in dots:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return np.asarray(image)


def cosine(a, b):
    return float(describe(a) @ describe(b))


def test_a_descriptor_has_length_one_and_its_fixed_size():
    vector = describe(crop(lines=[(0, 30, 64, 30, 6)]))
    assert vector.shape == (dimension(),) == (690,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_a_crop_moved_by_a_pixel_or_made_a_little_darker_stays_a_look_alike():
    wire = crop(lines=[(0, 30, 64, 30, 6)], dots=[(20, 50, 5)])
    assert cosine(wire, crop(lines=[(0, 31, 64, 31, 6)], dots=[(21, 50, 5)])) > 0.95
    assert cosine(wire, (wire * 0.9).astype(np.uint8)) > 0.97


def test_wires_of_another_direction_are_no_look_alikes():
    across, down = crop(lines=[(0, 32, 64, 32, 8)]), crop(lines=[(32, 0, 32, 64, 8)])
    assert cosine(across, down) < 0.8


def test_a_blank_crop_is_like_blank_crops_and_unlike_a_defect_on_it():
    blank, spot = crop(), crop(dots=[(32, 32, 5)])
    assert cosine(blank, crop()) == pytest.approx(1, abs=1e-6)
    assert cosine(blank, spot) < 0.9
    assert cosine(spot, crop(dots=[(34, 31, 6)])) > 0.9


def test_sensor_noise_on_a_blank_crop_is_no_structure():
    noise = np.random.default_rng(0).normal(0, 1, (64, 64, 1))
    grey = np.full((64, 64, 3), 128.0)
    assert cosine(grey.astype(np.uint8), np.clip(grey + noise, 0, 255).astype(np.uint8)) > 0.9


def test_colour_alone_tells_crops_apart():
    red = np.full((64, 64, 3), (200, 80, 80), dtype=np.uint8)
    blue = np.full((64, 64, 3), (80, 80, 200), dtype=np.uint8)
    assert cosine(red, blue) < 0.8


@pytest.mark.parametrize("value", [0, 127, 128, 255])
def test_an_even_image_of_any_grey_has_a_finite_descriptor(value):
    vector = describe(np.full((64, 64, 3), value, dtype=np.uint8))
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_vectors_are_the_same_bits_on_any_number_of_threads_and_in_any_order(tmp_path, monkeypatch):
    rng = np.random.default_rng(4)
    files = []
    for i in range(40):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 255, (50 + i, 70, 3), dtype=np.uint8)).save(files[-1])
    encoder = encoders.get_encoder("local")
    vectors = encoder.encode(files)
    for threads in (1, 3, 8):
        monkeypatch.setattr(encoders, "_MAX_THREADS", threads)
        monkeypatch.setattr(encoders.os, "cpu_count", lambda: 8)
        np.testing.assert_array_equal(encoder.encode(files), vectors)
    np.testing.assert_array_equal(encoder.encode(files[::-1])[::-1], vectors)
    np.testing.assert_array_equal(encoder.encode(files[7:8])[0], vectors[7])


def test_no_files_give_no_vectors():
    assert encoders.get_encoder("local").encode([]).shape == (0, 690)
