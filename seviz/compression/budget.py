"""How few channels have to go to keep within a budget."""

from collections.abc import Callable

from seviz.errors import PruningError
from seviz.options import Budget

_CLOSE = 0.998  # of the budget: near enough to stop looking
_STRAIGHT = 5  # guesses on a straight line, before halving


def fewest(cost: Callable[[int], int], most: int, budget: Budget) -> int:
    """The smallest number of removals that keeps within a budget.

    Parameters
    ----------
    cost
        What is left in all after so many removals; never grows.
    most
        How many removals there can be.
    budget
        Relative to `cost(0)`.

    Raises
    ------
    PruningError
        If not even `most` removals do; says the smallest share that can be reached.
    """
    whole = cost(0)
    wanted = budget.share * whole
    if whole <= wanted:
        return 0
    least = cost(most)
    if least > wanted:
        raise PruningError(
            f"{budget.quantity} cannot come down to {budget.share:.1%} of the {whole:,} before: with all removed"
            f" that can be, {least / whole:.1%} remain. Give a budget from there on, a larger max_share or a smaller"
            " round_to, or prune more blocks"
        )
    low, high = 0, most  # above the budget, and within
    above, within = whole, least
    tries = 0
    while high - low > 1 and within < _CLOSE * wanted:
        # What is left falls about linearly, so a straight line between the two hits well; halving is the safe way.
        share = (above - (1 + _CLOSE) / 2 * wanted) / (above - within) if tries < _STRAIGHT else 0.5
        middle = min(max(low + round(share * (high - low)), low + 1), high - 1)
        tries += 1
        found = cost(middle)
        if found > wanted:
            low, above = middle, found
        else:
            high, within = middle, found
    return high
