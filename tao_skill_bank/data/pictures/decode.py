"""Reading image files as TAO's loader does: bounded in pixels, every fault an error that names the file.

TAO opens a picture by `Image.open(path).convert("RGB")`: orientation tags are ignored, and of a picture deeper than 8
bits everything above 255 is cut off, which leaves white. That is refused here instead.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS: Final = 64 << 20
"""The most pixels an image may claim (8192 x 8192), checked on its header before anything is decoded."""


_SMALLER: Final = "crop or shrink the image"
EIGHT_BITS: Final = "convert it to 8 bits: `tao-skills workspace` does it by one scale for all pictures"


class _DeepError(ValueError):
    """Values that 8 bits do not hold."""


class ImageError(InputError):
    """A file that cannot be read as an image; `path` is the file."""

    def __init__(self, path: Path, what: str, fix: str) -> None:
        self.path = path
        super().__init__(what, where=path, fix=fix)


def load_rgb(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """An image file as an 8-bit RGB image, resized to `size` (width, height) where given.

    Grey, palette and alpha images become RGB as Pillow converts them. Of an animation the first frame is taken, and
    orientation tags are ignored, as TAO does.

    Raises:
        ImageError: No such file, not an image, damaged, more than `MAX_PIXELS` pixels, or values above 255.
    """
    from PIL import Image

    try:
        with guard.open_read(path, "image") as handle, Image.open(handle) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(path, too_large(f"{image.width} x {image.height} pixels"), _SMALLER)
            if size is not None and image.format == "JPEG":
                # The JPEG decoder shrinks by powers of two while it decodes; two times the target loses nothing.
                image.draft("RGB", (2 * size[0], 2 * size[1]))
            rgb = _to_rgb(image)
        return rgb if size is None or rgb.size == size else rgb.resize(size, Image.Resampling.BILINEAR)
    except (ImageError, MemoryError):
        raise
    except InputError as error:
        raise ImageError(path, error.what, error.fix or "name another file") from None
    except FileNotFoundError:
        raise ImageError(path, "no such image file", "check the filepath column") from None
    except IsADirectoryError:
        raise ImageError(path, "is a folder, not an image", "name the image file") from None
    except PermissionError:
        raise ImageError(path, "cannot be opened: permission denied", "make the file readable") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(path, too_large("too many pixels"), _SMALLER) from None
    except _DeepError as error:
        raise ImageError(path, str(error), EIGHT_BITS) from None
    # A decoder that meets damaged bytes may raise nearly anything: struct, zlib, index and syntax errors included.
    except Exception as error:
        raise ImageError(path, reason_of(error), "replace or remove the file") from None


@contextlib.contextmanager
def bomb_warnings_as_errors() -> Iterator[None]:
    """While open, Pillow's warning about huge images is an error, so that `load_rgb` reports it in one line.

    Filters belong to the process: open this once around all threads that decode, not in each of them.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if is_deep(image.mode):
        import numpy as np

        values = np.asarray(image)
        if values.min() < 0 or values.max() > 255:
            raise _DeepError(too_deep(image.mode, int(values.max())))
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def is_deep(mode: str) -> bool:
    """Whether a picture of this mode can hold values that 8 bits do not."""
    return mode.startswith("I") or mode == "F"


def depth_of(image: Image.Image) -> int:
    """Bits a channel as the file stores them; Pillow itself keeps the upper 8 of 16-bit colour."""
    if image.mode in ("I", "F"):
        return 32
    stored = str([tile[3] for tile in getattr(image, "tile", ())])
    return 16 if is_deep(image.mode) or ";16" in stored else 1 if image.mode == "1" else 8


def too_deep(mode: str, highest: int) -> str:
    """What is wrong with a picture deeper than 8 bits, in words."""
    kind = {"I": "32-bit", "F": "floating-point"}.get(mode, "16-bit")
    return f"{kind} pixels with values up to {highest}, of which TAO cuts off everything above 255"


def too_large(size: str) -> str:
    """What is wrong with a picture of too many pixels, in words."""
    return f"{size}, more than the {MAX_PIXELS:,} allowed"


def reason_of(error: Exception) -> str:
    """Why a decoder gave up, in one line."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    reason = "no known image format" if "cannot identify image file" in reason else reason
    return f"cannot be read as an image: {reason}"
