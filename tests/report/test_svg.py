import base64
import re
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from seviz.figures.fonts import Sheet
from seviz.figures.style import style
from seviz.report import svg
from seviz.report.svg import inline


def figure(points: int = 5, label: str = "a <b> & c") -> Figure:
    with style():
        drawn = Sheet(figsize=(3, 2), layout="constrained")
        axes = drawn.subplots()
        axes.plot(np.linspace(0, 1, points), np.random.default_rng(0).random(points), "-o", label=label)
        axes.set_yticks([0, 1], ["$\\x$", "b"])
        axes.imshow(np.eye(2), extent=(0, 1, 0, 1))
        drawn.legend()
    return drawn


def markup(name: str = "one", **options: object) -> str:
    return inline(figure(**options), name, title="A <title>", description='It\'s "so" & so')  # type: ignore[arg-type]


def test_a_figure_is_titled_and_described() -> None:
    root = ElementTree.fromstring(markup())
    assert root.attrib["role"] == "img"
    texts = {child.attrib["id"]: child.text for child in root if "id" in child.attrib}
    assert [texts[name] for name in root.attrib["aria-labelledby"].split()] == ["A <title>", 'It\'s "so" & so']
    assert (root[0].tag, root[1].tag) == ("title", "desc")
    assert {"a <b> & c", "$\\x$"} <= {element.text for element in root.iter("text")}


def test_ids_begin_with_the_name_and_references_find_them() -> None:
    drawn = markup("one")
    root = ElementTree.fromstring(drawn)
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    references = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', drawn)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("one-") for name in ids)
    assert references
    assert {a or b for a, b in references} <= set(ids)
    other = {element.attrib.get("id") for element in ElementTree.fromstring(markup("two")).iter()}
    assert set(ids) & other == set()


def test_nothing_of_a_figure_reaches_the_page_or_beyond_it() -> None:
    drawn = markup()
    assert "<style" not in drawn
    assert "xmlns" not in drawn
    assert "http" not in drawn
    assert "metadata" not in drawn


def test_same_figure_same_text_whatever_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    first = markup()
    with mpl.rc_context({"svg.hashsalt": None, "svg.fonttype": "path", "font.size": 20}):
        assert markup() == first


def test_a_large_figure_is_shown_as_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg, "LARGEST", 2000)
    drawn = markup()
    match = re.fullmatch(
        r'<img src="data:image/png;base64,([^"]+)" alt="A &lt;title&gt;. It&#x27;s &quot;so&quot; &amp; so">', drawn
    )
    assert match
    with Image.open(BytesIO(base64.b64decode(match[1]))) as image:
        assert image.size == (510, 340)


def test_characters_that_svg_forbids_are_written() -> None:
    assert r"a\x01b" in markup(label="a\x01b")


def test_coordinates_have_no_more_digits_than_are_seen() -> None:
    paths = [element.attrib["d"] for element in ElementTree.fromstring(markup(points=50)).iter("path")]
    assert not [number for path in paths for number in re.findall(r"\d+\.\d+", path) if len(number.split(".")[1]) > 2]
