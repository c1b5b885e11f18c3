"""The statistics of BatchNorm measured anew: what a changed network needs most, and cheaply gets."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from seviz.capture.datasets import Dataset, open_dataset
from seviz.errors import EmptyDataError, ModelError, OptionError
from seviz.experiments.evaluation import Images, labelled_batches, on_device
from seviz.network.dtype import as_taken
from seviz.network.networks import Network
from seviz.network.wrappers import refuse_compiled
from seviz.options import Reading
from seviz.progress import Progress


def recalibrate(
    network: Network,
    data: Images,
    *,
    images: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Network:
    """Measure the running mean and variance of each BatchNorm anew; weights stay as they are.

    Both become the mean over training batches of the mean and variance within the batch, each batch by its number of
    images. Nothing else is in training mode: no dropout, no dropped paths.

    Parameters
    ----------
    network
        Stays as it is.
    data
        As in `evaluate`; its labels are not used. The images of a data set, which lie class by class, are drawn in
        random order, so that a batch holds many classes. Batches in memory are taken as they come, and should be
        mixed.
    images
        How many of them, at least 2; None for all.
    batch_size
        Images a batch of a data set, at least 2.
    seed
        Of the order.
    device, workers, progress
        As in `evaluate`.

    Returns
    -------
    Network
        With a new model, in evaluation mode.

    Raises
    ------
    ModelError
        If no BatchNorm keeps running statistics.
    OptionError, EmptyDataError
        As in `evaluate`, and if no batch has more than one image.

    Examples
    --------
    >>> seviz.recalibrate(network, "bundled", images=20, workers=0).spec
    'seviz/seresnet50-cifar10'
    """
    for name, value in (("images", images), ("batch_size", batch_size)):
        if value is not None and value < 2:
            raise OptionError(f"{name} is {value}, expected at least 2")
    refuse_compiled(network.model)
    model = copy.deepcopy(network.model).eval()
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
    ]
    if not norms:
        raise ModelError(
            f"{network.spec} has no BatchNorm with running statistics, so there is nothing to measure anew"
        )
    reading = Reading(batch_size=batch_size, device=device, workers=workers, progress=progress)
    batches = labelled_batches(network, mixed(data, seed), reading)
    seen = 0
    with on_device(model, device) as place, _measuring(norms):
        for batch in batches:
            chosen = batch.images if images is None else batch.images[: images - seen]
            if len(chosen) > 1:  # one image alone has no variance where one position is left
                seen += len(chosen)
                for norm in norms:
                    norm.momentum = len(chosen) / seen
                model(as_taken(chosen.to(place), model))
            if images is not None and seen >= images - 1:  # what is left would be one image
                break
    if not seen:
        raise EmptyDataError("no batch has more than one image, so no variance can be measured; give larger batches")
    return network.changed(model, modules=False)


def mixed(data: Images, seed: int) -> Images:
    """The images of a data set in random order; batches in memory as they are."""
    if isinstance(data, str | Path):
        data = open_dataset(data)
    if isinstance(data, Dataset):
        return data.take(np.random.default_rng(seed).permutation(len(data)))
    return data


@contextmanager
def _measuring(norms: list[nn.modules.batchnorm._BatchNorm]) -> Iterator[None]:
    """BatchNorm in training mode from no statistics; its momentum as it was afterwards."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.training = True
    try:
        with torch.no_grad():
            yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum, norm.training = momentum, False
