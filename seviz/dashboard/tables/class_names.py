"""What classes are called where each has to be told from the others."""

from collections import Counter
from collections.abc import Collection, Mapping

from seviz.classes import Classes


def distinct_names(names: Mapping[str, str], *, taken: Collection[str] = ()) -> dict[str, str]:
    """What classes are called, by id: the name, with the id where several have the same or it is taken.

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
    number = Counter(classes.names)
    return [
        f"{name} ({each})" if number[name] > 1 or name in taken else name
        for each, name in zip(classes.ids, classes.names, strict=True)
    ]
