import re
from typing import Any

import pytest

from seviz.errors import OptionError
from seviz.options import Reading


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"per_class": 0}, "per_class is 0, expected at least 1"),
        ({"workers": -1}, "workers is -1, expected 0 or more"),
        ({"progress": True}, "progress is True, expected a function of what is done and of how much"),
    ],
)
def test_what_is_outside_its_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        Reading(**options)


def test_options_are_given_back_by_name() -> None:
    given: dict[str, Any] = {"per_class": 3, "batch_size": 2, "device": "cpu", "rotate": True, "workers": 0}
    assert Reading(**given).options == {**given, "progress": None}
