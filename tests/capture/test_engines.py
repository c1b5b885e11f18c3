import copy
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import pytest
import timm
import torch
import torchvision
from timm.models._efficientnet_blocks import InvertedResidual, SqueezeExcite
from timm.models.resnet import Bottleneck
from timm.models.senet import SEResNetBlock
from torch import Tensor, nn

from seviz.capture.engines import running
from seviz.errors import EngineError, OptionError
from seviz.network.batchnorm import fold_batchnorms
from seviz.network.blocks import SEBlock, find_se_blocks
from seviz.network.gates import capture_gates
from seviz.run.manifest import EngineRecord

RECORD = EngineRecord(
    name="folded", reason="", device="cpu", precision="float32", batch_size=4, threads=1, rotate=False
)
SIZE = (3, 64, 64)
ARCHITECTURES = [
    *("timm/legacy_seresnet18", "timm/efficientnet_b0", "timm/mobilenetv3_small_050", "timm/regnety_002"),
    *("timm/ghostnet_100", "timm/seresnext26d_32x4d", "timm/ecaresnet26t", "timm/ese_vovnet19b_dw"),
    *("torchvision/regnet_y_400mf", "torchvision/mobilenet_v3_small"),
]


@functools.cache
def built(spec: str) -> nn.Module:
    """A network, built once: a test that changes it takes a copy."""
    library, _, name = spec.partition("/")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return stirred(timm.create_model(name) if library == "timm" else torchvision.models.get_model(name))


def stirred(model: nn.Module) -> nn.Module:
    """With BatchNorms as if trained, or folding them would change nothing."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.uniform_(module.weight, 0.8, 1.2)
    return model.eval()


def units() -> nn.Module:
    """Units of three real networks, one behind the other: SE-ResNet's, ECA-Net's and MobileNetV3's."""
    excite = functools.partial(SqueezeExcite, gate_layer="hard_sigmoid")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return stirred(
            nn.Sequential(
                *(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
                SEResNetBlock(16, 16, 1, reduction=4),
                Bottleneck(16, 4, attn_layer="eca"),
                InvertedResidual(16, 16, exp_ratio=2, act_layer=nn.Hardswish, se_layer=excite),
                *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
            )
        )


def images(count: int, size: tuple[int, ...] = SIZE) -> list[Tensor]:
    return list(torch.randn(count, *size, generator=torch.Generator().manual_seed(2)))


def plain(model: nn.Module, blocks: Mapping[str, SEBlock], given: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        logits = model(torch.stack(list(given)))
    return logits, dict(gates)


@pytest.mark.parametrize("spec", ARCHITECTURES)
def test_folded_gates_are_those_of_the_plain_network(spec: str) -> None:
    model = built(spec)
    blocks = find_se_blocks(model, (1, *SIZE))
    logits, expected = plain(model, blocks, images(4))
    with running(model, blocks, RECORD, signals=["excitation"], input_size=SIZE) as forward:
        predictions, values = forward(images(4)).numpy()
    for name, gates in expected.items():
        np.testing.assert_allclose(values["excitation", name], gates, rtol=0, atol=1e-5)
    assert predictions[:, 0].tolist() == logits.argmax(1).tolist()


@pytest.mark.parametrize("spec", ARCHITECTURES)
def test_batchnorms_are_folded(spec: str) -> None:
    model = copy.deepcopy(built(spec))
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    with torch.no_grad():
        x = torch.stack(images(2))
        before = model(x)
        folded = fold_batchnorms(model, x)
        left = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
        assert len(folded) == norms - left > 0
        torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-4)


def test_compiled_gates_are_those_of_the_plain_network() -> None:
    model, size = units(), (3, 32, 32)
    blocks = find_se_blocks(model, (1, *size))
    assert [type(model.get_submodule(block.path)).__name__ for block in blocks.values()] == [
        *("SEModule", "EcaModule", "SqueezeExcite")
    ]
    record = dataclasses.replace(RECORD, name="compiled")
    given = [4**k * image for k, image in enumerate(images(3, size))]  # fewer than a batch, of different contrast
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        logits = model(torch.stack(given))
    with running(model, blocks, record, signals=["excitation"], input_size=size) as forward:
        predictions, values = forward(given).numpy()
        again = forward(given).numpy()[1]
        wide = forward(images(2, (3, 32, 40))).numpy()[1]
    for name in blocks:
        assert gates[name].std(0).mean() > 1e-3  # or agreement would mean little
        np.testing.assert_allclose(values["excitation", name], gates[name], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(values["excitation", name], again["excitation", name])
        assert wide["excitation", name].shape == (2, blocks[name].channels)
    assert predictions.tolist() == logits.topk(5).indices.tolist()


def test_nothing_is_read_of_no_blocks(tiny_net: nn.Module) -> None:
    given = images(3, (3, 16, 16))
    with torch.no_grad():
        logits = tiny_net(torch.stack(given))
    with running(tiny_net, {}, RECORD, signals=[], input_size=(3, 16, 16)) as forward:
        predictions, values = forward(given).numpy()
    assert values == {}
    assert predictions.tolist() == logits.topk(3).indices.tolist()


def test_the_model_comes_back_as_it_was(tiny_net: nn.Module) -> None:
    tiny_net.train()
    blocks = find_se_blocks(tiny_net, (1, 3, 16, 16))
    before = {name: value.clone() for name, value in tiny_net.state_dict().items()}
    threads = torch.get_num_threads()
    for name in ("eager", "folded"):
        for precision in ("float32", "bfloat16"):
            record = dataclasses.replace(RECORD, name=name, precision=precision, threads=2)
            with (
                suppress(RuntimeError),
                running(tiny_net, blocks, record, signals=["excitation"], input_size=(3, 16, 16)) as forward,
            ):
                forward(images(2, (3, 16, 16)))
                forward([torch.zeros(2, 16, 16)])
                pytest.fail("images of two channels")
            assert tiny_net.training
            assert torch.get_num_threads() == threads
            assert all(torch.equal(value, before[key]) for key, value in tiny_net.state_dict().items())
            assert not any(m._forward_hooks or m._forward_pre_hooks for m in tiny_net.modules())
            assert not any("forward" in vars(m) for m in tiny_net.modules())


def test_images_of_many_sizes_come_back_in_order(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, (1, 3, 16, 16))
    given = [image for pair in zip(images(5, (3, 16, 16)), images(5, (3, 16, 24)), strict=True) for image in pair]
    with running(tiny_net, blocks, RECORD, signals=["excitation", "squeeze"], input_size=(3, 16, 16)) as forward:
        _, values = forward(given).numpy()
    for k, image in enumerate(given):
        with torch.no_grad(), capture_gates(tiny_net, blocks, signals=["squeeze"]) as gates:
            tiny_net(image[None])
        for name in blocks:
            np.testing.assert_allclose(values["excitation", name][k], gates[name][0], rtol=0, atol=1e-5)
            np.testing.assert_allclose(values["squeeze", name][k], gates.signal("squeeze")[name][0], atol=1e-5)


def test_low_precision_spares_the_gates(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, (1, 3, 16, 16))
    given = images(4, (3, 16, 16))
    gates = {}
    for precision in ("float32", "bfloat16"):
        record = dataclasses.replace(RECORD, precision=precision)
        with running(tiny_net, blocks, record, signals=["excitation"], input_size=(3, 16, 16)) as forward:
            gates[precision] = forward(given).numpy()[1]["excitation", "SE_2_1"]
    error = np.abs(gates["bfloat16"] - gates["float32"]).max()
    assert 0 < error < 0.02
    low = torch.from_numpy(gates["bfloat16"])
    assert not torch.equal(low, low.bfloat16().float())  # they were not rounded to 8 bits


def test_what_cannot_be_run(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, (1, 3, 16, 16))
    for field, message in (
        ("name", "the engine's name is 'x', expected one of eager"),
        ("precision", "precision is 'x'"),
    ):
        record = dataclasses.replace(RECORD, **{field: "x"})
        with (
            pytest.raises(OptionError, match=message),
            running(tiny_net, blocks, record, signals=["excitation"], input_size=(3, 16, 16)),
        ):
            pass
    tiny_net.lock = (k for k in ())  # which cannot be copied
    with (
        pytest.raises(EngineError, match=r"TinyNet cannot be copied .*Run it with the eager engine"),
        running(tiny_net, blocks, RECORD, signals=["excitation"], input_size=(3, 16, 16)),
    ):
        pass


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["eager", "folded", "compiled"])
def test_on_a_gpu(name: str) -> None:
    model = built("timm/legacy_seresnet18")
    blocks = find_se_blocks(model, (1, *SIZE))
    _, expected = plain(model, blocks, images(4))
    record = dataclasses.replace(RECORD, name=name, device="cuda")
    with running(model, blocks, record, signals=["excitation"], input_size=SIZE) as forward:
        _, values = forward(images(4)).numpy()
    for block, gates in expected.items():
        np.testing.assert_allclose(values["excitation", block], gates, rtol=0, atol=1e-4)
