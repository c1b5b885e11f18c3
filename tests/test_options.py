import re
from typing import Any

import pytest

from seviz.errors import OptionError
from seviz.options import Budget, Reading


@pytest.mark.parametrize("quantity", Budget.OF)
def test_a_budget_is_the_share_that_is_kept(quantity: str) -> None:
    budget = Budget(**{quantity: 0.25})
    assert (budget.quantity, budget.share) == (quantity, 0.25)
    assert str(budget) == f"0.25 of the {Budget.OF[quantity]} kept"
    assert Budget(**{quantity: 1}).share == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "the budget is none, expected exactly one of flops, parameters and keep_channels"),
        ({"flops": 0.5, "parameters": 0.5}, "the budget is flops 0.5 and parameters 0.5, expected exactly one of"),
        ({"flops": 0}, "flops is 0, expected the share that is kept, above 0 and at most 1"),
        ({"parameters": 1.01}, "parameters is 1.01, expected the share that is kept, above 0 and at most 1"),
        ({"keep_channels": float("nan")}, "keep_channels is nan, expected the share that is kept"),
        ({"keep_channels": "0.5"}, "keep_channels is '0.5', expected the share that is kept"),
        ({"flops": True}, "flops is True, expected the share that is kept"),
    ],
)
def test_other_budgets_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        Budget(**given)


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
