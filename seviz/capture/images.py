"""Decode one image file: ok, coerced with what was done to it, or failed with why. Never another image instead."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""What a file must be called to count as an image, whatever its case."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What a file may be, by its content, in Pillow's names."""


@dataclass(frozen=True)
class Decoded:
    """What became of an image file.

    Attributes
    ----------
    image
        In RGB; None if it failed.
    status
        "ok", "coerced" or "failed".
    reason
        What was done to a coerced image, why one failed; else empty.
    """

    image: Image.Image | None
    status: str
    reason: str = ""


def decode(path: Path) -> Decoded:
    """Read an image file as RGB. Never raises: what is wrong with the file is in the result.

    Parameters
    ----------
    path
        Any file, also one that is not there or no image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as file:
                file.load()
                if file.mode == "RGB":
                    return Decoded(file.copy(), "ok")
                return _coerced(file)
    except UnidentifiedImageError:
        return Decoded(None, "failed", "no image of a format that is read")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return Decoded(None, "failed", f"larger than {Image.MAX_IMAGE_PIXELS} pixels")
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        return Decoded(None, "failed", getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _coerced(file: Image.Image) -> Decoded:
    if file.mode.startswith("I;16"):
        # Pillow would clip to 255 instead of scaling.
        return Decoded(file.point(lambda value: value / 257, "L").convert("RGB"), "coerced", "16 bits scaled to 8")
    if file.mode in ("F", "I"):
        return Decoded(None, "failed", f"values of mode {file.mode} have no known range")
    return Decoded(file.convert("RGB"), "coerced", f"{file.mode} converted to RGB")
