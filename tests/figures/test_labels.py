import pytest
from matplotlib.figure import Figure

from seviz.figures.labels import entries, entry, legend_columns, shortened, thinned
from seviz.figures.style import style


def test_long_names_are_shortened() -> None:
    assert shortened("pug") == "pug"
    assert shortened("x" * 24) == "x" * 24
    assert shortened("great white shark, white shark, man-eater", 12) == "great white…"
    assert len(shortened("x" * 100)) == 24


def test_names_are_one_line_without_controls_and_seen_where_they_are_blank() -> None:
    assert shortened("a\nb\x1b[0m", 12) == r"a\nb\x1b[0m"
    assert (shortened(""), shortened("  ")) == ("''", "'  '")
    assert shortened(r"$\frac{1}{0$") == r"$\frac{1}{0$"


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert shortened("熊" * 12) == "熊" * 12
    assert shortened("熊" * 13) == "熊" * 11 + "…"
    assert shortened("Z" + "\u0338\u0322\u0359\u034e\u0303" + "a") == "Z\u0338\u0322\u0359a"  # no pile
    assert shortened("e\u0301" * 24) == "e\u0301" * 24
    assert len(shortened("e" + "\u0301" * 1000)) < 100


def test_a_legend_has_names_that_begin_with_an_underscore() -> None:
    with style():
        axes = Figure().subplots()
        for name in ("_nolegend_", "_", "a"):
            axes.plot([0], [0], label=entry(name))
    handles, labels = entries(axes)
    assert labels == ["_nolegend_", "_", "a"]
    assert len(handles) == 3


@pytest.mark.parametrize(
    ("number", "most", "expected"),
    [(0, 5, []), (1, 5, [0]), (5, 5, [0, 1, 2, 3, 4]), (6, 5, [0, 2, 4]), (1000, 4, [0, 250, 500, 750]), (3, 0.2, [0])],
)
def test_of_too_many_labels_every_second_third_and_so_on_is_written(
    number: int, most: float, expected: list[int]
) -> None:
    assert thinned(number, most) == expected


def test_a_legend_has_as_many_columns_as_fit() -> None:
    assert legend_columns([], 7) == 1
    assert legend_columns(["a", "b"], 7) == 2
    assert legend_columns(["x" * 24] * 8, 7) == 3
    assert legend_columns(["x" * 200] * 8, 3.4) == 1
    assert legend_columns(["熊" * 12] * 8, 7) == 3
