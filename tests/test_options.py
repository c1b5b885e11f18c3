import re

import pytest

from seviz.errors import OptionError
from seviz.options import Budget


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
