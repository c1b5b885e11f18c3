"""Fonts that have the characters of names: DejaVu Sans, then whatever installed font has what it lacks, else one note.

Which characters are missing is seen when a figure is drawn, since only then all its texts are known. In SVG text stays
text, and whoever shows it finds a font: there nothing is changed, so that the file is the same on every machine.
"""

import logging
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib import font_manager
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ft2font import FaceFlags
from matplotlib.text import Text

from seviz.errors import SevizWarning

FAMILY = "DejaVu Sans"
"""Comes with matplotlib."""
_NOTED: set[str] = set()
"""Characters that were told once to be in no font."""


class Sheet(Figure):
    """A figure whose texts are drawn with fonts that have their characters, as far as such are installed."""

    def draw(self, renderer: object) -> None:
        """Draw it; a SevizWarning tells, once, which characters no font has."""
        with _fitted(self), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)  # one for each letter
            super().draw(renderer)  # type: ignore[arg-type]


@contextmanager
def _fitted(figure: Figure) -> Iterator[None]:
    """Texts with characters that DejaVu Sans lacks have further families, within the context."""
    wanted = {text: _lacking(text.get_text()) for text in figure.findobj(Text) if not text.get_text().isascii()}
    lacking = "".join(sorted({character for characters in wanted.values() for character in characters}))
    if not lacking or isinstance(figure.canvas, FigureCanvasSVG):
        yield
        return
    families, missing = fallbacks(lacking)
    before = {text: text.get_fontfamily() for text, characters in wanted.items() if characters}
    for text in before:
        text.set_fontfamily([FAMILY, *families])
    _note(missing)
    log = logging.getLogger("matplotlib.font_manager")  # says that a fallback has no bold face
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
        for text, family in before.items():
            text.set_fontfamily(family)


@cache
def fallbacks(lacking: str) -> tuple[tuple[str, ...], str]:
    """Installed families that have these characters, and the characters that none has.

    Parameters
    ----------
    lacking
        Characters that DejaVu Sans does not have, each once.
    """
    families, missing = [], set(lacking)
    for entry in _installed():
        if not missing:
            break
        found = missing & _characters(entry)
        if found:
            families.append(entry.name)
            missing -= found
    return tuple(families), "".join(sorted(missing))


def _installed() -> list[font_manager.FontEntry]:
    """One upright font of each family, in a fixed order, those without serifs first."""
    upright = {
        entry.name: entry
        for entry in font_manager.fontManager.ttflist
        if (entry.style, entry.stretch) == ("normal", "normal")
        and entry.weight in (400, "normal", "regular", "book")
        and not entry.name.startswith((FAMILY, "Last Resort"))  # the last of these has a box for each character
    }
    return sorted(upright.values(), key=lambda entry: ("Sans" not in entry.name, entry.name))


@cache
def _characters(entry: font_manager.FontEntry) -> frozenset[str]:
    """Those that a font has outlines of: none of coloured pictures, which matplotlib cannot draw."""
    wanted = font_manager.FontProperties(family=entry.name, weight=entry.weight)
    try:
        font = font_manager.get_font(font_manager.findfont(wanted, fallback_to_default=False))
        font.set_size(7, 100)
    except (OSError, RuntimeError, ValueError):
        return frozenset()
    return frozenset() if FaceFlags.COLOR in font.face_flags else frozenset(map(chr, font.get_charmap()))


def _lacking(text: str) -> frozenset[str]:
    own = _characters(font_manager.FontEntry(name=FAMILY, weight=400))
    return frozenset(c for c in set(text) - own if not c.isspace() and unicodedata.category(c) != "Cf")


def _note(missing: str) -> None:
    new = [character for character in missing if character not in _NOTED]
    if new:
        _NOTED.update(new)
        few = " ".join(new[:8]) + (f" and {len(new) - 8} more" if len(new) > 8 else "")
        warnings.warn(
            f"no installed font has {few}: boxes are drawn in their place. Install a font that has these, such as Noto"
            " Sans CJK or Noto Emoji; SVG files hold the text itself.",
            SevizWarning,
            stacklevel=2,
        )
