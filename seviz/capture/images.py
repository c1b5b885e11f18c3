"""Decode one image file: ok, coerced with what was done to it, or failed with why. Never another image instead.

An image is read in as many channels as a network takes: grey (1), colour (3) and colour with transparency (4) as Pillow
converts them; any other number as the bands of a TIFF, which Pillow reads where each is a page of its own.
"""

import errno
import logging
import os
import re
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError, features
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

from seviz.capture.content import content_of_file

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong with a file is in the result

_AVIF = "avif" in features.get_supported()
_BANDS = frozenset({".tif", ".tiff"})

EXTENSIONS = _BANDS.union(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp"}, {".avif"} if _AVIF else ()
)
"""What a file must be called to count as an image, whatever its case. AVIF is among them where Pillow reads it."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP", *(["AVIF"] if _AVIF else []))
"""What a file may be, by its content, in Pillow's names."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""What an image of any format is converted to, by the number of channels, in Pillow's names."""

LARGEST_FILE = 1 << 30
"""Bytes a file may have: more than an image of `PIL.Image.MAX_IMAGE_PIXELS` needs."""

_NEAR_SRGB = 2  # of 255: by how much a profile may move colours and still count as sRGB, of which there are variants


@dataclass(frozen=True)
class Decoded:
    """What became of an image file, or of a file with an array.

    Attributes
    ----------
    image
        An image in the mode that was asked for, RGB by default; an array, (channels, positions...), of a file that
        holds one, and of the bands of a TIFF; None if it failed.
    status
        "ok", "coerced" or "failed".
    reason
        Why it failed, or what was done to a coerced image; then, also of an image that is ok, what to know of it
        that changed no pixel. Parts are joined by "; "; empty if there is nothing to say.
    content
        A hash of the file's bytes, or of the pixels where there is no file; None if it could not be read. See
        `seviz.capture.content`.
    """

    image: Image.Image | NDArray[Any] | None
    status: str
    reason: str = ""
    content: str | None = None


def decode(path: Path, *, rotate: bool = False, channels: int = 3) -> Decoded:
    """Read an image file, as RGB by default. Never raises: what is wrong with the file is in the result.

    The pixels are those that Pillow's `convert("RGB")` gives, which timm and torchvision train on: transparency is
    dropped, colour profiles are not applied; except that 16-bit grey is scaled where Pillow would clip it.

    A file is read whole and once. One whose pixels are cut short fails in every format. Damage in their middle is
    noticed where the format can tell: PNG has checksums, which are compared; JPEG, GIF, BMP, PPM, WebP and most of
    TIFF have none, and a flipped bit may pass as other pixels.

    JPEG is not decoded at reduced scale. At ImageNet's 500 x 375 there is nothing to gain; of larger images it moves
    preprocessed values by 9 of 255 and more: `python analyses/decoding_at_reduced_scale.py`.

    Parameters
    ----------
    path
        Any file, also one that is not there or no image.
    rotate
        Apply the EXIF orientation. Off, as in timm and torchvision, it is only told in the reason. (The
        orientation of a TIFF is always applied, by Pillow.)
    channels
        1 for grey ("L"), 3 for RGB, 4 for RGBA, in which transparency is kept; any other number for the bands of a
        TIFF with so many pages of grey, or with so many samples a pixel of a kind that Pillow reads: an array
        (channels, height, width) of whole numbers as they are in the file.

    Notes
    -----
    Not to be called from several threads at once: it silences Pillow's warnings, and Python has one list of warning
    filters for all threads. Use processes.
    """
    return decoded(partial(read_file, path), partial(decode_bytes, rotate=rotate, channels=channels))


def decoded(read: Callable[[], bytes], decode: Callable[[bytes], Decoded]) -> Decoded:
    """What becomes of the bytes of a file, whatever is raised when they are read or decoded.

    Parameters
    ----------
    read
        Gives the bytes.
    decode
        Makes an image or an array of them.
    """
    content = None
    try:
        data = read()
        content = content_of_file(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return replace(decode(data), content=content)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return Decoded(None, "failed", f"larger than {Image.MAX_IMAGE_PIXELS} pixels", content)
    except Exception as error:  # damaged files make decoders raise whatever they stumble over, IndexError to zlib.error
        return Decoded(None, "failed", _said(error), content)


def holds_bands(name: str) -> bool:
    """Whether a file is called like one that may hold any number of bands: a TIFF."""
    return os.path.splitext(name)[1].lower() in _BANDS


def too_long(size: tuple[int, int], side: int) -> str:
    """Why an image cannot be resized: empty, unless it is so long and narrow that the result would be huge.

    Preprocessing resizes the shorter side, whatever becomes of the longer: at 256, 1 x 20,000 pixels become
    256 x 5,120,000.

    Parameters
    ----------
    size
        Width and height.
    side
        What the shorter of them is resized to.
    """
    shorter, longer = sorted(size)
    pixels = side * (side * longer // shorter)
    if Image.MAX_IMAGE_PIXELS is None or pixels <= Image.MAX_IMAGE_PIXELS:
        return ""
    resized = f"{pixels} pixels with the shorter side resized to {side}"
    return f"too long: {size[0]} x {size[1]} would be {resized}, more than {Image.MAX_IMAGE_PIXELS}"


def read_file(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises
    ------
    OSError
        If it is not there, no regular file, empty, or larger than `LARGEST_FILE`.
    """
    try:
        status = os.stat(path)  # before it is opened, since to open a FIFO is to wait for its writer
    except FileNotFoundError as error:
        if path.is_symlink():
            raise OSError("a link to a file that is not there") from error
        raise
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError("no regular file")
    if status.st_size > LARGEST_FILE:
        raise OSError(f"larger than {LARGEST_FILE} bytes")
    data = path.read_bytes()
    if not data:
        raise OSError("the file is empty")
    return data


def decode_bytes(data: bytes, *, rotate: bool = False, channels: int = 3) -> Decoded:
    """As `decode`, of the bytes of a file; raises what decoders raise, so it is for `decoded` to call."""
    with _open(data) as file:
        bits = _bits(file)
        if reason := _incomplete(file) or _unreadable(file, bits):
            return Decoded(None, "failed", reason)
        turned = rotate or file.format == "TIFF"
        orientation = _orientation(file) if file.format == "TIFF" else None  # loading applies and forgets it
        if channels not in MODES:
            return _bands(file, channels, orientation)
        file.load()
        orientation = orientation or _orientation(file)  # a PNG may hold it behind the pixels

        image, done = _converted(file, bits, MODES[channels])
        known = list(_profile(file.info["icc_profile"])) if file.info.get("icc_profile") else []
        if orientation is None:
            known.append("EXIF data that cannot be read")
        elif orientation > 1:
            if rotate and file.format != "TIFF":
                image = _rotated(image, orientation)
            (done if turned else known).append(f"EXIF orientation {orientation} {'' if turned else 'not '}applied")
        done += _frames(file)
        image.info = {}
        return Decoded(image, "coerced" if done else "ok", "; ".join([*done, *known]))


def _open(data: bytes) -> ImageFile.ImageFile:
    try:
        file = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        accepts = {name: Image.OPEN[name][1] for name in FORMATS}
        begun = [name for name, accept in accepts.items() if accept is not None and accept(data[:16])]
        if begun == ["TIFF"]:
            raise OSError("a TIFF damaged at its beginning, or with bands that are not read") from error
        if begun:
            raise OSError(f"damaged at its beginning ({begun[0]})") from error
        raise OSError("no image of a format that is read") from error
    if file.format == "PNG":
        file.verify()  # or Pillow would not compare the checksums of the pixel data; the file is used up by it
        file = Image.open(BytesIO(data), formats=FORMATS)
    return file


def _bits(file: ImageFile.ImageFile) -> int:
    """How many bits a sample has, where more than 8: Pillow's mode does not tell, its raw mode of the file does."""
    if not file.tile:
        return 8
    given = file.tile[0][3]
    arguments = given if isinstance(given, tuple) else (given,)
    if file.format == "PPM" and len(arguments) == 2 and arguments[1] > 255:
        return 16
    found = re.fullmatch(r"(?!BGR).*;(12|16)[A-Z]*", str(arguments[0]))  # BGR;16 is 16 bits a pixel
    return int(found[1]) if found else 8


def _incomplete(file: ImageFile.ImageFile) -> str:
    """Whether a TIFF lists fewer strips than its height needs, of which Pillow leaves the rest black."""
    corners = [tile[1][2:] for tile in file.tile if tile[1] is not None and isinstance(file, TiffImageFile)]
    if not corners or max(x for x, _ in corners) * max(y for _, y in corners) >= file.width * file.height:
        return ""
    return "part of the image is missing"


def _unreadable(file: ImageFile.ImageFile, bits: int) -> str:
    """Why there is no telling which values are black and white; empty if there is."""
    tags = file.tag_v2 if isinstance(file, TiffImageFile) else {}
    if file.mode == "F":
        return "floating-point values have no known range"
    if 2 in tags.get(SAMPLEFORMAT, ()):
        return "signed integers have no known range"
    if file.mode == "I" and bits == 8:
        return "32-bit integers have no known range"
    if file.mode.startswith("I") and tags.get(PHOTOMETRIC_INTERPRETATION) == 0:
        return f"{bits} bits with white as 0 are not read"  # Pillow would show them as a negative
    return ""


def _orientation(file: ImageFile.ImageFile) -> int | None:
    """1 to 8; None if there is EXIF data that cannot be read."""
    try:
        exif = file.getexif()
        if not exif and (data := file.info.get("exif")):
            Image.Exif().load(data)  # raises what Pillow caught if it tried before, when it opened the file
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # as in `decode`
        return None
    return int(orientation) if orientation in range(1, 9) else 1


def _bands(file: ImageFile.ImageFile, channels: int, orientation: int | None) -> Decoded:
    """The bands of a TIFF as an array (channels, height, width): samples of a pixel, or pages of grey."""
    if file.format != "TIFF":
        return Decoded(None, "failed", f"{file.format} holds no {channels} bands; expected a TIFF with a page for each")
    pages = getattr(file, "n_frames", 1)
    known = f"EXIF orientation {orientation} applied" if orientation is not None and orientation > 1 else ""
    if pages == 1 and len(file.getbands()) == channels:
        return Decoded(np.moveaxis(np.asarray(file), -1, 0).copy(), "ok", known)
    if pages != channels:
        held = f"{pages} pages" if pages > 1 else f"{len(file.getbands())} bands in one page"
        return Decoded(None, "failed", f"{held}, expected {channels} pages of grey, one for each channel")
    read = []
    for page in range(pages):
        file.seek(page)
        bits = _bits(file)
        if reason := _incomplete(file) or _unreadable(file, bits):
            return Decoded(None, "failed", f"page {page + 1}: {reason}")
        if len(file.getbands()) != 1 or file.mode == "P":
            return Decoded(None, "failed", f"page {page + 1} is {file.mode}, expected grey")
        read.append(np.asarray(file))
        if (read[-1].shape, read[-1].dtype) != (read[0].shape, read[0].dtype):
            return Decoded(None, "failed", f"page {page + 1} has another size or type than the first")
    return Decoded(np.stack(read), "ok", known)


def _converted(file: ImageFile.ImageFile, bits: int, mode: str) -> tuple[Image.Image, list[str]]:
    """The image in a mode, and what was done to it."""
    done = []
    image: Image.Image = file
    if file.mode.startswith("I"):
        image = _scaled(file, bits)
        done.append(f"{bits} bits scaled to 8")
    elif bits > 8:
        done.append(f"{bits} bits {'scaled' if file.format == 'PPM' else 'cut'} to 8")
    kept = mode == "RGBA" and not file.mode.startswith("I")
    dropped = ["transparency dropped"] if not kept and _transparent(file) else []
    if not kept:
        file.info.pop("transparency", None)  # of which `convert` would warn
    if image.mode == mode:
        done += dropped
    else:
        done.append(", ".join([f"{image.mode} converted to {mode}", *dropped]))
    return image.convert(mode), done


def _scaled(file: Image.Image, bits: int) -> Image.Image:
    """Grey of more than 8 bits, its whole range scaled to that of 8."""
    largest = 2**bits - 1
    levels = np.rint(np.arange(largest + 1) * (255 / largest)).astype(np.uint8)
    return Image.fromarray(levels[np.asarray(file)])


def _transparent(file: Image.Image) -> bool:
    """Whether a pixel is."""
    if not file.has_transparency_data or file.mode.startswith("I"):
        return file.has_transparency_data
    with_alpha = file if "A" in file.getbands() else file.convert("RGBA")
    return with_alpha.getchannel("A").getextrema()[0] != 255


def _rotated(image: Image.Image, orientation: int) -> Image.Image:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.info = {"exif": exif.tobytes()}  # in place of the file's own, which could fail to be written anew
    return ImageOps.exif_transpose(image)


def _frames(file: Image.Image) -> list[str]:
    """What is said of the frames of a file; nothing if it has one."""
    try:
        frames = getattr(file, "n_frames", 1)
    except Exception:  # as in `decode`
        return ["first of several frames, the others damaged"]
    return [f"first of {frames} frames"] if frames > 1 else []


@lru_cache(maxsize=64)
def _profile(data: bytes) -> tuple[str, ...]:
    """What is said of a colour profile; nothing if it is sRGB, by what it does to colours."""
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        name = _line(ImageCms.getProfileDescription(profile))
    except Exception:  # as in `decode`
        return ("colour profile that cannot be read",)
    steps = np.linspace(0, 255, 6)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(36, 6, 3).astype(np.uint8)
    try:
        applied = ImageCms.profileToProfile(
            Image.fromarray(colours),
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
        same = bool(np.abs(np.asarray(applied).astype(int) - colours).max() <= _NEAR_SRGB)
    except Exception:  # as in `decode`; or it is a profile of grey or of CMYK
        same = False
    return () if same else (f"colour profile {name!r} not applied",)


def _said(error: Exception) -> str:
    """What an error says, without numbers that would make each file's reason another."""
    text = getattr(error, "strerror", None) or str(error)
    if not isinstance(error, OSError | SyntaxError | ValueError):
        text = ": ".join(filter(None, (type(error).__name__, text)))
    return _line(text.partition(" (")[0] if "bytes not processed" in text else text) or type(error).__name__


def _line(text: str) -> str:
    """One line of text that can be printed and stored."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
