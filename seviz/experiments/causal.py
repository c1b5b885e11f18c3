"""Whether the network uses what its gates say: accuracy when the gates of a block are others.

| intervention | the gates of an image become |
|---|---|
| identity | 1: the block does nothing |
| zero | 0: nothing comes out of the block |
| constant | the mean over all images of the run: the block scales channels, but all images alike |
| within | those of another image of the same class: what differs between classes stays, the rest is another image's |
| across | those of an image of another class |

If gates carry class information that the network uses, within costs little and across costs much. Within tells the
network the class of the image by its gates, so that it can also gain: mistakes that gates of the right class correct.
Donors come from a run, never from the batch, whose images may all be of one class.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.classes import Classes
from seviz.errors import OptionError
from seviz.experiments.belonging import check_blocks
from seviz.experiments.donors import Donors, network_classes
from seviz.experiments.evaluation import (
    Labelled,
    classes_of,
    labelled_batches,
    logits_of,
    on_device,
)
from seviz.experiments.images import Images, images_of, require_run
from seviz.experiments.shares import difference_interval, share_interval
from seviz.network.gates import Forced, force_gates
from seviz.network.networks import Network
from seviz.options import Reading
from seviz.progress import Progress
from seviz.run.pairing import pair_blocks
from seviz.run.parts import mean_over_images
from seviz.run.store import Run
from seviz.showing import brief

Intervention = Literal["identity", "zero", "constant", "within", "across"]
INTERVENTIONS: tuple[Intervention, ...] = get_args(Intervention)
_NUMBERS = {"identity": 1.0, "zero": 0.0}
_DONATED = ("within", "across")


@dataclass(frozen=True)
class Outcomes:
    """What a network took images for, as it is and with the gates of one block replaced.

    Attributes
    ----------
    conditions
        Block and intervention; the first is ("", "none"), the network as it is.
    stages
        Of each block.
    classes
        Of the network.
    labels
        The class of each image, (image).
    predicted
        What it was taken for, (condition, image).
    logits
        Of its class, (condition, image).
    losses
        Cross-entropy in nats, (condition, image).
    there
        Whether there was a donor, (condition, image).
    failed
        How many images could not be read.
    remarks
        What to know of it, a sentence each.
    """

    conditions: tuple[tuple[str, str], ...]
    stages: dict[str, int]
    classes: Classes
    labels: NDArray[np.int64]
    predicted: NDArray[np.int32]
    logits: NDArray[np.float32]
    losses: NDArray[np.float32]
    there: NDArray[np.bool_]
    failed: int
    remarks: tuple[str, ...]

    __repr__ = brief

    def by_block(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """Accuracy by block and intervention.

        Columns: block ("" for the network as it is), stage, intervention; images; accuracy, its interval low to high
        (Wilson's); drop, the accuracy of the network as it is on the same images less that, its interval drop_low to
        drop_high (of paired shares, see `seviz.experiments.shares`); changed, the share of images that are taken for
        another class than before; logit_change and loss_change, how far the logit of the image's class and its
        cross-entropy in nats rise, mean over images.

        Parameters
        ----------
        confidence
            Of the intervals, in (0, 1).
        """
        rows = [self._row(k, np.ones(len(self.labels), bool)) for k in range(len(self.conditions))]
        return self._table(rows, confidence)

    def by_class(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """The same by block, intervention and class; the columns class and class_name follow the intervention."""
        rows = []
        for label in np.unique(self.labels):
            own = self.labels == label
            named = {"class": self.classes.ids[label], "class_name": self.classes.names[label]}
            rows += [self._row(k, own, named) | {"order": k} for k in range(len(self.conditions))]
        rows.sort(key=lambda row: row.pop("order"))
        return self._table(rows, confidence)

    def _row(self, k: int, of: NDArray[np.bool_], named: dict[str, str] | None = None) -> dict[str, Any]:
        block, intervention = self.conditions[k]
        of = of & self.there[k]
        labels = self.labels[of]
        before, now = self.predicted[0, of] == labels, self.predicted[k, of] == labels
        return {
            "block": block,
            "stage": self.stages.get(block),
            "intervention": intervention,
            **(named or {}),
            "images": len(labels),
            "both": (before & now).sum(),
            "first": (before & ~now).sum(),
            "second": (~before & now).sum(),
            "changed": _mean(self.predicted[k, of] != self.predicted[0, of]),
            "logit_change": _mean(self.logits[k, of].astype(float) - self.logits[0, of]),
            "loss_change": _mean(self.losses[k, of].astype(float) - self.losses[0, of]),
        }

    def _table(self, rows: list[dict[str, Any]], confidence: float) -> pd.DataFrame:
        if not 0 < confidence < 1:
            raise OptionError(f"confidence is {confidence}, expected between 0 and 1")
        counted = pd.DataFrame(rows)
        both, first, second, images = (counted.pop(name) for name in ("both", "first", "second", "images"))
        changes = [counted.pop(name) for name in ("changed", "logit_change", "loss_change")]
        of = images.where(images > 0)
        low, high = share_interval(both + second, images, confidence=confidence)
        ends = difference_interval(both, first, second, images - both - first - second, confidence=confidence)
        plain = counted["block"] == ""  # does not differ from itself
        table = counted.assign(
            stage=counted["stage"].astype("Int64"),
            images=images,
            accuracy=(both + second) / of,
            low=low,
            high=high,
            drop=(first - second) / of,
            drop_low=np.where(plain, 0, ends[0]),
            drop_high=np.where(plain, 0, ends[1]),
            **{str(change.name): change for change in changes},
        )
        table.attrs["remarks"] = list(self.remarks)
        return table


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def intervene(
    network: Network,
    run: Run,
    *,
    data: Images | None = None,
    root: str | Path | None = None,
    blocks: Sequence[str] | None = None,
    interventions: Sequence[Intervention] = ("identity", "constant", "within", "across"),
    per_class: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcomes:
    """Run a network with the gates of each block replaced, one block and one intervention at a time.

    Each image is read once, and passes through the network once as it is and once for each block and intervention. An
    image has the same donors in all blocks. The gates of donors are held in memory, 60 kB each for SE-ResNet-50.

    Parameters
    ----------
    network
        Comes back as it was given.
    run
        Of the same network: where constants and donors are taken from.
    data
        Images of one class each; None for those of the run, opened again. An image is not its own donor, told by its
        path.
    root
        Where the images are, if they were moved.
    blocks
        Names; None for all.
    interventions
        Some of `INTERVENTIONS`.
    per_class
        Only so many images of each class of a data set, drawn at random, the same at every call.
    seed
        Of the draw of donors.
    batch_size, device, workers, progress
        As in `seviz.experiments.evaluation.evaluate`.

    Returns
    -------
    Outcomes
        Its tables are `by_block` and `by_class`.

    Raises
    ------
    OptionError
        If a block or an intervention is unknown, the run is of another network or its classes are not the network's,
        or as in `labelled_batches`.
    MissingSignalError
        If donors are asked for and the run keeps the gates of no image.
    DataNotFoundError
        If the images of the run are not there.

    Examples
    --------
    >>> outcomes = seviz.intervene(network, run, blocks=["SE_5_1"], interventions=["identity", "within"], workers=0)
    >>> outcomes.by_block()["intervention"].tolist()
    ['none', 'identity', 'within']
    """
    unknown = [what for what in interventions if what not in INTERVENTIONS]
    if unknown:
        raise OptionError(f"interventions has {unknown[0]!r}, expected some of {', '.join(INTERVENTIONS)}")
    chosen = _blocks(network, run, blocks)
    donors = Donors(run, chosen, seed) if set(interventions) & set(_DONATED) else None
    constants = {block: mean_over_images(run, block) for block in chosen} if "constant" in interventions else {}
    conditions = [("", "none"), *((block, what) for block in chosen for what in interventions)]

    def forced(block: str, intervention: str, drawn: dict[str, NDArray[np.int64]]) -> dict[str, Forced]:
        if not block:
            return {}
        if intervention in _NUMBERS:
            return {block: _NUMBERS[intervention]}
        if donors is None or intervention == "constant":
            return {block: constants[block]}
        return {block: donors.gates(block, drawn[intervention])}

    parts: list[dict[str, NDArray[Any]]] = []
    failed = 0
    reading = Reading(per_class=per_class, batch_size=batch_size, device=device, workers=workers, progress=progress)
    with _reading(network, run, data, root, reading) as (place, batches):
        for batch in batches:
            failed += batch.failed
            if not len(batch):
                continue
            images, target = batch.images.to(place), torch.as_tensor(batch.labels, device=place)
            drawn = donors.draw(batch.labels, batch.paths) if donors else {}
            passes = []
            for block, intervention in conditions:
                with force_gates(network.model, network.blocks, forced(block, intervention, drawn)):
                    passes.append(_outcome(network, images, target, batch.labels))
            predicted, logits, losses = (torch.stack(part).cpu().numpy() for part in zip(*passes, strict=True))
            there = np.array([drawn[what] >= 0 if what in drawn else batch.labels >= 0 for _, what in conditions])
            parts.append(
                {"labels": batch.labels, "predicted": predicted, "logits": logits, "losses": losses, "there": there}
            )
    joined: dict[str, Any] = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
    return Outcomes(
        conditions=tuple(conditions),
        stages={block: network.blocks[block].stage for block in chosen},
        classes=classes_of(network, int(joined["labels"].max()) + 1),
        failed=failed,
        remarks=_remarks(network, run, joined["there"], failed),
        **joined,
    )


def _outcome(
    network: Network, images: Tensor, target: Tensor, labels: NDArray[np.int64]
) -> tuple[Tensor, Tensor, Tensor]:
    """What each image is taken for, -1 where a logit is not finite, the logit of its class, cross-entropy, (batch)."""
    logits = logits_of(network, images, labels)
    loss = nn.functional.cross_entropy(logits, target, reduction="none")
    predicted = logits.argmax(1).int().where(logits.isfinite().all(1), -1)
    return predicted, logits.gather(1, target[:, None])[:, 0], loss


def _blocks(network: Network, run: Run, blocks: Sequence[str] | None) -> list[str]:
    """The blocks asked for, in order of depth; raises OptionError if they are not those of the run."""
    require_run(run)
    check_blocks(network, run)
    return chosen_blocks(network, blocks)


def chosen_blocks(network: Network, blocks: Sequence[str] | None) -> list[str]:
    """The blocks asked for, or all, in order of depth; raises OptionError if there is none of a name."""
    known = network.require_blocks()
    for name in blocks or ():
        if name not in known:
            raise OptionError(f"no block {name!r} in {network.spec}; it has {', '.join(known)}")
    return [name for name in known if blocks is None or name in blocks]


@contextmanager
def _reading(
    network: Network, run: Run, data: Images | None, root: str | Path | None, reading: Reading
) -> Iterator[tuple[torch.device, Iterator[Labelled]]]:
    """The device that the model is on, and batches of images read as those of the run were."""
    images, reading = images_of(run, data, reading, root=root)
    with on_device(network.model, reading.device) as place:
        yield place, labelled_batches(network, images, reading)


def _remarks(network: Network, run: Run, there: NDArray[np.bool_], failed: int) -> tuple[str, ...]:
    remarks = [*network.remarks]
    if not network.trained:
        remarks.append("The weights of the SE blocks are untrained: the gates say nothing of learned features.")
    if network.weights_sha256 != run.manifest.model.weights_sha256:
        remarks.append("The run is of a network with other weights: its gates are not what this network computes.")
    remarks += pair_blocks(network.blocks.values(), run.manifest.blocks).remarks(network.spec, str(run.path))
    alone = int((~there).any(0).sum())
    if alone:
        remarks.append(f"Left out of within or across, for want of a donor in the run: {alone} of the images.")
    if failed:
        remarks.append(f"Left out since they could not be read: {failed} of the images.")
    return tuple(remarks)


def swap(
    network: Network,
    run: Run,
    block: str,
    *,
    data: Images | None = None,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    batch_size: int = 64,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Give images of one class the mean gates that another class has in a run.

    Parameters
    ----------
    network, run, data, root, per_class, batch_size, device, workers, progress
        As in `intervene`. Each batch passes through the network once as it is and once for each donor class.
    block
        Whose gates are replaced.
    classes
        Only these, as donors and as targets, by id or name; None for all that have images in the run.

    Returns
    -------
    pandas.DataFrame
        A row for each two classes. Columns: donor, donor_name, target, target_name; images, those of the target;
        logit_donor and logit_target, how far the logits of the two rise, mean over images; predicted_donor, the share
        of images that are taken for the donor, and predicted_donor_before, without the swap; accuracy and
        accuracy_before, the share taken for the target. Where donor and target are the same, images have the mean
        gates of their own class.

    Raises
    ------
    OptionError, UnknownClassError, DataNotFoundError
        As in `intervene`, or if there is no such class.
    """
    _blocks(network, run, [block])
    targets, moments = network_classes(run), run.moments(block)
    labels = [run.class_index(name) for name in classes] if classes else np.flatnonzero(moments.count).tolist()
    empty = [run.classes.names[label] for label in labels if not moments.count[label]]
    if empty:
        raise OptionError(f"class {empty[0]!r} has no image in the run {str(run.path)!r}, so no mean gates to give")
    numbers = targets[labels]  # of the classes among the network's
    place_of = {int(number): k for k, number in enumerate(numbers)}
    shape = (len(labels), len(labels))  # (donor, target)
    sums = {name: np.zeros(shape) for name in ("logit_donor", "logit_target", "predicted_donor", "before", "right")}
    images, right = np.zeros(len(labels), np.int64), np.zeros(len(labels))
    failed = 0
    reading = Reading(per_class=per_class, batch_size=batch_size, device=device, workers=workers, progress=progress)
    with _reading(network, run, data, root, reading) as (place, batches):
        for batch in batches:
            failed += batch.failed
            own = np.flatnonzero(np.isin(batch.labels, numbers))
            if not len(own):
                continue
            pixels, classed = batch.images[own].to(place), batch.labels[own]
            column = np.array([place_of[int(label)] for label in classed])
            plain = logits_of(network, pixels, numbers).cpu().numpy().astype(np.float64)
            before = plain.argmax(1)
            np.add.at(images, column, 1)
            np.add.at(right, column, before == classed)
            for k, label in enumerate(labels):
                with force_gates(network.model, network.blocks, {block: moments.mean[label]}):
                    logits = logits_of(network, pixels, numbers).cpu().numpy().astype(np.float64)
                change, now, every = logits - plain, logits.argmax(1), np.arange(len(classed))
                np.add.at(sums["logit_donor"][k], column, change[:, numbers[k]])
                np.add.at(sums["logit_target"][k], column, change[every, classed])
                np.add.at(sums["predicted_donor"][k], column, now == numbers[k])
                np.add.at(sums["before"][k], column, before == numbers[k])
                np.add.at(sums["right"][k], column, now == classed)
    of = np.where(images > 0, images, np.nan)
    means = {name: (total / of).ravel() for name, total in sums.items()}
    ids, names = ([known[label] for label in labels] for known in (run.classes.ids, run.classes.names))
    count = len(labels)
    table = pd.DataFrame(
        {
            "donor": np.repeat(ids, count),
            "donor_name": np.repeat(names, count),
            "target": np.tile(ids, count),
            "target_name": np.tile(names, count),
            "images": np.tile(images, count),
            "logit_donor": means["logit_donor"],
            "logit_target": means["logit_target"],
            "predicted_donor": means["predicted_donor"],
            "predicted_donor_before": means["before"],
            "accuracy": means["right"],
            "accuracy_before": np.tile(right / of, count),
        }
    )
    table.attrs["remarks"] = list(_remarks(network, run, np.ones((1, 1), bool), failed))
    return table
