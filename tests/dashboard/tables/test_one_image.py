"""One image among the classes of a run, and the order of images."""

import numpy as np
import pandas as pd
import pytest

from seviz.dashboard.tables.one_image import KINDS, another, nearest_classes, place_in_words


def test_another_goes_through_all_images() -> None:
    seen, row = set(), 0
    for _ in range(17):
        seen.add(row)
        row = another(row, 17)
    assert seen == set(range(17))
    assert row == 0
    assert another(0, 1) == 0


def test_nearest_classes() -> None:
    table = nearest_classes(pd.Series([0.2, np.nan, 0.9, -0.5]), 0, (3, 0))
    assert table["index"].tolist() == [2, 0, 3]
    assert table["distance"].tolist() == pytest.approx([0.1, 0.8, 1.5])
    assert table["what"].tolist() == [KINDS[2], KINDS[0], KINDS[1]]
    words = place_in_words(pd.Series([0.2, np.nan, 0.9, -0.5]), ["a*", "b", "c", "d"], 0, (3, 1))
    assert words == "Of 3 classes, a\\* is number 2 and d is number 3."
    assert place_in_words(pd.Series([0.1, 0.2]), ["a", "b"], None, ()) == "There are 2 classes."
