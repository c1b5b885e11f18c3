"""All figures of a run: which table each takes, and why one cannot be drawn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seviz.errors import MissingSignalError, MissingTableError, OptionError
from seviz.figures.comparison import shift_by_depth
from seviz.figures.convergence import convergence_curves
from seviz.figures.depth import depth_profile, profile
from seviz.figures.distribution import gate_by_class
from seviz.figures.embedding import gates_on_a_plane
from seviz.figures.excitation import excitation_by_depth, spread_by_depth
from seviz.figures.gallery import exciting_images
from seviz.figures.heatmap import class_by_channel
from seviz.figures.saturation import saturation_by_block
from seviz.figures.similarity import classes_across_depth
from seviz.figures.specificity import specificity_by_depth
from seviz.figures.style import Width
from seviz.network.trust import named, told
from seviz.run.pairing import Match, pair_runs
from seviz.run.store import Run
from seviz.tables.channel_by_image import channel_by_image
from seviz.tables.channels import channels
from seviz.tables.compare import compare
from seviz.tables.excitation import default_blocks, default_classes, excitation
from seviz.tables.kept import kept_table, table_of
from seviz.tables.similarity import order_of_channels
from seviz.tables.specificity_by_channel import specificity_by_channel

GALLERY = 3
"""Channels whose images are shown."""
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
            Names, of `FIGURES`; by default all.

        Yields
        ------
        Drawing or LeftOut
            In the order of `FIGURES`. A figure of single blocks is called by its name and, where there are several,
            the block.

        Raises
        ------
        OptionError, UnknownClassError, MissingSignalError
            If a figure, a class or a block is asked for that is not there, before any is drawn.
        """
        unknown = [name for name in only or () if name not in FIGURES]
        if unknown:
            raise OptionError(f"no figure {unknown[0]!r}; expected some of {', '.join(FIGURES)}")
        for name in self.classes or ():
            self.run.class_index(name)
        for name in self.blocks or ():
            self.run.block(name)
        nothing = not (self.run.samples["status"] != "failed").any()
        for name in only or FIGURES:
            if nothing:
                yield LeftOut(name, "all images of the run failed")
                continue
            try:
                yield from FIGURES[name](self, name)
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


def _excitation(album: Album, name: str) -> Iterator[Drawing]:
    table = _chosen_excitation(album, album.classes)
    yield Drawing(name, excitation_by_depth(table, **album.look), table)


def _spread(album: Album, name: str) -> Iterator[Drawing]:
    table = _chosen_excitation(album, (album.classes or default_classes(album.run, 4))[:2])
    yield Drawing(name, spread_by_depth(table, **album.look), table)


def _chosen_excitation(album: Album, classes: Sequence[str] | None) -> pd.DataFrame:
    return excitation(album.run, classes=classes, blocks=album.blocks, channels=album.channels, seed=album.seed)


def _specificity(album: Album, name: str) -> Iterator[Drawing]:
    yield Drawing(name, specificity_by_depth(album.specificity, **album.look), album.specificity)


def _depth(album: Album, name: str) -> Iterator[Drawing]:
    runs = [album.run] if album.other is None else [album.run, album.other]
    called = ("",) if album.other is None else run_names(album.run, album.other)
    profiles = []
    for run, run_name in zip(runs, called, strict=True):
        specificity = replace(album, run=run).specificity
        saturation = table_of(run, "saturation")
        profiles.append(profile(specificity, decoding=_decoding(run), saturation=saturation, run=run_name))
    table = pd.concat(profiles, ignore_index=True)
    yield Drawing(name, depth_profile(table, **album.look), table)


def _decoding(run: Run) -> pd.DataFrame | None:
    """The table that is kept; else one that takes seconds; None without gates."""
    try:
        return kept_table(run, "decoding")
    except MissingTableError:
        pass
    try:
        return table_of(run, "decoding", decoders=["discriminant"])
    except MissingSignalError:
        return None


def _saturation(album: Album, name: str) -> Iterator[Drawing]:
    table = table_of(album.run, "saturation")
    by_channel = table_of(album.run, "saturation_by_channel")
    yield Drawing(name, saturation_by_block(table, by_channel, **album.look), table)


def _heatmap(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    if not album.run.moments(album.run.blocks[0]).count.any():
        yield LeftOut(name, NO_IMAGE)
        return
    for block, called in album.each(name):
        classes = list(table_of(album.run, "similarity", block=block).index)
        order = order_of_channels(album.run, block)
        table = pd.DataFrame(album.run[block]["mean"].to_pandas()).loc[classes, order]
        figure = class_by_channel(table, block, names=album.names, clustered=True, **album.look)
        yield Drawing(called, figure, table.rename_axis(index="class").reset_index())


def _distribution(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    for block, called in album.each(name):
        channel = _most_specific(album.run, block, 1)[0]
        table = channel_by_image(album.run, block, channel)
        if table["excitation"].notna().any():
            yield Drawing(called, gate_by_class(table, block, channel, **album.look), table)
        else:
            yield LeftOut(called, f"no image has a gate in {block}")


def _similarity(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    tables = {block: table_of(album.run, "similarity", block=block) for block in album.several}
    if all(table.empty for table in tables.values()):
        yield LeftOut(name, NO_IMAGE)
        return
    figure = classes_across_depth(tables, names=album.names, **album.look)
    long = [
        table.rename_axis(columns="other").reset_index().melt("class", value_name="distance").assign(block=block)
        for block, table in tables.items()
    ]
    yield Drawing(name, figure, pd.concat(long, ignore_index=True)[["block", "class", "other", "distance"]])


def _embedding(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    tables = {block: table_of(album.run, "principal_components", block=block) for block in album.several}
    if any(table.empty for table in tables.values()):
        yield LeftOut(name, "no image has gates that are finite in all blocks")
        return
    chosen = None if album.classes is None else [album.run.classes.ids[album.run.class_index(c)] for c in album.classes]
    figure = gates_on_a_plane(tables, names=album.names, classes=chosen, **album.look)
    data = pd.concat([table.assign(block=block) for block, table in tables.items()], ignore_index=True)
    yield Drawing(name, figure, data[["block", *(column for column in data if column != "block")]])


def _gallery(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    data = album.run.manifest.data
    if data.root:
        told(named("images", data.root, album.run.path / "manifest.json"))
    for block, called in album.each(name):
        table = channels(album.run, block, only=_most_specific(album.run, block, GALLERY))
        if not table["kind"].str.endswith("excited").any():
            yield LeftOut(called, " ".join(table.attrs["remarks"]) or f"no image has a gate in {block}")
            continue
        root, rotate = Path(data.root) if data.root else None, album.run.manifest.engine.rotate
        yield Drawing(called, exciting_images(table, root, rotate=rotate, **album.look), table)


def _convergence(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    table = table_of(album.run, "convergence_by_size")
    if table.empty:
        yield LeftOut(name, "no class has the two images that samples take at least")
    else:
        yield Drawing(name, convergence_curves(table, **album.look), table)


def _comparison(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    if album.other is None:
        yield LeftOut(name, "it takes a second run, --against RUN")
        return
    match: Match = "path" if pair_runs(album.run, album.other).pairs else "position"
    table = compare(album.run, album.other, match=match)
    names = run_names(album.run, album.other)
    yield Drawing(name, shift_by_depth(table, names=names, **album.look), table)


def _most_specific(run: Run, block: str, number: int) -> list[int]:
    """The channels with the greatest omega squared, or the first where none has any."""
    return [int(channel) for channel in specificity_by_channel(run, blocks=[block])["channel"][:number]]


def run_names(one: Run, other: Run) -> tuple[str, str]:
    """What to call two runs: by their directories, and whether they are trained."""
    names = [f"{run.path.name}{'' if run.manifest.model.trained else ' (untrained)'}" for run in (one, other)]
    if names[0] == names[1]:
        names = [str(one.path), str(other.path)]
    return names[0], names[1]


FIGURES = {
    "excitation": _excitation,
    "spread": _spread,
    "specificity": _specificity,
    "depth": _depth,
    "saturation": _saturation,
    "heatmap": _heatmap,
    "distribution": _distribution,
    "similarity": _similarity,
    "embedding": _embedding,
    "gallery": _gallery,
    "convergence": _convergence,
    "comparison": _comparison,
}
"""All figures by name, in the order they are drawn."""
