"""Write a changed network down, so that `load` gives it back; and tell what was changed in one since it was loaded."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import safetensors.torch
import torch

from seviz.errors import SavedNetworkError
from seviz.network.changes import Changes, apply_changes, changes_between
from seviz.network.identity import identity_of, weights_sha256
from seviz.network.models import load_with
from seviz.network.modes import undisturbed
from seviz.network.naming import names_of
from seviz.network.networks import Loaded, Network
from seviz.network.products import tensors_in
from seviz.network.saved import WEIGHTS, SavedNetwork, read_record, structural_weights
from seviz.network.settings import Settings
from seviz.network.trust import RECORD, file_sha256, is_saved_network, require_trust


def save(network: Network, directory: str | Path) -> None:
    """Write a network into a directory: what it is made from, what was changed, its weights.

    It is read back as `seviz.load(directory)`, without pickle and without doing the changes over again. SE blocks keep
    their names.

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

    Examples
    --------
    >>> seviz.save(network, "saved")
    >>> seviz.load("saved").spec
    'saved'
    """
    directory = Path(directory)
    base, settings = _base_of(network)
    plain = _again(network, base, settings)
    record = SavedNetwork(
        base=base,
        settings=settings,
        changes=changes_between(plain.model, network.model),
        trained=network.trained,
        weights_sha256=weights_sha256(network.model),
        names=names_of(network.blocks),
        factory_sha256=plain.factory_sha256,
    )
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.model.state_dict().items()}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory, prefix=".writing-") as beside:
            safetensors.torch.save_file(state, Path(beside) / WEIGHTS)
            record = replace(record, weights_file_sha256=file_sha256(Path(beside) / WEIGHTS))
            (Path(beside) / RECORD).write_text(record.to_json(), encoding="utf-8")
            shutil.copymode(Path(beside) / RECORD, Path(beside) / WEIGHTS)  # safetensors gives its file to the owner
            _compare(network, load_with(beside, trust_code=True))
            for name in (WEIGHTS, RECORD):
                (Path(beside) / name).replace(directory / name)
    except OSError as error:
        raise SavedNetworkError(f"the network could not be written to {str(directory)!r}: {error}") from error


@dataclass(frozen=True)
class Changed:
    """What was changed in a network since it was loaded.

    Attributes
    ----------
    base
        The spec that it is made from.
    what
        In words; where it is not known how, says why.
    changes
        As `save` writes them down, beside other weights; None where it is not known how.
    settings
        What else is other: "input size", "preprocessing", "classes", "spec", "task".
    """

    base: str
    what: str
    changes: Changes | None
    settings: tuple[str, ...] = ()


def changes_since_loaded(network: Network) -> Changed | None:
    """What was changed in a network since it was loaded; None if nothing was.

    The network that it is made from is built again, without weights, if something was.
    """
    if network.loaded is None:
        return None
    loaded, now = network.loaded, Loaded.of(network)
    settings = tuple(name for name, value in now.settings.items() if value != loaded.settings[name])
    if now.model == loaded.model:
        if not settings:
            return None
        return Changed(network.spec, ", ".join(f"other {name}" for name in settings), Changes(), settings)
    spec = network.spec
    try:
        spec, said = _base_of(network)
        base = _again(network, spec, said).model
        changes = changes_between(base, network.model)
        apply_changes(base, changes)
    except Exception as error:  # a person's own file may raise anything
        return Changed(spec, f"it is not known how: {error}", None, settings)
    if identity_of(base).modules != now.model.modules:
        what = "it is not known how: settings, hooks or code of its modules are others"
        return Changed(spec, what, None, settings)
    weights = "other weights" if now.model.weights != loaded.model.weights else "the same weights"
    words = [str(changes), weights, *(f"other {name}" for name in settings)]
    return Changed(spec, ", ".join(filter(None, words)), changes, settings)


def _base_of(network: Network) -> tuple[str, Settings]:
    """The spec that a network is made from, and what was said of it beside."""
    if network.base is None and not is_saved_network(network.spec):
        return network.spec, network.settings
    record = read_record(Path(network.spec))
    base = record.base if network.base is None else network.base
    if network.base is None:
        require_trust(base, file=Path(network.spec) / RECORD, field="base", recorded=record.factory_sha256)
    return base, Settings.from_given(record.settings.given() | network.settings.given())


def _again(network: Network, base: str, settings: Settings) -> Network:
    """What a network is made from, built once more; what a directory named was allowed when it was loaded."""
    settings = settings.but(ema="auto")  # which chooses among weights
    return load_with(base, structural_weights(base), settings, trust_code=network.base is not None)


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
