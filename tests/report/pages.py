"""Reading a page as a browser does not: every tag closed, every id once, nothing fetched."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """The elements of a page.

    Attributes
    ----------
    problems
        Tags that are not balanced.
    elements
        Tag and attributes, in order.
    texts
        Text of the elements, by tag, without that of scripts and styles.
    """

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.problems, self.open = list[str](), list[str]()
        self.elements, self.texts = list[tuple[str, dict[str, str]]](), list[tuple[str, str]]()
        self.feed(markup)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> within {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append((self.open[-1], data))

    @property
    def text(self) -> str:
        """All text, each run of white space one blank."""
        return re.sub(r"\s+", " ", " ".join(data for _, data in self.texts))

    def of(self, tag: str) -> list[dict[str, str]]:
        """Attributes of the elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
