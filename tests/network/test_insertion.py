import copy
import functools
import pickle
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from timm.models.inception_resnet_v2 import Block35
from torch import Tensor, nn
from torch.nn import functional as F

from seviz.errors import CompiledModelError, InsertionError, OptionError
from seviz.network.blocks import find_se_blocks
from seviz.network.insertion import insert_se


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def resnet(library: str, unit: str = "Bottleneck") -> nn.Module:
    """Two units with and without a projection of the shortcut, then one to each stage."""
    return copy.deepcopy(built_resnet(library, unit))


@functools.cache
def built_resnet(library: str, unit: str) -> nn.Module:
    source = torchvision.models.resnet if library == "torchvision" else timm.models.resnet
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network: nn.Module = source.ResNet(getattr(source, unit), [2, 1, 1, 1], num_classes=10)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def written(block: nn.Module, u: Tensor, pooled: Tensor | None = None) -> Tensor:
    """The paper's equations 2 to 4 with matrices."""
    z = u.mean((2, 3)) if pooled is None else pooled
    w1, b1, w2, b2 = block.fc1.weight, block.fc1.bias, block.fc2.weight, block.fc2.bias
    s = torch.sigmoid(torch.relu(z @ w1[:, :, 0, 0].T + b1) @ w2[:, :, 0, 0].T + b2)
    return u * s[:, :, None, None]


def bottleneck(unit: nn.Module, x: Tensor, at: Callable[[str, Tensor], Tensor]) -> Tensor:
    u = F.relu(unit.bn1(unit.conv1(at("pre", x))))
    u = at("3x3", F.relu(unit.bn2(unit.conv2(u))))
    u = at("standard", unit.bn3(unit.conv3(u)))
    return at("post", F.relu(u + at("identity", x if unit.downsample is None else unit.downsample(x))))


def basic_block(unit: nn.Module, x: Tensor, at: Callable[[str, Tensor], Tensor]) -> Tensor:
    u = F.relu(unit.bn1(unit.conv1(at("pre", x))))
    u = at("standard", unit.bn2(unit.conv2(u)))
    return at("post", F.relu(u + at("identity", x if unit.downsample is None else unit.downsample(x))))


POSITIONS = [("Bottleneck", position) for position in ("standard", "pre", "post", "identity", "3x3")]
POSITIONS += [("BasicBlock", position) for position in ("standard", "pre", "post", "identity")]


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize(("unit", "position"), POSITIONS)
def test_positions_in_a_residual_unit(library: str, unit: str, position: str) -> None:
    plain = resnet(library, unit)
    network = insert_se(plain, position=position)
    child = "se_after" if position == "post" else "se"
    form = {"Bottleneck": bottleneck, "BasicBlock": basic_block}[unit]
    for path in ("layer1.0", "layer1.1", "layer2.0"):
        old, new = plain.get_submodule(path), network.get_submodule(path)
        x = torch.randn(2, old.conv1.in_channels, 8, 8, generator=torch.Generator().manual_seed(2))

        def at(place: str, u: Tensor, new: nn.Module = new) -> Tensor:
            return written(getattr(new, child), u) if place == position else u

        expected = form(old, x, at)
        torch.testing.assert_close(new(x), expected, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(expected, old(x), rtol=1e-3, atol=1e-3)

    units = ["layer1.0", "layer1.1", "layer2.0", "layer3.0", "layer4.0"]
    blocks = find_se_blocks(network, (1, 3, 64, 64))
    assert [block.path for block in blocks.values()] == [f"{path}.{child}" for path in units]
    # The first unit of a stage has its stride, which a block at the start of the branch is still before.
    names = {"pre": ["SE_2_1", "SE_2_2", "SE_2_3", "SE_3_1", "SE_4_1"]}
    assert list(blocks) == names.get(position, ["SE_2_1", "SE_2_2", "SE_3_1", "SE_4_1", "SE_5_1"])
    inner, wide = [64, 64, 128, 256, 512], 4 if unit == "Bottleneck" else 1
    outer = [wide * channels for channels in inner]
    channels = {"pre": [64, outer[0], *outer[1:4]], "3x3": inner}
    assert [block.channels for block in blocks.values()] == channels.get(position, outer)


@pytest.mark.parametrize("position", ["standard", "pre", "post", "identity"])
def test_positions_in_a_scaled_residual_unit(position: str) -> None:
    unit = Block35(scale=0.17)
    plain = nn.Sequential(nn.Conv2d(3, 320, 3, stride=4), nn.ReLU(), unit).eval()
    network = insert_se(plain, position=position)
    block = network[2].se_after if position == "post" else network[2].se

    def at(place: str, u: Tensor) -> Tensor:
        return written(block, u) if place == position else u

    x = torch.randn(2, 320, 7, 7, generator=torch.Generator().manual_seed(2))
    entry = at("pre", x)
    u = unit.conv2d(torch.cat((unit.branch0(entry), unit.branch1(entry), unit.branch2(entry)), 1))
    expected = at("post", F.relu(0.17 * at("standard", u) + at("identity", x)))
    torch.testing.assert_close(network[2](x), expected, rtol=1e-5, atol=1e-5)
    assert list(find_se_blocks(network, (1, 3, 32, 32))) == ["SE_2_1"]


@pytest.mark.parametrize("position", ["standard", "pre", "post", "identity", "3x3"])
@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_network_with_blocks_can_be_trained(library: str, position: str) -> None:
    network = insert_se(resnet(library), position=position).train()
    network(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_stochastic_depth_stays() -> None:
    plain = timm.models.resnet.ResNet(timm.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=10, drop_path_rate=0.9)
    network = insert_se(plain, position="pre").train()
    unit = network.layer4[0]
    unit.drop_path.drop_prob = 1 - 1e-9  # so that only the shortcut is left
    x = torch.randn(4, 1024, 4, 4, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(unit(x), F.relu(unit.downsample(x)))


def test_last_stage_alone() -> None:
    plain = torchvision.models.resnet50()
    network = insert_se(plain, stages=[5])
    assert parameters(network) - parameters(plain) == 1_579_392
    assert list(find_se_blocks(network, (1, 3, 96, 96))) == ["SE_5_1", "SE_5_2", "SE_5_3"]


def test_stages_leave_the_weights_of_the_others_as_they_were() -> None:
    every, some = insert_se(resnet("torchvision")), insert_se(resnet("torchvision"), stages={2, 4})
    blocks = find_se_blocks(some, (1, 3, 64, 64))
    assert list(blocks) == ["SE_2_1", "SE_2_2", "SE_4_1"]
    for block in blocks.values():
        one, other = (network.get_submodule(block.path).state_dict() for network in (every, some))
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("reduction", [2, 4, 8, 16, 32])
def test_reduction_ratios_of_the_paper(reduction: int) -> None:
    with torch.device("meta"):  # parameters are only counted
        plain = torchvision.models.resnet50()
    every = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    added = parameters(insert_se(plain, reduction=reduction)) - parameters(plain)
    assert added == sum(2 * c * c // reduction + c + c // reduction for c in every)
    # The paper's table, in millions.
    paper = {2: 45.7, 4: 35.7, 8: 30.7, 16: 28.1, 32: 26.9}[reduction]
    assert (parameters(plain) + added) / 1e6 == pytest.approx(paper, abs=0.12)


EXCITATIONS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


@pytest.mark.parametrize("excitation", EXCITATIONS)
@pytest.mark.parametrize("squeeze", ["avg", "max"])
@pytest.mark.parametrize("bias", [True, False])
def test_block_is_as_asked(squeeze: str, excitation: str, bias: bool) -> None:
    network = insert_se(resnet("torchvision"), squeeze=squeeze, excitation=excitation, bias=bias, reduction=8)
    block = network.layer1[1].se
    assert isinstance(block, torchvision.ops.SqueezeExcitation)
    assert parameters(block) == 2 * 256 * 32 + bias * (256 + 32)
    u = torch.randn(3, 256, 5, 5, generator=torch.Generator().manual_seed(6))
    z = u.mean((2, 3)) if squeeze == "avg" else u.amax((2, 3))
    hidden = torch.relu(z @ block.fc1.weight[:, :, 0, 0].T + (block.fc1.bias if bias else 0))
    s = EXCITATIONS[excitation](hidden @ block.fc2.weight[:, :, 0, 0].T + (block.fc2.bias if bias else 0))
    torch.testing.assert_close(block(u), u * s[:, :, None, None])
    blocks = find_se_blocks(network, (1, 3, 64, 64))
    assert list(blocks) == ["SE_2_1", "SE_2_2", "SE_3_1", "SE_4_1", "SE_5_1"]
    assert {block.gate for block in blocks.values()} == {excitation}


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_vgg_has_a_block_behind_each_relu(library: str, name: str) -> None:
    if library == "timm":
        plain = timm.create_model(name, num_classes=10, mlp_ratio=0.01)
    else:
        plain = torchvision.models.get_model(name, init_weights=False)
        plain.classifier = nn.Linear(512 * 49, 10)
    relus = [f"features.{i}" for i, layer in enumerate(plain.features) if isinstance(layer, nn.ReLU)]
    network = insert_se(plain.eval())
    blocks = find_se_blocks(network, (1, 3, 32, 32))
    assert [block.path for block in blocks.values()] == [f"{path}.1" for path in relus]
    assert len(blocks) == 8
    assert plain.state_dict().keys() <= network.state_dict().keys()


def test_training_heads_and_modes_stay() -> None:
    plain = torchvision.models.googlenet(weights=None, init_weights=False, num_classes=10).train()
    plain.inception4a.eval()
    network = insert_se(plain)
    assert {name: m.training for name, m in network.named_modules() if name in dict(plain.named_modules())} == {
        name: m.training for name, m in plain.named_modules()
    }
    assert not network.inception4a.se_after.training
    assert network.inception4b.se_after.fc1.training
    assert type(network(torch.randn(2, 3, 64, 64))).__name__ == "GoogLeNetOutputs"


def test_a_network_within_a_module_and_another_head() -> None:
    class Segmenter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = torchvision.models._utils.IntermediateLayerGetter(
                resnet("torchvision"), {"layer3": "out", "layer2": "aux"}
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.backbone(x)["out"]

    blocks = find_se_blocks(insert_se(Segmenter()), (1, 3, 64, 64))
    assert [block.path for block in blocks.values()] == [f"backbone.layer{n}.se" for n in ("1.0", "1.1", "2.0", "3.0")]


def test_units_off_the_path_get_no_block() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = resnet("torchvision")

        def forward(self, x: Tensor) -> Tensor:
            return self.network.layer1(self.network.conv1(x))

    network = insert_se(Half())
    assert [path for path, m in network.named_modules() if path.endswith(".se")] == [
        "network.layer1.0.se",
        "network.layer1.1.se",
    ]


def test_one_input_channel_and_float64() -> None:
    plain = timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, [1, 1, 1, 1], in_chans=1, num_classes=10)
    network = insert_se(plain.double().eval())
    assert {p.dtype for p in network.parameters()} == {torch.float64}
    assert network(torch.zeros(1, 1, 32, 32, dtype=torch.float64)).shape == (1, 10)


def test_small_images_name_stages_as_large_ones() -> None:
    narrow = {"channels": (8, 16, 32, 64), "num_classes": 10}
    plain = timm.models.resnet.ResNet(timm.models.resnet.Bottleneck, [2, 1, 1, 1], **narrow).eval()
    plain.conv1, plain.maxpool = nn.Conv2d(3, 64, 3, padding=1), nn.Identity()
    names = list(find_se_blocks(insert_se(plain), (1, 3, 32, 32)))
    assert names == ["SE_2_1", "SE_2_2", "SE_3_1", "SE_4_1", "SE_5_1"]
    assert parameters(insert_se(plain, stages=[5])) - parameters(plain) == 2 * 256 * 16 + 256 + 16


def test_the_given_network_stays_as_it_was() -> None:
    plain = resnet("timm").train()
    plain.register_forward_hook(lambda *_: None)
    state = copy.deepcopy(plain.state_dict())
    types = [type(module) for module in plain.modules()]
    random = torch.get_rng_state()
    for position in ("standard", "pre", "post"):
        network = insert_se(plain, position=position)
        assert not {id(p) for p in network.parameters()} & {id(p) for p in plain.parameters()}
    assert torch.equal(torch.get_rng_state(), random)
    assert [type(module) for module in plain.modules()] == types
    assert all(module.training for module in plain.modules())
    assert all(unit.se is None for unit in plain.layer1)
    assert state.keys() == plain.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in plain.state_dict().items())
    assert [len(module._forward_hooks) for module in plain.modules()] == [1] + [0] * (len(types) - 1)


def test_fresh_weights_are_those_of_torch_and_the_same_at_every_call() -> None:
    one = insert_se(resnet("torchvision"))
    torch.rand(3)
    other = insert_se(resnet("torchvision"))
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    assert not torch.equal(one.layer1[0].se.fc1.weight, one.layer1[1].se.fc1.weight)
    # nn.Conv2d draws weights and biases evenly from -1/sqrt(inputs) to 1/sqrt(inputs).
    for layer, inputs in ((one.layer4[0].se.fc1, 2048), (one.layer4[0].se.fc2, 128)):
        bound = inputs**-0.5
        assert layer.weight.abs().max() <= bound
        assert layer.bias.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


@pytest.mark.parametrize("position", ["standard", "pre", "post", "identity", "3x3"])
def test_copies_and_pickles_compute_the_same(position: str) -> None:
    network = insert_se(resnet("torchvision"), position=position)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(7))
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(images), network(images))
        assert [type(module) for module in other.modules()] == [type(module) for module in network.modules()]
        assert not {id(p) for p in other.parameters()} & {id(p) for p in network.parameters()}


def test_no_hooks_and_units_that_are_still_units() -> None:
    network = insert_se(resnet("torchvision"))
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in network.modules())
    assert isinstance(network.layer1[0], torchvision.models.resnet.Bottleneck)
    assert type(network.layer1[0]) is type(network.layer2[0])


def test_exported_program_computes_the_same() -> None:
    network = insert_se(resnet("torchvision", "BasicBlock"))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(8))
    exported = torch.export.export(network, (images,)).module()
    torch.testing.assert_close(exported(images), network(images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"squeeze": "mean"}, r"squeeze is 'mean', expected one of avg, max"),
        ({"excitation": "gelu"}, r"excitation is 'gelu', expected one of sigmoid, tanh, relu"),
        ({"position": "end"}, r"position is 'end', expected one of standard, pre, post, identity, 3x3"),
        ({"reduction": 0}, r"reduction is 0, expected a whole number from 1"),
        ({"reduction": 2.5}, r"reduction is 2.5, expected a whole number from 1"),
        (
            {"reduction": 257},
            r"reduction is 257, which leaves none of the 256 channels at 'layer1.0'; expected at most 256",
        ),
        ({"stages": [1, 5]}, r"stages is \[1, 5\], expected one or more of \[2, 3, 4, 5\]"),
        ({"stages": ()}, r"stages is \[\], expected one or more of \[2, 3, 4, 5\]"),
    ],
)
def test_options_outside_their_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        insert_se(resnet("torchvision"), **options)


def test_the_largest_reduction_leaves_one_channel() -> None:
    network = insert_se(resnet("torchvision"), reduction=256)
    assert network.layer1[0].se.fc1.out_channels == 1
    # Without the stages of fewer channels it may be larger.
    assert insert_se(resnet("torchvision"), reduction=1024, stages=[5]).layer4[0].se.fc1.out_channels == 2


def test_positions_that_do_not_fit() -> None:
    message = "position '3x3' does not fit ResNet: in its BasicBlock, expected standard or pre or post or identity"
    with pytest.raises(OptionError, match=message):
        insert_se(resnet("torchvision", "BasicBlock"), position="3x3")
    googlenet = torchvision.models.googlenet(weights=None, init_weights=False)
    with pytest.raises(OptionError, match="position 'pre' does not fit GoogLeNet: in its Inception, expected standard"):
        insert_se(googlenet, position="pre")


@pytest.mark.parametrize("name", ["squeezenet1_1", "timm/convnext_atto"])
def test_networks_without_a_place(name: str) -> None:
    """A network without residual branches, and one whose branches linear layers make, channels last."""
    model = timm.create_model(name[5:]) if name.startswith("timm/") else torchvision.models.get_model(name)
    message = (
        r"no place for SE blocks in \w+: expected a ResNet, .* torchvision/resnet50, or another network with residual"
        " branches of convolutions, channels first"
    )
    with pytest.raises(InsertionError, match=message):
        insert_se(model)


def test_networks_that_have_se_blocks() -> None:
    with pytest.raises(InsertionError, match=r"SENet has 8 SE blocks already, the first at 'layer1.0.se_module'"):
        insert_se(timm.create_model("legacy_seresnet18"))
    with pytest.raises(InsertionError, match=r"ResNet has 1 SE blocks already, the first at 'layer4.0.se'"):
        insert_se(insert_se(resnet("torchvision"), stages=[5]), stages=[2])


def test_units_with_another_attention() -> None:
    network = resnet("timm")
    network.layer2[0].se = nn.Identity()
    with pytest.raises(InsertionError, match="a Bottleneck has a Identity where the SE block goes"):
        insert_se(network)


def test_networks_that_take_no_images() -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = resnet("torchvision")

        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return self.network(one) - self.network(other)

    message = (
        r"Pairs cannot be run on inputs of shape \(1, 3, 224, 224\) \(.*other.*\); give input_size, or the part of it"
        r" that takes \(batch, channels, height, width\)"
    )
    with pytest.raises(InsertionError, match=message):
        insert_se(Pairs())


def test_compiled_networks_are_refused() -> None:
    with pytest.raises(CompiledModelError, match="it was compiled"):
        insert_se(torch.compile(resnet("torchvision")))
