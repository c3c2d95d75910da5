"""What a picture file is, told by opening it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tao_skill_bank.data.pictures.facts import facts_of, header_facts

RNG = np.random.default_rng(3)
COLOUR = RNG.integers(0, 256, (24, 30, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_a_plain_picture_has_size_mode_depth_and_no_fault() -> None:
    facts = facts_of(saved(Image.fromarray(COLOUR), "PNG"))
    assert (facts.format, facts.width, facts.height, facts.mode, facts.bits) == ("PNG", 30, 24, "RGB", 8)
    assert facts.fault is None and facts.orientation == 1 and facts.pages == 1
    assert facts.decoded and not facts.blank and not facts.cut_off
    assert facts.highest == int(np.asarray(Image.fromarray(COLOUR).convert("L")).max())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_the_same_pixels_in_another_container_are_the_same_picture(kind: str) -> None:
    first, other = facts_of(saved(Image.fromarray(COLOUR), "PNG")), facts_of(saved(Image.fromarray(COLOUR), kind))
    assert first.pixels == other.pixels and first.thumb == other.thumb
    changed = COLOUR.copy()
    changed[0, 0, 0] ^= 1
    assert facts_of(saved(Image.fromarray(changed), kind)).pixels != first.pixels


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turn", [3, 6, 8])
def test_an_exif_orientation_is_told_and_the_size_is_that_which_is_stored(kind: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(Image.fromarray(COLOUR), kind, exif=exif.tobytes())
    facts = facts_of(data)
    assert (facts.orientation, facts.width, facts.height) == (turn, 30, 24)


def test_a_tiff_is_turned_by_every_loader_alike_and_needs_no_word() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    facts = facts_of(saved(Image.fromarray(COLOUR), "TIFF", exif=exif.tobytes()))
    assert (facts.orientation, facts.width, facts.height) == (1, 24, 30)


@pytest.mark.parametrize(("top", "cut"), [(255, False), (256, True), (4095, True), (65535, True)])
def test_sixteen_bits_are_cut_off_only_where_they_hold_more_than_eight(top: int, cut: bool) -> None:
    values = RNG.integers(0, 200, (24, 30)).astype(np.uint16)
    values[3, 4] = top
    facts = facts_of(saved(Image.fromarray(values), "PNG"))
    assert (facts.mode, facts.bits, facts.highest, facts.cut_off) == ("I;16", 16, top, cut)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_file_has_a_fault_of_one_line_and_its_header_none(kind: str, part: float) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8))
    data = saved(noise, kind)
    facts = facts_of(data[: int(part * len(data))])
    assert facts.fault is not None and facts.fault.startswith("cannot be read as an image: ")
    assert "\n" not in facts.fault


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\0" * 5000])
def test_what_is_no_picture_has_a_fault(data: bytes) -> None:
    assert facts_of(data).fault is not None
    assert header_facts(io.BytesIO(data)).fault is not None


def test_headers_alone_tell_no_digest_and_read_a_truncated_file_as_whole() -> None:
    data = saved(Image.fromarray(RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8)), "JPEG")
    facts = header_facts(io.BytesIO(data[: len(data) // 2]))
    assert facts.fault is None and (facts.width, facts.height) == (120, 90)
    assert not facts.decoded and facts.pixels is None and facts.highest is None and not facts.blank


def test_several_pages_are_counted() -> None:
    image = Image.fromarray(COLOUR)
    assert facts_of(saved(image, "TIFF", save_all=True, append_images=[image, image])).pages == 3


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (10, 200, 30)])
def test_one_colour_is_blank_whatever_it_is(colour: tuple[int, int, int]) -> None:
    assert facts_of(saved(Image.new("RGB", (8, 8), colour), "PNG")).blank


def test_a_picture_of_too_many_pixels_is_not_decoded() -> None:
    facts = facts_of(saved(Image.new("1", (8200, 8200)), "PNG"))
    assert "more than the" in str(facts.fault) and facts.pixels is None


def test_two_colours_of_one_grey_are_not_blank() -> None:
    def grey(colour: tuple[int, int, int]) -> Any:
        return Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))

    blue = next((0, 0, value) for value in range(256) if grey((0, 0, value)) == 20)
    red = next((value, 0, 0) for value in range(256) if grey((value, 0, 0)) == 20)
    image = Image.new("RGB", (8, 8), red)
    image.putpixel((3, 3), blue)
    assert image.convert("L").getextrema() == (20, 20)
    assert facts_of(saved(image, "PNG")).blank is False
