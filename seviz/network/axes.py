"""The axes of an input: those of a signal, an image or a volume, behind the axis of the batch."""

from collections.abc import Sequence

_AXES = {
    2: ("channels", "length"),
    3: ("channels", "height", "width"),
    4: ("channels", "depth", "height", "width"),
}
RANKS = tuple(_AXES)
"""How many axes an input may have."""


def of_image(shape: Sequence[int]) -> bool:
    """Whether a shape has the axes of an image, (channels, height, width)."""
    return len(shape) == 3


def is_input_size(shape: Sequence[int]) -> bool:
    """Whether this is the shape of an input: whole numbers from 1, as many as an input may have axes."""
    return len(shape) in RANKS and all(isinstance(n, int) and n > 0 for n in shape)


def sizes_in_words() -> str:
    """What `is_input_size` holds of."""
    others = " or ".join(axes_in_words((1,) * rank) for rank in RANKS if rank != 3)
    return f"{axes_in_words((1,) * 3)} such as (3, 224, 224), {others}"


def axes_in_words(shape: Sequence[int], *, batch: bool = False) -> str:
    """What the axes of a shape are called, with that of the batch if asked for.

    Examples
    --------
    >>> axes_in_words((2, 64), batch=True)
    '(batch, channels, length)'
    """
    names = _AXES.get(len(shape), ("channels", *("positions",) * (len(shape) - 1)))
    return f"({', '.join((*(('batch',) if batch else ()), *names))})"
