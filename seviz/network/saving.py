"""Write a changed network down, so that `load` gives it back."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import safetensors.torch
import torch

from seviz.errors import SavedNetworkError
from seviz.network.blocks import undisturbed
from seviz.network.changes import changes_between
from seviz.network.models import Network, load
from seviz.network.products import tensors_in
from seviz.network.saved import RECORD, WEIGHTS, SavedNetwork, is_saved_network, read_record


def save(network: Network, directory: str | Path) -> None:
    """Write a network into a directory: what it is made from, what was changed, its weights.

    It is read back as `seviz.load(directory)`, without pickle and without doing the changes over again.

    Parameters
    ----------
    network
        As `fold`, `remove` and `prune` give it, or as `load` does.
    directory
        Made if need be; a saved network in it is replaced.

    Raises
    ------
    SavedNetworkError
        If the network differs from what its spec gives by more than is known, it does not come back the same, or it
        cannot be written; then what was in the directory stays.
    """
    directory = Path(directory)
    base = read_record(Path(network.spec)).base if is_saved_network(network.spec) else network.spec
    record = SavedNetwork(
        base=base,
        changes=changes_between(load(base, weights="none").model, network.model),
        trained=network.trained,
        weights_sha256=replace(network).weights_sha256,
    )
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.model.state_dict().items()}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory, prefix=".writing-") as beside:
            safetensors.torch.save_file(state, Path(beside) / WEIGHTS)
            (Path(beside) / RECORD).write_text(record.to_json())
            _compare(network, load(beside))
            for name in (WEIGHTS, RECORD):
                (Path(beside) / name).replace(directory / name)
    except OSError as error:
        raise SavedNetworkError(f"the network could not be written to {str(directory)!r}: {error}") from error


def _compare(network: Network, again: Network) -> None:
    """Raise SavedNetworkError unless two networks do the same."""
    like = next(network.model.parameters())
    images = torch.randn(2, *network.input_size, generator=torch.Generator().manual_seed(0)).to(like)
    with undisturbed(network.model):
        expected = network.model(images)
    with undisturbed(again.model):
        output = again.model(images.cpu())
    for one, other in zip(tensors_in(expected), tensors_in(output), strict=True):
        if not torch.allclose(one.cpu(), other, rtol=1e-4, atol=1e-5 * float(one.abs().max())):
            raise SavedNetworkError(
                "the network cannot be written down: read back it gives other outputs. It was changed by more than"
                " modules taken out, and layers of other widths."
            )
