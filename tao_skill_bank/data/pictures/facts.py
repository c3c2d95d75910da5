"""What a picture file is, found out by opening it: size, mode, depth, EXIF orientation, whether it decodes, its digest.

A picture means here what it means to TAO's loader, `Image.open(path).convert("RGB")`: the first frame, as it is stored,
EXIF orientation ignored (Pillow itself turns a TIFF), alpha dropped, values above 255 cut off.
"""

from __future__ import annotations

import hashlib
import io
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from tao_skill_bank.data.pictures.decode import MAX_PIXELS, depth_of, is_deep, reason_of, too_large
from tao_skill_bank.data.pictures.noise import grain_of

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION_TAG = 0x0112
UPRIGHT = 1
THUMB = 8
"""Side of the thumbnail that is kept of a picture, pixels."""
_MANY_PAGES = frozenset({"TIFF", "GIF", "WEBP"})
FEWEST_LEVELS = 8
VERSION = 3
"""Grows when a fact is told otherwise than before: what was remembered under another one is found out again."""


class Facts(NamedTuple):
    """What one file is. Everything below `orientation` is None where the picture was opened but not decoded.

    Attributes:
        fault: Why it cannot be used as a picture, in words; None where nothing was found.
        format: Pillow's name, such as `JPEG`; empty where it is none.
        width: Pixels, as it is stored.
        mode: Pillow's mode, such as `L`, `RGB`, `I;16`.
        bits: Bits a channel, as the file stores them.
        orientation: EXIF orientation that a loader would have to apply, 1 to 8; 1 is upright.
        pages: Pictures in the file, of which the first is read.
        pixels: Digest of mode, size and pixels: equal for the same picture in another container or compression.
        highest: Greatest grey value; of a picture that its file stores deeper than 8 bits, of any channel, as a loader
            has it before it cuts off.
        blank: One colour all over.
        thumb: 64 grey values, the picture shrunk to 8 x 8.
        grain: What is fine in its middle (`noise.grain_of`); empty where it is small or smooth.
        grey: Whether it has no colour: one channel, or channels that are equal in every pixel.
        levels: Digest of how often each grey value occurs, the same however the picture is turned or mirrored; empty
            where there are fewer than `FEWEST_LEVELS`, which two pictures may share by chance.
    """

    fault: str | None = None
    format: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    bits: int = 0
    orientation: int = UPRIGHT
    pages: int = 1
    sha256: bytes | None = None
    pixels: bytes | None = None
    highest: int | None = None
    blank: bool | None = None
    thumb: bytes | None = None
    grain: bytes | None = None
    grey: bool | None = None
    levels: bytes | None = None

    @property
    def decoded(self) -> bool:
        """Whether the whole picture was decoded, or was tried and could not be."""
        return self.sha256 is not None

    @property
    def cut_off(self) -> bool:
        """It holds values that 8 bits do not, and a loader cuts them off at 255."""
        return is_deep(self.mode) and self.highest is not None and self.highest > 255


def facts_of(data: bytes) -> Facts:
    """The facts of a whole file's bytes, every pixel decoded."""
    return _facts(io.BytesIO(data), hashlib.sha256(data).digest())


def header_facts(handle: IO[bytes]) -> Facts:
    """The facts that a file's header tells, read from an open file."""
    return _facts(handle, None)


def _facts(handle: IO[bytes], sha256: bytes | None) -> Facts:
    """The pixels are decoded where a digest is given."""
    from PIL import Image

    told: dict[str, Any] = {"sha256": sha256}
    try:
        with Image.open(handle) as image:
            _tell_header(image, told)
            if image.width * image.height > MAX_PIXELS:
                told["fault"] = too_large(f"{image.width} x {image.height} pixels")
            elif sha256 is not None:
                _tell_pixels(image, told)
    except MemoryError:
        raise
    # A decoder that meets damaged bytes may raise nearly anything: struct, zlib, index and syntax errors included.
    except Exception as error:
        told["fault"] = reason_of(error)
    return Facts(**told)


def _tell_header(image: Image.Image, told: dict[str, Any]) -> None:
    name = told["format"] = image.format or ""
    told["width"], told["height"], told["mode"], told["bits"] = image.width, image.height, image.mode, depth_of(image)
    # A TIFF is turned by Pillow as it is loaded, for every loader alike. A PNG's tag may stand behind its pixels, and
    # Pillow would decode them to look for it.
    if name != "TIFF" and (name != "PNG" or "exif" in image.info):
        told["orientation"] = _orientation(image)
    if name in _MANY_PAGES:
        told["pages"] = int(getattr(image, "n_frames", 1))


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ORIENTATION_TAG)
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def _tell_pixels(image: Image.Image, told: dict[str, Any]) -> None:
    """The facts of the pixels, as a loader sees them. Raises what the decoder raises."""
    image.load()
    told["width"], told["height"] = image.size
    if image.format == "PNG" and "exif" in image.info:
        told["orientation"] = _orientation(image)
    if is_deep(image.mode):
        _tell_deep(image, told)
        return
    plain = image if image.mode in ("1", "L", "RGB") else image.convert("RGB")
    grey = plain if plain.mode == "L" else plain.convert("L")
    extremes = [_extremes(grey)]
    if grey is not plain and (extremes[0][0] == extremes[0][1] or told["bits"] > 8):
        # Colours may differ where their greys do not, and of deep colour the greatest value of any channel counts.
        extremes = [_extremes(channel) for channel in plain.split()]
    told["highest"] = max(high for _, high in extremes)
    told["blank"] = all(low == high for low, high in extremes)
    pixels = plain.tobytes()
    told["pixels"] = _digest(plain.mode, plain.size, pixels)
    told["grey"] = plain.mode != "RGB" or _without_colour(pixels)
    _tell_greys(grey, told)


def _tell_greys(grey: Image.Image, told: dict[str, Any]) -> None:
    told["thumb"], told["grain"], told["levels"] = _thumb(grey), grain_of(grey), _levels(grey)


def _without_colour(pixels: bytes) -> bool:
    """Whether the three channels of RGB pixels are equal; a picture in colour tells it by its first ones."""
    import numpy as np

    values = np.frombuffer(pixels, np.uint8).reshape(-1, 3)
    return all(bool((part[:, :1] == part[:, 1:]).all()) for part in (values[:1024], values[1024:]))


def _levels(grey: Image.Image) -> bytes:
    counts = grey.histogram()
    if sum(count > 0 for count in counts) < FEWEST_LEVELS:
        return b""
    # Whoever is turned by a quarter has its sides swapped.
    sides = sorted(grey.size)
    return hashlib.sha256(f"{sides} {counts}".encode()).digest()[:16]


def _extremes(channel: Image.Image) -> tuple[int, int]:
    low, high = channel.getextrema()
    return int(low), int(high)  # type: ignore[arg-type]


def _tell_deep(image: Image.Image, told: dict[str, Any]) -> None:
    import numpy as np
    from PIL import Image as module

    values = np.asarray(image)
    told["highest"] = int(values.max())
    told["blank"] = int(values.min()) == told["highest"]
    told["pixels"] = _digest(image.mode, image.size, values.tobytes())
    scale = 255.0 / max(told["highest"], 255)
    grey = module.fromarray((np.maximum(values, 0) * scale).astype(np.uint8))
    told["grey"] = True
    _tell_greys(grey, told)


def _digest(mode: str, size: tuple[int, int], data: bytes) -> bytes:
    digest = hashlib.sha256(f"{mode} {size[0]} {size[1]} ".encode())
    digest.update(data)
    return digest.digest()[:16]


def _thumb(grey: Image.Image) -> bytes:
    from PIL import Image

    return grey.resize((THUMB, THUMB), Image.Resampling.BOX).tobytes()
