"""What classes are called where each has to be told from the others."""

from collections import Counter
from collections.abc import Collection, Mapping

from seviz.classes import Classes
from seviz.dashboard.escaping import distinct
from seviz.figures.labels import shortened

NAME = 80
"""Columns of a name that are shown at most: an axis cuts it further, and shows all of this under the pointer."""


def distinct_names(names: Mapping[str, str], *, taken: Collection[str] = ()) -> dict[str, str]:
    """What classes are called, by id: the name as it is shown, with the id where several have the same or it is taken.

    A long name is shortened. No two are the same, also where they differ only in what is not shown.

    Parameters
    ----------
    names
        Of classes, by id.
    taken
        Names that something else has.
    """
    labels = labels_of(Classes(tuple(names), tuple(names.values())), taken=taken)
    return dict(zip(names, labels, strict=True))


def labels_of(classes: Classes, *, taken: Collection[str] = ()) -> list[str]:
    """The same in the order of the classes."""
    names = [shortened(name, NAME) for name in classes.names]
    number = Counter(names)
    return distinct(
        [
            f"{name} ({shortened(each, NAME)})" if number[name] > 1 or name in taken else name
            for each, name in zip(classes.ids, names, strict=True)
        ]
    )
