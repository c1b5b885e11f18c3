"""The engines that run a network while its gates are captured.

| engine | how |
|---|---|
| eager | the network as it is |
| folded | a copy with its BatchNorms folded into its convolutions, images with channels last in memory |
| compiled | the folded copy, traced with its gates as outputs, then compiled with its weights as constants |

All give the gates of the plain network but for rounding, which is checked on random images before an engine is used,
and the same bits for the same batch every time. All read them through `recorded_gates`. A network in another dtype than
float32 gets its images in that dtype. Of one in half precision no BatchNorm is folded, since rounding the folded
weights would change its gates.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from seviz.errors import EngineError, OptionError, SevizError
from seviz.network.axes import of_image
from seviz.network.batchnorm import fold_batchnorms
from seviz.network.blocks import SEBlock, learned_tensor
from seviz.network.dtype import dtype_of
from seviz.network.gates import Gates, Signal, capture_gates, recorded_gates
from seviz.network.modes import undisturbed
from seviz.network.origins import UNREGISTERED
from seviz.network.outputs import Inputs, Outputs, call, logits_in, shape_of, stacked
from seviz.network.products import batch_of, map_tensors, tensors_in
from seviz.network.reading import module_outputs
from seviz.network.wrappers import refuse_compiled
from seviz.run.chunks import FIRST
from seviz.run.manifest import EngineRecord
from seviz.run.system import c_library

_SHAPES = 8  # of which it is looked whether gates may be read at their modules
ENGINES = ("eager", "folded", "compiled")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# How far an engine may be from the plain network on random images, as a share of the largest value, by the dtype it
# computes in, and in lower ones: beyond rounding, also where an untrained network amplifies it, something is wrong.
# Gates of a network in float64 are float32 in the end.
_EXACT, _LOW = {torch.float64: 1e-6, torch.float32: 1e-4}, 5e-2

Key = tuple[str, str]
"""A signal and the name of a block."""


class Pending:
    """What one call of the network gave, or will have given once the device is done."""

    def __init__(self, predictions: Tensor, values: Tensor, columns: Mapping[Key, slice]) -> None:
        self._predictions, self._values = _to_host(predictions), _to_host(values)
        self._columns = columns
        self._done = None
        if values.device.type == "cuda":
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record(torch.cuda.current_stream(values.device))

    def numpy(self) -> tuple[NDArray[Any], dict[Key, NDArray[Any]]]:
        """Wait for the device.

        Returns
        -------
        predictions
            The best classes, best first, (image, min(5, classes)) int32; -1 for an image with a logit that is not
            finite; (image, 0) where the network's output holds no logits.
        values
            Of each signal and block, (image, channel) float32.
        """
        if self._done is not None:
            self._done.synchronize()
        values = {key: self._values[:, some].contiguous().numpy() for key, some in self._columns.items()}
        return self._predictions.numpy(), values


_Pass = Callable[[Any], tuple[Tensor, Tensor]]
"""From the inputs of a batch to its logits (batch, classes or 0) and the values of all signals and blocks."""


@dataclass(frozen=True)
class _Observed:
    """A network whose pass gives its gates as well.

    They are read at the products. In the first pass of a shape, of at most eight, they are held against what the
    modules of the gates return, and where the two are the same numbers, later passes of that shape read the modules.
    """

    network: nn.Module
    blocks: Mapping[str, SEBlock]
    signals: tuple[Signal, ...]
    layout: torch.memory_format
    precision: torch.dtype
    outputs: Outputs | None = None
    traced: bool = False
    same: dict[tuple[Any, ...], bool] = field(default_factory=dict)
    """By the shape of a batch, whether modules return what products use."""

    def __call__(self, batch: Inputs) -> tuple[Tensor, Tensor]:
        low = self.precision != torch.float32
        if isinstance(batch, Tensor):
            batch = batch.contiguous(memory_format=self.layout)
        shape, like = shape_of(batch), next(tensors_in(batch))
        by_module = not self.traced and self.signals == ("excitation",) and len(self.blocks) > 0
        by_module &= all(block.gate_path is not None for block in self.blocks.values())
        known = self.same.get(shape, None if len(self.same) < _SHAPES else False) if by_module else False
        with (
            ExitStack() as stack,
            torch.autocast(like.device.type, self.precision if low else None, enabled=low),
        ):
            returned: dict[str, Tensor] = {}
            if known is not False:
                returned = stack.enter_context(module_outputs(self.network, self.blocks, strict=known is True))
            gates: Gates | None = None
            if known is not True:
                gates = stack.enter_context(
                    recorded_gates(self.network, self.blocks, signals=self.signals, detach=True, traced=self.traced)
                )
            output = call(self.network, batch)
        if known is None and gates is not None:
            self.same[shape] = returned.keys() == self.blocks.keys() and all(
                torch.equal(returned[name], gates[name]) for name in self.blocks
            )
        none = like.new_empty(batch_of(batch), 0, dtype=torch.float32)
        logits = logits_in(output, self.outputs)
        if gates is None:
            values = [returned[block].float() for block in self.blocks]
        else:
            values = [gates.signal(signal)[block].float() for signal in self.signals for block in self.blocks]
        return none if logits is None else logits, torch.cat(values, 1) if values else none


class Forward:
    """A network as an engine runs it: images in, predictions and gates out. Made by `running`."""

    def __init__(
        self,
        run: _Pass,
        columns: Mapping[Key, slice],
        engine: EngineRecord,
        fixed: Mapping[tuple[int, ...], _Pass],
        dtype: torch.dtype,
    ) -> None:
        self._run, self._columns, self._dtype = run, columns, dtype
        self._device, self._batch_size = torch.device(engine.device), engine.batch_size
        self._fixed = fixed

    def __call__(self, images: Sequence[Inputs]) -> Pending:
        """Run the network.

        Parameters
        ----------
        images
            At least one, (channels, positions...) each, or the inputs of one image as tuples or dicts; the network
            gets floating numbers in its own dtype. Those of one shape are run together, at most as many as the
            engine's batch size; results come in the order given.
        """
        rows: list[int] = []
        parts: list[tuple[Tensor, Tensor]] = []
        with _undistracted(self._device), _memory_from_heap():
            for some in self._batches(images):
                logits, values = self._of_one_shape([images[k] for k in some])
                best = logits.float().topk(min(FIRST, logits.shape[1]), dim=1).indices.int()
                best = best.where(logits.isfinite().all(1, keepdim=True), -1)
                rows += some
                parts.append((best, values))
            predictions, values = (torch.cat(part) if len(parts) > 1 else part[0] for part in zip(*parts, strict=True))
            if rows != sorted(rows):
                order = torch.tensor(rows).argsort().to(self._device)
                predictions, values = predictions[order], values[order]
            return Pending(predictions, values, self._columns)

    def _batches(self, images: Sequence[Inputs]) -> Iterator[list[int]]:
        """The places of images that are run together."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for k, image in enumerate(images):
            by_shape.setdefault(shape_of(image), []).append(k)
        for places in by_shape.values():
            for start in range(0, len(places), self._batch_size):
                yield places[start : start + self._batch_size]

    def _of_one_shape(self, images: Sequence[Inputs]) -> tuple[Tensor, Tensor]:
        run = self._fixed.get(shape_of(images[0]))
        count = len(images) if run is None else self._batch_size
        least = 2 if isinstance(images[0], Tensor) else 3  # axes that an input has; beside others, a label may have two
        batch = stacked(images, lambda tensors: _to_device(tensors, count, self._device, self._dtype, least))
        if run is None:
            return self._run(batch)
        logits, values = run(batch)
        return logits[: len(images)], values[: len(images)]


@contextmanager
def running(
    model: nn.Module,
    blocks: Mapping[str, SEBlock],
    engine: EngineRecord,
    *,
    signals: Sequence[Signal],
    input_size: tuple[int, ...] | None,
    outputs: Outputs | None = None,
) -> Iterator[Forward]:
    """A network as an engine runs it, ready to be called with images.

    Parameters
    ----------
    model
        Any module. Comes back as it was given.
    blocks
        What `find_se_blocks` gave for it; of none, nothing is read.
    engine
        How to run it.
    signals
        What to read.
    input_size
        Of an image, (channels, positions...). Images of another size are run too, but not compiled. None where the
        model takes something else than one tensor; then it is run as it is, by the eager engine.
    outputs
        From what the model returns to logits; None for the rules of `seviz.network.outputs.logits_in`.

    Raises
    ------
    EngineError
        If the model cannot be copied or compiled, or its dtype not be run on the device.
    CompiledModelError
        If the model was compiled already.
    OptionError
        If there is no such engine, precision or signal, or a precision is given for a network that is not in float32.
    """
    for name, value, known in (("name", engine.name, ENGINES), ("precision", engine.precision, tuple(PRECISIONS))):
        if value not in known:
            raise OptionError(f"the engine's {name} is {value!r}, expected one of {', '.join(known)}")
    if input_size is None and engine.name != "eager":
        raise EngineError(
            f"{type(model).__name__} takes something else than one tensor, which the {engine.name} engine cannot run;"
            " give the eager one"
        )
    refuse_compiled(model)
    check_precision(model, engine.precision)
    device, precision, dtype = torch.device(engine.device), PRECISIONS[engine.precision], dtype_of(model)
    with ExitStack() as stack:
        stack.enter_context(_settings(engine.threads))
        with _told_of_dtype(model, dtype, device):
            if input_size is None or engine.name == "eager":
                stack.enter_context(undisturbed(model))
                stack.callback(model.to, home_of(model))
                network, layout = model, torch.contiguous_format
            else:
                network, layout = _folded(model, blocks, input_size, device)
            network.to(device)
            if dtype != torch.float32 and input_size is not None:
                _try_out(network, random_images((1, *input_size), device, dtype))
        if precision != torch.float32:
            _gates_in_float32(network, blocks, device, stack)
        run = _Observed(network, blocks, tuple(signals), layout, precision, outputs)
        fixed: dict[tuple[int, ...], _Pass] = {}
        if input_size is not None and engine.name == "compiled":
            fixed = {tuple(input_size): _compiled(run, engine, input_size, dtype)}
        yield Forward(run, _columns(blocks, signals), engine, fixed, dtype)


def check_precision(model: nn.Module, precision: str) -> None:
    """Raise OptionError if a precision of autocast is given for a model that is not in float32."""
    dtype = dtype_of(model)
    if precision != "float32" and dtype != torch.float32:
        raise OptionError(
            f"precision is {precision}, and {type(model).__name__} computes in {_name(dtype)} as it is; give precision"
            " fp32, which leaves it so, or convert the network with .float()"
        )


@contextmanager
def _told_of_dtype(model: nn.Module, dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Whatever goes wrong with a model that is not in float32 is an EngineError that says so."""
    try:
        yield
    except SevizError:
        raise
    except Exception as error:  # whatever torch and the model's own code raise
        if dtype == torch.float32:
            raise
        raise EngineError(
            f"{type(model).__name__} cannot be run in {_name(dtype)} on {device} ({_first_line(error)}). Give another"
            " device, or convert the network with .float()."
        ) from error


def _try_out(network: nn.Module, images: Tensor) -> None:
    with undisturbed(network), _undistracted(images.device):
        network(images)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _columns(blocks: Mapping[str, SEBlock], signals: Sequence[Signal]) -> dict[Key, slice]:
    """Where each signal and block stands among the values of an image."""
    columns: dict[Key, slice] = {}
    first = 0
    for signal in signals:
        for name, block in blocks.items():
            columns[signal, name] = slice(first, first + block.channels)
            first += block.channels
    return columns


def home_of(model: nn.Module) -> torch.device:
    """The device of a model's parameters; the CPU where it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


@contextmanager
def _undistracted(device: torch.device) -> Iterator[None]:
    """No gradients, no inference tensors, no autocast, whatever the caller has switched on."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


@contextmanager
def _settings(threads: int) -> Iterator[None]:
    """The engine's threads, exact arithmetic and kept memory; all as it was afterwards."""
    cudnn = torch.backends.cudnn
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest")
        with cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False), _memory_kept():
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


@contextmanager
def _memory_kept() -> Iterator[None]:
    """Freed memory stays with the process, until the end.

    By default glibc hands the memory of a large tensor back to the system once it is freed, and the system clears it
    again, page by page, for the next.
    """
    _malloc("mallopt", _TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        _malloc("mallopt", _TRIM_THRESHOLD, 64 << 20)  # where glibc puts it by itself once large blocks were freed
        _malloc("malloc_trim", 0)


@contextmanager
def _memory_from_heap() -> Iterator[None]:
    """Large tensors are taken from the memory that is kept."""
    _malloc("mallopt", _MMAP_MAX, 0)
    try:
        yield
    finally:
        _malloc("mallopt", _MMAP_MAX, 65536)  # the default


_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of <malloc.h>


_LIBC = c_library()


def _malloc(function: str, *arguments: int) -> None:
    """Call a function of glibc's malloc; nothing where there is none."""
    if _LIBC is not None and hasattr(_LIBC, function):
        getattr(_LIBC, function)(*arguments)


def _to_device(
    images: Sequence[Tensor], count: int, device: torch.device, dtype: torch.dtype, least: int = 3
) -> Tensor:
    """A batch of `count` on the device, zeros after the images; copying from pinned memory is only begun.

    Images and other floating numbers come in the dtype that is given; whole numbers beside images, of less
    than `least` axes, in their own.
    """
    if not images[0].is_floating_point() and images[0].ndim < least:
        dtype = images[0].dtype
    if images[0].device.type != "cpu":
        return torch.stack(tuple(images)).to(device, dtype)
    pinned = device.type == "cuda"
    wide = torch.promote_types(dtype, torch.float32) if dtype.is_floating_point else dtype
    staging = torch.empty((count, *images[0].shape), dtype=wide, pin_memory=pinned)
    torch.stack(tuple(images), out=staging[: len(images)])
    staging[len(images) :].zero_()
    return staging.to(device, non_blocking=pinned).to(dtype)


def _to_host(values: Tensor) -> Tensor:
    """A copy on the host; copying to pinned memory is only begun."""
    pinned = values.device.type == "cuda"
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=pinned).copy_(values, non_blocking=pinned)


def random_images(shape: Sequence[int], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same random numbers at every call, but for the rounding of the dtype."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def copy_of(model: nn.Module) -> nn.Module:
    """A deep copy in evaluation mode; raises EngineError if the model cannot be copied."""
    try:
        with torch.inference_mode(False):
            return copy.deepcopy(model).eval()
    except Exception as error:  # whatever the model's own code raises
        raise EngineError(
            f"{type(model).__name__} cannot be copied ({_first_line(error)}), and only a copy may be folded or"
            " compiled. Run it with the eager engine."
        ) from error


def _first_line(error: Exception) -> str:
    first, *others = (str(error).strip() or type(error).__name__).splitlines()
    return f"{first} {others[0]}" if first.endswith(":") and others else first


def _folded(
    model: nn.Module, blocks: Mapping[str, SEBlock], input_size: Sequence[int], device: torch.device
) -> tuple[nn.Module, torch.memory_format]:
    """The fastest copy of a network that gives the same gates and outputs, and the memory format it takes."""
    dtype = dtype_of(model)
    half = torch.finfo(dtype).bits < 32
    place = device if half else home_of(model)  # the CPU cannot run all that a GPU can
    images = random_images((2, *input_size), place, dtype)
    layout = _layout(blocks, input_size)
    plain = copy_of(model).to(place)
    expected = _outcome(plain, blocks, images)
    for fold in (False,) if half else (True, False):
        network = copy_of(model).to(place)
        try:
            if fold:
                fold_batchnorms(network, images)
            network.to(memory_format=layout)
            outcome = _outcome(network, blocks, images.contiguous(memory_format=layout))
        except Exception:  # as where an output is flattened by `view`, which channels-last tensors have not
            continue
        if apart(outcome, expected) <= tolerance_of(dtype):
            return network, layout
    return plain, torch.contiguous_format


def _layout(blocks: Mapping[str, SEBlock], input_size: Sequence[int]) -> torch.memory_format:
    """How images lie in memory: channels last, where torch's convolutions are quicker so.

    Those over three axes of positions are not (R3D-18 takes 1.2 times as long on the CPU), and over one axis torch has
    no such format. A network that has its channels on the last axis has them so already.
    """
    images = of_image(input_size) and all(block.layout == "first" for block in blocks.values())
    return torch.channels_last if images else torch.contiguous_format


def _outcome(network: nn.Module, blocks: Mapping[str, SEBlock], images: Tensor) -> list[Tensor]:
    """The gates and the outputs of a network."""
    with undisturbed(network), capture_gates(network, blocks, detach=True) as gates:
        output = network(images)
    return [*gates.values(), *tensors_in(output)]


def apart(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """The largest difference, as a share of the largest value of each tensor; inf if a value of either is not finite.

    Parameters
    ----------
    some, others
        As many tensors, pairwise of one shape, of any dtype. Those without a value count for nothing.
    """
    return max((_apart(a, b) for a, b in zip(some, others, strict=True) if b.numel()), default=0.0)


def _apart(a: Tensor, b: Tensor) -> float:
    a, b = a.cpu().double(), b.cpu().double()
    if not (a.isfinite().all() and b.isfinite().all()):
        return float("inf")
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))


def tolerance_of(dtype: torch.dtype) -> float:
    """How far what computes in a dtype may be from the plain network, as `apart` has it."""
    return _EXACT.get(dtype, _LOW)


def _gates_in_float32(
    network: nn.Module, blocks: Mapping[str, SEBlock], device: torch.device, stack: ExitStack
) -> None:
    """Under autocast, compute gates in float32 all the same, until the stack is closed.

    A gate near 1 is rounded by up to 2e-3 in bfloat16. Where the module around the product holds nothing but blocks
    it is run in float32 as a whole, from the squeeze to the product; else only the matrices and the gate are.
    """
    alone, rest = set[nn.Module](), set[nn.Module]()
    matrices = {id(learned_tensor(network, name)) for block in blocks.values() for name in _named(block)}
    for block in blocks.values():
        module = network.get_submodule(block.path)
        if {id(p) for p in module.parameters() if p.ndim > 1} <= matrices:
            alone.add(module)
        else:
            paths = [_layer_of(name) for name in _named(block)]
            rest.update(network.get_submodule(path) for path in [*paths, block.gate_path] if path is not None)
    for module in alone:
        _in_float32(module, device, stack, narrow=True)
    for module in rest - alone:
        _in_float32(module, device, stack, narrow=False)


def _named(block: SEBlock) -> list[str]:
    """The weights of a block that are the network's own."""
    return [name for name in block.weights if name != UNREGISTERED]


def _layer_of(name: str) -> str:
    """The path of the layer that uses a learned tensor."""
    return name.rpartition(".")[0].partition(".parametrizations.")[0]


def _in_float32(module: nn.Module, device: torch.device, stack: ExitStack, *, narrow: bool) -> None:
    """Run a module in float32, its result narrowed again to what came in or not."""
    forward = module.forward
    before = vars(module).get("forward")

    def in_float32(*args: Any, **kwargs: Any) -> Any:
        given = next(tensors_in((args, kwargs))).dtype
        with torch.autocast(device.type, enabled=False):
            output = forward(*map_tensors(_widened, args), **map_tensors(_widened, kwargs))
        return map_tensors(lambda tensor: tensor.to(given), output) if narrow else output

    stack.callback(_restore_forward, module, before)
    module.forward = in_float32


def _restore_forward(module: nn.Module, forward: Callable[..., Any] | None) -> None:
    del module.forward
    if forward is not None:
        module.forward = forward


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _compiled(run: _Observed, engine: EngineRecord, input_size: Sequence[int], dtype: torch.dtype) -> _Pass:
    """A pass of full batches, compiled."""
    device = torch.device(engine.device)
    images = random_images((engine.batch_size, *input_size), device, dtype)
    try:
        with _undistracted(device):
            expected = run(images)
            finite = all(bool(tensor.isfinite().all()) for tensor in expected)
            compiled: _Pass = torch.compile(_traced(replace(run, traced=True), torch.zeros_like(images)), dynamic=False)
            with frozen():
                outcome = compiled(images) if finite else expected
    except Exception as error:  # whatever the compilers raise
        raise EngineError(
            f"the network, in {_name(dtype)}, cannot be compiled: {_first_line(error)}. Run it with the folded engine"
            " (compile='off'), in another directory where the run is begun already."
        ) from error
    if not finite:
        raise EngineError(
            "the compiled network cannot be compared with the plain one: on random images its gates or outputs are not"
            " finite. Run it with the folded engine (compile='off'), in another directory where the run is begun"
            " already."
        )
    difference = apart(outcome, expected)
    low = PRECISIONS[engine.precision] != torch.float32
    if not difference <= tolerance_of(PRECISIONS[engine.precision] if low else dtype):
        raise EngineError(
            f"the compiled network gives other gates, by {difference:.1g} of the largest. Run it with the folded engine"
            " (compile='off'), in another directory where the run is begun already."
        )
    return compiled


def _traced(run: _Pass, batch: Tensor) -> nn.Module:
    """All that a pass does to a batch, as a graph of torch functions; hooks and modes are done with."""
    return make_fx(run)(batch)


@contextmanager
def frozen() -> Iterator[None]:
    """Weights become constants of what is compiled, and nothing is chosen by how fast it happened to run."""
    from torch._inductor import config

    # As an option of `torch.compile`, freezing does not reach the front end, which then leaves weights as inputs.
    options: dict[str, Any] = {"freezing": True}
    if hasattr(config, "deterministic"):
        options["deterministic"] = True
    with config.patch(options), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
