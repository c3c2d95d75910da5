"""From rows to bytes: any image Pillow reads, and every fault with its row and file."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tao_skill_bank.actions.visual_changenet.images import open_set, read_images
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.images import ImageNaming

HEADER = "input_path,golden_path,label,object_name\n"


@pytest.fixture
def one(tmp_path):
    """A set of one row; the test writes its two images."""
    csv = tmp_path / "set.csv"
    csv.write_text(HEADER + "a,g,PASS,C1\n")
    for folder in ("a", "g"):
        (tmp_path / folder).mkdir()

    def read(image, golden, ext=".png", channels=None, **how):
        for folder, picture in (("a", image), ("g", golden)):
            picture.save(tmp_path / folder / f"C1{ext}", **how)
        return read_images(open_set(csv, tmp_path, ImageNaming((), ext)), channels)

    return read


def grey(value, size=(64, 64)):
    return Image.new("L", size, value)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_is_read_and_grey_stays_grey(one, mode):
    picture = Image.new("I;16", (64, 64), 255) if mode == "I;16" else grey(255).convert(mode)
    out = one(picture, grey(0).convert("RGB"))
    assert out.shape == (1, 1, 2, 64, 64, 1)
    assert (out[0, 0, 0] == 255).all() and (out[0, 0, 1] == 0).all()


def test_a_coloured_image_makes_the_set_coloured(one):
    out = one(Image.new("RGB", (64, 64), (200, 100, 50)), grey(7))
    assert out.shape[-1] == 3
    assert out[0, 0, 0, 5, 5].tolist() == [200, 100, 50]
    assert out[0, 0, 1, 5, 5].tolist() == [7, 7, 7]


def test_colour_is_made_grey_for_a_grey_model(one):
    assert one(Image.new("RGB", (64, 64), (255, 0, 0)), grey(7), channels=1)[0, 0, 0, 0, 0].tolist() == [76]


@pytest.mark.parametrize("size", [(1, 1), (10, 300), (640, 480)])
def test_any_size_is_brought_to_64_pixels(one, size):
    assert (one(grey(90, size), grey(90, size)) == 90).all()


@pytest.mark.parametrize("ext", [".bmp", ".jpg", ".tif", ".webp"])
def test_any_extension_is_read(one, ext):
    assert np.abs(one(grey(90), grey(90), ext=ext).astype(int) - 90).max() <= 2


def test_rows_and_lightings_keep_their_order(tmp_path):
    csv = tmp_path / "set.csv"
    csv.write_text(HEADER + "".join(f"a,g,PASS,C{n}\n" for n in range(5)))
    for number in range(5):
        for light, extra in (("L", 0), ("R", 100)):
            for folder, side in (("a", 0), ("g", 50)):
                (tmp_path / folder).mkdir(exist_ok=True)
                grey(number + extra + side).save(tmp_path / folder / f"C{number}_{light}.png")
    pairs = open_set(csv, tmp_path, ImageNaming(("L", "R"), ".png"))
    out = read_images(pairs, None, workers=2)[..., 0, 0, 0]
    np.testing.assert_array_equal(out[:, 0, 0], range(5))
    np.testing.assert_array_equal(out[:, 1, 0], range(100, 105))
    np.testing.assert_array_equal(out[:, 0, 1], range(50, 55))
    np.testing.assert_array_equal(read_images(pairs, 1, rows=[3, 1])[:, 1, 1, 0, 0, 0], [153, 151])


def test_a_damaged_image_is_one_line_with_its_row_and_file(one, tmp_path):
    one(grey(1), grey(2))
    path = tmp_path / "g" / "C1.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError) as caught:
        read_images(open_set(tmp_path / "set.csv", tmp_path, ImageNaming((), ".png")), 1)
    line = caught.value.line()
    assert "set.csv row 1" in line and str(path) in line and "\n" not in line


def test_an_enormous_image_is_refused_by_its_header(one, tmp_path):
    one(grey(1), grey(2))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    (tmp_path / "a" / "C1.png").write_bytes(png)
    pairs = open_set(tmp_path / "set.csv", tmp_path, ImageNaming((), ".png"))
    for workers in (1, 2):
        with pytest.raises(InputError, match=r"row 1: .*C1.png: .*pixels"):
            read_images(pairs, None, workers=workers)


def test_a_missing_image_of_any_row_is_named_before_anything_is_decoded(one, tmp_path):
    one(grey(1), grey(2))
    (tmp_path / "set.csv").write_text(HEADER + "a,g,PASS,C1\na,g,bridge,C7\n")
    (tmp_path / "a" / "C1.png").write_bytes(b"not an image")
    with pytest.raises(InputErrors, match=r"row 2: image .*C7.png is missing"):
        open_set(tmp_path / "set.csv", tmp_path, ImageNaming((), ".png"))


@pytest.mark.parametrize("label", ["pass", "Pass", "PASS ", "Bridge", " bridge"])
def test_a_label_in_another_spelling_is_refused_in_training_and_carried_along_in_inference(one, tmp_path, label):
    one(grey(1), grey(2))
    (tmp_path / "set.csv").write_text(HEADER + f'a,g,"{label}",C1\n')
    with pytest.raises(InputErrors, match="row 1: label"):
        open_set(tmp_path / "set.csv", tmp_path, ImageNaming((), ".png"))
    assert len(open_set(tmp_path / "set.csv", tmp_path, ImageNaming((), ".png"), check_labels=False)) == 1
