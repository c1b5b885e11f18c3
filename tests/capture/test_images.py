import hashlib
import os
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile, features

from seviz.capture import images
from seviz.capture.images import decode, too_long
from tests.capture.odd_images import CMYK, FLAT, ODD, PHOTO, YCCK, Odd, palette


def pixels(name: str, folder: Path, *, rotate: bool = False) -> NDArray[np.int64]:
    """What an odd image is decoded to."""
    ODD[name].make(folder / name)
    decoded = decode(folder / name, rotate=rotate)
    assert decoded.image is not None
    return np.asarray(decoded.image).astype(int)


@pytest.mark.parametrize(("name", "odd"), ODD.items(), ids=map(ascii, ODD))
def test_each_file_ends_as_ok_coerced_or_failed_and_says_why(name: str, odd: Odd, tmp_path: Path) -> None:
    odd.make(tmp_path / name)
    decoded = decode(tmp_path / name)
    assert decoded.status == odd.status, decoded.reason
    assert re.fullmatch(odd.reason, decoded.reason), decoded.reason
    if odd.status == "failed":
        assert decoded.image is None
    else:
        assert type(decoded.image) is Image.Image
        assert (decoded.image.mode, decoded.image.info) == ("RGB", {})


def test_no_warning_leaks_and_filters_stay(tmp_path: Path) -> None:
    palette().save(tmp_path / "palette.png")
    with Image.open(tmp_path / "palette.png") as file, pytest.warns(UserWarning, match="Palette images with Transp"):
        file.convert("RGB")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        for name, odd in ODD.items():
            odd.make(tmp_path / f"odd_{name}")
        caught.clear()
        for name in ODD:
            decode(tmp_path / f"odd_{name}")
        assert warnings.filters == before
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff"])
def test_rgb_comes_back_pixel_by_pixel(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(PHOTO).save(path)
    decoded = decode(path)
    assert (decoded.status, decoded.reason) == ("ok", "")
    np.testing.assert_array_equal(np.asarray(decoded.image), PHOTO)


@pytest.mark.parametrize(
    "name", [name for name, odd in ODD.items() if odd.status != "failed" and "16" not in name and "12" not in name]
)
def test_pixels_are_those_of_pillow(name: str, tmp_path: Path) -> None:
    found = pixels(name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(Image.open(tmp_path / name).convert("RGB"))
    np.testing.assert_array_equal(found, expected)


def test_cmyk_is_ink_on_white(tmp_path: Path) -> None:
    *inks, black = (1 - ink / 255 for ink in CMYK)
    expected = [255 * ink * black for ink in inks]
    assert np.abs(pixels("cmyk.jpg", tmp_path) - expected).max() <= 2  # JPEG


def test_ycck_is_unmixed_to_cmyk(tmp_path: Path) -> None:
    y, cb, cr, k = YCCK
    mixed = [y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128), y + 1.772 * (cb - 128)]
    # Adobe stores inks as their inverse, of which YCCK is the YCC: "mixed" is what ink there is, and k what is left.
    expected = [(255 - ink) * k / 255 for ink in mixed]
    assert np.abs(pixels("ycck.jpg", tmp_path) - expected).max() <= 3


def test_transparency_is_dropped_and_nothing_blended(tmp_path: Path) -> None:
    assert (pixels("rgba.png", tmp_path) == FLAT).all()
    assert (pixels("grey_alpha.png", tmp_path) == 77).all()
    assert (pixels("animated.webp", tmp_path) == FLAT).all()


def test_16_and_12_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    for name in ("grey_16.png", "grey_16.pgm"):
        np.testing.assert_array_equal(pixels(name, tmp_path)[0, :, 0], [0, 100, 255])
    twelve = [0x000, 0x646, 0xFFF, 0x800]
    np.testing.assert_array_equal(pixels("grey_12.tiff", tmp_path)[0, :, 1], [round(v / 4095 * 255) for v in twelve])
    np.testing.assert_array_equal(pixels("rgb_16.png", tmp_path), [[[0x12, 0x00, 0xFF], [0x80, 0x7F, 0x01]]])
    sixteen = [[[0x12FF, 0, 0xFFFF], [0x80FF, 0x7F00, 0x0100]]]
    np.testing.assert_array_equal(pixels("rgb_16.ppm", tmp_path), np.rint(np.array(sixteen) / 257))


def test_every_grey_level_of_16_bits(tmp_path: Path) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / "image.png")
    found = np.asarray(decode(tmp_path / "image.png").image)[:, :, 2]
    np.testing.assert_array_equal(found, (values.astype(int) + 128) // 257)


def test_the_first_frame_is_taken(tmp_path: Path) -> None:
    for name in ("animated.gif", "animated.png", "pages.tiff"):
        assert (pixels(name, tmp_path) == FLAT).all(), name


def test_damaged_frames_behind_the_first_are_told(tmp_path: Path) -> None:
    ODD["pages.tiff"].make(tmp_path / "pages.tiff")
    data = bytearray((tmp_path / "pages.tiff").read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (tags,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * tags)
    data[second : second + 2] = b"\0\0"  # no tags, not even a size
    (tmp_path / "pages.tiff").write_bytes(data)
    decoded = decode(tmp_path / "pages.tiff")
    assert (decoded.status, decoded.reason) == ("coerced", "first of several frames, the others damaged")
    assert (np.asarray(decoded.image) == FLAT).all()


@pytest.mark.parametrize("name", ["rotated.png", "rotated.tiff"])
def test_exif_orientation_is_applied_on_demand(name: str, tmp_path: Path) -> None:
    clockwise = np.rot90(PHOTO, -1)  # 6: the first row is the right-hand side
    np.testing.assert_array_equal(pixels(name, tmp_path, rotate=True), clockwise)
    decoded = decode(tmp_path / name, rotate=True)
    assert (decoded.status, decoded.reason) == ("coerced", "EXIF orientation 6 applied")
    by_default = clockwise if name == "rotated.tiff" else PHOTO
    np.testing.assert_array_equal(np.asarray(decode(tmp_path / name).image), by_default)


@pytest.mark.parametrize("orientation", range(10))
def test_every_orientation(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "x" * 300  # a description
    Image.fromarray(PHOTO).save(tmp_path / "image.png", exif=exif)
    decoded = decode(tmp_path / "image.png", rotate=True)
    upright = {
        2: PHOTO[:, ::-1],
        3: PHOTO[::-1, ::-1],
        4: PHOTO[::-1],
        5: PHOTO.swapaxes(0, 1),
        6: np.rot90(PHOTO, -1),
        7: PHOTO[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(PHOTO),
    }
    np.testing.assert_array_equal(np.asarray(decoded.image), upright.get(orientation, PHOTO))
    said = f"EXIF orientation {orientation} applied" if orientation in upright else ""
    assert (decoded.status, decoded.reason) == ("coerced" if said else "ok", said)


def test_a_file_that_has_vanished_fails(tmp_path: Path) -> None:
    decoded = decode(tmp_path / "vanished.jpg")
    assert (decoded.image, decoded.status, decoded.reason) == (None, "failed", "No such file or directory")
    assert decode(tmp_path / "with\0null.jpg").status == "failed"


def test_a_link_decodes_as_what_it_links_to(tmp_path: Path) -> None:
    assert (pixels("duplicate.png", tmp_path) == FLAT).all()
    assert (tmp_path / "duplicate.png").is_symlink()


def test_huge_files_are_not_read(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "huge.png")
    os.truncate(tmp_path / "huge.png", images.LARGEST_FILE + 1)  # takes no space
    decoded = decode(tmp_path / "huge.png")
    assert (decoded.status, decoded.reason) == ("failed", f"larger than {images.LARGEST_FILE} bytes")


def test_the_limit_is_that_of_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (80, 80)).save(tmp_path / "image.png")
    for limit, status in ((6400, "ok"), (6399, "failed"), (3000, "failed"), (None, "ok")):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        decoded = decode(tmp_path / "image.png")
        assert (decoded.status, decoded.reason) == (status, "" if status == "ok" else f"larger than {limit} pixels")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "MemoryError"),
        (IndexError("index out of range"), "IndexError: index out of range"),
        (ValueError("one\n\ttwo \udcff"), "one two"),
        (OSError("image file is truncated (12 bytes not processed)"), "image file is truncated"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ZeroDivisionError("x" * 1000), f"ZeroDivisionError: {'x' * 181}"),
        (RecursionError(), "RecursionError"),
        (OSError(), "OSError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_decoder_raises_becomes_a_reason_of_one_line(
    error: Exception, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    Image.fromarray(PHOTO).save(tmp_path / "image.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    content = hashlib.sha256((tmp_path / "image.png").read_bytes()).hexdigest()[:32]
    assert decode(tmp_path / "image.png") == images.Decoded(None, "failed", reason, content)


def test_an_interruption_is_no_failed_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    Image.fromarray(PHOTO).save(tmp_path / "image.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode(tmp_path / "image.png")


FUZZED = [
    *("animated.gif", "animated.png", "animated.webp", "everything.jpg", "grey_12.tiff", "grey_16.pgm", "pages.tiff"),
    *("palette.png", "profile.jpg", "rgb_16.ppm", "rotated.jpg", "rotated.png", "rotated.tiff", "truncated.bmp"),
    *("truncated.webp", "ycck.jpg"),
]


@pytest.mark.parametrize("name", FUZZED)
def test_damage_anywhere_raises_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)  # so that a damaged size costs no time
    random = np.random.default_rng(sum(name.encode()))
    ODD[name].make(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for trial in range(60):
        data = bytearray(whole)
        for _ in range(random.integers(1, 5)):
            place = random.integers(len(data) if trial % 2 else min(len(data), 200))  # headers as often as the rest
            data[place] = random.integers(256)
        if trial % 3 == 0:
            del data[random.integers(len(data)) :]
        (tmp_path / name).write_bytes(data)
        for rotate in (False, True):
            decoded = decode(tmp_path / name, rotate=rotate)
            assert decoded.status in ("ok", "coerced", "failed")
            assert (decoded.image is None) == (decoded.status == "failed")
            assert bool(decoded.reason) or decoded.status == "ok"
            assert "\n" not in decoded.reason


def test_too_long_is_what_would_be_huge_after_resizing() -> None:
    assert too_long((500, 375), 256) == ""
    assert too_long((1, 20_000), 256) == (
        "too long: 1 x 20000 would be 1310720000 pixels with the shorter side resized to 256, more than 89478485"
    )
    assert too_long((20_000, 1), 256).startswith("too long: 20000 x 1 would be")
    assert too_long((20_000, 1), 32) == ""  # 32 x 640,000


def test_too_long_begins_behind_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10 * 33)
    assert too_long((3, 10), 10) == ""  # 10 x 33
    assert too_long((34, 10), 10).endswith("more than 330")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert too_long((1, 10**9), 256) == ""


@pytest.mark.parametrize(
    ("mode", "channels", "reason"),
    [
        ("L", 1, ""),
        ("RGB", 1, "RGB converted to L"),
        ("RGBA", 1, "RGBA converted to L, transparency dropped"),
        ("P", 1, "P converted to L, transparency dropped"),
        ("1", 1, "1 converted to L"),
        ("RGBA", 4, ""),
        ("RGB", 4, "RGB converted to RGBA"),
        ("LA", 4, "LA converted to RGBA"),
        ("L", 4, "L converted to RGBA"),
    ],
)
def test_channels_are_those_of_pillow(mode: str, channels: int, reason: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 4), np.uint8)
    written = Image.fromarray(pixels, "RGBA").convert(mode)
    written.save(tmp_path / "image.png")
    decoded = decode(tmp_path / "image.png", channels=channels)
    assert (decoded.status, decoded.reason) == ("coerced" if reason else "ok", reason)
    expected = written.convert("L" if channels == 1 else "RGBA")
    np.testing.assert_array_equal(np.asarray(decoded.image), np.asarray(expected))


def test_transparency_of_a_palette_is_kept_in_four_channels(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "image.png", transparency=0)
    assert np.asarray(decode(tmp_path / "image.png", channels=4).image)[0].tolist() == [[9, 9, 9, 0], [200, 0, 0, 255]]
    assert decode(tmp_path / "image.png", channels=1).reason == "P converted to L, transparency dropped"


def test_16_bits_in_one_channel(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257, 65535]], np.uint16)).save(tmp_path / "image.png")
    decoded = decode(tmp_path / "image.png", channels=1)
    assert (decoded.image.mode, np.asarray(decoded.image)[0].tolist()) == ("L", [0, 1, 255])
    assert decoded.reason == "16 bits scaled to 8"


def pages(*modes: str, size: tuple[int, int] = (3, 2)) -> list[Image.Image]:
    made = [Image.new("L", size, 10 * k) for k in range(len(modes))]
    return [image.convert(mode) for image, mode in zip(made, modes, strict=True)]


def test_bands_are_pages_of_a_tiff(tmp_path: Path) -> None:
    first, *others = pages("L", "L", "L", "L", "L")
    first.save(tmp_path / "bands.tif", save_all=True, append_images=others)
    decoded = decode(tmp_path / "bands.tif", channels=5)
    assert (decoded.status, decoded.image.shape, decoded.image.dtype) == ("ok", (5, 2, 3), np.uint8)
    assert decoded.image[:, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert (
        decode(tmp_path / "bands.tif", channels=2).reason == "5 pages, expected 2 pages of grey, one for each channel"
    )
    deep = [Image.fromarray(np.full((2, 3), 1000 * k, np.uint16)) for k in range(2)]
    deep[0].save(tmp_path / "deep.tif", save_all=True, append_images=deep[1:])
    assert decode(tmp_path / "deep.tif", channels=2).image[1].tolist() == [[1000] * 3] * 2
    Image.merge("LA", pages("L", "L")).save(tmp_path / "two.tif")
    assert decode(tmp_path / "two.tif", channels=2).image[:, 0, 0].tolist() == [0, 10]


@pytest.mark.parametrize(
    ("modes", "size", "channels", "reason"),
    [
        (["RGB"], None, 5, "3 bands in one page, expected 5 pages of grey, one for each channel"),
        (["L", "RGB"], None, 2, "page 2 is RGB, expected grey"),
        (["L", "L"], (9, 9), 2, "page 2 has another size or type than the first"),
        (["L", "I;16"], None, 2, "page 2 has another size or type than the first"),
        (["L", "F"], None, 2, "page 2: floating-point values have no known range"),
    ],
)
def test_tiffs_that_hold_other_bands(
    modes: list[str], size: tuple[int, int] | None, channels: int, reason: str, tmp_path: Path
) -> None:
    first, *others = pages(*modes)
    others = [image.resize(size or image.size) for image in others]
    first.save(tmp_path / "bands.tif", save_all=True, append_images=others)
    read = decode(tmp_path / "bands.tif", channels=channels)
    assert (read.image, read.status, read.reason) == (None, "failed", reason)


def one_page(bands: int) -> bytes:
    """A TIFF of 4x4 pixels with so many bands in its page, as remote sensing has them; Pillow writes none."""
    sizes, extra = struct.pack(f"<{bands}H", *[8] * bands), bytes(2 * (bands - 1))
    begin = 8 + 2 + 12 * 10 + 4
    after = begin + len(sizes) + len(extra)
    tags = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, bands, begin), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, after)]
    tags += [(277, 3, 1, bands), (278, 3, 1, 4), (279, 4, 1, 16 * bands), (338, 3, bands - 1, begin + len(sizes))]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + sizes + extra + bytes(16 * bands)


@pytest.mark.parametrize("bands", [5, 8])
def test_bands_in_one_page_that_pillow_does_not_read(
    bands: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bands.tif").write_bytes(one_page(bands))
    reason = "a TIFF damaged at its beginning, or with bands that are not read"
    assert decode(tmp_path / "bands.tif", channels=bands).reason == reason
    assert capfd.readouterr() == ("", "")


def test_bands_of_other_formats(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "image.png")
    reason = "PNG holds no 5 bands; expected a TIFF with a page for each"
    assert decode(tmp_path / "image.png", channels=5).reason == reason


@pytest.mark.skipif("avif" not in features.get_supported(), reason="Pillow was built without AVIF")
def test_avif_where_pillow_reads_it(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 30, 40)).save(tmp_path / "image.avif", quality=95)
    decoded = decode(tmp_path / "image.avif")
    assert decoded.status == "ok"
    np.testing.assert_allclose(np.asarray(decoded.image)[8, 8], (200, 30, 40), atol=6)
    (tmp_path / "image.avif").write_bytes((tmp_path / "image.avif").read_bytes()[:200])
    assert decode(tmp_path / "image.avif").status == "failed"
    assert ".avif" in images.EXTENSIONS
