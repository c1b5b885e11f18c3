"""How long networks take for a batch, each beside the first, in turn.

A machine is not equally fast at all times, so each network takes turns with the first: in a round both do the same
passes, one right after the other, and who begins changes from round to round. What is compared is the ratio of the
two times of a round; of the rounds the median, with an interval that holds for any distribution of times.

Notes
-----
The interval of a median is between two of the sorted values, the k-th from below and the k-th from above. The median
lies outside it where fewer than k of n values are on one side of it, which has twice the probability that fewer than k
of n tosses of a coin are heads; k is the largest for which that is at most 1 less the confidence. For 95 % there must
be at least six values.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from seviz.capture.collect import usable_device
from seviz.capture.engines import apart, copy_of, frozen, random_images, tolerance_of
from seviz.errors import EngineError, OptionError
from seviz.network.axes import is_input_size, of_image, sizes_in_words
from seviz.network.dtype import as_taken, dtype_of
from seviz.network.networks import Network
from seviz.network.products import tensors_in
from seviz.network.wrappers import refuse_compiled
from seviz.progress import Progress

Mode = Literal["eager", "compiled"]
MODES: tuple[Mode, ...] = get_args(Mode)

_WARM = 3  # passes before the first round


@dataclass(frozen=True)
class _Pass:
    """One pass of a batch through a network, waited for."""

    run: Callable[[Tensor], Any]
    batch: Tensor

    def __call__(self, times: int) -> float:
        """Seconds of so many passes."""
        _wait(self.batch.device)
        start = perf_counter()
        for _ in range(times):
            self.run(self.batch)
            _wait(self.batch.device)
        return perf_counter() - start


def latency(
    networks: Mapping[str, Network | nn.Module],
    input_size: Sequence[int],
    *,
    batch_sizes: Sequence[int] = (1, 32),
    modes: Sequence[Mode] = ("eager", "compiled"),
    rounds: int = 15,
    seconds: float = 0.2,
    device: str = "auto",
    memory_format: torch.memory_format | None = None,
    confidence: float = 0.95,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure how long networks take for a batch of random images, and how many times faster they are than the first.

    Copies are measured, in evaluation mode and without gradients; the networks given stay as they are. Number of
    threads and precision of matrix products are those of the caller.

    Parameters
    ----------
    networks
        By name. The first, the original, is what the others are compared with.
    input_size
        Of an image, (channels, positions...), or with the channels last, as the networks take it.
    batch_sizes
        Images a batch, each at least 1.
    modes
        "eager": the network as it is. "compiled": traced at the size of the batch and compiled by torch with its
        weights as constants; before it is measured, it has to give the outputs of the eager network.
    rounds
        Of each network.
    seconds
        About how long a network runs in one round, at least one pass.
    device
        "auto" (CUDA, else MPS, else CPU) or what torch calls it. A pass ends when the device is done.
    memory_format
        Of weights and images; None for channels last of images, and contiguous for inputs of other axes.
    confidence
        Of the intervals, in (0, 1).
    progress
        Told after each round of a mode and batch size: rounds done, and of how many.

    Returns
    -------
    pandas.DataFrame
        Columns: network, mode, batch_size; rounds; median_ms, its interval low_ms to high_ms, milliseconds a pass;
        images_per_second; ratio, the original's time over this network's, paired by round, median with interval
        ratio_low to ratio_high. Above 1 the network is the faster one; the original's own is 1. With fewer rounds than
        an interval needs its ends are NaN. A network that cannot be compiled has no row for that, and where the
        original cannot, none has; why stands in `attrs["remarks"]`.

    Raises
    ------
    OptionError
        If there is no network, a batch size, `rounds` or `seconds` is too small, or a mode or the device unknown.
    EngineError
        If a network cannot be copied or does not run on such images, or none could be compiled and nothing else was
        asked for.
    CompiledModelError
        If a model was compiled already.

    Examples
    --------
    >>> table = latency({"original": network, "folded": folded}, network.input_size, modes=("eager",))
    """
    _check(networks, input_size, batch_sizes, modes, rounds, seconds, confidence)
    place = torch.device(usable_device(device))
    if memory_format is None:
        memory_format = torch.channels_last if of_image(input_size) else torch.contiguous_format
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(place.type, enabled=False):
        models = {name: _ready(given, place, memory_format) for name, given in networks.items()}
        rows: list[dict[str, Any]] = []
        remarks: list[str] = []
        done, of = 0, len(modes) * len(batch_sizes) * rounds

        def tell(rounds_more: int) -> None:
            nonlocal done
            done += rounds_more
            if progress:
                progress(done, of)

        for mode in modes:
            for size in batch_sizes:
                images = random_images((size, *input_size), place).contiguous(memory_format=memory_format)
                passes: dict[str, _Pass] = {}
                for name, model in models.items():
                    batch = as_taken(images, model)
                    try:
                        passes[name] = _Pass(_compiled(model, batch) if mode == "compiled" else model, batch)
                        passes[name](1)
                    except EngineError as error:
                        remarks.append(f"{name} is not measured compiled at batch {size}: {error}.")
                    except Exception as error:  # whatever the model's own code raises
                        raise EngineError(
                            f"network {name!r} does not run on a batch of {tuple(batch.shape)} in {memory_format}"
                            f" ({_first_line(error)}); give the input_size it was made for, or another memory_format"
                        ) from error
                if next(iter(models)) in passes:
                    times = _in_turn(passes, rounds, seconds, tell)
                    rows += _rows(times, mode, size, confidence)
                else:
                    tell(rounds)
    if not rows:
        raise EngineError(" ".join(remarks))
    table = pd.DataFrame(rows)
    table.attrs["remarks"] = remarks
    return table


def _check(
    networks: Mapping[str, Network | nn.Module],
    input_size: Sequence[int],
    batch_sizes: Sequence[int],
    modes: Sequence[str],
    rounds: int,
    seconds: float,
    confidence: float,
) -> None:
    if not networks:
        raise OptionError("networks is empty, expected at least one network by its name")
    if not is_input_size(input_size):
        raise OptionError(f"input_size is {input_size!r}, expected {sizes_in_words()}")
    if not modes or (unknown := [mode for mode in modes if mode not in MODES]):
        given = repr(unknown[0]) if modes else "empty"
        raise OptionError(f"modes has {given}, expected some of {', '.join(MODES)}")
    if not batch_sizes or min(batch_sizes) < 1:
        raise OptionError(f"batch_sizes is {tuple(batch_sizes)}, expected numbers of at least 1")
    if rounds < 1:
        raise OptionError(f"rounds is {rounds}, expected at least 1")
    if not seconds >= 0:
        raise OptionError(f"seconds is {seconds}, expected 0 or more")
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, expected between 0 and 1")


def _ready(given: Network | nn.Module, device: torch.device, memory_format: torch.memory_format) -> nn.Module:
    """A copy of a network where and as it is to be measured."""
    model = given.model if isinstance(given, Network) else given
    refuse_compiled(model)
    ready: nn.Module = copy_of(model).to(device=device, memory_format=memory_format)  # type: ignore[call-overload]
    return ready.requires_grad_(False)


def _compiled(model: nn.Module, batch: Tensor) -> Callable[[Tensor], Any]:
    """A network compiled for batches of one shape; raises EngineError if it cannot be or gives other outputs.

    It is traced first, which gives it code of its own: what is compiled from the code of a class is limited in number,
    and beyond that runs as it is.
    """
    expected = model(batch)
    try:
        compiled: Callable[[Tensor], Any] = torch.compile(make_fx(model)(torch.zeros_like(batch)), dynamic=False)
        with frozen():
            outcome = compiled(batch)
    except Exception as error:  # whatever the compilers raise
        raise EngineError(f"it cannot be compiled ({_first_line(error)})") from error
    difference = apart(list(tensors_in(outcome)), list(tensors_in(expected)))
    if not difference <= tolerance_of(dtype_of(model)):
        raise EngineError(f"compiled it gives other outputs, by {difference:.1g} of the largest")
    return compiled


def _in_turn(
    passes: Mapping[str, _Pass], rounds: int, seconds: float, tell: Callable[[int], None]
) -> dict[str, list[tuple[float, float]]]:
    """By network and round: seconds of a pass of the first network and of this one, one right after the other."""
    first, *others = passes
    for each in passes.values():
        each(_WARM - 1)
    count = max(round(seconds / passes[first](1)), 1)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in passes}
    with _undisturbed_by_garbage():
        for k in range(rounds):
            for name in others or [first]:
                order = [first, name] if k % 2 == 0 else [name, first]
                took = {which: passes[which](count) / count for which in dict.fromkeys(order)}
                times[name].append((took[first], took[name]))
            tell(1)
    if others:
        times[first] = [(one, one) for name in others for one, _ in times[name]]
    return times


@contextmanager
def _undisturbed_by_garbage() -> Iterator[None]:
    """No collection of garbage meanwhile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _rows(
    times: Mapping[str, Sequence[tuple[float, float]]], mode: str, size: int, confidence: float
) -> list[dict[str, Any]]:
    rows = []
    for name, pairs in times.items():
        original, own = np.array(pairs).T  # (round) each
        low, median, high = median_interval(1000 * own, confidence=confidence)
        ratio_low, ratio, ratio_high = median_interval(original / own, confidence=confidence)
        rows.append(
            {
                "network": name,
                "mode": mode,
                "batch_size": size,
                "rounds": len(own),
                "median_ms": median,
                "low_ms": low,
                "high_ms": high,
                "images_per_second": 1000 * size / median,
                "ratio": ratio,
                "ratio_low": ratio_low,
                "ratio_high": ratio_high,
            }
        )
    return rows


def median_interval(values: ArrayLike, *, confidence: float = 0.95) -> tuple[float, float, float]:
    """The median of independent values and its interval, whatever their distribution.

    Parameters
    ----------
    values
        At least one.
    confidence
        In (0, 1).

    Returns
    -------
    low, median, high : float
        The ends are two of the values; NaN where there are too few.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    # The largest k for which fewer than k heads in as many tosses have at most half of the probability to spare.
    outside = stats.binom.cdf(np.arange(len(ordered)), len(ordered), 0.5)
    k = int((outside <= (1 - confidence) / 2).sum())
    low, high = (ordered[k - 1], ordered[-k]) if k else (np.nan, np.nan)
    return float(low), float(np.median(ordered)), float(high)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
