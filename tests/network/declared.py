"""What the source of a network says of its SE blocks, and their gates read and written by plain hooks.

Nothing of seviz is used here: blocks are known by the class that the network's author gave them, and a gate by the
submodule that computes it. So it is a second opinion on all that seviz finds, captures and forces.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Activation:
    """A gate's activation where it is no module of its own, and what it gives a gate for."""

    forward: Callable[[Tensor], Tensor] = lambda x: x
    inverse: Callable[[Tensor], Tensor] = lambda gate: gate


IDENTITY = Activation()
SIGMOID = Activation(torch.sigmoid, torch.logit)
HARD_SIGMOID = Activation(lambda x: ((x + 3) / 6).clamp(0, 1), lambda gate: 6 * gate - 3)
PADDLE_SIGMOID = Activation(lambda x: (0.2 * x + 0.5).clamp(0, 1), lambda gate: (gate - 0.5) / 0.2)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A class of modules that are SE blocks, or have one.

    Attributes
    ----------
    type
        Name of the class.
    last
        Path in it of the module that returns the gate, or what the activation makes the gate of.
    activation
        What is applied to that.
    """

    type: str
    last: str
    activation: Activation = IDENTITY

    def paths(self, model: nn.Module) -> list[str]:
        """Of the modules of this class that have an SE block."""
        return [
            path
            for path, module in model.named_modules()
            if type(module).__name__ == self.type and hasattr(module, self.last.partition(".")[0])
        ]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A network, and what its source says of its SE blocks.

    Attributes
    ----------
    build
        Makes the network.
    example
        Its arguments.
    stages
        The stage of each block in the order of the forward pass, by the strides in the source.
    holders
        Their classes.
    folds
        How many of the blocks can be folded.
    """

    build: Callable[[], nn.Module]
    example: tuple[Tensor, ...]
    stages: tuple[int, ...]
    holders: tuple[Holder, ...]
    folds: int

    @property
    def names(self) -> list[str]:
        """Of the blocks."""
        return [f"SE_{stage}_{1 + self.stages[:k].count(stage)}" for k, stage in enumerate(self.stages)]

    def made(self) -> nn.Module:
        """The network in evaluation mode, the same at each call.

        Its numbers are as if trained: packages draw weights so small that deep features vanish, and BatchNorms that do
        nothing.
        """
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            model = self.build()
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(0, math.sqrt(2 / parameter[0].numel()))
            norms = [x for x in model.modules() if isinstance(x, nn.modules.batchnorm._BatchNorm)]
            momenta = [norm.momentum for norm in norms]
            for norm in norms:
                norm.momentum = 1.0  # takes the statistics of the batch
                norm.weight.uniform_(0.7, 1.4)
                norm.bias.normal_(0, 0.1)
            model.train()(*self.inputs(6))
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
            return model.eval()

    def inputs(self, batch: int = 3) -> tuple[Tensor, ...]:
        """Random arguments like those of the example, other rows in each; whole numbers stay as they are."""
        generator = torch.Generator().manual_seed(5)
        return tuple(
            3 * torch.randn(batch, *each.shape[1:], generator=generator)
            if each.is_floating_point()
            else each[torch.arange(batch) % len(each)]
            for each in self.example
        )

    def run(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """All that the network returns, in one row for each input."""
        with torch.no_grad():
            return torch.cat([x.flatten(1) for x in floats(model(*inputs))], 1)

    def gates(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The gates of a pass by the path of the module, (batch, channels), in the order of the pass."""
        seen: dict[str, Tensor] = {}

        def note(path: str, holder: Holder, output: Tensor) -> None:
            seen[path] = holder.activation.forward(output).reshape(len(output), -1).clone()

        with hooked(model, self.holders, note):
            self.run(model, inputs)
        return seen

    @contextmanager
    def written(self, model: nn.Module, gates: Mapping[str, Tensor]) -> Iterator[None]:
        """Gates, (channels) by the path of the module, in place of those that the network computes."""

        def write(path: str, holder: Holder, output: Tensor) -> Tensor | None:
            if path not in gates:
                return None
            wanted = gates[path].to(output)
            # Channels are the only axis of the output that is not single, behind the batch.
            shape = [n if n == len(wanted) and k else 1 for k, n in enumerate(output.shape)]
            return holder.activation.inverse(wanted.reshape(shape).expand_as(output)).contiguous()

        with hooked(model, self.holders, write):
            yield


@contextmanager
def hooked(model: nn.Module, holders: tuple[Holder, ...], call: Callable[[str, Holder, Tensor], Any]) -> Iterator[None]:
    """Have a function see what the last module of each SE block returns; it may return another."""
    with ExitStack() as stack:
        for holder in holders:
            for path in holder.paths(model):

                def hook(
                    module: nn.Module, args: Any, output: Tensor, path: str = path, holder: Holder = holder
                ) -> Any:
                    return call(path, holder, output)

                last = model.get_submodule(f"{path}.{holder.last}")
                stack.callback(last.register_forward_hook(hook).remove)
        yield


def floats(value: Any) -> Iterator[Tensor]:
    """The tensors of numbers in what a network returns."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from floats(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from floats(each)
