"""Which SE blocks of two networks belong together: those at one place first, then those of one name.

Whoever puts blocks of two runs, or of a run and a network, side by side asks `pair_blocks`. A place is the path of the
module around the product, and the product's number in it. Paths are taken as they are: nothing is stripped of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from seviz.run.store import Run

Match = Literal["path", "name", "position"]
"""How blocks are paired: by path and, those that are left, by name; by name alone; by their order of depth."""
MATCHES: tuple[Match, ...] = get_args(Match)


class Placed(Protocol):
    """A block with a name and a place, such as a `BlockRecord` or an `SEBlock`."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def product(self) -> int: ...


@dataclass(frozen=True)
class Pair:
    """Two blocks that belong together.

    Attributes
    ----------
    one, other
        Their names.
    by
        What they have in common: "path", "name" (and other paths), or their "position" in the order of depth.
    """

    one: str
    other: str
    by: Match


@dataclass(frozen=True)
class Pairing:
    """Blocks that belong together, and those that have no counterpart.

    Attributes
    ----------
    pairs
        In the order of depth of the one.
    only_one, only_other
        Names of the blocks without counterpart, in order of depth.
    """

    pairs: tuple[Pair, ...]
    only_one: tuple[str, ...]
    only_other: tuple[str, ...]

    def other_of(self, one: str) -> str | None:
        """The counterpart of a block of the one; None if it has none."""
        return next((pair.other for pair in self.pairs if pair.one == one), None)

    def one_of(self, other: str) -> str | None:
        """The counterpart of a block of the other; None if it has none."""
        return next((pair.one for pair in self.pairs if pair.other == other), None)

    def by(self, one: str, other: str) -> Match | Literal[""]:
        """How two blocks are paired; empty if they are not."""
        return next((pair.by for pair in self.pairs if (pair.one, pair.other) == (one, other)), "")

    def remarks(self, one: str, other: str) -> list[str]:
        """What is to be said of a pairing, sentences; of networks or runs that are called so."""
        remarks = []
        by_name = [pair.one for pair in self.pairs if pair.by == "name"]
        if by_name:
            every = "All blocks" if len(by_name) == len(self.pairs) else f"The blocks {', '.join(by_name)}"
            remarks.append(f"{every} were paired by name: their modules have other paths in {other!r} than in {one!r}.")
        if any(pair.by == "position" for pair in self.pairs):
            remarks.append("Blocks were paired by their place in the order of depth.")
        two_names = [pair for pair in self.pairs if pair.by == "path" and pair.one != pair.other]
        if two_names:
            renamed = [f"{pair.one} and {pair.other}" for pair in two_names]
            remarks.append(f"Paired by the path of their module, under two names: {', '.join(renamed)}.")
        for names, mine, theirs in ((self.only_one, one, other), (self.only_other, other, one)):
            if names:
                remarks.append(f"Without counterpart in {theirs!r}: {', '.join(names)} of {mine!r}.")
        return remarks


def pair_blocks(one: Iterable[Placed], other: Iterable[Placed], *, match: Match = "path") -> Pairing:
    """Pair the SE blocks of two networks.

    Parameters
    ----------
    one, other
        Blocks in order of depth.
    match
        "path": those at one place, then of the rest those of one name; "name": those of one name; "position": those
        at one place in the order of depth.

    Returns
    -------
    Pairing
        A block is in one pair at most.

    Examples
    --------
    >>> pairing = pair_blocks(network.blocks.values(), smaller.blocks.values())
    """
    ones, others = list(one), list(other)
    found: dict[str, Pair] = {}
    if match == "position":
        found = {
            mine.name: Pair(mine.name, theirs.name, "position") for mine, theirs in zip(ones, others, strict=False)
        }
    else:
        found = _by_path(ones, others) if match == "path" else {}
        free = {block.name for block in others} - {pair.other for pair in found.values()}
        names = [block.name for block in ones if block.name not in found and block.name in free]
        found |= {name: Pair(name, name, "name") for name in names}
    gone = {pair.other for pair in found.values()}
    return Pairing(
        pairs=tuple(found[block.name] for block in ones if block.name in found),
        only_one=tuple(block.name for block in ones if block.name not in found),
        only_other=tuple(block.name for block in others if block.name not in gone),
    )


def pair_runs(one: Run, other: Run, *, match: Match = "path") -> Pairing:
    """Pair the SE blocks of two runs; see `pair_blocks`."""
    return pair_blocks(one.manifest.blocks, other.manifest.blocks, match=match)


def _by_path(ones: Sequence[Placed], others: Sequence[Placed]) -> dict[str, Pair]:
    there = dict(zip(_places(others), others, strict=True))
    return {
        block.name: Pair(block.name, there[place].name, "path")
        for place, block in zip(_places(ones), ones, strict=True)
        if place in there
    }


def _places(blocks: Sequence[Placed]) -> list[tuple[str, int]]:
    """Path and product; by their order where a run, as older ones do, says 0 of all products of a module."""
    told = Counter((block.path, block.product) for block in blocks)
    seen = Counter[str]()
    places = []
    for block in blocks:
        repeated = told[block.path, block.product] > 1
        places.append((block.path, seen[block.path] if repeated else block.product))
        seen[block.path] += 1
    return places
