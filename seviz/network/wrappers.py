"""What may be wrapped around a network: parallel wrappers are looked through, compiled code is refused.

Keras models, whose modules do not show, are given as a module that shows them.
"""

import warnings

import torch
from torch import nn

from seviz.errors import CompiledModelError, SevizWarning
from seviz.network.keras_models import layers_as_modules

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def bare(model: nn.Module) -> nn.Module:
    """The network inside of DataParallel and DistributedDataParallel; the model itself where it is in none.

    Of a Keras model, the module that holds its layers.
    """
    while isinstance(model, _PARALLEL):
        model = model.module
    return layers_as_modules(model)


def uncompiled(model: nn.Module) -> nn.Module:
    """The network inside of parallel wrappers and of `torch.compile`, with a warning for the latter."""
    model = bare(model)
    if isinstance(model, torch._dynamo.OptimizedModule):
        inner = model._orig_mod
        assert isinstance(inner, nn.Module)
        warnings.warn(
            f"the model was compiled by torch.compile, whose code cannot be watched; the {type(inner).__name__} that it"
            " was made from is taken instead",
            SevizWarning,
            stacklevel=4,
        )
        return uncompiled(inner)
    return model


def refuse_compiled(model: nn.Module) -> None:
    """Raise CompiledModelError if the model, or a module in it, cannot be watched.

    That is where it was compiled with `torch.compile`, as a whole or its `forward`, and where the model is TorchScript.
    TorchScript modules inside of it are none of seviz's business: no block is found in them.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise CompiledModelError(
            f"{type(model).__name__} cannot be observed: it is TorchScript (traced or scripted), which runs outside of"
            " Python. Give the Python module that it was made from."
        )
    for path, module in model.named_modules():
        if _is_compiled(module):
            where = f"its module {path!r}" if path else "it"
            raise CompiledModelError(
                f"{type(model).__name__} cannot be observed: {where} was compiled, and compiled code ignores hooks"
                " registered later. Give the model as it was before torch.compile."
            )


def _is_compiled(module: nn.Module) -> bool:
    if isinstance(module, torch._dynamo.OptimizedModule) or module._compiled_call_impl is not None:
        return True
    if isinstance(module, torch.jit.ScriptModule):
        return False
    return hasattr(vars(module).get("forward", type(module).forward), "_torchdynamo_orig_callable")
