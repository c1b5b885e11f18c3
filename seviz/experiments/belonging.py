"""Whether the blocks of a run are those of a network, so that what is known of one holds for the other."""

from seviz.errors import OptionError
from seviz.network.networks import Network
from seviz.run.pairing import Pairing, pair_blocks
from seviz.run.parts import Part
from seviz.run.store import Run


def check_blocks(network: Network, run: Run | Part) -> Pairing:
    """Check that a run has the blocks of a network, each at the same place or else under the same name.

    Returns
    -------
    Pairing
        Of the network's blocks with those of the run, which have the same names.

    Raises
    ------
    OptionError
        If a block of one has no counterpart in the other, or one of another name or with another number of channels.
    NoSEBlocksError
        If the network has no SE block.
    """
    blocks = network.require_blocks()
    recorded = {block.name: block for block in run.manifest.blocks}
    pairing = pair_blocks(blocks.values(), recorded.values())
    whose = f"the run {str(run.path)!r} is of another network ({run.manifest.model.spec}) than {network.spec}"
    for pair in pairing.pairs:
        mine, theirs = blocks[pair.one].channels, recorded[pair.other].channels
        if mine != theirs:
            raise OptionError(
                f"{whose}: {pair.one} has {theirs} channels there, {mine} here. Capture a run of this network."
            )
    for name in pairing.only_one:
        raise OptionError(
            f"{whose}: {name} has no channels there, {blocks[name].channels} here. Capture a run of this network."
        )
    for name in pairing.only_other:
        raise OptionError(
            f"{whose}: {name} has {recorded[name].channels} channels there, none here. Capture a run of this network."
        )
    for pair in pairing.pairs:
        if pair.one != pair.other:
            raise OptionError(
                f"the run {str(run.path)!r} calls the block at {blocks[pair.one].path!r} {pair.other}, and"
                f" {network.spec} calls it {pair.one}: the run was made under other names. Capture a run of this"
                " network as it is now."
            )
    return pairing
