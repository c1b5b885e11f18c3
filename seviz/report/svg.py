"""A figure as it stands in a page: inline SVG whose ids no other figure has, or a picture where that is large."""

import base64
import re
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

from matplotlib.figure import Figure

from seviz.figures.style import style
from seviz.report.markup import text
from seviz.texts import visible

LARGEST = 600_000
"""Characters of a figure's SVG, above which it is shown as dots."""
DOTS = 170
"""An inch, of a figure that is shown as dots."""

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_DROPPED = (f"{_SVG}metadata", f"{_SVG}style")  # that style is of any element, and so would be of the whole page
_COORDINATES = ("d", "points", "x", "y", "width", "height")
_FONTS = "'DejaVu Sans', Verdana, sans-serif"  # the second is about as wide as the first


def inline(figure: Figure, name: str, *, title: str, description: str) -> str:
    """The markup of a figure: same figure, same text.

    Parameters
    ----------
    figure
        From one of the plots.
    name
        Of this figure, unlike that of any other in the page; begins all ids.
    title, description
        What is read out in place of it.
    """
    markup = _vector(figure, name, title, description)
    if len(markup) <= LARGEST:
        return markup
    picture = _saved(figure, format="png", dpi=DOTS, metadata={"Software": None}, pil_kwargs={"optimize": True})
    dots = base64.b64encode(picture).decode()
    return f'<img src="data:image/png;base64,{dots}" alt="{text(f"{title}. {description}")}">'


def _vector(figure: Figure, name: str, title: str, description: str) -> str:
    saved = _saved(figure, format="svg", metadata=_METADATA).decode()
    root = ElementTree.fromstring(visible(saved, keep="\n\t\N{ZERO WIDTH SPACE}"))
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in _DROPPED]:
            parent.remove(child)
    values = [value for element in root.iter() for value in element.attrib.values()]
    used = {match for value in values for match in re.findall(r"^#(\S+)|url\(#([^)]+)\)", value) for match in match}
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = {
            key.removeprefix(_XLINK): _value(key, value, name)
            for key, value in element.attrib.items()
            if key != "id" or value in used
        }
    box = root.attrib["viewBox"]
    root.attrib = {"viewBox": box, "role": "img", "aria-labelledby": f"{name}-title {name}-description"}
    for position, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        element.text = visible(words)
        root.insert(position, element)
    return re.sub(r"\s*\n\s*", "\n", ElementTree.tostring(root, encoding="unicode"))


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = BytesIO()
    with style():
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def _value(key: str, value: str, name: str) -> str:
    """An attribute with ids of this figure, and with no more digits than can be seen."""
    if key == "id":
        return f"{name}-{value}"
    if key in _COORDINATES:
        value = re.sub(r"-?\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value)
        return re.sub(r"\s*\n\s*", "", value)
    value = re.sub(r"^#(?=\S)", f"#{name}-", value) if key.endswith("href") else value
    value = re.sub(r"url\(#", f"url(#{name}-", value)
    return value.replace("'DejaVu Sans'", _FONTS) if key == "style" else value
