"""Names that people have, on every page: nothing raises, nothing is obeyed, every view is a link."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from seviz.classes import Classes
from seviz.dashboard.escaping import distinct, plain
from seviz.dashboard.pages import PAGES
from seviz.dashboard.selection import joined
from seviz.dashboard.tables.class_names import distinct_names, labels_of
from seviz.run.store import Run, open_run
from seviz.texts import as_utf8, path_text, visible
from tests.dashboard.drawing import Open
from tests.odd_names import NAMES, odd_run
from tests.test_names import ODD

IDS = [as_utf8(name) for name in NAMES.values()]


@pytest.fixture(scope="session")
def odd(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Run:
    return open_run(make_once(f"odd{ODD}", odd_run))


@pytest.mark.filterwarnings("ignore::seviz.errors.SevizWarning")  # of characters in no font
@pytest.mark.parametrize("second", [False, True], ids=["alone", "beside another"])
@pytest.mark.parametrize("page", [page.path for page in PAGES])
def test_a_page_shows_names_and_obeys_none(
    page: str, second: bool, odd: Run, planted_run: Run, open_page: Open
) -> None:
    if second and page not in ("compare", "specificity"):
        pytest.skip("it shows one run")
    of = {"classes": joined(IDS[::8]), "block": "SE_3_1", "channel": "1"}
    if second:
        shown = open_page(page, planted_run, odd, against=path_text(odd.path.name), run=planted_run.path.name)
        assert shown.sidebar.selectbox(key="widget_against").value == path_text(odd.path.name)
    else:
        shown = open_page(page, odd, **of)
    for element in [*shown.main, *shown.sidebar]:
        value = getattr(element, "value", "")
        for text in texts_of(value) if isinstance(value, pd.DataFrame) else [str(value)]:
            assert visible(text, keep="\n") == text
        assert visible(str(getattr(element, "label", ""))) == str(getattr(element, "label", ""))
        assert all(visible(option) == option for option in getattr(element, "options", []))
    for element in [*shown.markdown, *shown.caption, *shown.info, *shown.warning, *shown.table]:
        text = element.value if isinstance(element.value, str) else " ".join(texts_of(element.value))
        assert not re.search(r"(?<!\\)<script|(?<!\\)\$x|(?<!\\)\*a\*|(?<!\\)\[x\]|(?<!\\):red", text)


def texts_of(table: pd.DataFrame) -> list[str]:
    """All texts of a table, with its index and headings."""
    cells = [*table.to_numpy(object).ravel(), *table.index, *table.columns]
    return [cell for cell in cells if isinstance(cell, str)]


def test_the_classes_chosen_stay_in_the_address(odd: Run, open_page: Open) -> None:
    for first in range(0, len(IDS), 7):
        chosen = joined(IDS[first : first + 7])
        shown = open_page("excitation", odd, classes=chosen)
        assert shown.query_params["classes"] == chosen
        assert shown.multiselect(key="widget_classes").value == [each for each in IDS[first : first + 7] if each]


def test_names_that_look_alike_are_told_apart() -> None:
    names = ["cat", r"a\x1b", "a\x1b", "cat", "", "''", "cat [2]"]
    assert distinct(names) == ["cat", r"a\x1b", r"a\x1b [2]", "cat [3]", "''", "'' [2]", "cat [2]"]
    long = Classes(("x" * 200 + "1", "x" * 200 + "2"), ("y" * 300, "y" * 299))
    labels = labels_of(long)
    assert len(set(labels)) == 2
    assert max(map(len, labels)) < 200
    ids = [f"{k}" for k in range(len(NAMES))]
    assert len(set(distinct_names(dict(zip(ids, NAMES.values(), strict=True))).values())) == len(NAMES)


def test_a_table_is_plain() -> None:
    table = pd.DataFrame({"a\n": ["\x1b", "z"], "b": [1.5, 2], "c": [["x"], "\u202e"]}, index=["\x00", "y"])
    shown = plain(table)
    assert shown.to_numpy(object).tolist() == [[r"\x1b", 1.5, ["x"]], ["z", 2, r"\u202e"]]
    assert (list(shown.index), list(shown.columns)) == ([r"\x00", "y"], [r"a\n", "b", "c"])
