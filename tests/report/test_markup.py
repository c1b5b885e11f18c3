from html.parser import HTMLParser

import numpy as np
import pandas as pd

from seviz.report.markup import Column, facts, table, text

NASTY = '<script>alert("1 & 2")</script>\x00\ud800'


class Cells(HTMLParser):
    """Texts and sort keys of the cells of a table, row by row."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.rows, self.inside = list[list[tuple[str, str | None]]](), False
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.inside = True
            self.rows[-1].append(("", dict(attrs).get("data-value")))

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] = (self.rows[-1][-1][0] + data, self.rows[-1][-1][1])

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag not in ("th", "td")


def test_text_is_escaped_and_holds_nothing_that_html_forbids() -> None:
    assert text(NASTY) == "&lt;script&gt;alert(&quot;1 &amp; 2&quot;)&lt;/script&gt;\\x00\\ud800"
    assert text("it's 5 µm, 鱼\n\tε") == r"it&#x27;s 5 µm, 鱼\n\tε"


def test_cells_show_what_they_are_sorted_by() -> None:
    rows = pd.DataFrame(
        {
            "block": ["SE_2_1", NASTY[:-1]],
            "omega": [0.1234, -0.0001],
            "low": [0.1, np.nan],
            "high": [0.2, 0.3],
            "std": [0.00123456, np.nan],
            "wanted": [1234.0, np.inf],
            "flag": ["", "near constant"],
        }
    )
    columns = (
        Column("block", "block"),
        Column("omega", "ω²", "share"),
        Column("low,high", "interval", "share"),
        Column("std", "sd", "figure"),
        Column("wanted", "wanted", "count"),
        Column("flag", "flag"),
        Column("not there", "none"),
    )
    markup = table(rows, columns, name="t", title="The", caption="A <caption>")
    assert "A &lt;caption&gt;" in markup
    assert "<script" not in markup
    assert Cells(markup).rows == [
        [(heading, None) for heading in ("block", "ω²", "interval", "sd", "wanted", "flag")],
        [
            *(("SE_2_1", None), ("0.12", "0.1234"), ("0.10 to 0.20", "0.1"), ("0.00123", "0.00123456")),
            *(("1,234", "1234"), ("", None)),
        ],
        [
            *((NASTY[:-1].replace("\x00", r"\x00"), None), ("0.00", "-0.0001"), ("–", "")),
            *(("–", ""), ("∞", "inf"), ("near constant", None)),
        ],
    ]


def test_facts_without_a_value_are_left_out() -> None:
    assert facts([("a", 1), ("b", ""), ("c", None), ("d", "<i>")]) == (
        '<dl class="facts">\n<dt>a</dt><dd><bdi>1</bdi></dd>\n<dt>d</dt><dd><bdi>&lt;i&gt;</bdi></dd>\n</dl>'
    )
