"""Odd and broken image files, each made for real, with what is to become of it."""

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
FLAT = (200, 120, 40)
ORIENTATION = 0x0112
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""X, Y, Z of the primaries, adapted to D50: Adobe RGB (1998) Color Image Encoding."""
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""The same of sRGB."""

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Odd:
    """A file and what is to become of it.

    Attributes
    ----------
    make
        Writes the file.
    status
        "ok", "coerced" or "failed".
    reason
        Matches the whole reason.
    """

    make: Make
    status: str
    reason: str = ""


def image(mode: str, colour: int | tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (16, 16), colour)


def saved(picture: Image.Image, **options: object) -> Make:
    """Write a picture, its format by the name."""
    return lambda path: picture.save(path, **options)


def cut(picture: Image.Image, share: float, **options: object) -> Make:
    """Write only the beginning of the file."""

    def make(path: Path) -> None:
        picture.save(path, **options)
        os.truncate(path, int(path.stat().st_size * share))

    return make


def written(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG, of colour type 0 (grey), 2 (RGB) or 6 (RGBA), from rows that begin with their filter's number."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(
    width: int, bits: int, data: bytes, *, height: int = 1, white_is_zero: bool = False, signed: bool = False
) -> bytes:
    """A grey TIFF that holds one row, for what Pillow does not write."""
    tags = [
        *((256, width), (257, height), (258, bits), (259, 1), (262, 0 if white_is_zero else 1)),
        *((273, 8 + 2 + 12 * 10 + 4), (277, 1), (278, 1), (279, len(data)), (339, 2 if signed else 1)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0" + data


def profile(name: str, primaries: tuple[tuple[float, float, float], ...], curve: bytes) -> bytes:
    """An ICC profile, version 2, of three primaries and a tone curve."""

    def fixed(*numbers: float) -> bytes:
        return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))

    white = fixed(0.9642, 1, 0.8249)  # D50
    text = name.encode() + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
    parts = [
        (b"desc", described),
        (b"cprt", b"text\0\0\0\0none\0"),
        (b"wtpt", b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)),
    ]
    for letter, primary in zip("rgb", primaries, strict=True):
        parts.append((f"{letter}XYZ".encode(), b"XYZ \0\0\0\0" + fixed(*primary)))
        parts.append((f"{letter}TRC".encode(), b"curv\0\0\0\0" + curve))
    table, body, offset = struct.pack(">I", len(parts)), b"", 128 + 4 + 12 * len(parts)
    for tag, part in parts:
        table += tag + struct.pack(">II", offset + len(body), len(part))
        body += part + b"\0" * (-len(part) % 4)
    header = b"\0" * 8 + struct.pack(">I", 0x02100000) + b"mntrRGB XYZ " + b"\0" * 12 + b"acsp"
    header = header.ljust(68, b"\0") + white
    whole = header.ljust(128, b"\0") + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def adobe_rgb() -> bytes:
    return profile("Adobe RGB (1998)", ADOBE_RGB, struct.pack(">IH", 1, 563))  # gamma of 563/256


def srgb_by_another_name() -> bytes:
    """As cameras write it: a table for the curve, from IEC 61966-2-1."""
    x = np.linspace(0, 1, 1024)
    curve = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    table = np.round(curve * 65535).astype(">u2")
    return profile("Camera 7", SRGB, struct.pack(">I", len(table)) + table.tobytes())


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def ycck(y: int, cb: int, cr: int, k: int) -> Make:
    """A JPEG of these stored components, declared as YCCK by its Adobe marker."""

    def make(path: Path) -> None:
        stored = tuple(255 - value for value in (y, cb, cr, k))  # Pillow stores the inverse of CMYK, as Adobe does
        image("CMYK", stored).save(path, quality=100)
        data = bytearray(path.read_bytes())
        marker = data.index(b"Adobe")
        assert data[marker + 11] == 0
        data[marker + 11] = 2
        path.write_bytes(data)

    return make


def stored_behind_pixels(path: Path) -> None:
    """A PNG whose EXIF data follows the pixels, as the format allows."""
    saved(Image.fromarray(PHOTO), exif=oriented(6))(path)
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", data[start : start + 4])[0]
    last = data.index(b"IEND") - 4
    path.write_bytes(data[:start] + data[end:last] + data[start:end] + data[last:])


def flipped_bit(path: Path) -> None:
    """A PNG with one bit of its pixel data flipped, where the data itself is stored and not compressed."""
    Image.fromarray(PHOTO).save(path, compress_level=0)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 1000] ^= 1
    path.write_bytes(data)


def frames(count: int, mode: str = "RGB") -> dict[str, object]:
    others = [image(mode, (0, 40 * k, 0, 128)[: len(mode)]) for k in range(1, count)]
    return {"save_all": True, "append_images": others}


def palette() -> Image.Image:
    picture = Image.fromarray(PHOTO).quantize(16)
    picture.info["transparency"] = bytes([0, 128] + [255] * 14)
    return picture


def link(target: str, content: Make | None = None) -> Make:
    """A symbolic link, beside it what it links to."""

    def make(path: Path) -> None:
        if content is not None:
            content(path.parent / target)
        path.symlink_to(target)

    return make


NOTHING = "no image of a format that is read"
TRUNCATED = "image file is truncated"
CMYK = (200, 30, 90, 40)
YCCK = (150, 100, 170, 215)
GREY_16 = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
ROWS_16 = b"\0" + struct.pack(">6H", 0x12FF, 0, 0xFFFF, 0x80FF, 0x7F00, 0x0100)

ODD = {
    "truncated.jpg": Odd(cut(Image.fromarray(PHOTO), 0.7), "failed", TRUNCATED),
    "truncated.png": Odd(cut(Image.fromarray(PHOTO), 0.7), "failed", "Truncated File Read"),
    "without_end.png": Odd(cut(Image.fromarray(PHOTO), 0.997), "failed", r"(truncated|broken) PNG file.*"),
    "header.jpg": Odd(written(b"\xff\xd8\xff\xe0"), "failed", r"damaged at its beginning \(JPEG\)"),
    "flipped_bit.png": Odd(flipped_bit, "failed", r"broken PNG file \(bad header checksum in b'IDAT'\)"),
    "truncated.gif": Odd(cut(Image.fromarray(PHOTO), 0.7), "failed", TRUNCATED),
    "truncated.bmp": Odd(cut(Image.fromarray(PHOTO), 0.7), "failed", TRUNCATED),
    "truncated.webp": Odd(cut(Image.fromarray(PHOTO), 0.7), "failed", "could not create decoder object"),
    "truncated.tiff": Odd(cut(Image.fromarray(PHOTO), 0.7), "failed", TRUNCATED),
    "truncated.ppm": Odd(cut(Image.fromarray(PHOTO), 0.7), "failed", TRUNCATED),
    "missing_rows.tiff": Odd(written(tiff(3, 8, b"abc", height=2)), "failed", "part of the image is missing"),
    "empty.jpg": Odd(written(b""), "failed", "the file is empty"),
    "page.jpg": Odd(written(b"<!DOCTYPE html><title>404</title>"), "failed", NOTHING),
    "icon.png": Odd(lambda path: image("RGBA", FLAT).save(path, "ICO"), "failed", NOTHING),
    "cmyk.jpg": Odd(saved(image("CMYK", CMYK), quality=100), "coerced", "CMYK converted to RGB"),
    "ycck.jpg": Odd(ycck(*YCCK), "coerced", "CMYK converted to RGB"),
    "grey.jpg": Odd(saved(image("L", 77)), "coerced", "L converted to RGB"),
    "grey_alpha.png": Odd(saved(image("LA", (77, 9))), "coerced", "LA converted to RGB, transparency dropped"),
    "palette.png": Odd(saved(palette()), "coerced", "P converted to RGB, transparency dropped"),
    "palette.gif": Odd(saved(Image.fromarray(PHOTO).quantize(16)), "coerced", "P converted to RGB"),
    "rgba.png": Odd(saved(image("RGBA", (*FLAT, 9))), "coerced", "RGBA converted to RGB, transparency dropped"),
    "opaque.png": Odd(saved(image("RGBA", (*FLAT, 255))), "coerced", "RGBA converted to RGB"),
    "key.png": Odd(saved(image("RGB", FLAT), transparency=FLAT), "coerced", "transparency dropped"),
    "unused_key.png": Odd(saved(image("RGB", FLAT), transparency=(1, 2, 3)), "ok"),
    "bilevel.png": Odd(saved(image("1", 1)), "coerced", "1 converted to RGB"),
    "grey_16.png": Odd(saved(Image.fromarray(GREY_16)), "coerced", "16 bits scaled to 8; L converted to RGB"),
    "grey_16.pgm": Odd(saved(Image.fromarray(GREY_16)), "coerced", "16 bits scaled to 8; L converted to RGB"),
    "grey_12.tiff": Odd(
        written(tiff(4, 12, bytes([0x00, 0x06, 0x46, 0xFF, 0xF8, 0x00]))),
        "coerced",
        "12 bits scaled to 8; L converted to RGB",
    ),
    "rgb_16.png": Odd(written(png(2, 1, 16, 2, ROWS_16)), "coerced", "16 bits cut to 8"),
    "rgba_16.png": Odd(
        written(png(1, 1, 16, 6, ROWS_16[:9])),
        "coerced",
        "16 bits cut to 8; RGBA converted to RGB, transparency dropped",
    ),
    "rgb_16.ppm": Odd(written(b"P6 2 1 65535\n" + ROWS_16[1:]), "coerced", "16 bits scaled to 8"),
    "float.tiff": Odd(
        saved(Image.fromarray(np.ones((4, 4), np.float32))), "failed", "floating-point values have no known range"
    ),
    "integers.tiff": Odd(written(tiff(2, 32, bytes(8))), "failed", "32-bit integers have no known range"),
    "signed_32.tiff": Odd(
        saved(Image.fromarray(np.ones((4, 4), np.int32))), "failed", "signed integers have no known range"
    ),
    "signed.tiff": Odd(
        written(tiff(3, 8, bytes([0, 127, 128]), signed=True)), "failed", "signed integers have no known range"
    ),
    "negative.tiff": Odd(
        written(tiff(3, 16, GREY_16.tobytes(), white_is_zero=True)), "failed", "16 bits with white as 0 are not read"
    ),
    "animated.gif": Odd(saved(image("RGB", FLAT), **frames(3)), "coerced", "P converted to RGB; first of 3 frames"),
    "animated.webp": Odd(
        saved(image("RGBA", (*FLAT, 9)), lossless=True, **frames(4, "RGBA")),
        "coerced",
        "RGBA converted to RGB, transparency dropped; first of 4 frames",
    ),
    "animated.png": Odd(saved(image("RGB", FLAT), **frames(2)), "coerced", "first of 2 frames"),
    "pages.tiff": Odd(saved(image("RGB", FLAT), **frames(3)), "coerced", "first of 3 frames"),
    "rotated.jpg": Odd(saved(Image.fromarray(PHOTO), exif=oriented(6)), "ok", "EXIF orientation 6 not applied"),
    "rotated.png": Odd(stored_behind_pixels, "ok", "EXIF orientation 6 not applied"),
    "rotated.webp": Odd(
        saved(Image.fromarray(PHOTO).convert("L"), exif=oriented(3)), "ok", "EXIF orientation 3 not applied"
    ),
    "rotated.tiff": Odd(saved(Image.fromarray(PHOTO), exif=oriented(6)), "coerced", "EXIF orientation 6 applied"),
    "upright.jpg": Odd(saved(Image.fromarray(PHOTO), exif=oriented(1)), "ok"),
    "exif.jpg": Odd(saved(Image.fromarray(PHOTO), exif=b"Exif\0\0nonsense"), "ok", "EXIF data that cannot be read"),
    "profile.jpg": Odd(
        saved(Image.fromarray(PHOTO), icc_profile=adobe_rgb()),
        "ok",
        r"colour profile 'Adobe RGB \(1998\)' not applied",
    ),
    "srgb.png": Odd(
        saved(Image.fromarray(PHOTO), icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        "ok",
    ),
    "srgb_by_another_name.jpg": Odd(saved(Image.fromarray(PHOTO), icc_profile=srgb_by_another_name()), "ok"),
    "no_profile.jpg": Odd(
        saved(Image.fromarray(PHOTO), icc_profile=b"nonsense"),
        "ok",
        "colour profile that cannot be read",
    ),
    "everything.jpg": Odd(
        saved(image("L", 77), exif=oriented(8), icc_profile=adobe_rgb()),
        "coerced",
        r"L converted to RGB; colour profile 'Adobe RGB \(1998\)' not applied; EXIF orientation 8 not applied",
    ),
    "bomb.png": Odd(written(png(20_000, 20_000, 8, 2, b"")), "failed", "larger than 89478485 pixels"),
    "warning.png": Odd(written(png(10_000, 10_000, 8, 2, b"")), "failed", "larger than 89478485 pixels"),
    "pixel.png": Odd(saved(Image.new("RGB", (1, 1), FLAT)), "ok"),
    "line.png": Odd(saved(Image.new("RGB", (20_000, 1), FLAT)), "ok"),
    "unreadable.jpg": Odd(link("/proc/self/mem"), "failed", "Input/output error"),
    "fifo.jpg": Odd(os.mkfifo, "failed", "no regular file"),
    "broken_link.jpg": Odd(link("nowhere.jpg"), "failed", "a link to a file that is not there"),
    "loop.jpg": Odd(link("loop.jpg"), "failed", "Too many levels of symbolic links"),
    "duplicate.png": Odd(link("original.data", lambda path: image("RGB", FLAT).save(path, "PNG")), "ok"),
    "folder.png": Odd(Path.mkdir, "failed", "Is a directory"),
    os.fsdecode(b"caf\xe9.png"): Odd(saved(image("RGB", FLAT)), "ok"),
    "UPPER CASE.JPG": Odd(saved(Image.fromarray(PHOTO)), "ok"),
}
"""What each file is called, is, and becomes."""
