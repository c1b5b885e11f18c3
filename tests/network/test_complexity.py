import copy
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import complexity_table
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import SqueezeExcitation
from typer.testing import Result

import seviz
from seviz.errors import MissingPackageError, OptionError, RenamedError, SevizWarning
from seviz.network.complexity import Complexity, Cost, complexity, complexity_of, total
from seviz.network.paper import PaperNetwork
from tests.cli.commands import run as run_command


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    # With weights of a rare kind both ReLUs of a block two units wide stay shut, and no gate shows.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def convolution(side: int, inputs: int, outputs: int, out_side: int) -> int:
    """Multiply-adds: each output at each position sums over the window and all inputs."""
    return side * side * inputs * outputs * out_side * out_side


# The TinyNet of conftest at 16x16: channels into and out of each convolution, side of its output.
TINY = ((3, 8, 16), (8, 12, 8), (12, 16, 4))


def tiny_share(channels: int, side: int) -> Cost:
    """A block of two linear layers with 4 units between, ReLU and sigmoid."""
    return Cost(
        parameters=channels * 4 + 4 + 4 * channels + channels,
        multiply_adds=2 * channels * 4,
        pooled=channels * side * side,
        scaled=channels * side * side,
        pointwise=4 + channels,
    )


def test_a_network_counted_by_hand(tiny_net: nn.Module) -> None:
    counted = complexity_of(tiny_net, (3, 16, 16))
    assert counted.without_se == Cost(
        parameters=sum(9 * i * o + o for i, o, _ in TINY) + 16 * 3 + 3,
        multiply_adds=sum(convolution(3, i, o, side) for i, o, side in TINY) + 16 * 3,
        pooled=16 * 4 * 4,
        scaled=0,
        pointwise=sum(o * side * side for _, o, side in TINY),
    )
    shares = [tiny_share(o, side) for _, o, side in TINY]
    assert list(counted.blocks.items()) == list(zip(["SE_2_1", "SE_3_1", "SE_4_1"], shares, strict=True))
    assert counted.stages == dict(zip([2, 3, 4], shares, strict=True))
    assert counted.se == total(shares)
    assert counted.with_se == counted.without_se + counted.se
    assert counted.input_size == (3, 16, 16)


def test_costs_add_up_and_elementwise_work_is_no_multiply_add() -> None:
    cost = Cost(parameters=1, multiply_adds=2, pooled=3, scaled=4, pointwise=5)
    assert cost.elementwise == 3 + 4 + 5
    assert cost + cost - cost == cost
    assert total([]) == Cost()


def test_a_network_without_se_blocks_has_no_share() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    counted = complexity_of(model, (3, 8, 8))
    assert counted == Complexity(
        input_size=(3, 8, 8),
        with_se=Cost(
            parameters=9 * 3 * 4 + 4 + 2 * 4,
            multiply_adds=convolution(3, 3, 4, 8),
            pooled=4 * 4 * 4 * 9,  # a window of 9 for each of 4 channels at 4x4 positions
            pointwise=2 * 4 * 8 * 8,  # normalised, then activated
        ),
        blocks={},
        stages={},
    )
    assert counted.se == Cost()
    assert counted.without_se == counted.with_se


class Unit(nn.Module):
    """A stem and a residual unit of 8 channels at 8x8 that multiplies by the gate itself."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.conv, self.shortcut = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

    def gate(self, u: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        u = self.conv(x)
        s = self.gate(u)
        return self.shortcut(x) + u * s.view(len(u), 8, 1, 1)


class Loose(Unit):
    """Layers of the residual unit itself, with a normalisation between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(8, 2), nn.BatchNorm1d(2), nn.Linear(2, 8)

    def gate(self, u: Tensor) -> Tensor:
        return torch.sigmoid(self.fc2(F.relu(self.norm(self.fc1(u.mean((2, 3)))))))


class Bare(Unit):
    """Matrices without modules; the squeeze goes over one side, then the other."""

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.randn(8, 2))

    def gate(self, u: Tensor) -> Tensor:
        z = u.mean(3, keepdim=True).mean(2).flatten(1)
        return F.linear(F.relu(z @ self.w1.T), self.w2).sigmoid_()


class Child(Unit):
    """A module that gives the gate, of 1x1 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.ReLU(True), nn.Conv2d(2, 8, 1, bias=False), nn.Hardsigmoid()
        )

    def gate(self, u: Tensor) -> Tensor:
        return self.excite(u)


class Eca(Unit):
    """One convolution of three weights over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.over_channels = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def gate(self, u: Tensor) -> Tensor:
        return torch.sigmoid(self.over_channels(F.adaptive_avg_pool2d(u, 1).view(len(u), 1, 8)))


MAP = 8 * 8 * 8  # channels times positions
FORMS = {
    # parameters, multiply-adds, values pooled, scaled and pointwise
    Loose: (8 * 2 + 2 + 2 * 2 + 2 * 8 + 8, 2 * 8 * 2, MAP, MAP, 2 + 2 + 8),
    Bare: (2 * 8 * 2, 2 * 8 * 2, MAP + 8 * 8, MAP, 2 + 8),
    Child: (8 * 2 + 2 + 2 * 8, 2 * 8 * 2, MAP, MAP, 2 + 8),
    Eca: (3, 3 * 8, MAP, MAP, 8),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_block_scaled_in_its_unit_counts_only_its_own_parts(form: type[Unit]) -> None:
    counted = complexity_of(form(), (3, 16, 16))
    parameters, multiply_adds, pooled, scaled, pointwise = FORMS[form]
    assert counted.blocks == {
        "SE_2_1": Cost(
            parameters=parameters, multiply_adds=multiply_adds, pooled=pooled, scaled=scaled, pointwise=pointwise
        )
    }
    assert counted.without_se == Cost(
        parameters=9 * 3 * 8 + 8 + 9 * 8 * 8 + 8 + 8 * 8 + 8,
        multiply_adds=convolution(3, 3, 8, 8) + convolution(3, 8, 8, 8) + convolution(1, 8, 8, 8),
        pointwise=MAP,  # the sum
    )


def test_a_block_called_twice_has_its_parameters_once() -> None:
    layer = SqueezeExcitation(8, 2)
    counted = complexity_of(nn.Sequential(nn.Conv2d(3, 8, 1), layer, nn.ReLU(), layer), (3, 8, 8))
    once, again = counted.blocks.values()
    assert (once.parameters, again.parameters) == (8 * 2 + 2 + 2 * 8 + 8, 0)
    assert once.multiply_adds == again.multiply_adds == 2 * 8 * 2
    assert once.scaled == again.scaled == once.pooled == MAP
    assert counted.without_se.parameters == 3 * 8 + 8


def test_blocks_that_are_known_are_not_searched_for(tiny_net: nn.Module) -> None:
    blocks = seviz.find_se_blocks(tiny_net, (3, 16, 16))
    one = complexity_of(tiny_net, (3, 16, 16), blocks={"SE_3_1": blocks["SE_3_1"]})
    assert one.blocks == {"SE_3_1": tiny_share(12, 8)}
    assert one.with_se == complexity_of(tiny_net, (3, 16, 16)).with_se


@pytest.mark.parametrize(
    ("name", "side"), [("legacy_seresnet18", 64), ("mobilenetv3_small_050", 64), ("coatnet_0_rw_224", 224)]
)
def test_the_whole_costs_the_same_whether_its_blocks_are_asked_for_or_not(name: str, side: int) -> None:
    """Pooling, attention and in-place functions among it."""
    model = timm.create_model(name)
    counted, whole = complexity_of(model, (3, side, side)), complexity_of(model, (3, side, side), blocks={})
    assert counted.blocks
    assert (whole.blocks, whole.stages) == ({}, {})
    assert whole.with_se == whole.without_se == counted.with_se


def test_blocks_of_another_network_are_told(tiny_net: nn.Module) -> None:
    blocks = seviz.find_se_blocks(Child(), (3, 16, 16))
    with pytest.raises(OptionError, match="blocks has 'SE_2_1', which is not in this TinyNet; give blocks"):
        complexity_of(tiny_net, (3, 16, 16), blocks=blocks)


class Attention(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        tokens = images.flatten(2).transpose(1, 2)[:, None]  # (batch, head, position, channel)
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


def test_attention_counts_on_the_cpu_as_on_other_devices() -> None:
    counted = complexity_of(Attention(), (3, 8, 8))
    assert counted.with_se.multiply_adds == 2 * 64 * 64 * 3  # each of 64 positions with each, twice


# Blocks in each stage and their channels; the paper's formula for the weights is 2 / r * sum of N_s * C_s ** 2.
SE_RESNETS = {
    "legacy_seresnet50": ((3, 4, 6, 3), 2_514_944, 16_048),
    "legacy_seresnet101": ((3, 4, 23, 3), 4_743_168, 34_544),
    "legacy_seresnet152": ((3, 8, 36, 3), 6_578_176, 50_864),
    "legacy_senet154": ((3, 8, 36, 3), 6_578_176, 50_864),
}
WIDTHS = (256, 512, 1024, 2048)


@pytest.mark.parametrize("name", SE_RESNETS)
def test_se_resnets_have_the_parameters_of_the_paper(name: str) -> None:
    depths, weights, biases = SE_RESNETS[name]
    assert weights == 2 * sum(n * c * c for n, c in zip(depths, WIDTHS, strict=True)) // 16
    counted = complexity_of(timm.create_model(name), (3, 64, 64))
    assert counted.se.multiply_adds == weights
    assert counted.se.parameters == weights + biases
    last = 2 * 3 * 2048 * 2048 // 16
    assert counted.stages[5].multiply_adds == last == 1_572_864
    assert counted.stages[5].parameters == last + 3 * (2048 + 128)


def test_se_resnet_50_counted_by_hand() -> None:
    counted = complexity_of(timm.create_model("legacy_seresnet50"), (3, 224, 224))
    work, inputs = convolution(7, 3, 64, 112), 64
    for depth, outputs, side in zip((3, 4, 6, 3), WIDTHS, (56, 28, 14, 7), strict=True):
        width = outputs // 4
        for block in range(depth):  # the stride is in the first 1x1 convolution
            work += convolution(1, inputs, width, side)
            work += convolution(3, width, width, side)
            work += convolution(1, width, outputs, side)
            work += convolution(1, inputs, outputs, side) if block == 0 else 0
            inputs = outputs
    assert counted.without_se.multiply_adds == work + 2048 * 1000
    maps = 3 * 256 * 56**2 + 4 * 512 * 28**2 + 6 * 1024 * 14**2 + 3 * 2048 * 7**2
    assert counted.se.pooled == counted.se.scaled == maps


@pytest.mark.parametrize(
    ("name", "twin"), [("seresnet50", "resnet50"), ("legacy_seresnext50_32x4d", "resnext50_32x4d")]
)
def test_without_its_blocks_a_network_costs_what_its_twin_costs(name: str, twin: str) -> None:
    without = complexity_of(timm.create_model(name), (3, 96, 96)).without_se
    assert without == complexity_of(timm.create_model(twin), (3, 96, 96)).with_se


@pytest.mark.parametrize("name", ["rexnet_100", "ese_vovnet19b_dw", "ghostnet_100", "nf_seresnet26"])
def test_parameters_of_the_blocks_are_those_of_the_modules_named_so(name: str) -> None:
    model = timm.create_model(name)  # those of rexnet have a BatchNorm between their layers
    kinds = ("SEModule", "SqueezeExcite", "EffectiveSEModule")
    modules = [module for module in model.modules() if type(module).__name__ in kinds]
    counted = complexity_of(model, (3, 96, 96))
    assert len(counted.blocks) == len(modules)
    assert counted.se.parameters == sum(p.numel() for module in modules for p in module.parameters())


def test_half_precision(tiny_net: nn.Module) -> None:
    expected = complexity_of(tiny_net, (3, 16, 16))
    assert complexity_of(copy.deepcopy(tiny_net).to(torch.bfloat16), (3, 16, 16)) == expected


@pytest.mark.gpu
def test_counts_are_the_same_on_a_gpu() -> None:
    model = timm.create_model("coatnet_0_rw_224")
    expected = complexity_of(model, (3, 224, 224))
    assert complexity_of(model.cuda(), (3, 224, 224)) == expected


def test_leaves_the_model_and_the_random_state_as_they_were() -> None:
    model = timm.create_model("mobilenetv3_small_050").train()
    model.blocks[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    complexity_of(model, (3, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert hooks(model) == 0
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def hooks(model: nn.Module) -> int:
    everywhere = nn.modules.module._global_forward_hooks, nn.modules.module._global_forward_pre_hooks
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) + sum(map(len, everywhere))


def test_a_network_that_does_not_run_is_told_and_left_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 2)).train()
    with pytest.raises(OptionError, match=r"Sequential does not run on an image of input_size \(3, 9, 9\) .* give the"):
        complexity_of(model, (3, 9, 9))
    assert hooks(model) == 0
    assert all(module.training for module in model.modules())
    assert complexity_of(model, (3, 8, 8)).with_se.multiply_adds == convolution(3, 3, 4, 6) + 4 * 6 * 6 * 2


@pytest.mark.parametrize("size", [(224,), (1, 3, 8, 224, 224), (3, 0, 224), (3, 22.4, 224)])
def test_input_size_is_that_of_an_input(tiny_net: nn.Module, size: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match=r"input_size is \(.*\), expected \(channels, height, width\)"):
        complexity_of(tiny_net, size)
    with pytest.raises(OptionError, match=r"does not run on an image of input_size \(1, 3, 8, 8\)"):
        complexity_of(tiny_net, (1, 3, 8, 8))


def test_of_a_compiled_model_the_one_it_was_made_from_is_counted(tiny_net: nn.Module) -> None:
    plain = complexity_of(tiny_net, (3, 16, 16))
    with pytest.warns(SevizWarning, match="compiled by torch.compile"):
        assert complexity_of(torch.compile(tiny_net), (3, 16, 16)) == plain


def run(*arguments: object) -> Result:
    return run_command("complexity", *arguments)


def test_command_prints_pure_json() -> None:
    result = run("seviz/seresnet50-cifar10", "seviz/resnet50-cifar10", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    se, plain = json.loads(result.stdout)
    assert (se["model"], se["input_size"]) == ("seviz/seresnet50-cifar10", [3, 32, 32])
    assert se["without_se"] == plain["without_se"] == plain["with_se"]
    assert plain["se"] == asdict(Cost())
    assert plain["blocks"] == plain["stages"] == {}
    # A quarter as wide: a sixteenth of the weights.
    assert se["se"]["multiply_adds"] == 2_514_944 // 16 + sum(2 * n * c * (r - c // 16) for n, c, r in NARROW)
    assert se["se"] == asdict(total(Cost(**cost) for cost in se["stages"].values()))
    assert se["se"] == asdict(total(Cost(**cost) for cost in se["blocks"].values()))


# Depth, channels and squeezed channels of the reference network: timm rounds 64 / 16 up to 8.
NARROW = ((3, 64, 8), (4, 128, 8), (6, 256, 16), (3, 512, 32))


def test_command_prints_a_table() -> None:
    result = run("timm/legacy_seresnet50", "--input-size", 64)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0][:3] == ["timm/legacy_seresnet50", "at", "64x64"]
    assert rows[1] == ["parameters", "multiply-adds", "pooled", "scaled", "pointwise"]
    assert [" ".join(row[:2]) for row in rows[2:]] == [
        "without SE",
        *["SE stage"] * 4,
        *("SE blocks", "that is", "with SE"),
    ]
    assert rows[2][2] == "25,557,032"
    assert rows[5][2:5] == ["4", "792,960", "786,432"]
    assert rows[7][2:4] == ["2,530,992", "2,514,944"]
    assert rows[8][2:4] == ["9.903", "%"]
    assert rows[9][2] == "28,088,024"


def test_command_says_where_no_block_is() -> None:
    result = run("seviz/resnet50-cifar10", "--input-size", 40)
    assert result.exit_code == 0
    assert result.stderr == "seviz/resnet50-cifar10 has no SE block\n"
    assert "at 40x40" in result.stdout
    assert "with SE" not in result.stdout


def test_command_tells_of_a_size_that_does_not_fit() -> None:
    result = run("timm/vit_tiny_patch16_224", "--input-size", 100)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: VisionTransformer does not run on an image of input_size (3, 100, 100)")
    assert result.stderr.endswith("give the size it was made for\n")


def test_the_table_meets_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    complexity_table.main(["--only", "SE-ResNet-50", "SE-MobileNet", "--json"])
    printed = json.loads(capsys.readouterr().out)
    resnet, mobilenet = printed["networks"]
    assert resnet["base"] == "timm/legacy_seresnet50"
    assert resnet["blocks"] == [16, "SE_2_1", "SE_5_3"]
    assert resnet["same_as_twin"] is mobilenet["same_as_twin"] is True
    assert resnet["gflops"]["within_target"] == mobilenet["gflops"]["within_target"] == "yes"
    assert mobilenet["parameters"]["within_target"] == "yes"
    # 3.86 for the network; with the blocks 3.87, where fully connected layers alone would give 3.86.
    assert resnet["meets_paper"] == ["and scaling", "and pooling"]
    assert mobilenet["meets_paper"] == ["and scaling"]
    assert [(r["reduction"], r["within_target"]) for r in printed["reductions"]] == [
        (r, "yes") for r in (None, 2, 4, 8, 16, 32)
    ]
    maps = 3 * 256 * 56**2 + 4 * 512 * 28**2 + 6 * 1024 * 14**2 + 3 * 2048 * 7**2
    increase = printed["claim"]["increase"]["SE-ResNet-50"]
    without = resnet["without_se"]["multiply_adds"]
    assert increase["fully connected"] == pytest.approx(2_514_944 / without) == pytest.approx(0.00065, abs=5e-6)
    assert increase["and scaling"] == pytest.approx((2_514_944 + maps) / without)
    assert increase["and pooling"] == pytest.approx((2_514_944 + 2 * maps) / without)
    assert printed["claim"]["holds"] == {"fully connected": True, "and scaling": True, "and pooling": False}


def test_the_table_hides_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def build(network: PaperNetwork, *, se: bool = True) -> nn.Module:
        if network.base.startswith("pytorchcv"):
            raise MissingPackageError("pytorchcv/bninception needs the package pytorchcv")
        return given(network, se=se)

    given = PaperNetwork.build
    monkeypatch.setattr(PaperNetwork, "build", build)
    complexity_table.main(["--only", "SE-Inception", "SE-ResNet-50 of torchvision", "SE-ShuffleNet-v2"])
    gflops, parameters, _ = capsys.readouterr().out.split("\n\nParameters")
    inception, resnet, shufflenet = (line.split(" | ") for line in gflops.splitlines()[4:])
    assert "not counted: pytorchcv/bninception needs the package pytorchcv" in inception[-1]
    assert [cell.strip() for cell in resnet[2:6]] == [
        *("3.86 → 3.87", "4.0892 → 4.0917", "+5.94% → +5.73%", "other network")
    ]
    assert "strides in the 3x3 convolution" in resnet[-1]
    assert [cell.strip() for cell in shufflenet[4:6]] == ["-", "-"]
    assert "SE-Inception" not in parameters


def test_a_missed_target_is_marked() -> None:
    def judge(counts: tuple[int, ...], figures: tuple[str, ...], unit: float, other: str = "") -> str:
        return complexity_table.against(counts, figures, unit, other)["within_target"]

    assert judge((2_040_000_000, 2_040_000_000), ("2.00", "2.00"), 1e9) == "yes"
    assert judge((2_000_000_000, 2_050_000_000), ("2.00", "2.00"), 1e9) == "NO"
    assert judge((2_000_000_000, 2_050_000_000), ("2.00", "2.00"), 1e9, "wider") == "other network"
    assert judge((25_500_000,), ("25.6",), 1e6) == "yes"
    assert judge((25_470_000,), ("25.6",), 1e6) == "NO"


def test_command_counts_networks_of_signals(tmp_path: Path) -> None:
    (tmp_path / "signals.py").write_text(
        "from torch import nn\n\n\ndef make():\n    model = nn.Sequential(nn.Conv1d(2, 8, 3, padding=1))\n"
        "    model.pretrained_cfg = {'input_size': (2, 20)}\n    return model\n"
    )
    for options, length in (((), 20), (("--input-size", 40), 40)):
        result = run(f"{tmp_path / 'signals.py'}:make", *options)
        assert result.exit_code == 0
        assert f":make at {length} " in result.stdout
        assert f"{2 * 8 * 3 * length:,}" in result.stdout


def test_a_network_is_counted_with_its_own_blocks() -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    counted = complexity(network)
    assert counted == complexity_of(network.model, network.input_size)
    assert counted.se.parameters == 162_744
    assert complexity(network, input_size=(3, 64, 64)).with_se.multiply_adds > counted.with_se.multiply_adds
    old: Any = complexity
    with pytest.raises(RenamedError, match="takes 1 positional arguments and was given 2; give complexity"):
        old(network.model, network.input_size)
