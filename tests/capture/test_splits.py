import pytest

from seviz.capture.splits import choose_split
from seviz.errors import DataNotFoundError


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (None, "val"),
        ("val", "val"),
        ("train", "train-standard"),
        ("train-challenge", "train-challenge"),
        ("minival", "minival2017"),
    ],
)
def test_a_split_is_found_by_its_name_or_the_beginning_of_it(wanted: str | None, chosen: str) -> None:
    known = ["val2017", "train-challenge", "val", "train-standard", "minival2014", "minival2017", "valuable"]
    assert choose_split("data", wanted, "val", known) == chosen


def test_a_split_that_is_not_there_lists_those_that_are() -> None:
    for wanted, name in (("test", "test"), (None, "val"), ("", ""), ("trai", "trai")):
        with pytest.raises(
            DataNotFoundError, match=f"data 'd' has no split '{name}'; it has train, valuable: give one"
        ):
            choose_split("d", wanted, "val", ["valuable", "train"])
    with pytest.raises(DataNotFoundError, match="data 'd' has no split 'val'; it has none"):
        choose_split("d", None, "val", [])
