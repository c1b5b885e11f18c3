"""Text from data as Markdown shows it and does not read it."""

import pytest
from markdown_it import MarkdownIt

from seviz.dashboard.escaping import escaped, listed


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "**bold** _it_ `code`",
        "[link](http://x)",
        "![i](x)",
        "# head",
        "1. one",
        "a|b~~c~~",
    ],
)
def test_markdown_shows_the_text_as_it_is(text: str) -> None:
    html = MarkdownIt().render(escaped(text))
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert html == f"<p>{plain}</p>\n"


def test_what_streamlit_reads_itself_is_escaped_and_lines_are_joined() -> None:
    assert escaped(":red[x] $y$") == r"\:red\[x\] \$y\$"
    assert escaped("a\n\n# b") == r"a \# b"
    assert escaped("größe 12") == "größe 12"


def test_of_many_names_only_the_first_are_listed() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a*", "b", "c", "d"], 2) == r"a\*, b and 2 more"
