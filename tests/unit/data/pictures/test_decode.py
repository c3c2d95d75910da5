"""Reading image files: every fault is one line that names the file."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from tao_skill_bank.data.pictures.decode import MAX_PIXELS, ImageError, bomb_warnings_as_errors, load_rgb


def png_that_claims(path, width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("side", [8193, 10_000, 65_000])
def test_an_image_that_claims_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, side):
    path = png_that_claims(tmp_path / "huge.png", side, side)
    with (
        bomb_warnings_as_errors(),
        pytest.raises(ImageError, match=f"huge.png: .*more than the {MAX_PIXELS:,} allowed"),
    ):
        load_rgb(path)


def test_the_filter_for_huge_images_is_taken_back(tmp_path):
    before = list(warnings.filters)
    with bomb_warnings_as_errors():
        pass
    assert warnings.filters == before


def test_damaged_bytes_are_an_error_that_names_the_file(tmp_path):
    good = tmp_path / "good.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(good)
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:900])
    with pytest.raises(ImageError, match=r"cut\.png: cannot be read as an image") as error:
        load_rgb(cut)
    assert "\n" not in error.value.line()


def test_text_in_an_image_file_is_no_known_format(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("hello")
    with pytest.raises(ImageError, match="no known image format"):
        load_rgb(path)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ImageError, match="no such image file"):
        load_rgb(tmp_path / "none.png")
    with pytest.raises(ImageError, match="is a folder"):
        load_rgb(tmp_path)


@pytest.mark.parametrize("top", [256, 4095, 65535])
def test_values_that_tao_would_cut_off_are_refused_instead_of_becoming_black_or_white(tmp_path, top):
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 100], [200, top]], dtype=np.uint16)).save(path)
    with pytest.raises(ImageError, match=f"16-bit pixels with values up to {top}, of which TAO cuts off") as error:
        load_rgb(path)
    assert "convert it to 8 bits" in error.value.line()


def test_eight_bits_in_a_sixteen_bit_file_are_what_they_are(tmp_path):
    path = tmp_path / "shallow.png"
    Image.fromarray(np.array([[0, 100], [200, 255]], dtype=np.uint16)).save(path)
    assert np.asarray(load_rgb(path))[..., 0].tolist() == [[0, 100], [200, 255]]


def test_a_float_image_beyond_eight_bits_is_refused(tmp_path):
    path = tmp_path / "float.tif"
    Image.fromarray(np.full((4, 4), 1e4, dtype=np.float32)).save(path)
    with pytest.raises(ImageError, match="floating-point pixels with values up to 10000"):
        load_rgb(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA"])
def test_every_usual_mode_becomes_rgb_of_the_size_asked_for(tmp_path, mode):
    path = tmp_path / "a.png"
    Image.new(mode, (30, 20)).save(path)
    image = load_rgb(path, (64, 64))
    assert (image.mode, image.size) == ("RGB", (64, 64))


def test_a_large_jpeg_shrunk_while_decoding_looks_like_the_one_shrunk_after(tmp_path):
    x = np.linspace(0, 6, 1024)
    wave = ((np.sin(x)[:, None] * np.cos(x)[None]) * 100 + 128).astype(np.uint8)
    Image.fromarray(wave).save(tmp_path / "a.jpg", quality=95)
    fast = np.asarray(load_rgb(tmp_path / "a.jpg", (64, 64))).astype(int)
    slow = np.asarray(load_rgb(tmp_path / "a.jpg").resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(fast - slow).max() <= 8
