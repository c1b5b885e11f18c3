"""Which of how many processes this is: what torchrun, or a launcher like it, says in the environment."""

import os
from dataclasses import dataclass

from seviz.errors import OptionError


@dataclass(frozen=True)
class Launch:
    """A process of a launch.

    Attributes
    ----------
    rank, world
        Its number, from 0, and how many there are.
    local_rank
        Its number among those of its host.
    name
        What all processes of the launch have in common; None for a process by itself.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    name: str | None = None


def this_launch() -> Launch:
    """Read RANK, WORLD_SIZE, LOCAL_RANK and the rendezvous from the environment; one process where they are unset.

    Raises
    ------
    OptionError
        If they do not fit together.
    """
    if "RANK" not in os.environ and "WORLD_SIZE" not in os.environ:
        return Launch()
    try:
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local_rank = int(os.environ.get("LOCAL_RANK", 0))
    except (KeyError, ValueError) as error:
        raise OptionError(
            f"RANK is {os.environ.get('RANK')!r} and WORLD_SIZE {os.environ.get('WORLD_SIZE')!r}, expected both, as"
            " torchrun sets them, or neither"
        ) from error
    if not 0 <= rank < world:
        raise OptionError(f"RANK is {rank} and WORLD_SIZE {world}, expected 0 <= RANK < WORLD_SIZE")
    if world == 1:
        return Launch()
    rendezvous = (os.environ.get(name, "") for name in ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT"))
    return Launch(rank, world, local_rank, "/".join(rendezvous))
