"""How much of a network shall remain, and how few of its channels have to go for that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from seviz.errors import OptionError, PruningError

Quantity = Literal["flops", "parameters", "channels"]

_CLOSE = 0.998  # of the budget: near enough to stop looking
_STRAIGHT = 5  # guesses on a straight line, before halving


@dataclass(frozen=True)
class Budget:
    """The share of something that shall remain.

    Attributes
    ----------
    quantity
        "flops" are multiply-adds.
    remaining
        In (0, 1), of the network before.
    """

    quantity: Quantity
    remaining: float

    def scaled(self, factor: float) -> "Budget":
        """The same with another share."""
        return Budget(self.quantity, self.remaining * factor)


def budget_of(*, flops: float | None = None, parameters: float | None = None, channels: float | None = None) -> Budget:
    """Read a budget as it is given to `prune`.

    Parameters
    ----------
    flops, parameters
        The share that shall remain, in (0, 1).
    channels
        The share that shall go, in (0, 1).

    Raises
    ------
    OptionError
        If not exactly one is given, or it is out of range.
    """
    given: dict[Quantity, float | None] = {"flops": flops, "parameters": parameters, "channels": channels}
    chosen = [(quantity, share) for quantity, share in given.items() if share is not None]
    if len(chosen) != 1:
        names = " and ".join(f"{quantity} {share}" for quantity, share in chosen) or "none"
        raise OptionError(f"the budget is {names}, expected exactly one of flops, parameters and channels")
    quantity, share = chosen[0]
    if not 0 < share < 1:
        what = "to remove" if quantity == "channels" else "that remains"
        raise OptionError(f"{quantity} is {share}, expected the share {what}, between 0 and 1")
    return Budget(quantity, 1 - share if quantity == "channels" else share)


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
    wanted = budget.remaining * whole
    least = cost(most)
    if least > wanted:
        raise PruningError(
            f"{budget.quantity} cannot come down to {budget.remaining:.1%} of the {whole:,} before: with all removed"
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
