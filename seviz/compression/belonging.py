"""Whether a run is of the network at hand: what is made of its gates must be put into the weights that made them."""

from seviz.errors import OptionError
from seviz.experiments.belonging import check_blocks
from seviz.network.networks import Network
from seviz.run.parts import Part
from seviz.run.store import Run


def check_run(network: Network, run: Run | Part) -> None:
    """Check that a run is of a network, by its blocks and by its weights.

    Raises
    ------
    OptionError
        If it is of another.
    NoSEBlocksError
        If the network has no SE block.
    """
    check_blocks(network, run)
    if network.weights_sha256 != run.manifest.model.weights_sha256:
        raise OptionError(
            f"the run {str(run.path)!r} is of a network with other weights than {network.spec} has here"
            f" ({run.manifest.model.weights_sha256[:12]} there, {network.weights_sha256[:12]} here): its gates are not"
            " what this network computes. Capture a run of this network."
        )
