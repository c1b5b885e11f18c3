"""The classes of a network or of a data set: their ids, what a person calls them, and how one is found."""

from dataclasses import dataclass

from seviz.errors import UnknownClassError
from seviz.texts import as_utf8


@dataclass(frozen=True)
class Classes:
    """Classes in the order of their index.

    Attributes
    ----------
    ids
        What a data set's folders are called: WordNet synsets for ImageNet, else the names.
    names
        What a person calls them. Two classes may share a name, as ImageNet's two cranes do.

    Both are kept as UTF-8: where one holds lone surrogates, as the name of a folder may, it is percent-encoded.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.names):
            raise ValueError(f"{len(self.ids)} ids but {len(self.names)} names")
        object.__setattr__(self, "ids", tuple(map(as_utf8, self.ids)))
        object.__setattr__(self, "names", tuple(map(as_utf8, self.names)))

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, name: str) -> list[int]:
        """The indices of the classes with that id or, if there is none, with that name, whatever its case."""
        wanted = _plain(name)
        by_id = [k for k, known in enumerate(self.ids) if _plain(known) == wanted]
        return by_id or [k for k, known in enumerate(self.names) if _plain(known) == wanted]

    def index(self, name: str, where: str) -> int:
        """The index of the class with that id or name.

        Parameters
        ----------
        name
            An id or a name.
        where
            What the classes are of, for the message.

        Raises
        ------
        UnknownClassError
            If there is no such class, or several.
        """
        found = self.find(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownClassError(
                f"class {name!r} is ambiguous in {where}; say which: {', '.join(self.ids[k] for k in found)}"
            )
        some = ", ".join(self.names[:12]) + (", ..." if len(self) > 12 else "")
        raise UnknownClassError(f"no class {name!r} in {where}; it has {some}")

    def match(self, other: "Classes") -> tuple[int, ...] | None:
        """The index of each of these classes among the other's; None unless each has one of its own there."""
        indices = []
        for class_id, name in zip(self.ids, self.names, strict=True):
            found = other.find(class_id) or other.find(name)
            if len(found) != 1:
                return None
            indices.append(found[0])
        return tuple(indices) if len(set(indices)) == len(indices) else None


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", " ")


_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10 = Classes(_CIFAR10, _CIFAR10)
"""The classes of CIFAR-10."""
