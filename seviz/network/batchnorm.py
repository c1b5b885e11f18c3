"""Fold BatchNorm into the convolution before it, where a forward pass shows that it can be.

In evaluation a BatchNorm scales and shifts each channel by constants, and so does a convolution: one of them is
enough. Which belong together is seen in a forward pass, not guessed from names or from the order of modules.
"""

from collections import Counter, OrderedDict
from contextlib import ExitStack
from typing import Any

import torch
from timm.layers import BatchNormAct2d, FrozenBatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary
from torchvision.ops import FrozenBatchNorm2d

from seviz.network.flow import FORM
from seviz.network.modes import undisturbed
from seviz.network.positions import CONVOLUTIONS, Convolution
from seviz.network.products import tensors_in

_CALLED = (F.conv1d, F.conv2d, F.conv3d)


class _Uses(TorchFunctionMode):
    """Counts what uses the weight and the output of each convolution."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        owners = Counter(id(weight) for module in model.modules() for weight in module.parameters(recurse=False))
        self._convolutions = {
            id(module.weight): module
            for module in model.modules()
            if isinstance(module, CONVOLUTIONS) and owners[id(module.weight)] == 1
        }
        self._outputs = WeakTensorKeyDictionary()
        self.of_weight = Counter[nn.Module]()
        self.of_output = Counter[nn.Module]()

    def convolution(self, tensor: Any) -> Convolution | None:
        """The convolution whose output a tensor is."""
        return self._outputs.get(tensor) if isinstance(tensor, Tensor) else None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = list(tensors_in((args, kwargs)))
        used = [self._convolutions.get(id(tensor)) for tensor in inputs]
        result = func(*args, **kwargs)
        if func.__name__ not in FORM or any(True for _ in tensors_in(result)):
            self.of_weight.update(module for module in used if module is not None)
            self.of_output.update(module for module in map(self.convolution, inputs) if module is not None)
        # Without an axis of the batch, a BatchNorm would take the channels for it.
        if func in _CALLED and len(inputs) > 1 and used[1] is not None and result.ndim == inputs[1].ndim:
            self._outputs[result] = used[1]
        return result


def fold_batchnorms(model: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Fold every BatchNorm of a model that can be folded into the convolution before it, in place.

    It can be where, in a forward pass in evaluation mode, the output of a convolution is, as the very tensor, the
    input of a BatchNorm and is used for nothing else, and where both are called once, share no weights and have no
    hooks. Of the BatchNorm its activation stays, or an identity, under the same path.

    Parameters
    ----------
    model
        Any module; it is changed, and from then on only right in evaluation mode.
    images
        What it takes; only shape, dtype and device count.

    Returns
    -------
    tuple of str
        The paths of the BatchNorms that were folded, in the order of the forward pass; empty if there are none.
    """
    found = _foldable(model, images)
    for convolution, norm in found.values():
        _fold(convolution, norm)
    rests = {norm: _rest(norm) for _, norm in found.values()}
    for path, module in list(model.named_modules(remove_duplicate=False)):
        if module in rests:
            model.set_submodule(path, rests[module])  # type: ignore[arg-type]
    return tuple(found)


def _foldable(model: nn.Module, images: Tensor) -> dict[str, tuple[Convolution, nn.Module]]:
    """By path of the BatchNorm, in the order of the forward pass: the convolution and the BatchNorm."""
    pairs: dict[str, tuple[Convolution, nn.Module]] = {}
    calls = Counter[nn.Module]()
    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        free = {module for module in model.modules() if not (module._forward_hooks or module._forward_pre_hooks)}
        uses = _Uses(model)
        for path, module in model.named_modules():
            if _rest(module) is None:
                continue

            def arrive(norm: nn.Module, args: Any, path: str = path) -> None:
                calls[norm] += 1
                convolution = uses.convolution(args[0]) if args else None
                if convolution is not None:
                    pairs[path] = convolution, norm

            stack.callback(module.register_forward_pre_hook(arrive).remove)
        stack.enter_context(uses)
        output = model(images)
    given_back = {uses.convolution(tensor) for tensor in tensors_in(output)}
    return {
        path: (convolution, norm)
        for path, (convolution, norm) in pairs.items()
        if calls[norm] == uses.of_weight[convolution] == uses.of_output[convolution] == 1
        and {convolution, norm} <= free
        and convolution not in given_back
    }


def _rest(norm: nn.Module) -> nn.Module | None:
    """What stays of a BatchNorm whose scale and shift are done elsewhere; None if it is no BatchNorm with both."""
    if "forward" in vars(norm) or getattr(norm, "running_mean", None) is None:
        return None
    forward = type(norm).forward
    if forward in (nn.BatchNorm2d.forward, FrozenBatchNorm2d.forward):
        return nn.Identity()
    if forward in (BatchNormAct2d.forward, FrozenBatchNormAct2d.forward):
        return nn.Sequential(OrderedDict(drop=norm.drop, act=norm.act))  # type: ignore[arg-type]
    return None


def _fold(convolution: Convolution, norm: Any) -> None:
    """Give a convolution the scale and shift of a BatchNorm, computed in float64."""
    weight = convolution.weight.detach()
    mean, variance = norm.running_mean.cpu().double(), norm.running_var.cpu().double()
    scale = torch.rsqrt(variance + norm.eps)
    shift = -mean if convolution.bias is None else convolution.bias.detach().cpu().double() - mean
    if norm.weight is not None:
        scale = scale * norm.weight.detach().cpu().double()
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().cpu().double()
    scaled = weight.cpu().double() * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    convolution.weight = nn.Parameter(scaled.to(weight), requires_grad=False)
    convolution.bias = nn.Parameter(shift.to(weight), requires_grad=False)
