"""Options that travel together, each checked where it is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from seviz.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What is kept of a network, as a share of the network given: one of three quantities.

    Attributes
    ----------
    flops
        Share of the multiply-adds that is kept, in (0, 1].
    parameters
        Share of the parameters that is kept, in (0, 1].
    keep_channels
        Share of the scored channels that is kept, in (0, 1].

    Raises
    ------
    OptionError
        If not exactly one is given, or it is outside its range.
    """

    flops: float | None = None
    parameters: float | None = None
    keep_channels: float | None = None

    OF: ClassVar[Mapping[str, str]] = {
        "flops": "multiply-adds",
        "parameters": "parameters",
        "keep_channels": "scored channels",
    }
    """By quantity, what the share is of."""

    def __post_init__(self) -> None:
        given = self._given()
        if len(given) != 1:
            names = " and ".join(f"{name} {share}" for name, share in given.items()) or "none"
            raise OptionError(f"the budget is {names}, expected exactly one of flops, parameters and keep_channels")
        if not (isinstance(self.share, float | int) and self.share is not True and 0 < self.share <= 1):
            raise OptionError(
                f"{self.quantity} is {self.share!r}, expected the share that is kept, above 0 and at most 1"
            )

    def _given(self) -> dict[str, Any]:
        return {name: share for name in self.OF if (share := getattr(self, name)) is not None}

    @property
    def quantity(self) -> str:
        """Name of the quantity: flops, parameters or keep_channels."""
        return next(iter(self._given()))

    @property
    def share(self) -> float:
        """The share that is kept."""
        share: float = self._given()[self.quantity]
        return share

    def __str__(self) -> str:
        return f"{self.share:g} of the {self.OF[self.quantity]} kept"
