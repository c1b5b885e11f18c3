"""A network as a file that runs without seviz: a program of torch.export, or ONNX.

What is written was read back first and gave the outputs of the network on random images, to 1e-4 of the largest. A
program runs by torch alone:

    network = torch.export.load("network.pt2").module()
    logits = network(images)  # (batch, channels, positions...) float32, preprocessed

and an ONNX file by any runtime, its input called "images", its output "logits".
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.capture.engines import copy_of, random_images
from seviz.errors import EngineError, OptionError
from seviz.extras import require_extra
from seviz.network.networks import Network
from seviz.network.wrappers import refuse_compiled
from seviz.run.files import write_atomically

Batch = Literal["dynamic"] | int

_EXACT = 1e-4
_TRACED = 2  # images that a network is traced with where the number is left open: of one it could make a constant
_CHECKED = (1, 2, 3)  # images that a file has to take where the number is left open

_Written = tuple[bytes, Callable[[Tensor], NDArray[Any]]]
"""The content of a file, and the network as read back from that: images in, logits (batch, classes) out."""


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes
    ----------
    path
        Of the file.
    bytes
        Its size.
    apart
        The largest difference from the network's outputs on random images, as a share of the largest output.
    batch
        How many images the file takes at once: any number, "dynamic", or that number only.
    remark
        Why only that number, where any was asked for; else "".
    """

    path: Path
    bytes: int
    apart: float
    batch: Batch
    remark: str = ""


def export_program(network: Network, path: str | Path, *, batch: Batch = "dynamic") -> Exported:
    """Write a network as a program that `torch.export.load` reads, on the CPU, without seviz.

    Parameters
    ----------
    network
        Of classes; comes back as it was given.
    path
        Ending in .pt2; a file there is replaced, its directory made.
    batch
        "dynamic": any number of images at once; where the network does not allow that, one, and the result says why.
        Or a number: that many, at least 1.

    Returns
    -------
    Exported
        Where the file is, and how far its outputs are from the network's.

    Raises
    ------
    OptionError
        If `path` ends otherwise, `batch` is less than 1, or the network gives no logits.
    EngineError
        If the network cannot be exported, or what was exported gives other outputs; nothing is written then.
    CompiledModelError
        If the model was compiled.
    WriteError
        If the file cannot be written; nothing is left half written.
    """
    return _export(network, Path(path), ".pt2", batch, _as_program)


def export_onnx(network: Network, path: str | Path, *, batch: Batch = "dynamic") -> Exported:
    """Write a network as ONNX, checked with onnxruntime on the CPU.

    Parameters
    ----------
    network, batch
        As in `export_program`.
    path
        Ending in .onnx.

    Returns
    -------
    Exported
        As in `export_program`.

    Raises
    ------
    MissingPackageError
        If onnx, onnxscript or onnxruntime is not installed.
    OptionError, EngineError, CompiledModelError
        As in `export_program`.
    """
    require_onnx()
    return _export(network, Path(path), ".onnx", batch, _as_onnx)


def require_onnx() -> None:
    """Raise MissingPackageError unless the packages that `export_onnx` needs are installed."""
    require_extra("onnx", "an ONNX file")


def _export(
    network: Network, path: Path, suffix: str, batch: Batch, write: Callable[[nn.Module, Tensor, Any], _Written]
) -> Exported:
    if path.suffix != suffix:
        raise OptionError(f"path is {str(path)!r}, expected one that ends in {suffix}")
    if batch != "dynamic" and (not isinstance(batch, int) or batch < 1):
        raise OptionError(f"batch is {batch!r}, expected dynamic or a number of at least 1")
    refuse_compiled(network.model)
    remark = ""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        model = copy_of(network.model).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if batch == "dynamic":
            try:
                content, apart = _checked(model, network.input_size, _TRACED, _CHECKED, write)
            except EngineError as error:
                batch, remark = 1, f"one image at a time: with any number of them {error}"
        if batch != "dynamic":
            content, apart = _checked(model, network.input_size, batch, (batch,), write)
    write_atomically(path, content)
    return Exported(path=path, bytes=len(content), apart=apart, batch=batch, remark=remark)


def _checked(
    model: nn.Module,
    input_size: tuple[int, ...],
    traced: int,
    sizes: tuple[int, ...],
    write: Callable[[nn.Module, Tensor, Any], _Written],
) -> tuple[bytes, float]:
    """The content of a file, and how far it is from the network; raises EngineError if it cannot be, or too far."""
    device = torch.device("cpu")
    expected = [_logits(model, random_images((size, *input_size), device)) for size in sizes]
    shapes = ({0: torch.export.Dim("batch", min=1)},) if len(sizes) > 1 else None
    try:
        with _quiet():
            content, read_back = write(model, random_images((traced, *input_size), device), shapes)
            found = [read_back(random_images((size, *input_size), device)) for size in sizes]
    except Exception as error:  # whatever the exporters raise
        raise EngineError(f"{type(model).__name__} cannot be exported ({_first_line(error)})") from error
    apart = max(_apart(a, b) for a, b in zip(found, expected, strict=True))
    if not apart <= _EXACT:
        raise EngineError(f"{type(model).__name__} gives other outputs when exported, by {apart:.1g} of the largest")
    return content, apart


def _logits(model: nn.Module, images: Tensor) -> NDArray[Any]:
    output = model(images)
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise OptionError(f"{type(model).__name__} gives {shape} for {len(images)} images, expected (batch, classes)")
    return output.numpy()


def _apart(some: NDArray[Any], others: NDArray[Any]) -> float:
    """The largest difference as a share of the largest value; inf if shapes differ or a value is not finite."""
    if some.shape != others.shape or not (np.isfinite(some).all() and np.isfinite(others).all()):
        return float("inf")
    return float(np.abs(some - others).max() / max(np.abs(others).max(), 1e-30))


def _as_program(model: nn.Module, images: Tensor, shapes: Any) -> _Written:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(model, (images,), dynamic_shapes=shapes), buffer)
    content = buffer.getvalue()
    loaded = torch.export.load(io.BytesIO(content)).module()
    return content, lambda batch: loaded(batch).numpy()


def _as_onnx(model: nn.Module, images: Tensor, shapes: Any) -> _Written:
    import onnxruntime

    program = torch.onnx.export(
        model,
        (images,),
        dynamo=True,
        dynamic_shapes=shapes,
        input_names=["images"],
        output_names=["logits"],
        verbose=False,
    )
    assert program is not None  # it is None only where a file is written
    content: bytes = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return content, lambda batch: session.run(None, {"images": batch.numpy()})[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, log and prints of the exporters."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
