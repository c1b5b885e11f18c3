"""What is selected, as an address has it."""

import pytest

from seviz.dashboard.selection import joined, parted


@pytest.mark.parametrize("parts", [[], ["cat"], ["cat", "dog"], ["a|b", "c"], ["50%", "%7C", "%25|"]])
def test_several_values_come_back(parts: list[str]) -> None:
    assert parted(joined(parts)) == parts


def test_what_an_address_says_may_be_odd() -> None:
    assert parted("||cat|") == ["cat"]
