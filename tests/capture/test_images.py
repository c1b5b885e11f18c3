from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seviz.capture.images import decode

PIXELS = np.arange(12 * 9 * 3, dtype=np.uint8).reshape(9, 12, 3)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff"])
def test_rgb_comes_back_pixel_by_pixel(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(PIXELS).save(path)
    decoded = decode(path)
    assert (decoded.status, decoded.reason) == ("ok", "")
    np.testing.assert_array_equal(np.asarray(decoded.image), PIXELS)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_other_modes_are_converted_and_it_is_said(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("image.tiff" if mode == "CMYK" else "image.png")
    Image.fromarray(PIXELS).convert("L" if mode == "LA" else "RGB").convert(mode).save(path)
    decoded = decode(path)
    assert (decoded.status, decoded.reason) == ("coerced", f"{mode} converted to RGB")
    assert (decoded.image.mode, decoded.image.size) == ("RGB", (12, 9))


def test_16_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "image.png")
    decoded = decode(tmp_path / "image.png")
    assert (decoded.status, decoded.reason) == ("coerced", "16 bits scaled to 8")
    np.testing.assert_array_equal(np.asarray(decoded.image)[0, :, 0], [0, 100, 255])


def test_failures_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole)
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "float.tiff")
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:4000])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    (tmp_path / "folder.png").mkdir()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    Image.new("RGB", (80, 80)).save(tmp_path / "large.png")
    expected = {
        "cut.png": "truncated",
        "empty.jpg": "no image of a format that is read",
        "page.jpg": "no image of a format that is read",
        "folder.png": "Is a directory",
        "gone.png": "No such file or directory",
        "large.png": "larger than 5000 pixels",
        "float.tiff": "values of mode F have no known range",
    }
    for name, reason in expected.items():
        decoded = decode(tmp_path / name)
        assert (decoded.image, decoded.status) == (None, "failed"), name
        assert reason in decoded.reason, name
    assert decode(whole).status == "ok"
