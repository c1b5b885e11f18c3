"""Keras 3 models on torch, as modules that hold their layers.

Such a model is an `nn.Module`, and so are its layers, but most of them are in lists of Keras' own, where
`named_modules` does not see them; and what they compute with are Keras' variables, not their parameters. The module
made here has each layer under its name, runs the model as it is, and takes its hooks to it: so passes of the model
itself are seen, and nothing of it is changed. `torch.func.functional_call` reaches the variables, too.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any
from weakref import WeakValueDictionary

from torch import nn
from torch.utils.hooks import RemovableHandle


class KerasModel(nn.Module):
    """A Keras model with its layers as modules; those inside of another layer as OUTER/INNER."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.__dict__["keras_model"] = model  # no module of this one, since its layers are
        for name, layer in _layers(model, ""):
            self._modules[name] = layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns."""
        import keras

        swapped = [
            (variable, parameter)
            for layer in self._modules.values()
            if layer is not None
            for variable in layer.variables
            if (parameter := layer.torch_params.get(variable.path)) is not None and parameter is not variable.value
        ]
        with keras.StatelessScope(swapped) if swapped else nullcontext():
            return self.keras_model(*args, **kwargs)

    def register_forward_pre_hook(self, hook: Callable[..., Any], **options: Any) -> RemovableHandle:  # type: ignore[override]
        """Have a hook called before each pass of the Keras model, as if it were this one."""
        handle: RemovableHandle = self.keras_model.register_forward_pre_hook(self._given_to(hook), **options)
        return handle

    def register_forward_hook(self, hook: Callable[..., Any], **options: Any) -> RemovableHandle:  # type: ignore[override]
        """Have a hook called after each pass of the Keras model, as if it were this one."""
        handle: RemovableHandle = self.keras_model.register_forward_hook(self._given_to(hook), **options)
        return handle

    def _given_to(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        return lambda _, *call: hook(self, *call)


def _layers(model: Any, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers in a model or layer by name, each once, the outer before the inner."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        name = f"{prefix}{layer.name.replace('.', '_')}"
        yield name, layer
        yield from _layers(layer, f"{name}/")


_made: WeakValueDictionary[int, KerasModel] = WeakValueDictionary()
"""By the id of the Keras model."""


def layers_as_modules(model: nn.Module) -> nn.Module:
    """A Keras model as a module that holds its layers, the same as long as it is used; any other as it is."""
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Layer):
        return model
    made = _made.get(id(model))
    if made is None or made.keras_model is not model:
        made = _made[id(model)] = KerasModel(model)
    return made
