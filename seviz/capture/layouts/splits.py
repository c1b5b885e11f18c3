"""Which part of a data set is meant, where it comes in several: training, validation, test."""

from collections.abc import Iterable

from seviz.errors import DataNotFoundError


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
