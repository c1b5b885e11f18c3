"""First-order estimate of what a channel is worth to the loss: |s · dL/ds|, or |a · dL/da| of an inner channel a."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.compression.scoring import Channels, Scores
from seviz.experiments.evaluation import logits_of, on_device
from seviz.network.gates import capture_gates, layer_inputs
from seviz.network.networks import Network
from seviz.network.positions import channels_first
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="Taylor, |s · dL/ds|", kinds=("gated", "inner"), needs=("images",), passes=3)
def taylor(network: Network, run: Run | Part | None, channels: Channels) -> Scores:
    """|s · dL/ds| with the cross-entropy L of an image, mean over images.

    By the chain rule s · dL/ds is the sum of y · dL/dy over positions, and so it is with an inner channel a in the
    place of y.
    """
    inputs = {piece.convolution for pieces in channels.readers.values() for piece in pieces}
    watch: Callable[[], AbstractContextManager[Mapping[str, Tensor]]] = partial(layer_inputs, network.model, inputs)
    if channels.kind == "gated":
        watch = partial(capture_gates, network.model, network.blocks)
    total: dict[str, NDArray[np.float64]] = {}
    images = 0
    with on_device(network.model, channels.reading.device) as place:
        for batch in channels.batches(network):
            x = batch.images.to(place).detach().requires_grad_()  # so that there is a graph, whatever is frozen
            with torch.enable_grad(), watch() as seen:
                logits = logits_of(network, x, batch.labels)
                target = torch.as_tensor(batch.labels, device=place)
                loss = nn.functional.cross_entropy(logits, target, reduction="sum")
                slopes = torch.autograd.grad(loss, list(seen.values()), allow_unused=True)
            for (name, a), slope in zip(seen.items(), slopes, strict=True):
                effect = torch.zeros_like(a) if slope is None else a.detach() * slope
                score = _by_image(network, name, effect).abs().cpu().double().sum(0).numpy()
                total[name] = total.get(name, np.zeros_like(score)) + score
            images += len(batch)
    if channels.kind == "gated":
        return {block: total[block] / images for block in channels.blocks}
    return {
        key: sum((total[piece.convolution] / images for piece in pieces), start=np.zeros(channels.sizes[key]))
        for key, pieces in channels.readers.items()
    }


def _by_image(network: Network, name: str, effect: Tensor) -> Tensor:
    """The sum over positions, (image, channel), of a gate or of the inputs of a layer."""
    if effect.ndim == 2:
        return effect
    last = isinstance(network.model.get_submodule(name), nn.Linear)
    return channels_first(effect, "last" if last else "first").flatten(2).sum(2)
