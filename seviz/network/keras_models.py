"""Keras 3 models on torch, as modules that hold their layers.

Such a model is an `nn.Module`, and so are its layers, but most of them are in lists of Keras' own, where
`named_modules` does not see them; and what they compute with are Keras' variables, whatever stands in a module's
parameters. The module made here has each layer under its name and each variable under its path, runs the model as it
is, and takes its hooks to it: so passes of the model itself are seen, and nothing of it is changed.
`torch.func.functional_call` on it reaches the variables.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from weakref import WeakValueDictionary

from torch import nn
from torch.utils.hooks import RemovableHandle

from seviz.errors import EngineError, WeightsError


class KerasModel(nn.Module):
    """A Keras model with its layers as modules; those inside of another layer as OUTER/INNER."""

    keras_model: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.__dict__["keras_model"] = model  # no module of this one, since its layers are
        self._variables = dict(_unlike((variable.path, variable) for variable in model.variables))
        self._parameters.update({name: variable.value for name, variable in self._variables.items()})
        self._modules.update(_unlike(_layers(model, "")))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns."""
        import keras

        given = ((variable, self._parameters[name]) for name, variable in self._variables.items())
        swapped = [(variable, parameter) for variable, parameter in given if parameter is not variable.value]
        if not swapped:
            return self.keras_model(*args, **kwargs)
        with keras.StatelessScope(swapped):
            return self.keras_model(*args, **kwargs)

    def register_forward_pre_hook(self, hook: Callable[..., Any], **options: Any) -> RemovableHandle:
        """Have a hook called before each pass of the Keras model, as if it were this one."""
        handle: RemovableHandle = self.keras_model.register_forward_pre_hook(self._given_to(hook), **options)
        return handle

    def register_forward_hook(self, hook: Callable[..., Any], **options: Any) -> RemovableHandle:
        """Have a hook called after each pass of the Keras model, as if it were this one."""
        handle: RemovableHandle = self.keras_model.register_forward_hook(self._given_to(hook), **options)
        return handle

    def _given_to(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        return lambda _, *call: hook(self, *call)

    def __deepcopy__(self, memo: dict[int, Any]) -> "KerasModel":
        """Never returns: a copy would have other layers."""
        raise EngineError(
            f"the Keras model {self.keras_model.name!r} cannot be copied: Keras does that by saving and loading, which"
            " gives other layers. What changes a copy of a network, such as to prune or to train it, takes torch models"
            " only; gates of Keras models are captured, forced and masked."
        )


def _layers(model: Any, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers in a model or layer by name, the outer before the inner."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        name = f"{prefix}{layer.name}"
        yield name, layer
        yield from _layers(layer, f"{name}/")


def _unlike(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The same under names that no two have, nor a dot in them: Keras sees to neither."""
    taken = Counter[str]()
    for name, each in named:
        name = name.replace(".", "_")
        taken[name] += 1
        yield (name if taken[name] == 1 else f"{name}#{taken[name]}"), each


_made: WeakValueDictionary[int, KerasModel] = WeakValueDictionary()
"""By the id of the Keras model."""


def layers_as_modules(model: nn.Module) -> nn.Module:
    """A Keras model as a module that holds its layers, the same as long as it is used; any other as it is.

    Raises
    ------
    WeightsError
        If the Keras model was not built yet.
    """
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Layer):
        return model
    if not model.built:
        raise WeightsError(
            f"the Keras model {model.name!r} has no weights yet, since it was not built; call it once on an example"
        )
    made = _made.get(id(model))
    if made is None or made.keras_model is not model:
        made = _made[id(model)] = KerasModel(model)
    return made
