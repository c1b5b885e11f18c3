"""Name the function that makes a gate, and its bounds, by computing it again on numbers of every size."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seviz.network.bounds import UNBOUNDED, Bounds, bounds_of
from seviz.network.origins import NUMBER_BY_NUMBER, PIECES, Origin
from seviz.network.positions import Layout
from seviz.network.products import Form, gate_of, map_tensors

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "one_plus_tanh": lambda x: 1 + torch.tanh(x),
    "relu": F.relu,
    "relu6": F.relu6,
    "clamp": lambda x: x.clamp(0, 1),
}
"""The gate activations that are told apart, by name. Besides, "hard_sigmoid(SLOPE, OFFSET)" is clamp(SLOPE x + OFFSET,
0, 1)."""

_REACH = 7.0  # beyond the pieces of every function above


def activation(
    gate: Origin,
    factor: Tensor,
    louder: Callable[[], Sequence[tuple[Origin, Tensor]]],
    *,
    form: Form = "factor",
    layout: Layout = "first",
) -> tuple[str, Bounds]:
    """The name of the function that makes a gate out of something computed before it, and the function's bounds.

    The functions between the two are computed again on numbers from -1000 to 1000. Where they cannot be, as a scripted
    function cannot, the name is told only from passes that reach beyond every piece of the functions that are known.

    Parameters
    ----------
    gate
        The origin of the factor.
    factor
        Its value, (batch, channels).
    form, layout
        What `gate` is of the factor, and where its channels stand: see `seviz.network.products`.
    louder
        Gives origin and value of the factor in further passes, of input that is larger.

    Returns
    -------
    name
        A key of `GATES`, "hard_sigmoid(SLOPE, OFFSET)", or "other".
    bounds
        The least and the greatest value of the function; infinite where there is none, or none is known.
    """
    while gate.name in PIECES and len(gate.inputs) == 1 and (whole := gate.inputs[0].value) is not None:
        if whole.numel() == factor.numel():
            break
        gate, whole = gate.inputs[0], whole.flatten(1)  # several products share it
        factor = gate_of(whole, form, whole.shape[1])
    tolerance = 1e-5 if factor.dtype in (torch.float32, torch.float64) else 2e-2
    curves: list[tuple[Origin, Tensor, Tensor]] = []
    computable = True
    if _was_edited(gate, factor, form, layout):
        return "other", UNBOUNDED
    for origin in _before(gate, factor):
        try:
            curves.append((origin, *_curve(gate, origin, form, layout, factor.shape[1])))
        except _NotComputableError:
            computable = False
            break
    for _, x, y in curves:
        for name, function in GATES.items():
            if name != "clamp" and _close(function(x), y, tolerance):
                return name, bounds_of(name)
    for _, x, y in reversed(curves):  # from what the last matrix gave, if possible
        if (line := _clamped_line(x, y, tolerance)) is not None:
            slope, offset = f"{line[0]:.3g}", f"{line[1]:.3g}"
            is_clamp = float(slope) == 1 and abs(line[1]) < tolerance
            return "clamp" if is_clamp else f"hard_sigmoid({slope}, {offset})", bounds_of("clamp")
    if not computable:
        name = _by_passes([(gate, factor), *louder()], tolerance)
        return name, bounds_of(name)
    elementwise = [(x, y) for origin, x, y in curves if _is_elementwise(gate, origin)]
    return "other", _extremes(*elementwise[-1]) if elementwise else UNBOUNDED


def _before(gate: Origin, factor: Tensor) -> list[Origin]:
    """What the gate is computed from that has as many numbers, the last first."""
    since = [o for o in gate.since_squeeze() if o.value is not None and o.value.numel() == factor.numel()]
    return [origin for origin in since[::-1] if origin.serial != gate.serial]


class _NotComputableError(Exception):
    """A function on the way was not seen."""


def _was_edited(gate: Origin, factor: Tensor, form: Form, layout: Layout) -> bool:
    """Whether the factor is not what the functions that were seen make of what the gate was computed from."""
    try:
        for start in _before(gate, factor)[:1]:
            assert start.value is not None
            tolerance = 1e-4 if factor.dtype in (torch.float32, torch.float64) else 2e-2
            again = gate_of(_again(gate, start, start.value), form, factor.shape[1], layout)
            return not torch.allclose(again.reshape(factor.shape), factor, rtol=tolerance, atol=tolerance)
    except _NotComputableError:
        pass
    return False


def _curve(gate: Origin, start: Origin, form: Form, layout: Layout, channels: int) -> tuple[Tensor, Tensor]:
    """The gate as a function of a value before it: arguments from small to large, and what comes of them."""
    assert start.value is not None
    like = start.value
    positive = torch.cat([torch.linspace(0, 12, 1201), torch.logspace(math.log10(12.5), 3, 60)])
    grid = torch.cat([-positive.flip(0)[:-1], positive]).double()  # on the CPU: MPS has no float64
    rounds = -(-len(grid) // like.numel())
    # Neighbours lie in different images and channels, so that what is not a function of single numbers shows.
    order = torch.randperm(rounds * like.numel(), generator=torch.Generator().manual_seed(0))
    shuffled = grid.repeat(rounds * like.numel() // len(grid) + 1)[: rounds * like.numel()][order]
    xs, ys = [], []
    for some in shuffled.reshape(rounds, -1):
        x = some.to(like.dtype).to(like.device).reshape(like.shape)
        y = gate_of(_again(gate, start, x), form, channels, layout)
        if y.numel() != x.numel():
            raise _NotComputableError
        xs.append(x.cpu().double().flatten())
        ys.append(y.cpu().double().flatten())
    x, y = torch.cat(xs), torch.cat(ys)
    rising = x.argsort()
    return x[rising], y[rising]


def _again(gate: Origin, start: Origin, x: Tensor) -> Tensor:
    """The gate, were the value it was computed from another."""
    known: dict[int, Tensor] = {start.serial: x}

    def value(origin: Origin) -> Tensor:
        if origin.serial not in known:
            if origin.value is not None and not _comes_of(origin, start):
                known[origin.serial] = origin.value
            elif origin.call is None:
                raise _NotComputableError
            else:
                func, args, kwargs = origin.call
                args, kwargs = _filled(args, value), _filled(kwargs, value)
                try:
                    with torch.no_grad():
                        output = func(*args, **kwargs)
                except (RuntimeError, TypeError, ValueError, IndexError) as error:
                    raise _NotComputableError from error
                known[origin.serial] = output if isinstance(output, Tensor) else _first(args)
        return known[origin.serial].clone()  # functions may work in place

    return value(gate)


def _comes_of(origin: Origin, start: Origin) -> bool:
    seen, waiting = set[int](), [origin]
    while waiting:
        each = waiting.pop()
        if each.serial == start.serial:
            return True
        if each.serial not in seen and each.serial > start.serial:
            seen.add(each.serial)
            waiting += each.inputs
    return False


def _filled(arguments: Any, value: Callable[[Origin], Tensor]) -> Any:
    """Arguments with the values of origins in their places."""
    if isinstance(arguments, Origin):
        return value(arguments)
    if isinstance(arguments, dict):
        return {key: _filled(item, value) for key, item in arguments.items()}
    if isinstance(arguments, list | tuple):
        return type(arguments)(_filled(item, value) for item in arguments)
    return arguments


def _first(arguments: object) -> Tensor:
    found: list[Tensor] = []
    map_tensors(found.append, arguments)
    return found[0]


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return bool(((a - b).abs() <= tolerance * (1 + b.abs())).all())


def _clamped_line(x: Tensor, y: Tensor, tolerance: float) -> tuple[float, float] | None:
    """Slope and offset if y is clamp(slope x + offset, 0, 1)."""
    inside = (y > 0.02) & (y < 0.98)
    if int(inside.sum()) < 3:
        return None
    x_inside, y_inside = x[inside], y[inside]
    spread = x_inside - x_inside.mean()
    slope = float((spread * y_inside).sum() / (spread**2).sum())
    offset = float(y_inside.mean() - slope * x_inside.mean())
    return (slope, offset) if slope and _close((slope * x + offset).clamp(0, 1), y, 2 * tolerance) else None


def _is_elementwise(gate: Origin, start: Origin) -> bool:
    """Whether every function between the two treats every number for itself."""
    waiting = [gate]
    while waiting:
        origin = waiting.pop()
        if origin.serial != start.serial and _comes_of(origin, start):
            if origin.name not in NUMBER_BY_NUMBER:
                return False
            waiting += origin.inputs
    return True


def _extremes(x: Tensor, y: Tensor) -> tuple[float, float]:
    """The bounds of a function; infinite where it goes on growing where its argument is large."""
    size = x.abs()
    middle, far = y[size <= 300], y[size > 300]
    low, high = float(y.min()), float(y.max())
    slack = 1e-4 * (1 + max(abs(low), abs(high)))
    return (
        low if float(far.min()) >= float(middle.min()) - slack else -math.inf,
        high if float(far.max()) <= float(middle.max()) + slack else math.inf,
    )


def _by_passes(passes: Sequence[tuple[Origin, Tensor]], tolerance: float) -> str:
    """The name told from what was seen, if that reached every piece of the functions."""
    rows: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
    for gate, factor in passes:
        for depth, origin in enumerate(_before(gate, factor)):
            xs, ys = rows.setdefault(depth, ([], []))
            assert origin.value is not None
            xs.append(origin.value.cpu().double().flatten())
            ys.append(factor.cpu().double().flatten())
    for xs, ys in rows.values():
        x, y = torch.cat(xs), torch.cat(ys)
        if float(x.min()) > -_REACH or float(x.max()) < _REACH:
            continue
        for name, function in GATES.items():
            if _close(function(x), y, tolerance):
                return name
    return "other"
