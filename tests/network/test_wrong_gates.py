"""Where gates cannot be vouched for there is an error that says why, or a warning; never another number."""

import copy
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

import seviz
from seviz.classes import Classes
from seviz.errors import (
    CheckpointedError,
    CompiledModelError,
    ExampleError,
    GatesNotSeenError,
    NoSEBlocksError,
    OptionError,
    SevizWarning,
    WeightsError,
)
from seviz.network.blocks import SEBlock, find_se_blocks, survey
from seviz.network.gates import capture_gates, force_gates
from seviz.network.networks import Network
from tests.network.forms_of_gates import (
    FORMS,
    SHAPE,
    Block,
    Checkpointed,
    Inline,
    Net,
    Parts,
    Reentrant,
    images,
    instead,
    used_gates,
)


def made(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return make().eval()


def two_blocks(kind: type[Net] = Net) -> nn.Module:
    return made(lambda: kind(Block(), Block()))


def traced(module: nn.Module, x: Tensor) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and in use
        return torch.jit.trace(module, x)


def captured(model: nn.Module, blocks: dict[str, SEBlock], x: Tensor | None = None) -> dict[str, Tensor]:
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        model(images() if x is None else x)
    return dict(gates)


def forced(model: nn.Module, blocks: dict[str, SEBlock], value: Any = 0.3, x: Tensor | None = None) -> Tensor:
    with torch.no_grad(), force_gates(model, blocks, dict.fromkeys(blocks, value)):
        return model(images() if x is None else x)


# Checkpointing


@pytest.mark.parametrize("kind", [Checkpointed, Reentrant])
def test_gates_forced_under_checkpointing_would_be_computed_again_in_backward(kind: type[Net]) -> None:
    model = two_blocks(kind).train()
    blocks = find_se_blocks(model, SHAPE)
    with (
        pytest.raises(CheckpointedError, match=r"SE_2_2 is computed under torch\.utils\.checkpoint, .* Switch"),
        force_gates(model, blocks, {"SE_2_2": 0.3}),
    ):
        model(images())
    with torch.no_grad(), force_gates(model, blocks, {"SE_2_2": 0.3}):
        output = model(images())
    with torch.no_grad(), instead(model, None, 0.3):
        torch.testing.assert_close(output, model(images()))


def test_gradients_with_forced_gates_are_those_of_the_constant_where_nothing_is_computed_again() -> None:
    model = two_blocks().train()
    blocks = find_se_blocks(model, SHAPE)
    gradients = []
    for context in (force_gates(model, blocks, {"SE_2_1": 0.3}), instead(model, 0.3, None)):
        model.zero_grad()
        with context:
            loss = model(images()).pow(2).sum()
        loss.backward()
        gradients.append(model.stem.weight.grad.clone())
    assert float(gradients[0].abs().max()) > 1e-3
    torch.testing.assert_close(*gradients)


def test_capture_sees_what_forward_used_and_nothing_of_what_backward_computes_again() -> None:
    model = two_blocks(Checkpointed).train()
    blocks = find_se_blocks(model, SHAPE)
    with capture_gates(model, blocks) as gates:
        output, used = used_gates(model, images())
        with torch.no_grad():
            model.blocks[0].expand.bias += 1  # the second computation gives other gates
        for block in model.blocks:
            block.used.clear()
        output.sum().backward()
    assert [len(block.used) for block in model.blocks] == [1, 1]
    assert not torch.allclose(model.blocks[0].used[0].flatten(1), used[0])
    for gate, expected in zip(gates.values(), used, strict=True):
        assert torch.equal(gate, expected)


# Force that would do nothing


def test_torchscript_is_refused() -> None:
    model = two_blocks()
    blocks = find_se_blocks(model, SHAPE)
    script = traced(model, images())
    for use in (captured, forced):
        with pytest.raises(
            CompiledModelError, match=r"cannot be observed: it is TorchScript .* Give the Python module"
        ):
            use(script, blocks)
    with pytest.raises(CompiledModelError, match="cannot be observed: it is TorchScript"):
        find_se_blocks(script, SHAPE)


def compiled_forward(model: Net) -> nn.Module:
    model.forward = torch.compile(model.forward, backend="eager")
    return model


def compiled_in_place(model: Net) -> nn.Module:
    model.compile(backend="eager")
    return model


def compiled_within(model: Net) -> nn.Module:
    model.convs[0].compile(backend="eager")
    return model


def compiled_block_forward(model: Net) -> nn.Module:
    model.blocks[1].forward = torch.compile(model.blocks[1].forward, backend="eager")
    return model


@pytest.mark.parametrize(
    ("compiled", "where"),
    [
        (compiled_forward, "it was compiled"),
        (compiled_in_place, "it was compiled"),
        (compiled_within, r"its module 'convs\.0' was compiled"),
        (compiled_block_forward, r"its module 'blocks\.1' was compiled"),
        (lambda model: torch.compile(model, backend="eager"), "it was compiled"),
    ],
)
def test_compiled_code_is_refused(compiled: Callable[[nn.Module], nn.Module], where: str) -> None:
    model = two_blocks()
    blocks = find_se_blocks(model, SHAPE)
    model = compiled(model)
    for use in (captured, forced):
        with pytest.raises(CompiledModelError, match=f"cannot be observed: {where}, and compiled code ignores hooks"):
            use(model, blocks)


def test_the_search_takes_what_torch_compile_was_given_and_says_so() -> None:
    model = two_blocks()
    with pytest.warns(SevizWarning, match=r"compiled by torch\.compile, .* the Net that it was made from is taken"):
        blocks = find_se_blocks(torch.compile(model, backend="eager"), SHAPE)
    assert blocks == find_se_blocks(model, SHAPE)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: None,
        lambda model: copy.deepcopy(model)(images()),
        lambda model: model.blocks[0](torch.rand(2, 16, 4, 4)),
        lambda model: model.forward(images()),
        lambda model: traced_before(images()),
    ],
    ids=["no call", "a copy", "a part", "forward itself", "a traced copy"],
)
@torch.no_grad()
def test_force_that_was_never_used_is_an_error(call: Callable[[nn.Module], Any]) -> None:
    model = two_blocks()
    blocks = find_se_blocks(model, SHAPE)
    with (
        pytest.raises(GatesNotSeenError, match=r"gates of SE_2_1 were not forced: no pass of this Net .* a copy of it"),
        force_gates(model, blocks, {"SE_2_1": 0.0}),
    ):
        call(model)
    with capture_gates(model, blocks) as gates:
        call(model)
    with pytest.raises(GatesNotSeenError, match="SE_2_1 was not seen: no forward pass of the model went through it"):
        gates["SE_2_1"]


traced_before = traced(two_blocks(), images())


@torch.no_grad()
def test_a_copy_made_inside_the_context_is_not_the_model() -> None:
    """Hooks are copied with a module."""
    model = two_blocks()
    blocks = find_se_blocks(model, SHAPE)
    _, used = used_gates(model, images())
    with capture_gates(model, blocks) as gates:
        model(images())
        twin = copy.deepcopy(model)
        twin(images() + 1)
    assert torch.equal(gates["SE_2_1"], used[0])
    with pytest.raises(GatesNotSeenError, match="were not forced"), force_gates(model, blocks, {"SE_2_1": 0.0}):
        copy.deepcopy(model)(images())


class WithTwin(Net):
    """Calls a copy of itself, which is no module of its own."""

    twin: list[nn.Module]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.twin[0](x)


@torch.no_grad()
def test_a_copy_that_is_called_in_a_pass_is_not_the_model() -> None:
    model = two_blocks(WithTwin)
    model.twin = [two_blocks()]
    with torch.no_grad():
        model.twin[0].blocks[0].expand.bias += 1
    found = find_se_blocks(model, SHAPE)
    assert [block.path for block in found.values()][:2] == ["blocks.0", "blocks.1"]
    assert {block.path for block in list(found.values())[2:]} <= {""}  # products of the copy, in the model's own pass
    assert not any("head.weight" in block.weights for block in found.values())  # which is on the way to no gate
    _, used = used_gates(model, images())
    _, used_in_copy = used_gates(model.twin[0], images())
    for gate, expected in zip(captured(model, found).values(), [*used, *used_in_copy], strict=False):
        assert torch.equal(gate, expected)
    output = forced(model, {name: found[name] for name in ("SE_2_1", "SE_2_2")})
    with instead(model, 0.3):
        torch.testing.assert_close(output, model(images()))


# Blocks met too seldom or too often


class Ordered(Net):
    """Runs its blocks in an order that can be changed."""

    order: Sequence[int] = (0, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for number in self.order:
            x = self.step(x, number)
        return self.head(x.mean((2, 3)))


class OrderedInline(Ordered, Inline):
    pass


@pytest.mark.parametrize(
    ("kind", "order", "message"),
    [
        (Ordered, (0,), r"SE_2_2 was met 0 times, expected 1: 0 calls in the module 'blocks\.1' may scale channels"),
        (Ordered, (1,), r"SE_2_1 was met 0 times, expected 1: 0 calls in the module 'blocks\.0' may scale channels"),
        (Ordered, (0, 0, 1), "SE_2_1 was met 2 times, for 10 images in all, and the batch has 5: expected once"),
        (OrderedInline, (0,), r"SE_2_1 was met 0\.5 times, expected 1: 1 calls in the network's own forward may scale"),
        (OrderedInline, (0, 1, 1), r"SE_2_1 was met 1\.5 times, expected 1: 3 calls in the network's own forward"),
        (OrderedInline, (0, 1, 0, 1), "SE_2_1 was met 2 times, expected 1: 4 calls in the network's own forward"),
    ],
)
def test_a_block_that_is_skipped_or_repeated(kind: type[Ordered], order: Sequence[int], message: str) -> None:
    model = two_blocks(kind)
    blocks = find_se_blocks(model, SHAPE)
    model.order = order
    for use in (captured, forced):
        with pytest.raises(GatesNotSeenError, match=f"{message}.* Find the blocks in this network, or run it in eval"):
            use(model, blocks)
    model.order = (0, 1)
    assert list(captured(model, blocks)) == ["SE_2_1", "SE_2_2"]


class ScaledInstead(Inline):
    """Scales by learned numbers where it skips a block."""

    skip = False

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__(*blocks)
        self.scale = nn.Parameter(torch.full((1, 16, 1, 1), 0.5))

    def step(self, x: Tensor, number: int) -> Tensor:
        return x * self.scale if self.skip and number == 0 else super().step(x, number)


def test_what_is_the_same_for_all_images_is_not_the_gate_of_a_block() -> None:
    """There are as many products as when the blocks were found."""
    model = two_blocks(ScaledInstead)
    blocks = find_se_blocks(model, SHAPE)
    model.skip = True
    for use in (captured, forced):
        with pytest.raises(GatesNotSeenError, match="SE_2_1"):
            use(model, blocks)


class Stochastic(Net):
    """Stochastic depth: skips its second block in every other pass of training."""

    passes = 0

    def step(self, x: Tensor, number: int) -> Tensor:
        if self.training and number == 1:
            self.passes += 1
            if self.passes % 2 == 0:
                return x
        return super().step(x, number)


def test_stochastic_depth_in_training() -> None:
    model = two_blocks(Stochastic)
    blocks = find_se_blocks(model, SHAPE)
    model.train()
    _, used = used_gates(model, images())
    model.passes = 0
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        model(images())
        torch.testing.assert_close(list(gates.values()), used)
        with pytest.raises(GatesNotSeenError, match=r"SE_2_2 was met 0 times, .*\(as stochastic depth does"):
            model(images())
        with pytest.raises(GatesNotSeenError, match="SE_2_2 was not seen"):
            gates["SE_2_2"]
    model.eval()
    torch.testing.assert_close(list(captured(model, blocks).values()), used)


class SomeParts(Parts):
    """Leaves the last images out where there are more than two."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[: max(2, len(x) - 1)])


def test_parts_that_do_not_add_up_to_the_batch() -> None:
    model = made(lambda: SomeParts(Net(Block(), Block()), 2))
    blocks = find_se_blocks(model, SHAPE)
    for use in (captured, forced):
        with pytest.raises(
            GatesNotSeenError,
            match=r"SE_2_1 was met 2 times, for 4 images in all, and the batch has 5: expected once, or once",
        ):
            use(model, blocks)


def test_parts_through_a_module_that_holds_several_products() -> None:
    model = made(lambda: Parts(Inline(Block(), Block()), 2))
    blocks = find_se_blocks(model, SHAPE)
    for use in (captured, forced):
        with pytest.raises(GatesNotSeenError, match=r"SE_2_1 was met 3 times, .* by turns through a shared module"):
            use(model, blocks)


def test_gates_of_other_images_are_cut_like_the_batch() -> None:
    """Never broadcast: the gates of one image are not those of five."""
    model = made(lambda: Parts(Net(Block(), Block()), 2))
    blocks = find_se_blocks(model, SHAPE)
    given = torch.rand(5, 16, generator=torch.Generator().manual_seed(2))
    whole = forced(model.net, find_se_blocks(model.net, SHAPE), given)
    torch.testing.assert_close(forced(model, blocks, given), whole)
    with pytest.raises(OptionError, match=r"SE_2_1 is forced to has shape \(1, 16\), expected a number, \(16,\) or"):
        forced(model, blocks, given[:1])


# Blocks of another network


def test_blocks_of_another_network() -> None:
    model = two_blocks()
    three = find_se_blocks(made(lambda: Net(*(Block() for _ in range(3)), strides=(2, 1, 1, 1))), SHAPE)
    for use in (captured, forced):
        with pytest.raises(GatesNotSeenError, match=r"Net has no module 'blocks\.2', in which a block was found; give"):
            use(model, three)
    sequence = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(nn.ReLU(), nn.ReLU()))
    others = find_se_blocks(made(lambda: nn.Sequential(nn.Conv2d(3, 16, 1), nn.Sequential(Block(), nn.ReLU()))), SHAPE)
    for use in (captured, forced):
        with pytest.raises(
            GatesNotSeenError, match=r"SE_2_1 was met 0 times, .* be another than the blocks were found"
        ):
            use(sequence, others)


class Narrow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.matrix(x.mean((2, 3))))[:, :, None, None]


def test_blocks_of_a_network_with_other_channels() -> None:
    wide = made(lambda: nn.Sequential(nn.Conv2d(3, 16, 1), Block()))
    narrow = made(lambda: nn.Sequential(nn.Conv2d(3, 8, 1), Narrow()))
    for use in (captured, forced):
        with pytest.raises(
            GatesNotSeenError,
            match=r"SE_2_1 has 16 channels, and its product scales something of shape \(5, 8, 16, 16\); give",
        ):
            use(narrow, find_se_blocks(wide, SHAPE))


class SpatialInTraining(Block):
    """Its gate differs between positions in training."""

    def gate(self, x: Tensor) -> Tensor:
        gate = super().gate(x)
        return torch.sigmoid(self.excite(x)) if self.training else gate


def test_a_factor_that_differs_between_positions() -> None:
    model = made(lambda: Net(SpatialInTraining(), Block()))
    blocks = find_se_blocks(model, SHAPE)
    model.train()
    for use in (captured, forced):
        with pytest.raises(GatesNotSeenError, match="what SE_2_1 multiplies by differs between positions in this pass"):
            use(model, blocks)


class ContractedInstead(Inline):
    """Writes its product as a contraction, and takes learned numbers, in one row for all images, where it skips."""

    skip = False

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__(*blocks)
        self.scale = nn.Parameter(torch.full((1, 16), 0.5))

    def step(self, x: Tensor, number: int) -> Tensor:
        gate = self.scale if self.skip and number == 0 else self.blocks[number].gate(x).flatten(1)
        return torch.einsum("bchw,bc->bchw", x, gate)


def test_a_contraction_with_one_row_for_all_images_is_not_the_gate_of_a_block() -> None:
    model = two_blocks(ContractedInstead)
    blocks = find_se_blocks(model, SHAPE)
    model.skip = True
    for use in (captured, forced):
        with pytest.raises(
            GatesNotSeenError, match=r"SE_2_1 has an operand of shape \(1, 16\).* one number for each of"
        ):
            use(model, blocks)


# What is raised inside


class Raises(Net):
    broken = False

    def step(self, x: Tensor, number: int) -> Tensor:
        if self.broken and number == 1:
            raise KeyError("something of the network's own")
        return super().step(x, number)


@pytest.mark.parametrize("form", ["plain", "halves by chunk", "division by the inverse", "in place on the gate"])
def test_gates_in_inference_mode(form: str) -> None:
    model = FORMS[form].network()
    blocks = find_se_blocks(model, SHAPE)
    with torch.inference_mode():
        _, used = used_gates(model, images())
        torch.testing.assert_close(list(captured(model, blocks).values()), used, rtol=1e-6, atol=1e-7)
        with force_gates(model, blocks, dict.fromkeys(blocks, 0.3)):
            output = model(images())
        with instead(model, 0.3):
            torch.testing.assert_close(output, model(images()))


def test_the_search_in_inference_mode() -> None:
    model = two_blocks()
    blocks = find_se_blocks(model, SHAPE)
    with torch.inference_mode():
        assert find_se_blocks(model, SHAPE) == blocks


def test_exceptions_of_the_network_come_through() -> None:
    model = two_blocks(Raises)
    blocks = find_se_blocks(model, SHAPE)
    for use in (captured, forced):
        model.broken = True
        with pytest.raises(KeyError, match=r"something of the network's own"):
            use(model, blocks)
        model.broken = False
        use(model, blocks)
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        model.broken = True
        with pytest.raises(KeyError, match="own"):
            model(images())
        model.broken = False
        _, used = used_gates(model, images())
    assert torch.equal(gates["SE_2_2"], used[1])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("form", ["halves by chunk", "unequal parts by slices"])
def test_functions_of_a_gate_that_is_never_whole(form: str) -> None:
    model = FORMS[form].network()
    blocks = find_se_blocks(model, SHAPE)
    with (
        pytest.raises(OptionError, match=r"forced\['SE_2_1'\] is a function, and SE_2_1 .* several products, at none"),
        force_gates(model, blocks, {"SE_2_1": lambda gate: 1 - gate}),
    ):
        pass
    _, used = used_gates(model, images())
    given = torch.linspace(0.1, 0.9, 16)
    for value, gate in (
        (given, given.expand(5, 16)),
        (used[0].flip(0), used[0].flip(0)),
        ({3: 0.0, 9: 0.25}, used[0].index_fill(1, torch.tensor(3), 0.0).index_fill(1, torch.tensor(9), 0.25)),
    ):
        with torch.no_grad(), force_gates(model, blocks, {"SE_2_1": value}):
            output = model(images())
        with torch.no_grad(), instead(model, lambda _, gate=gate: gate, None):
            torch.testing.assert_close(output, model(images()))


# The search


def test_a_traced_block_is_named() -> None:
    model = two_blocks()
    model.blocks[0] = traced(FORMS["plain"].network().blocks[0], torch.rand(2, 16, 8, 8))
    with pytest.warns(SevizWarning, match=r"^Not looked into, being TorchScript: blocks\.0\.$"):
        blocks = find_se_blocks(model, SHAPE)
    assert [block.path for block in blocks.values()] == ["blocks.1"]
    alone = nn.Sequential(nn.Conv2d(3, 16, 1), traced(Block().eval(), torch.rand(2, 16, 8, 8)))
    with pytest.raises(NoSEBlocksError, match=r"no SE block in Sequential: .* Not looked into, being TorchScript: 1\."):
        find_se_blocks(alone, SHAPE)


def test_weights_without_values() -> None:
    with pytest.raises(WeightsError, match=r"Net has parameters on the meta device, .* model\.to_empty"):
        find_se_blocks(two_blocks().to("meta"), SHAPE)


@pytest.mark.parametrize("side", [32, 40])
def test_small_images_lose_no_block(side: int) -> None:
    model = timm.create_model("legacy_seresnet18").eval()
    names = [f"SE_{stage}_{block}" for stage in (2, 3, 4, 5) for block in (1, 2)]
    blocks = find_se_blocks(model, (3, side, side))
    assert [(name, block.stride) for name, block in blocks.items()] == [(name, 2 ** int(name[3])) for name in names]
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        model(torch.rand(3, 3, side, side))
    assert [gate.shape[0] for gate in gates.values()] == [3] * 8


class OneSize(Net):
    """Takes images of one size only, so small that its last block scales single positions."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == (16, 16)
        return super().forward(x)


def test_a_block_that_scales_single_positions_only_is_found_or_spoken_of() -> None:
    model = made(lambda: OneSize(Block(), Block(), strides=(4, 2, 4)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        blocks = find_se_blocks(model, SHAPE)
    assert "blocks.1" in [block.path for block in blocks.values()] or any("blocks.1" in str(w.message) for w in told)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.meta = Net(Block(), Block()), nn.Linear(5, 3)

    def forward(self, image: Tensor, meta: Tensor) -> Tensor:
        return self.net(image) + self.meta(meta)


class OneDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net(Block(), Block())

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.net(batch["image"])


class OneList(OneDict):
    def forward(self, batch: list[Tensor]) -> Tensor:
        return self.net(torch.stack(batch))


IMAGE, META = torch.rand(2, *SHAPE), torch.rand(2, 5)


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        (Two, (IMAGE, META)),
        (Two, {"image": IMAGE, "meta": META}),
        (Two, (IMAGE[:1], META[:1])),
        (OneDict, {"image": IMAGE}),
        (OneDict, {"image": IMAGE, "note": "text"}),
        (OneDict, ({"image": IMAGE},)),
        (OneList, (list(IMAGE),)),
    ],
    ids=["tuple", "keywords", "one image", "dict", "dict with text", "dict in a tuple", "list in a tuple"],
)
def test_networks_of_other_inputs(kind: type[nn.Module], example: Any) -> None:
    blocks = find_se_blocks(made(kind), example)
    assert [block.path for block in blocks.values()] == ["net.blocks.0", "net.blocks.1"]


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (torch.rand(2, *SHAPE), r"Two does not take shape \(2, 3, 16, 16\) as example \(TypeError: "),
        (SHAPE, r"Two does not take shape \(3, 16, 16\) as example \(TypeError: "),
        (
            (IMAGE, META[:, :4]),
            r"Two does not take the shapes \[\(2, 3, 16, 16\), \(2, 4\)\] as example \(RuntimeError: ",
        ),
        ({"image": IMAGE}, r"Two does not take the shapes \[\(2, 3, 16, 16\)\] as example \(TypeError: "),
        ("text", "example is a str without tensors, expected a tensor, its shape, a tuple of positional arguments or"),
        ((), "example is a tuple without tensors, expected"),
        ((3,), r"example has shape \(3,\), expected \(channels, height, width\) or"),
        ([IMAGE, META], "example is a list without tensors, expected"),
    ],
)
def test_an_example_that_a_network_does_not_take_is_told_in_a_line(example: Any, message: str) -> None:
    with pytest.raises(ExampleError, match=f"^{message}") as error:
        find_se_blocks(made(Two), example)
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)
    assert re.search(r"expected ", str(error.value))


# Names and bounds of activations


@pytest.mark.parametrize(
    ("form", "bounds"),
    [
        ("plain", (0, 1)),
        ("clamp", (0, 1)),
        ("relu6", (0, 6)),
        ("relu", (0, float("inf"))),
        ("tanh", (-1, 1)),
        ("one plus tanh", (0, 2)),
        ("twice sigmoid", (0, 2)),
        ("linear", (-float("inf"), float("inf"))),
        ("hard sigmoid of slope 0.2", (0, 1)),
        ("clamped with out= before the product", (0.4, 0.6)),
        ("division by the inverse", (0, 1)),
        ("divided by one plus exp", (0, 1)),
    ],
)
def test_bounds_of_activations(form: str, bounds: tuple[float, float]) -> None:
    block = find_se_blocks(FORMS[form].network(), SHAPE)["SE_2_1"]
    assert block.bounds == pytest.approx(bounds, abs=1e-6)


class LinearGate(Block):
    """On the random images of the search it lies where a hard sigmoid is a line."""

    def gate(self, x: Tensor) -> Tensor:
        return self.logits(x) / 600 + 0.5


class DoubledWhereBright(Block):
    """A sigmoid on all images that the search tries."""

    def gate(self, x: Tensor) -> Tensor:
        gate = super().gate(x)
        return gate * (1 + (x.amax((1, 2, 3)) > 100).to(gate)[:, None, None, None])


@pytest.mark.filterwarnings("ignore:Top-1 accuracy is:UserWarning")
@pytest.mark.parametrize(
    ("kind", "said"),
    [(LinearGate, nullcontext()), (DoubledWhereBright, pytest.warns(UserWarning, match="Gates of SE_2_1 lie outside"))],
    ids=["linear", "doubled where bright"],
)
def test_gates_beyond_their_bounds_are_stored_as_they_are(kind: type[Block], said: Any, tmp_path: Path) -> None:
    network = Network(
        spec="tests/bright",
        weights="none",
        trained=True,
        model=made(lambda: Net(kind(), Block())),
        preprocess=v2.ToDtype(torch.float32),
        preprocessing={},
        input_size=SHAPE,
        classes=Classes(("a", "b", "c"), ("a", "b", "c")),
    )
    x = 3000 * torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(1))
    expected = captured(network.model, network.blocks, x)["SE_2_1"]
    assert float(expected.max()) > 1.5
    with said:
        run = seviz.collect(network, [(x, torch.zeros(4, dtype=torch.int64))], tmp_path / "run", compile="off")
    torch.testing.assert_close(torch.from_numpy(run.gates("SE_2_1")), expected, rtol=1e-4, atol=1e-4)


def test_scaling_of_another_kind_is_not_called_what_it_is_not() -> None:
    """Whatever the search does not follow is found, or spoken of as not understood."""

    class Unseen(Block):
        def scaled(self, x: Tensor) -> Tensor:
            with torch._C.DisableTorchFunction():
                gate = self.gate(x)
            self.note(gate)
            return x * gate

    found = survey(made(lambda: Net(Unseen(), Block())), SHAPE)
    paths = [block.path for block in found.blocks.values()]
    assert paths == ["blocks.0", "blocks.1"] or any("blocks.0" in remark for remark in found.remarks())


@pytest.mark.parametrize(
    "product",
    [
        lambda x, gate: torch.mul(input=x, other=gate),
        lambda x, gate: (x.permute(0, 2, 3, 1) * gate.flatten(1)[:, None, None]).permute(0, 3, 1, 2),
        lambda x, gate: torch.stack([each * one for each, one in zip(x, gate, strict=True)]),
        lambda x, gate: torch.vmap(torch.mul)(x, gate),
        lambda x, gate: F.conv2d(x.flatten(0, 1)[None], gate.view(-1, 1, 1, 1), groups=gate.numel()).view_as(x),
        lambda x, gate: torch.einsum("bc,bchw->bchw", gate.flatten(1), x),
        lambda x, gate: torch.einsum("bchw,bcij->bchw", x, gate),
        lambda x, gate: torch.matmul(torch.diag_embed(gate.flatten(1)), x.flatten(2)).view_as(x),
        lambda x, gate: x - x * (1 - gate),
        lambda x, gate: torch.lerp(torch.zeros_like(x), x, gate),
    ],
    ids=[
        *("keyword", "channels last", "image by image", "vmap", "grouped convolution", "einsum"),
        *("einsum of four axes", "matmul", "by the complement", "lerp"),
    ],
)
def test_a_product_in_whatever_words_is_found_or_spoken_of(product: Callable[[Tensor, Tensor], Tensor]) -> None:
    class Worded(Block):
        def scale(self, x: Tensor, gate: Tensor) -> Tensor:
            self.note(gate)
            return product(x, gate)

    model = made(lambda: Net(Worded(), Block()))
    found = survey(model, SHAPE)
    path = next(iter(found.blocks.values())).path
    if path == "blocks.0":
        _, used = used_gates(model, images())
        gate = captured(model, found.blocks)["SE_2_1"]
        if found.blocks["SE_2_1"].gate == "sigmoid":
            torch.testing.assert_close(gate, used[0], rtol=1e-5, atol=1e-6)
        else:  # as where the complement of the gate is what scales
            torch.testing.assert_close(gate, 1 - used[0], rtol=1e-5, atol=1e-6)
    else:
        assert [each.path for each in found.other] == ["blocks.0"] or any("blocks.0" in r for r in found.remarks())
        assert not any("one side" in each.kind or "same for every" in each.kind for each in found.other)
