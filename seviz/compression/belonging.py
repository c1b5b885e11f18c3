"""Whether a run is of the network at hand: what is made of its gates must be put into the weights that made them."""

from seviz.errors import OptionError
from seviz.network.models import Network
from seviz.run.parts import Part
from seviz.run.store import Run


def check_run(network: Network, run: Run | Part) -> None:
    """Check that a run is of a network, by its blocks and by its weights.

    Raises
    ------
    OptionError
        If it is of another.
    """
    known = {name: block.channels for name, block in network.blocks.items()}
    recorded = {block.name: block.channels for block in run.manifest.blocks}
    if known != recorded:
        other = sorted(known.items() ^ recorded.items())[0][0]
        raise OptionError(
            f"the run {str(run.path)!r} is of another network ({run.manifest.model.spec}) than {network.spec}: {other}"
            f" has {recorded.get(other, 'no')} channels there, {known.get(other, 'none')} here. Capture a run of this"
            " network."
        )
    if network.weights_sha256 != run.manifest.model.weights_sha256:
        raise OptionError(
            f"the run {str(run.path)!r} is of a network with other weights than {network.spec} has here"
            f" ({run.manifest.model.weights_sha256[:12]} there, {network.weights_sha256[:12]} here): its gates are not"
            " what this network computes. Capture a run of this network."
        )
