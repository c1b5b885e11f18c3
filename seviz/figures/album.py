"""All figures of a run: what each is asked for, and why one cannot be drawn."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seviz import registry
from seviz.errors import DeclarationError, MissingSignalError, OptionError, SevizWarning
from seviz.figures.style import Width
from seviz.registry import FIGURES
from seviz.run.store import Run
from seviz.tables.excitation import default_blocks, excitation
from seviz.tables.kept import table_of
from seviz.tables.specificity_by_channel import specificity_by_channel

NO_IMAGE = "no class has an image that did not fail"


@dataclass(frozen=True)
class Drawing:
    """A figure, and the data it shows."""

    name: str
    figure: Figure
    data: pd.DataFrame


@dataclass(frozen=True)
class LeftOut:
    """A figure that cannot be drawn, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Album:
    """What is drawn of a run, and how.

    Attributes
    ----------
    run
        A finished run.
    other
        Another, to compare it with.
    classes, blocks
        By id or name; None for a choice of few. Figures of single blocks are drawn of each of these, by default of
        the most class-specific one.
    channels, seed
        As of `seviz.tables.excitation.excitation`.
    width
        "page" or "column" of a paper.
    """

    run: Run
    other: Run | None = None
    classes: Sequence[str] | None = None
    blocks: Sequence[str] | None = None
    channels: int | Literal["all"] = 50
    seed: int = 0
    width: Width = "page"

    def draw(self, only: Sequence[str] | None = None) -> Iterator[Drawing | LeftOut]:
        """Draw figures one by one, tables that are kept in the run being read and others computed.

        Parameters
        ----------
        only
            Names, of `figures`; by default all.

        Yields
        ------
        Drawing or LeftOut
            In the order of `figures`. A figure of single blocks is called by its name and, where there are several,
            the block.

        Raises
        ------
        OptionError, UnknownClassError, MissingSignalError
            If a figure, a class or a block is asked for that is not there, before any is drawn.
        """
        declared = figures()
        unknown = [name for name in only or () if name not in declared]
        if unknown:
            raise OptionError(f"no figure {unknown[0]!r}; expected some of {', '.join(declared)}")
        for name in self.classes or ():
            self.run.class_index(name)
        for name in self.blocks or ():
            self.run.block(name)
        nothing = not (self.run.samples["status"] != "failed").any()
        for name in only or declared:
            if nothing:
                yield LeftOut(name, "all images of the run failed")
                continue
            try:
                yield from declared[name].function(self, name)
            except MissingSignalError as error:
                yield LeftOut(name, str(error))

    @property
    def look(self) -> dict[str, Any]:
        """What all figures share."""
        return {"width": self.width, "remark": "" if self.run.manifest.model.trained else "untrained SE weights"}

    @property
    def names(self) -> Mapping[str, str]:
        """Names of the classes by id."""
        return dict(zip(self.run.classes.ids, self.run.classes.names, strict=True))

    @cached_property
    def specificity(self) -> pd.DataFrame:
        """Of the run, needed by several figures."""
        return table_of(self.run, "specificity")

    def excitation(self, classes: Sequence[str] | None) -> pd.DataFrame:
        """Excitation of some classes in the blocks and channels of the album."""
        return excitation(self.run, classes=classes, blocks=self.blocks, channels=self.channels, seed=self.seed)

    def most_specific(self, block: str, number: int) -> list[int]:
        """The channels with the greatest omega squared, or the first where none has any."""
        return [int(channel) for channel in specificity_by_channel(self.run, blocks=[block])["channel"][:number]]

    @property
    def several(self) -> Sequence[str]:
        """The blocks of a figure with a panel each."""
        return self.blocks or default_blocks(self.run)

    def each(self, name: str) -> Iterator[tuple[str, str]]:
        """The blocks that have a figure of their own, and what it is called."""
        blocks = self.blocks
        if not blocks:
            omega = self.specificity["omega_squared"]
            blocks = [self.specificity["block"].iloc[-1 if omega.isna().all() else int(np.nanargmax(omega))]]
        for block in blocks:
            yield block, name if len(blocks) == 1 else f"{name}_{block}"


def run_names(one: Run, other: Run) -> tuple[str, str]:
    """What to call two runs: by their directories, and whether they are trained."""
    names = [f"{run.path.name}{'' if run.manifest.model.trained else ' (untrained)'}" for run in (one, other)]
    if names[0] == names[1]:
        names = [str(one.path), str(other.path)]
    return names[0], names[1]


def figures() -> dict[str, registry.Figure]:
    """Every figure by name, in the order in which they are drawn; those that cannot be loaded are left out."""
    found = []
    for name in FIGURES:
        try:
            found.append(FIGURES.outline(name))
        except DeclarationError as error:
            warnings.warn(str(error), SevizWarning, stacklevel=2)
    return {each.name: each for each in sorted(found, key=lambda each: (each.order, each.name))}
