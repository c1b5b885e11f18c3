"""Which part of a data set is meant, where it comes in several: training, validation, test."""

from collections.abc import Collection, Iterable

from seviz.errors import DataNotFoundError

BY_DEFAULT = ("val", "valid", "validation", "test", "train")
"""What splits are called, the one that is taken by default first."""


def default_split(available: Collection[str]) -> str:
    """The split that is taken by default: the first of `BY_DEFAULT` that is there, whatever its case, else the first.

    Parameters
    ----------
    available
        The splits that are there, one at least.
    """
    plain = {split.casefold(): split for split in available}
    return next((plain[name] for name in BY_DEFAULT if name in plain), next(iter(available)))


def said(split: str, available: Collection[str]) -> str:
    """A sentence that says which split was taken by default; empty if there is no other."""
    others = [other for other in available if other != split]
    return f"split {split!r} is taken (--split chooses; there is also {', '.join(others)})" if others else ""


def choose_split(spec: str, wanted: str | None, default: str, available: Iterable[str]) -> str:
    """The split that is meant: the one of that name, else the last whose name goes on after it.

    "val" means val2017 rather than val2014, "train" train-standard rather than train-challenge.

    Parameters
    ----------
    spec
        As the data set was given.
    wanted
        As the split was given; None for the default.
    default
        What the default is called.
    available
        The splits that are there.

    Raises
    ------
    DataNotFoundError
        If it is not among them.
    """
    known, name = sorted(available), default if wanted is None else wanted
    if name in known:
        return name
    longer = [split for split in known if split.startswith(name) and name and not split[len(name)].isalpha()]
    if longer:
        return longer[-1]
    raise DataNotFoundError(
        f"data {spec!r} has no split {name!r}; "
        + (f"it has {', '.join(known)}: give one of these as split" if known else "it has none that is known")
    )
