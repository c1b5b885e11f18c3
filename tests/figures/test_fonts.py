"""Characters that DejaVu Sans lacks: drawn with an installed font that has them, else told once."""

import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.text import Text
from PIL import Image

from seviz.errors import SevizWarning
from seviz.figures import fonts
from seviz.figures.fonts import Sheet, fallbacks
from seviz.figures.style import save, style

STIX = "\N{LATIN SMALL LETTER K WITH PALATAL HOOK}"
"""Not in DejaVu Sans; in STIXGeneral, which comes with matplotlib."""


@pytest.fixture(autouse=True)
def _nothing_told_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fonts, "_NOTED", set())
    fallbacks.cache_clear()
    yield
    fallbacks.cache_clear()


@pytest.fixture
def only_dejavu(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry for entry in font_manager.fontManager.ttflist if entry.name in ("DejaVu Sans", "cmr10")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", entries)


def sheet(*texts: str) -> Sheet:
    with style():
        figure = Sheet(figsize=(2, 1))
        for k, text in enumerate(texts):
            figure.text(0.1, 0.2 + 0.3 * k, text)
    return figure


def drawn(figure: Sheet) -> np.ndarray:
    buffer = BytesIO()
    with style():
        figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("L"))


def test_a_bold_title_says_nothing_of_a_fallback_without_a_bold_face(caplog: pytest.LogCaptureFixture) -> None:
    figure = sheet()
    with style():
        figure.subplots().set_title(STIX, fontweight="black")
    drawn(figure)
    assert caplog.records == []


def test_an_installed_font_that_has_the_character_is_used() -> None:
    assert fallbacks(STIX) == (("STIXGeneral",), "")
    with style():
        expected = Sheet(figsize=(2, 1))
        expected.text(0.1, 0.2, STIX, fontfamily="STIXGeneral")
    figure = sheet(STIX)
    assert np.array_equal(drawn(figure), drawn(expected))
    assert figure.findobj(Text)[0].get_fontfamily() == ["DejaVu Sans"]  # as it was


@pytest.mark.usefixtures("only_dejavu")
def test_a_character_in_no_font_is_told_once_and_not_for_each_letter() -> None:
    with pytest.warns(SevizWarning) as told:
        drawn(sheet("大熊猫", "大"))
    assert [str(each.message).split(":")[0] for each in told] == ["no installed font has 大 熊 猫"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(sheet("熊"))
    with pytest.warns(SevizWarning, match="has 狗: boxes are drawn in their place. Install a font that"):
        drawn(sheet("狗熊"))
    with pytest.warns(SevizWarning, match="no installed font has 一 丁 七 万 丈 三 上 下 and 2 more"):
        drawn(sheet("一丁七万丈三上下不与"))


@pytest.mark.usefixtures("only_dejavu")
def test_svg_holds_the_text_and_needs_no_font(tmp_path: Path) -> None:
    save(sheet("大熊猫 $x_$y"), tmp_path / "a.svg")
    assert "大熊猫 $x_$y" in (tmp_path / "a.svg").read_text("utf-8")


@pytest.mark.usefixtures("only_dejavu")
def test_spaces_and_plain_text_ask_for_no_font() -> None:
    drawn(sheet("plain ω² → ♥ \N{IDEOGRAPHIC SPACE}", "é \N{ZERO WIDTH JOINER}"))


def test_fonts_that_cannot_be_read_or_have_coloured_pictures_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    broken = font_manager.FontEntry(fname=str(tmp_path / "broken.ttf"), name="A Sans", weight=400)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist, broken])
    monkeypatch.setattr(fonts, "_characters", fonts._characters.__wrapped__)
    assert "A Sans" in [entry.name for entry in fonts._installed()]
    assert fallbacks(STIX) == (("STIXGeneral",), "")

    class Coloured:
        face_flags = fonts.FaceFlags.COLOR

        def set_size(self, *_: float) -> None: ...

    monkeypatch.setattr(font_manager, "get_font", lambda _: Coloured())
    fallbacks.cache_clear()
    assert fallbacks(STIX) == ((), STIX)
