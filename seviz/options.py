"""Options that travel together, each checked where it is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
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


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How images are read and run.

    Attributes
    ----------
    per_class
        Number of images of each class of a data set, drawn at random, the same at every call; None for all.
    batch_size
        Images in a forward pass, at least 1; batches in memory stay as they are.
    device
        "auto" (CUDA, else MPS, else CPU) or what torch calls it.
    rotate
        Whether images are rotated as their EXIF orientation says; None for as in the run.
    workers
        Number of processes that decode images, 0 for none but this one; None chooses.
    progress
        Called after each batch with the number of images done, and of how many, None if that is not known.

    Raises
    ------
    OptionError
        If one is outside its range.
    """

    per_class: int | None = None
    batch_size: int = 64
    device: str = "auto"
    rotate: bool | None = None
    workers: int | None = None
    progress: Callable[[int, int | None], None] | None = None

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("per_class", 1), ("workers", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} is {value}, expected {f'at least {least}' if least else '0 or more'}")
        if self.progress is not None and not callable(self.progress):
            raise OptionError(f"progress is {self.progress!r}, expected a function of what is done and of how much")

    @property
    def options(self) -> dict[str, Any]:
        """By name, for a function that takes them one by one."""
        return {each.name: getattr(self, each.name) for each in fields(self)}
