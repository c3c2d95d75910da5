"""Reading image files for an encoder: bounded in pixels, every fault an error that names the file."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tao_skill_bank.core.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS: Final = 64 << 20
"""The most pixels an image may claim (8192 x 8192), checked on its header before anything is decoded."""


class ImageError(InputError):
    """A file that cannot be read as an image; `path` is the file."""

    def __init__(self, path: Path, what: str, fix: str) -> None:
        self.path = path
        super().__init__(what, where=path, fix=fix)


def load_rgb(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """An image file as an 8-bit RGB image, resized to `size` (width, height) where given.

    Grey, palette and alpha images become RGB as Pillow converts them; 16-bit grey keeps its upper 8 bits. Of an
    animation the first frame is taken, and orientation tags are ignored, as TAO does.

    Raises:
        ImageError: No such file, not an image, damaged, or more than `MAX_PIXELS` pixels.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, f"{image.width} x {image.height} pixels")
            if size is not None and image.format == "JPEG":
                # The JPEG decoder shrinks by powers of two while it decodes; two times the target loses nothing.
                image.draft("RGB", (2 * size[0], 2 * size[1]))
            rgb = _to_rgb(image)
        return rgb if size is None or rgb.size == size else rgb.resize(size, Image.Resampling.BILINEAR)
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError:
        raise ImageError(path, "no such image file", "check the filepath column") from None
    except IsADirectoryError:
        raise ImageError(path, "is a folder, not an image", "name the image file") from None
    except PermissionError:
        raise ImageError(path, "cannot be opened: permission denied", "make the file readable") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path, "too many pixels") from None
    # A decoder that meets damaged bytes may raise nearly anything: struct, zlib, index and syntax errors included.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = "no known image format" if "cannot identify image file" in reason else reason
        raise ImageError(path, f"cannot be read as an image: {reason}", "replace or remove the file") from None


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

    if image.mode.startswith("I;16"):
        import numpy as np

        grey = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
        return grey.convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixel mode {image.mode} has no fixed range")
    return image.convert("RGB")


def _too_large(path: Path, size: str) -> ImageError:
    return ImageError(path, f"{size}, more than the {MAX_PIXELS:,} allowed", "crop or shrink the image")
