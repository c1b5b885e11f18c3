import pytest

from seviz.figures.labels import legend_columns, shortened, thinned


def test_long_names_are_shortened() -> None:
    assert shortened("pug") == "pug"
    assert shortened("x" * 24) == "x" * 24
    assert shortened("great white shark, white shark, man-eater", 12) == "great white…"
    assert len(shortened("x" * 100)) == 24


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
