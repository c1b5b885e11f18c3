"""Which engine a capture is run with: the fastest that the number of its images repays."""

import os
import shutil
import time
from typing import Literal

import torch
from torch import nn

from seviz.capture.engines import copy_of, home_of, random_images
from seviz.errors import EngineError, OptionError
from seviz.network.dtype import dtype_of
from seviz.network.layers import LAYERS
from seviz.network.modes import undisturbed

# On the careful side of what analyses/benchmarks/capture.py shows on two cores: seconds to compile anything, and more
# for each convolution and linear layer; and the share of a plain eager pass that the compiled engine takes less than
# the folded one (0.04 for SE-ResNet-50, 0.07 for MobileNetV3 and EfficientNet-B0).
_COMPILE, _COMPILE_LAYER, _SAVED = 10.0, 0.3, 0.05
_MARGIN = 2.0  # the images must repay compiling so many times


def choose_engine(
    model: nn.Module,
    *,
    compile: Literal["auto", "on", "off"],
    images: int | None,
    device: str,
    batch_size: int,
    input_size: tuple[int, ...] | None,
) -> tuple[str, str]:
    """The engine for a capture, and why that one.

    Parameters
    ----------
    model
        What is to be run; one batch is, to see how long it takes.
    compile
        "on"; "off"; "auto" compiles where the time it saves is twice what it takes.
    images
        How many there are; None if that is not known.
    device, batch_size
        As in `EngineRecord`.
    input_size
        Of every image; None if they differ in size.

    Raises
    ------
    OptionError
        If `compile` is none of these.
    EngineError
        If a network is to be compiled that cannot be copied, or for images that differ in size.
    """
    if compile not in ("auto", "on", "off"):
        raise OptionError(f"compile is {compile!r}, expected auto, on or off")
    try:
        copy_of(model)
    except EngineError:
        if compile == "on":
            raise
        return "eager", "the network cannot be copied"
    if compile == "off":
        return "folded", "compiling is off"
    if input_size is None:
        if compile == "on":
            raise EngineError(
                f"{type(model).__name__} cannot be compiled: its images differ in size. Give compile off or auto."
            )
        return "folded", "the images differ in size"
    if compile == "on":
        return "compiled", "as asked for"
    dtype = dtype_of(model)
    if dtype != torch.float32:  # what compiling saves was not measured, and whether it can be is not sure
        return "folded", f"the network computes in {str(dtype).removeprefix('torch.')}"
    if images is None:
        return "folded", "how many images there are is not known"
    if device == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++"))):
        return "folded", "there is no C++ compiler"
    layers = sum(isinstance(module, LAYERS) for module in model.modules())
    cost = _COMPILE + _COMPILE_LAYER * layers
    saved = _SAVED * images * _seconds_per_image(model, device, min(batch_size, 8), input_size)
    verdict = "repay" if saved > _MARGIN * cost else "do not repay"
    name = "compiled" if saved > _MARGIN * cost else "folded"
    return name, f"{images:,} images {verdict} about {cost:.0f} s of compiling"


def _seconds_per_image(model: nn.Module, device: str, batch_size: int, input_size: tuple[int, ...]) -> float:
    home = home_of(model)
    batch = random_images((batch_size, *input_size), torch.device(device))
    with undisturbed(model):
        try:
            model.to(device)
            start = time.perf_counter()
            model(batch)
            if torch.device(device).type == "cuda":
                torch.cuda.synchronize()
            return (time.perf_counter() - start) / batch_size
        finally:
            model.to(home)
