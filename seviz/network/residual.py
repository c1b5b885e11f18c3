"""Where the residual branches of a network end, told by what a forward pass computes.

A residual unit adds two feature maps: a branch, and a shortcut, which is what the branch started from, as it is or
through one projection. So of the two that are summed, the branch is the one with more convolutions of its own.
"""

from torch import Tensor, nn

from seviz.network.flow import SUMS, Flow, Value, flow_of, is_convolution, made_of
from seviz.network.positions import CONVOLUTIONS, RANKS


def branch_ends(model: nn.Module, images: Tensor) -> tuple[str, ...]:
    """The modules whose outputs are residual branches, just before the sum with the shortcut.

    Parameters
    ----------
    model
        Any module; comes back as it was given.
    images
        What it takes; only shape, dtype and device count.

    Returns
    -------
    tuple of str
        Paths, in the order of the forward pass: a BatchNorm, an activation or a convolution. Branches that no
        convolution makes are left out, as those of transformers, and such as end in a module that is called several
        times.
    """
    flow = flow_of(model, images)
    behind = _convolutions_behind(flow)
    ends: dict[str, None] = {}
    for call in flow.calls:
        if call.name not in SUMS or len(call.inputs) != 2:
            continue
        one, other = call.inputs
        if flow.shapes[one] != flow.shapes[other] or len(flow.shapes[one]) not in RANKS:
            continue
        own = sorted(((len(behind[a] - behind[b]), a) for a, b in ((one, other), (other, one))), reverse=True)
        (longer, branch), (shorter, _) = own
        if shorter > 1 or longer <= shorter or not _is_of_convolutions(model, flow, branch):
            continue
        if (path := _giver(flow, branch)) is not None:
            ends[path] = None
    return tuple(ends)


def _convolutions_behind(flow: Flow) -> dict[Value, frozenset[int]]:
    """The convolutions that each value is computed by, as numbers of calls."""
    behind: dict[Value, frozenset[int]] = {}
    for number, call in enumerate(flow.calls):
        own = frozenset({number} if is_convolution(call) else ())
        known = own.union(*(behind.get(value, frozenset()) for value in call.inputs))
        behind.update(dict.fromkeys(call.outputs, known))
    return {Value(number): behind.get(Value(number), frozenset()) for number in range(len(flow.shapes))}


def _is_of_convolutions(model: nn.Module, flow: Flow, value: Value) -> bool:
    """Whether the channels of a value are made by convolutions, behind which each is treated for itself."""
    pieces = made_of(flow, value, 1) or []
    return bool(pieces) and all(isinstance(model.get_submodule(piece.convolution), CONVOLUTIONS) for piece in pieces)


def _giver(flow: Flow, value: Value) -> str | None:
    """The innermost module that makes a value, if it is called once."""
    givers = [
        path
        for path, visits in flow.visits.items()
        if path and len(visits) == 1 and visits[0].gave == (value,) and value not in visits[0].given
    ]
    return max(givers, key=lambda path: path.count("."), default=None)
