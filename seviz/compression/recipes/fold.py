"""SE blocks become constants in the weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seviz.compression import folding
from seviz.compression.planning import Gates, Order, folding_front, folding_order
from seviz.compression.recipes.study import Data, Study, study_of
from seviz.compression.result import Compression
from seviz.compression.splitting import of_classes
from seviz.errors import FoldingError, OptionError
from seviz.figures.compression import folding_front as draw_front
from seviz.network.networks import Network
from seviz.progress import Steps
from seviz.run.store import Run


def fold_run(
    network: Network,
    run: Run,
    *,
    blocks: Sequence[str] | None = None,
    count: int | None = None,
    max_drop: float | None = None,
    order: Order = "measured",
    classes: Sequence[str] | None = None,
    remove: bool = False,
    recalibrate: bool = False,
    latency: bool = True,
    data: Data | None = None,
    root: str | Path | None = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    workers: int | None = None,
    progress: bool | Steps = True,
) -> Compression:
    """Replace the gates of SE blocks by constants, folded into the weights, and measure what that costs.

    Parameters
    ----------
    network
        Comes back as it was given.
    run
        Of this network, with the gates of all images kept unless `data` is given.
    blocks
        Names. Without it, and without `count` and `max_drop`, all that can be folded.
    count
        Fold so many, those that are missed least first.
    max_drop
        Fold as many as cost no more accuracy than this on the images to choose with, in [-1, 1].
    order
        Which are missed least; see `seviz.compression.planning`.
    classes
        Means over images of these classes, which alone judge the result; by id or name.
    remove
        Gates become 1 in place of their means.
    recalibrate
        Estimate BatchNorm statistics anew, on the images that the means come from.
    latency
        Time the result beside the original.
    data
        Other images than those of the run, to choose and to judge with.
    root
        Where the images of the run are, if they were moved.
    seed
        Of the draw that parts the images.
    batch_size
        Images a forward pass.
    device
        "auto" (CUDA, else MPS, else CPU) or what torch calls it.
    workers
        Processes that decode images; 0 for none but this one; None chooses.
    progress
        True: a bar on stderr for each step. False: none. A function: called with the name of each step, such as
        "measure"; returns a context manager that gives what to call with images done and their number.

    Returns
    -------
    Compression
        With the smaller network and tables `results`, `classes`, `blocks`, and `front` where blocks were chosen.

    Raises
    ------
    OptionError
        If more than one of `blocks`, `count` and `max_drop` is given, an option is out of its range, or the run is of
        another network.
    FoldingError
        If a block that was named cannot be folded, none can, or none for this loss of accuracy.
    UnknownClassError, MissingSignalError, EmptyDataError, DataNotFoundError, NoSEBlocksError
        As in `seviz.fold`, `seviz.compression.splitting.split` and `seviz.experiments.reopening.reopen_data`.

    Examples
    --------
    >>> made = seviz.fold_run(network, run, blocks=["SE_2_1"], latency=False, workers=0, progress=False)
    >>> made.measurements["blocks"].tolist()
    [16, 15]
    """
    if sum(each is not None for each in (blocks, count, max_drop)) > 1:
        raise OptionError("of blocks, count and max_drop more than one was given, expected one or none")
    study = study_of(network, run, classes, data, root, seed, batch_size, device, workers, progress)
    gates = _constants(study, blocks, remove=remove)
    front: pd.DataFrame | None = None
    if blocks is None:
        gates, front = _chosen(study, gates, order, count, max_drop)
    smaller = folding.remove(network, list(gates)) if remove else folding.fold_to(network, gates)
    networks = {"original": network, "folded": smaller}
    if recalibrate:
        networks["folded, recalibrated"] = smaller = study.recalibrated(smaller)
    table, measured = study.measured(networks, latency=latency)
    places = folding.foldable(network)
    places["folded"] = places["block"].isin(list(gates))
    tables = {
        "results": ("Original and result", table),
        "classes": ("By class", measured.by_class()),
        "blocks": ("SE blocks", places),
    }
    if front is not None:
        tables["front"] = ("With more and more blocks folded", front)
    what = "taken out (gates of 1)" if remove else "folded (gates held at their means)"
    chosen = order if front is not None else None
    return Compression(
        kind="fold",
        title=f"{network.spec} with {len(gates)} of {len(network.blocks)} SE blocks {what}",
        made=(_sentence(len(gates), chosen, classes, remove, recalibrate), *network.remarks),
        settings={
            "run": run.path,
            "network": network.spec,
            "blocks": list(gates),
            "order": chosen or "as given",
            "max_drop": max_drop,
            "count": count,
            "classes": list(classes) if classes else "all",
            "recalibrated": recalibrate,
        },
        split=study.split.record,
        tables=tables,
        figures={} if front is None else {"front": draw_front(front)},
        network=smaller,
    )


def _constants(study: Study, blocks: Sequence[str] | None, *, remove: bool) -> Gates:
    """What the gates of the blocks become, (channels) each."""
    network = study.network
    if not remove:
        return folding.constant_gates(network, study.split.run, blocks, classes=study.classes)
    table = folding.foldable(network)
    if blocks is None:
        blocks = table.loc[table["removable"], "block"].tolist()
    if unknown := [name for name in blocks if name not in network.blocks]:
        raise OptionError(f"blocks has {unknown[0]!r}, expected some of {', '.join(network.blocks)}")
    if not blocks:
        raise FoldingError(f"no SE block of {network.spec} can be taken out: {table['reason'].iloc[0]}")
    return {name: np.ones(network.blocks[name].channels) for name in blocks}


def _chosen(
    study: Study, gates: Gates, order: Order, count: int | None, max_drop: float | None
) -> tuple[Gates, pd.DataFrame]:
    """The blocks to be folded, and the front that is measured with images that had no part in the choice."""
    if count is not None and count < 1:
        raise OptionError(f"count is {count}, expected at least 1")
    if count is not None and count > len(gates):
        raise OptionError(f"count is {count}, expected at most {len(gates)}: so many can be folded")
    network, parts = study.network, study.split
    choose, final = of_classes(parts.choose, study.classes), of_classes(parts.final, study.classes)
    with study.steps(f"order by {order}") as step:
        ordered = folding_order(network, parts.run, gates, order, data=choose, reading=study.told(step))
    number = len(ordered) if count is None else count
    if max_drop is not None:
        with study.steps("choose") as step:
            tried = folding_front(network, gates, {order: ordered}, choose, study.told(step)).table()
        fits = tried[tried["drop"] <= max_drop]
        number = 0 if fits.empty else int(fits["folded"].max())
        if not number:
            least = tried[tried["folded"] > 0]["drop"].min()
            raise FoldingError(
                f"no SE block of {network.spec} can be folded for {max_drop:.3g} of accuracy: the least costs"
                f" {least:.3g} on the {tried['images'].iloc[0]} images to choose with"
            )
    with study.steps("front") as step:
        front = folding_front(network, gates, {order: ordered}, final, study.told(step)).table()
    return {name: gates[name] for name in network.blocks if name in ordered[:number]}, front


def _sentence(folded: int, order: str | None, classes: Sequence[str] | None, remove: bool, recalibrate: bool) -> str:
    constant = "1" if remove else "their means over images"
    of = f" of {', '.join(classes)}" if classes and not remove else ""
    chosen = f", those that are missed least by the order {order!r}" if order is not None else ""
    again = " BatchNorm statistics were estimated anew afterwards." if recalibrate else ""
    return (
        f"The gates of {folded} SE blocks{chosen} became {constant}{of}, multiplied into the layers before or behind"
        f" them; the blocks themselves are gone.{again}"
    )
