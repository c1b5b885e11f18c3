"""Small SE networks in about seventy forms that gates take in people's code, and in ways that go wrong easily.

Each form is a declaration in `FORMS`. A block writes down in `used` every gate at the moment its product uses it, and
has a second body, `written`, in which a number stands in place of the gate: what a network does with a constant gate is
so known without seviz.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.ao import quantization
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

CHANNELS = 16
SHAPE = (3, 16, 16)

Instead = float | Callable[[Tensor], Tensor]
"""What is written in place of a gate: a number, or a function of the gate, (batch, channels)."""


def images(count: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same random images at each call."""
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(5)).to(dtype)


class Block(nn.Module):
    """Squeeze, two 1x1 convolutions, sigmoid, product. Forms override one of the methods."""

    def __init__(self, act: nn.Module | None = None) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(CHANNELS, 4, 1), nn.Conv2d(4, CHANNELS, 1)
        self.act = act or nn.Sigmoid()
        with torch.no_grad():  # so that gates differ visibly between images
            self.reduce.weight *= 6
            self.expand.weight *= 6
        self.instead: Instead | None = None
        self.used: list[Tensor] = []
        """The gates of products since the list was emptied."""

    def excite(self, z: Tensor) -> Tensor:
        return self.expand(F.relu(self.reduce(z)))

    def logits(self, x: Tensor) -> Tensor:
        return self.excite(x.mean((2, 3), keepdim=True))

    def gate(self, x: Tensor) -> Tensor:
        """(batch, 16, 1, 1)."""
        return self.act(self.logits(x))

    def scale(self, x: Tensor, gate: Tensor) -> Tensor:
        self.note(gate)
        return x * gate

    def scaled(self, x: Tensor) -> Tensor:
        return self.scale(x, self.gate(x))

    def written(self, x: Tensor, constant: Any) -> Tensor:
        """The same with a number, or a tensor (batch, 16, 1, 1), in place of the gate."""
        return constant * x

    def note(self, gate: Tensor) -> None:
        self.used.append(gate.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        if self.instead is None:
            return self.scaled(x)
        if not callable(self.instead):
            return self.written(x, self.instead)
        before = len(self.used)
        self.scaled(x.clone())
        gate = joined_gates(self.used[before:])
        return self.written(x, self.instead(gate)[:, :, None, None].to(x.dtype))


class Net(nn.Module):
    """A stem, blocks each behind a convolution, and a linear head of three classes."""

    def __init__(self, *blocks: nn.Module, strides: Sequence[int] = (2, 1, 1)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, strides[0], 1)
        self.convs = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, s, 1) for s in strides[1 : len(blocks) + 1])
        self.blocks, self.head = nn.ModuleList(blocks), nn.Linear(CHANNELS, 3)

    def step(self, x: Tensor, number: int) -> Tensor:
        return self.blocks[number](F.relu(self.convs[number](x)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for number in range(len(self.blocks)):
            x = self.step(x, number)
        return self.head(x.mean((2, 3)))


@dataclass(frozen=True)
class Form:
    """A network and what is to be found in it.

    Attributes
    ----------
    make
        Builds it.
    paths
        Of its blocks, in the order of the pass.
    gate
        The activation of the first block.
    names
        Of its blocks.
    folds
        Whether the first block can be folded into the weights.
    dtype
        Of its parameters and images.
    train
        Whether it is run in training mode when gates are read and forced.
    backward
        Whether gradients are computed while gates are read.
    """

    make: Callable[[], nn.Module]
    paths: tuple[str, ...] = ("blocks.0", "blocks.1")
    gate: str = "sigmoid"
    names: tuple[str, ...] = ("SE_2_1", "SE_2_2")
    folds: bool = True
    dtype: torch.dtype = torch.float32
    train: bool = False
    backward: bool = False

    def network(self) -> nn.Module:
        """With the same weights at each call, in evaluation mode."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of torch's own tools are deprecated
            torch.manual_seed(11)
            return self.make().eval().to(self.dtype)


FORMS: dict[str, Form] = {}


def form(name: str, **known: Any) -> Callable[[type[Block]], type[Block]]:
    """Declare a class of blocks as a form: a network of such a block and a plain one."""

    def declare(kind: type[Block]) -> type[Block]:
        FORMS[name] = Form(lambda: Net(kind(), Block()), **known)
        return kind

    return declare


def blocks_of(model: nn.Module) -> list[Block]:
    """The blocks of a network, in order."""
    return [module for module in model.modules() if isinstance(module, Block)]


@contextmanager
def instead(model: nn.Module, *constants: Instead | None) -> Iterator[None]:
    """Write constants into the blocks of a network in place of their gates; the last for all further blocks."""
    blocks = blocks_of(model)
    try:
        for number, block in enumerate(blocks):
            block.instead = constants[min(number, len(constants) - 1)]
        yield
    finally:
        for block in blocks:
            block.instead = None


def used_gates(model: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The output of a pass, and the gates that each block's products used in it, (images, 16) each."""
    for block in blocks_of(model):
        block.used.clear()
    output = model(x)
    return output, noted_gates(model, len(x))


def noted_gates(model: nn.Module, count: int) -> list[Tensor]:
    """What was noted in a pass of so many images, (images, 16) for each block, and for each pass through it."""
    return [gate for block in blocks_of(model) if block.used for gate in joined_gates(block.used).split(count)]


def joined_gates(noted: Sequence[Tensor]) -> Tensor:
    """What one block noted, of some images or some channels each, as one tensor (images, 16)."""
    gates = [gate.flatten(1) if gate.shape[-1] == 1 else gate for gate in noted]
    return torch.cat(gates, 0 if gates[0].shape[1] == CHANNELS else 1)


# Plain, and edits of the gate after and before its product


form("plain")(Block)


@form("rounded in place after the product")
class Logged(Block):
    def scaled(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        y = self.scale(x, gate)
        gate.detach().round_()
        return y


@form("overwritten with out= after the product")
class Overwritten(Block):
    def scaled(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        y = self.scale(x, gate)
        with torch.no_grad():
            torch.neg(gate, out=gate)
        return y


@form("written to one buffer at each pass")
class Buffered(Block):
    def gate(self, x: Tensor) -> Tensor:
        logits = self.logits(x)
        if not hasattr(self, "buffer"):
            self.buffer = torch.empty_like(logits)
        return torch.sigmoid(logits, out=self.buffer.resize_(logits.shape))


@form("u overwritten after the product")
class Cleared(Block):
    def scaled(self, x: Tensor) -> Tensor:
        y = super().scaled(x)
        x.zero_()
        return y


@form("set by item before the product", gate="other")
class Item(Block):
    def gate(self, x: Tensor) -> Tensor:
        gate = super().gate(x)
        gate[:, :4] = 0
        return gate


@form("zeroed through a view before the product", gate="other")
class Viewed(Block):
    def gate(self, x: Tensor) -> Tensor:
        gate = super().gate(x)
        gate.view(len(gate), -1)[:, 4:8].zero_()
        return gate


@form("clamped through .data before the product", gate="other")
class Data(Block):
    def gate(self, x: Tensor) -> Tensor:
        gate = super().gate(x)
        gate.data.clamp_(0.4, 0.5)
        return gate


@form("clamped with out= before the product", gate="other")
class ClampedOut(Block):
    def gate(self, x: Tensor) -> Tensor:
        gate = super().gate(x)
        return torch.clamp(gate, 0.4, 0.6, out=gate)


@form("halved in place before the product", gate="other")
class Halved(Block):
    def gate(self, x: Tensor) -> Tensor:
        gate = super().gate(x)
        gate.mul_(0.5)
        return gate


@form("dropout after the gate, in training", train=True)
class Dropped(Block):
    def gate(self, x: Tensor) -> Tensor:
        return F.dropout(super().gate(x), 0.5, self.training)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gate = torch.sigmoid(x)
        return gate, gate.mean()


@form("returned in a tuple")
class Tupled(Block):
    def __init__(self) -> None:
        super().__init__(Pair())

    def gate(self, x: Tensor) -> Tensor:
        return self.act(self.logits(x))[0]


# How the network runs its blocks


class Checkpointed(Net):
    """Computes its blocks again in backward."""

    reentrant = False

    def step(self, x: Tensor, number: int) -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "None of the inputs have requires_grad")
            return checkpoint(super().step, x, number, use_reentrant=self.reentrant)


class Reentrant(Checkpointed):
    reentrant = True


def of_one_activation(kind: type[Net]) -> nn.Module:
    act = nn.Sigmoid()
    return kind(Block(act), Block(act))


FORMS["shared activation"] = Form(lambda: of_one_activation(Net))
FORMS["checkpointed, shared activation"] = Form(lambda: of_one_activation(Checkpointed), train=True, backward=True)
FORMS["checkpointed, reentrant"] = Form(lambda: of_one_activation(Reentrant), train=True, backward=True)


class Parts(nn.Module):
    """Runs a network on so many images at a time."""

    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.net(part) for part in x.split(self.size)])


_INNER = ("net.blocks.0", "net.blocks.1")
FORMS["micro-batches of the network"] = Form(lambda: Parts(Net(Block(), Block()), 2), paths=_INNER)
FORMS["image by image"] = Form(lambda: Parts(Net(Block(), Block()), 1), paths=_INNER)
FORMS["micro-batches of a block"] = Form(
    lambda: Net(Parts(Block(), 1), Block()), paths=("blocks.0.net", "blocks.1"), folds=False
)


@form("image by image within the block", folds=False)
class Split(Block):
    def scaled(self, x: Tensor) -> Tensor:
        return torch.cat([super(Split, self).scaled(image) for image in x.split(1)])


def shared_block() -> nn.Module:
    block = Block()
    return Net(block, block)


class Inline(Net):
    """Its products are in its own forward."""

    def step(self, x: Tensor, number: int) -> Tensor:
        block = self.blocks[number]
        x = F.relu(self.convs[number](x))
        if block.instead is not None:
            return block(x)
        gate = block.gate(x)
        block.note(gate)
        return x * gate


def distributed_data_parallel() -> nn.Module:
    """Of this process alone."""
    if not distributed.is_initialized():
        distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    return nn.parallel.DistributedDataParallel(Net(Block(), Block()))


FORMS["products in the network's own forward"] = Form(lambda: Inline(Block(), Block()), paths=("", ""), folds=False)
FORMS["in DistributedDataParallel"] = Form(distributed_data_parallel)
FORMS["one SE module used twice"] = Form(shared_block, paths=("blocks.0", "blocks.0"), folds=False)
FORMS["in DataParallel"] = Form(lambda: nn.DataParallel(Net(Block(), Block())))
FORMS["1x1 feature maps"] = Form(lambda: Net(Block(), Block(), strides=(4, 2, 4)), names=("SE_3_1", "SE_5_1"))


# Weights that are computed


def computed(name: str, change: Callable[[nn.Conv2d], nn.Module | None], **known: Any) -> None:
    """Declare a form of blocks whose two convolutions are changed, or exchanged for what `change` returns."""

    def make() -> nn.Module:
        block = Block()
        block.reduce, block.expand = (change(conv) or conv for conv in (block.reduce, block.expand))
        return Net(block, Block())

    FORMS[name] = Form(make, **known)


class OwnConv(nn.Module):
    """A 1x1 convolution that computes its weight from the one it is given."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def computed(self) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.computed(), self.bias)


class Equalised(OwnConv):
    def computed(self) -> Tensor:
        return self.weight * math.sqrt(2 / self.weight.shape[1])


class Standardised(OwnConv):
    def computed(self) -> Tensor:
        apart = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return apart / (apart.std((1, 2, 3), keepdim=True) + 1e-5)


class LowRank(OwnConv):
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv)
        self.weight.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(2, conv.in_channels))
        self.up = nn.Parameter(torch.randn(conv.out_channels, 2))

    def computed(self) -> Tensor:
        return self.weight + (self.up @ self.down)[:, :, None, None]


class InBuffer(nn.Module):
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("kernel", conv.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel)


class ByEinsum(nn.Module):
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.matrix = nn.Parameter(conv.weight.detach().flatten(1).clone())

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("oc,bchw->bohw", self.matrix, x)


class FakeQuantised(OwnConv):
    def computed(self) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(self.weight, 0.02, 0, -128, 127)


computed("weight norm", lambda conv: parametrizations.weight_norm(conv))
computed("weight norm, the older kind", lambda conv: nn.utils.weight_norm(conv))
computed("spectral norm", lambda conv: parametrizations.spectral_norm(conv))
computed("spectral norm, the older kind", lambda conv: nn.utils.spectral_norm(conv))
computed("pruning masks", lambda conv: prune.l1_unstructured(conv, "weight", 0.3))
computed("equalised learning rate", Equalised)
computed("weight standardisation", Standardised)
computed("low-rank adaptation", LowRank)
computed("weights in buffers", InBuffer)
computed("einsum with a parameter", ByEinsum)
computed("quantised weights", FakeQuantised)


def prepared_for_quantisation() -> nn.Module:
    model = Net(Block(), Block()).train()
    for block in model.blocks:
        block.qconfig = quantization.get_default_qat_qconfig("x86")
    quantization.prepare_qat(model, inplace=True)
    model(images())
    return model.apply(quantization.disable_observer)


FORMS["quantisation-aware training"] = Form(prepared_for_quantisation, gate="other")


# Precision


class Wide(Block):
    """The gate in float32, cast back."""

    def gate(self, x: Tensor) -> Tensor:
        return self.act(self.logits(x).float()).to(x.dtype)


for _dtype in (torch.bfloat16, torch.float16, torch.float64):
    FORMS[f"gate in float32 of a {str(_dtype).removeprefix('torch.')} network"] = Form(
        lambda: Net(Wide(), Block()), dtype=_dtype
    )


# Gates of the feature map's size, and other products


def product(name: str, function: Callable[[Tensor, Tensor], Tensor], **known: Any) -> None:
    """Declare a form whose product is a function of the feature map and the gate, (batch, 16, 1, 1)."""

    class Written(Block):
        def scale(self, x: Tensor, gate: Tensor) -> Tensor:
            self.note(gate)
            return function(x, gate)

    FORMS[name] = Form(lambda: Net(Written(), Block()), **known)


def _by_ones(x: Tensor, gate: Tensor) -> Tensor:
    return x * (gate * torch.ones(x.shape))


product("repeat", lambda x, g: x * g.repeat(1, 1, *x.shape[2:]))
product("interpolate", lambda x, g: x * F.interpolate(g, size=x.shape[2:]))
product("interpolate, bilinear", lambda x, g: x * F.interpolate(g, size=x.shape[2:], mode="bilinear"))
product("expand and contiguous", lambda x, g: x * g.expand_as(x).contiguous())
product("times ones", _by_ones)
product("repeat_interleave", lambda x, g: x * g.repeat_interleave(x.shape[2], 2).repeat_interleave(x.shape[3], 3))
product("broadcast_to", lambda x, g: x * torch.broadcast_to(g, x.shape))
product("tile", lambda x, g: x * torch.tile(g, (1, 1, *x.shape[2:])))

product("torch.ops.aten.mul", lambda x, g: torch.ops.aten.mul.Tensor(x, g))
product("swapped", lambda x, g: g * x)
product("torch.mul by keyword", lambda x, g: torch.mul(input=x, other=g))
product("torch.mul with out=", lambda x, g: torch.mul(x, g, out=torch.empty_like(x)))
product("in place", lambda x, g: x.mul_(g))
product("in place on the gate", lambda x, g: g.expand_as(x).contiguous().mul_(x))
product("einsum", lambda x, g: torch.einsum("bchw,bc->bchw", x, g.flatten(1)))
product("division by the inverse", lambda x, g: x / (1 / g))
product("diagonal matrix", lambda x, g: torch.bmm(torch.diag_embed(g.flatten(1)), x.flatten(2)).view_as(x), folds=False)
product("positions in a row", lambda x, g: (x.flatten(2) * g.flatten(2)).view_as(x), folds=False)


@form("augmented in place")
class Augmented(Block):
    def scale(self, x: Tensor, gate: Tensor) -> Tensor:
        self.note(gate)
        x *= gate
        return x


@form("addcmul", folds=False)
class Added(Block):
    def scale(self, x: Tensor, gate: Tensor) -> Tensor:
        self.note(gate)
        return torch.addcmul(x, x, gate, value=0.5)

    def written(self, x: Tensor, constant: Any) -> Tensor:
        return x + 0.5 * constant * x


@form("divided by one plus exp")
class Divided(Block):
    def scaled(self, x: Tensor) -> Tensor:
        inverse = 1 + torch.exp(-self.logits(x))
        self.note(1 / inverse)
        return x.div(inverse)


# One operation between feature map and squeeze, or feature map and product


@form("squeeze over valid positions")
class Masked(Block):
    def logits(self, x: Tensor) -> Tensor:
        valid = torch.ones_like(x[:, :1])
        valid[..., 5:] = 0
        return self.excite((x * valid).sum((2, 3), keepdim=True) / valid.sum((2, 3), keepdim=True))


@form("relu(x) times gate(x)", folds=False)
class Rectified(Block):
    def scaled(self, x: Tensor) -> Tensor:
        return self.scale(F.relu(x - 0.1), self.gate(x))

    def written(self, x: Tensor, constant: Any) -> Tensor:
        return constant * F.relu(x - 0.1)


@form("gate of x**2")
class Squared(Block):
    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x**2)


@form("halves by chunk", folds=False)
class Chunked(Block):
    def scaled(self, x: Tensor) -> Tensor:
        halves = zip(x.chunk(2, 1), self.gate(x).chunk(2, 1), strict=True)
        return torch.cat([self.scale(part, gate) for part, gate in halves], 1)


@form("unequal parts by slices", folds=False)
class Sliced(Block):
    def scaled(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        return torch.cat([self.scale(x[:, :6], gate[:, :6]), self.scale(x[:, 6:], gate[:, 6:])], 1)


@form("halves in reverse order", folds=False)
class Reversed(Block):
    def scaled(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        self.note(gate)
        last = x[:, 8:] * gate[:, 8:]
        return torch.cat([x[:, :8] * gate[:, :8], last], 1)


@form("joined with another map before the squeeze")
class Joined(Block):
    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2 * CHANNELS, 4, 1)

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(torch.cat([x, x.flip(1).tanh()], 1))


@form("second-order squeeze")
class Covariance(Block):
    def logits(self, x: Tensor) -> Tensor:
        rows = x.flatten(2)
        rows = rows - rows.mean(2, keepdim=True)
        covariance = rows @ rows.transpose(1, 2) / rows.shape[2]
        return self.excite(8 * covariance.mean(2)[:, :, None, None])


@form("convolution before the squeeze")
class Convolved(Block):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(self.conv(x))


# Functions that make the gate


def function(name: str, act: Callable[[Tensor], Tensor], gate: str, **known: Any) -> None:
    """Declare a form whose gate is a function of what the second convolution gives."""

    class Activated(Block):
        def gate(self, x: Tensor) -> Tensor:
            return act(self.logits(x))

    FORMS[name] = Form(lambda: Net(Activated(), Block()), gate=gate, **known)


def _hard_sigmoid(x: Tensor) -> Tensor:
    return F.relu6(x + 3.0) / 6.0


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TorchScript is deprecated, and in use
    scripted_hard_sigmoid = torch.jit.script(_hard_sigmoid)


function("clamp", lambda x: torch.clamp(x, 0, 1), "clamp")
function("relu", F.relu, "relu")
function("relu6", F.relu6, "relu6")
function("relu6 over 6", lambda x: F.relu6(x + 3) / 6, "hard_sigmoid")
function("hard sigmoid of slope 0.2", lambda x: torch.clamp(0.2 * x + 0.5, 0, 1), "hard_sigmoid(0.2, 0.5)")
function("hard sigmoid of offset 0.25", lambda x: torch.clamp(x / 4 + 0.25, 0, 1), "hard_sigmoid(0.25, 0.25)")
function("tanh", torch.tanh, "tanh")
function("one plus tanh", lambda x: 1 + torch.tanh(x), "one_plus_tanh")
function("twice sigmoid", lambda x: 2 * torch.sigmoid(x), "other")
function("softmax over channels", lambda x: torch.softmax(x, 1), "other")
function("linear", lambda x: x / 6 + 0.5, "other")
function("scripted hard sigmoid", scripted_hard_sigmoid, "hard_sigmoid")
function("sigmoid in two pieces", lambda x: torch.where(x > 0, 1 / (1 + (-x).exp()), 1 - 1 / (1 + x.exp())), "sigmoid")
