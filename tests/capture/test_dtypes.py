"""Networks in other dtypes than float32, against plain hooks in a plain loop over batches of the same sizes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seviz
from seviz.capture.choice import choose_engine
from seviz.capture.engines import apart, running, tolerance_of
from seviz.errors import EngineError, OptionError
from seviz.experiments.evaluation import evaluate
from seviz.network.blocks import find_se_blocks
from seviz.network.dtype import as_taken, dtype_of
from seviz.network.networks import Network
from seviz.run.manifest import EngineRecord

DTYPES = (torch.float64, torch.bfloat16, torch.float16)
IMAGES = torch.randn(7, 3, 16, 16, generator=torch.Generator().manual_seed(2))
RECORD = EngineRecord(
    name="folded", reason="", device="cpu", precision="float32", batch_size=4, threads=1, rotate=False
)


class Normed(nn.Module):
    """A tiny SE network with a BatchNorm that can be folded."""

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.stem, self.norm, self.plain = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), plain
        self.norm.running_mean += torch.tensor([0.1, -0.2, 0.3])
        self.norm.running_var *= torch.tensor([0.4, 1.3, 0.7])

    def forward(self, images: Tensor) -> Tensor:
        return self.plain(self.norm(self.stem(images)))


@pytest.fixture
def normed(tiny_net: nn.Module) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return Normed(tiny_net).eval()


def plain_loop(model: nn.Module, sigmoids: list[nn.Module], batch_size: int = 4) -> tuple[list[Tensor], Tensor]:
    """Gates of each block as its sigmoid gives them, and logits; of images that were cast before."""
    seen: list[list[Tensor]] = [[] for _ in sigmoids]
    handles = [
        sigmoid.register_forward_hook(lambda *call, own=own: own.append(call[2].clone()))
        for sigmoid, own in zip(sigmoids, seen, strict=True)
    ]
    with torch.no_grad():
        logits = torch.cat([model(some) for some in IMAGES.to(model.stem.weight.dtype).split(batch_size)])
    for handle in handles:
        handle.remove()
    return [torch.cat(own) for own in seen], logits


@pytest.mark.parametrize("engine", ["eager", "folded"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gates_are_those_of_a_plain_loop(dtype: torch.dtype, engine: str, normed: nn.Module) -> None:
    in_float32, _ = plain_loop(normed, [stage[2].gate for stage in normed.plain.stages])
    model = normed.to(dtype)
    gates, logits = plain_loop(model, [stage[2].gate for stage in model.plain.stages])
    blocks = find_se_blocks(model, (1, 3, 16, 16))
    record = dataclasses.replace(RECORD, name=engine)
    with running(model, blocks, record, signals=["excitation"], input_size=(3, 16, 16)) as forward:
        parts = [forward(some).numpy() for some in IMAGES.split(4)]
    for block, expected, single in zip(blocks, gates, in_float32, strict=True):
        values = np.concatenate([part[1]["excitation", block] for part in parts])
        assert values.dtype == np.float32
        np.testing.assert_allclose(
            values, expected.float(), rtol=0, atol=1e-7 if dtype == torch.float64 else torch.finfo(dtype).eps
        )
        assert not torch.equal(expected.float(), single)  # the dtype makes a difference
    assert np.concatenate([part[0] for part in parts])[:, 0].tolist() == logits.float().argmax(1).tolist()
    assert next(model.parameters()).dtype == dtype


def test_compiled_in_bfloat16(tiny_net: nn.Module) -> None:
    model = nn.Sequential(tiny_net.stages[0], nn.AdaptiveAvgPool2d(1), nn.Flatten()).bfloat16()
    blocks = find_se_blocks(model, (1, 3, 16, 16))
    seen: list[Tensor] = []
    model[0][2].gate.register_forward_hook(lambda *call: seen.append(call[2].clone()))
    with torch.no_grad():
        model(IMAGES[:4].bfloat16())
    record = dataclasses.replace(RECORD, name="compiled")
    with running(model, blocks, record, signals=["excitation"], input_size=(3, 16, 16)) as forward:
        values = forward(IMAGES[:4]).numpy()[1]
    np.testing.assert_allclose(values["excitation", "SE_2_1"], seen[0].float(), rtol=0, atol=0.02)


def test_what_cannot_be_compiled_says_in_what_dtype(tiny_net: nn.Module) -> None:
    """On the CPU, constant weights of convolutions are laid out anew, which is not made for float64."""
    model = tiny_net.double()
    blocks = find_se_blocks(model, (1, 3, 16, 16))
    record = dataclasses.replace(RECORD, name="compiled")
    message = r"the network, in float64, cannot be compiled: .*Error: .*Run it with the folded engine"
    with (
        pytest.raises(EngineError, match=message),
        running(model, blocks, record, signals=["excitation"], input_size=(3, 16, 16)),
    ):
        pass


def test_what_cannot_be_compared_is_not_compiled(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, (1, 3, 16, 16))
    with torch.no_grad():
        tiny_net.head.bias[1] = torch.nan
    record = dataclasses.replace(RECORD, name="compiled")
    message = "cannot be compared with the plain one: on random images its gates or outputs are not finite"
    with (
        pytest.raises(EngineError, match=message),
        running(tiny_net, blocks, record, signals=["excitation"], input_size=(3, 16, 16)),
    ):
        pass


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_network_in_another_dtype_predicts(dtype: torch.dtype, normed: nn.Module, tiny_network: Network) -> None:
    model = normed.to(dtype)
    _, logits = plain_loop(model, [])
    network = dataclasses.replace(tiny_network, model=model)
    labels = logits.float().argmax(1)
    labels[0] = (labels[0] + 1) % 3
    for given in (IMAGES, IMAGES.to(dtype)):
        evaluation = evaluate(network, data=[(given, labels)], device="cpu")
        assert evaluation.accuracy == pytest.approx(6 / 7)
        expected = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        np.testing.assert_allclose(evaluation.loss, expected, atol=20 * torch.finfo(dtype).eps + 1e-6)


@pytest.mark.filterwarnings("ignore:Top-1 accuracy is:UserWarning")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_capture_of_a_network_in_another_dtype(
    dtype: torch.dtype, normed: nn.Module, tiny_network: Network, tmp_path: Path
) -> None:
    model = normed.to(dtype)
    gates, logits = plain_loop(model, [stage[2].gate for stage in model.plain.stages])
    network = dataclasses.replace(tiny_network, model=model)
    run = seviz.collect(
        network, [(IMAGES, torch.arange(7) % 3)], tmp_path / "run", batch_size=4, chunk_size=4, device="cpu"
    )
    engine = run.manifest.engine
    assert (engine.name, engine.precision, engine.reason) == (
        "folded",
        "float32",
        f"the network computes in {str(dtype).removeprefix('torch.')}",
    )
    for block, expected in zip(run.blocks, gates, strict=True):
        np.testing.assert_allclose(run.gates(block), expected.float(), rtol=0, atol=1e-5 + torch.finfo(dtype).eps)
    names = [tiny_network.class_names[k] for k in logits.float().argmax(1)]
    assert run.samples["predicted"].tolist() == names


def test_autocast_is_for_networks_in_float32(tiny_network: Network, tmp_path: Path) -> None:
    tiny_network.model.half()
    message = "precision is bfloat16, and TinyNet computes in float16 as it is; give precision fp32, which leaves it so"
    with pytest.raises(OptionError, match=message):
        seviz.collect(tiny_network, [(IMAGES, torch.arange(7) % 3)], tmp_path / "run", precision="bf16", device="cpu")
    assert not (tmp_path / "run").exists()
    record = dataclasses.replace(RECORD, precision="bfloat16")
    with (
        pytest.raises(OptionError, match=message),
        running(tiny_network.model, {}, record, signals=[], input_size=(3, 16, 16)),
    ):
        pass


class Spectral(nn.Module):
    """Takes Fourier transforms, which the CPU has not in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.fft.rfft2(images).abs().mean((2, 3)))


@pytest.mark.parametrize("engine", ["eager", "folded", "compiled"])
def test_a_dtype_that_cannot_be_run_is_told(engine: str) -> None:
    record = dataclasses.replace(RECORD, name=engine)
    message = r"Spectral cannot be run in bfloat16 on cpu \(.*\)\. Give another device, or convert the network with"
    with (
        pytest.raises(EngineError, match=message),
        running(Spectral().bfloat16().eval(), {}, record, signals=[], input_size=(3, 16, 16)),
    ):
        pass
    with running(Spectral().eval(), {}, RECORD, signals=[], input_size=(3, 16, 16)) as forward:
        assert forward(IMAGES[:2]).numpy()[0].shape == (2, 2)


def test_by_itself_only_float32_is_compiled(tiny_net: nn.Module) -> None:
    given = {"images": 10**12, "device": "cpu", "batch_size": 4, "input_size": (3, 16, 16)}
    assert choose_engine(tiny_net, compile="auto", **given)[0] == "compiled"
    tiny_net.bfloat16()
    assert choose_engine(tiny_net, compile="auto", **given) == ("folded", "the network computes in bfloat16")
    assert choose_engine(tiny_net, compile="on", **given) == ("compiled", "as asked for")


def test_the_dtype_of_a_network_is_that_of_its_first_floating_tensor() -> None:
    assert dtype_of(nn.Sequential(nn.Linear(2, 2).half(), nn.Linear(2, 2))) == torch.float16
    assert dtype_of(nn.ReLU()) == torch.float32
    buffers = nn.Module()
    buffers.register_buffer("count", torch.zeros(1, dtype=torch.int64))
    buffers.register_buffer("mean", torch.zeros(1, dtype=torch.float64))
    assert dtype_of(buffers) == torch.float64
    whole = torch.zeros(2, dtype=torch.uint8)
    assert as_taken(whole, buffers) is whole
    assert as_taken(IMAGES, buffers).dtype == torch.float64
    assert as_taken(IMAGES, nn.ReLU()) is IMAGES


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, *DTYPES])
def test_what_is_not_finite_is_infinitely_far(odd: float, dtype: torch.dtype) -> None:
    plain = torch.tensor([1.0, -4.0], dtype=dtype)
    broken = torch.tensor([1.0, odd], dtype=dtype)
    for some, others in (([broken], [plain]), ([plain], [broken]), ([broken], [broken])):
        assert apart(some, others) == np.inf
        assert apart([plain, *some, plain], [plain + 1, *others, plain]) == np.inf  # behind one that is finite


def test_how_far_tensors_are_apart() -> None:
    some = [torch.tensor([1.0, 3.0]), torch.zeros(0), torch.tensor([[2.0]])]
    others = [torch.tensor([1.0, 4.0]), torch.zeros(0), torch.tensor([[2.5]])]
    assert apart(some, others) == pytest.approx(0.25)
    assert apart([], []) == 0
    tiny = torch.tensor([1.0, 1 + 1e-12], dtype=torch.float64)
    assert 0 < apart([tiny], [tiny.flip(0)]) < 1e-11  # in float32 they would be the same
    assert tolerance_of(torch.float64) < tolerance_of(torch.float32) < tolerance_of(torch.bfloat16)


def test_images_whose_logits_are_not_finite_have_failed(tiny_network: Network, tmp_path: Path) -> None:
    """The gates are finite: the head alone overflows, in one chunk the first image and in another the last."""

    class Overflowing(nn.Linear):
        def forward(self, pooled: Tensor) -> Tensor:
            logits = super().forward(pooled)
            return logits / (logits.abs().amax(1, keepdim=True) < 50)  # 0 where it is not, and inf

    model = tiny_network.model
    head = Overflowing(16, 3)
    head.load_state_dict(model.head.state_dict())
    model.head = head
    x = IMAGES.clone()
    x[[0, 6]] *= 1e4
    with torch.no_grad():
        logits = model(x)
    assert (~logits.isfinite()).any(1).tolist() == [True, *[False] * 5, True]
    with pytest.warns(UserWarning, match="2 of 7 images failed"):
        run = seviz.collect(
            tiny_network,
            [(x, logits.nan_to_num().argmax(1))],
            tmp_path / "run",
            batch_size=3,
            chunk_size=4,
            device="cpu",
            max_failures=0.5,
        )
    assert run.samples["status"].tolist() == ["failed", *["ok"] * 5, "failed"]
    assert set(run.samples["reason"][[0, 6]]) == {"the network's logits are not finite"}
    assert run.samples["predicted"].isna().tolist() == [True, *[False] * 5, True]
    assert (run.accuracy.images, run.accuracy.top1) == (5, 1)
    assert run.total("SE_2_1").count.tolist() == [5]
    assert np.isnan(run.gates("SE_2_1")).all(1).tolist() == [True, *[False] * 5, True]
