import math

import pytest

from seviz.numerals import count, decimals, percent, significant

NUMBERS = [
    0.0,
    -0.0,
    1e-300,
    -1e-300,
    0.5,
    -0.001,
    99.95,
    123456.7,
    999999999.4,
    1e9,
    -1e30,
    1.7e308,
    math.inf,
    math.nan,
]


@pytest.mark.parametrize("form", [count, decimals, significant, percent, lambda value: decimals(value, 4)])
def test_any_number_is_short(form: object) -> None:
    for value in NUMBERS:
        assert 1 <= len(form(value)) <= 16, value


def test_numbers_as_they_are_read() -> None:
    assert [decimals(value) for value in (0.126, -0.001, 12345.678)] == ["0.13", "0.00", "12345.68"]
    assert [significant(value) for value in (0.012345, 5.0, 123.4, 54321.0)] == ["0.0123", "5.00", "123", "54,321"]
    assert [count(value) for value in (7.0, 1234567.0)] == ["7", "1,234,567"]
    assert [form(-1.234e30) for form in (count, decimals, significant)] == ["-1.23e+30"] * 3
    assert [form(math.nan) for form in (count, decimals, significant)] == ["–"] * 3
    assert [decimals(math.inf), decimals(-math.inf)] == ["∞", "−∞"]
    assert [percent(share) for share in (0.0512, 1.0, math.nan)] == ["5.1 %", "100.0 %", "– %"]
