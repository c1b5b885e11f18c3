"""From what was read to what a network takes, and the whole way of arrays of five bands."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import seviz
from seviz.capture.datasets import open_dataset
from seviz.capture.inputs import Taking, check_inputs
from seviz.capture.sources import read_batches
from seviz.errors import OptionError
from seviz.experiments.evaluation import evaluate
from seviz.experiments.reopening import reopen_data
from seviz.network.networks import Network
from seviz.network.preprocessing import of_arrays
from tests.capture import five_bands
from tests.capture.layouts.made_layouts import make_arrays
from tests.cli.commands import error_of, run


@pytest.fixture(scope="module")
def five() -> Network:
    return seviz.load(f"{five_bands.__file__}:make")


def test_arrays_as_they_are(five: Network) -> None:
    taken = Taking.of(five, "none")
    values = np.random.default_rng(0).integers(-5, 300, (5, 16, 16))
    assert taken.refusal(values) == ""
    assert taken(values).dtype == torch.float32
    np.testing.assert_array_equal(taken(values).numpy(), values)
    double = dataclasses.replace(five, model=nn.Linear(1, 1).double())
    assert Taking.of(double, "none")(values + 1e-12).dtype == torch.float64


@pytest.mark.parametrize(
    ("shape", "how", "reason"),
    [
        ((3, 16, 16), "none", "3 channels, the network takes 5"),
        ((3, 16, 16), "model", "3 channels, the network takes 5"),
        ((16, 16, 5), "none", "16 channels, the network takes 5"),
        ((5, 16), "none", r"2 axes, the network takes 3: \(channels, height, width\) of \(5, 16, 16\)"),
        ((5, 2, 16, 16), "model", "4 axes, the network takes 3"),
        ((5, 20, 16), "none", r"shape \(5, 20, 16\), the network takes \(5, 16, 16\); preprocess 'model' resizes"),
        ((5, 1, 2_000_000), "model", "too long: 2000000 x 1 would be 512000000 pixels"),
    ],
)
def test_arrays_of_another_shape_are_refused(shape: tuple[int, ...], how: str, reason: str, five: Network) -> None:
    values = np.broadcast_to(np.float32(0), shape)
    assert re.match(reason, Taking.of(five, how).refusal(values))


def test_other_sizes_where_the_network_takes_any(five: Network) -> None:
    free = dataclasses.replace(five, fixed_size=False)
    assert Taking.of(free, "none").refusal(np.zeros((5, 20, 31), np.float32)) == ""


@pytest.mark.parametrize("size", [(3, 32), (3, 4, 5, 6)])
def test_signals_and_volumes(size: tuple[int, ...], five: Network, tmp_path: Path) -> None:
    seen = of_arrays("mine", size, (0.25,) * 3, (0.5,) * 3)
    network = dataclasses.replace(five, input_size=size, preprocess=seen.preprocess)
    values = np.random.default_rng(0).integers(-32768, 32768, size).astype(np.int16)
    np.testing.assert_array_equal(Taking.of(network, "none")(values).numpy(), values)
    found = Taking.of(network, "model")(values)
    np.testing.assert_allclose(found.numpy(), (values / 32767 - 0.25) / 0.5, atol=1e-5)

    other = (3, *(side + 1 for side in size[1:]))
    reason = f"shape {other}, the network takes {size}"
    assert Taking.of(network, "none").refusal(np.zeros(other)) == reason
    with pytest.raises(ValueError, match=re.escape(reason)):
        Taking.of(network, "model")(np.zeros(other))
    assert Taking.of(network, "none").refusal(np.zeros((5, *size[1:]))) == "5 channels, the network takes 3"
    assert (
        Taking.of(network, "model")
        .refusal(np.zeros((3, 8, 8)))
        .startswith(
            f"3 axes, the network takes {len(size)}: ({'channels, length' if len(size) == 2 else 'channels, depth'}"
        )
    )
    free = dataclasses.replace(network, fixed_size=False)
    assert Taking.of(free, "none").refusal(np.zeros(other)) == ""
    assert Taking.of(free, "model")(np.zeros(other)).shape == other

    (tmp_path / "a").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "a" / "0.png")
    with pytest.raises(
        OptionError, match=rf"takes inputs of shape {re.escape(str(size))}, but data .* holds images. G"
    ):
        check_inputs(open_dataset(tmp_path), network)
    np.save(tmp_path / "a" / "0.npy", values)
    arrays = open_dataset(f"arrays:{tmp_path}", preprocess="model")
    check_inputs(arrays, network)
    with pytest.raises(
        OptionError, match=r"takes no arrays of 3 channels \(mine has no preprocessing; give mean and std"
    ):
        check_inputs(arrays, dataclasses.replace(network, preprocess=of_arrays("mine", size).preprocess))


def test_numbers_that_are_too_great(five: Network) -> None:
    with pytest.raises(ValueError, match="numbers beyond the range of float32"):
        Taking.of(five, "none")(np.full((5, 16, 16), 1e300))


@pytest.mark.parametrize(
    ("dtype", "largest"), [("u1", 255), ("u2", 65535), ("i2", 32767), ("f4", 1), ("f8", 1), ("?", 1)]
)
def test_through_the_networks_own_preprocessing(dtype: str, largest: int, five: Network) -> None:
    shares = np.random.default_rng(1).random((5, 16, 16)).round()  # 0 or 1: the ends of each range
    values = (shares * largest).astype(dtype)
    taken = Taking.of(five, "model")(values)
    np.testing.assert_allclose(taken.numpy(), (shares - 0.5) / 0.25, atol=1e-5)


def test_arrays_of_colour_are_prepared_as_images_are(tiny_network: Network) -> None:
    network = seviz.load("seviz/seresnet50-cifar10", weights="none")
    pixels = np.random.default_rng(2).integers(0, 256, (40, 50, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(pixels).resize((25, 20)).resize((50, 40), Image.Resampling.BICUBIC))  # smooth
    expected = network.preprocess(Image.fromarray(pixels))
    taken = Taking.of(network, "model")(np.moveaxis(pixels, -1, 0))
    assert taken.shape == expected.shape
    levels = (taken - expected).abs() * torch.tensor(network.preprocessing["std"])[:, None, None] * 255
    assert levels.max() < 2  # Pillow rounds to whole levels on the way


def test_one_error_before_the_work(five: Network, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    images = open_dataset(make_folder({"a": 1}))
    with pytest.raises(OptionError, match=r"takes 5 channels, but data .* holds images, .* in 1, 3, 4 channels. G"):
        check_inputs(images, five)
    Image.new("L", (4, 4)).save(tmp_path / "data" / "a" / "bands.tif")
    check_inputs(open_dataset(tmp_path / "data"), five)
    spec = f"arrays:{make_arrays(tmp_path / 'arrays')}"
    arrays = open_dataset(spec, preprocess="model")
    check_inputs(arrays, five)

    def refuse(image: Image.Image) -> torch.Tensor:
        raise TypeError(f"pic should be PIL Image, got {type(image)}")

    unwilling = dataclasses.replace(five, preprocess=refuse)
    check_inputs(open_dataset(spec), unwilling)
    with pytest.raises(OptionError, match=r"preprocess is 'model' .* no arrays of 5 channels \(pic .*\). Give none"):
        check_inputs(arrays, unwilling)
    grey = dataclasses.replace(five, preprocess=lambda x: x[:1])
    with pytest.raises(OptionError, match=r"takes no arrays of 5 channels \(it gives \(1, 32, 32\)\)"):
        seviz.collect(grey, spec, tmp_path / "run", preprocess="model")
    assert not (tmp_path / "run").exists()


def test_bands_of_a_tiff_are_prepared(five: Network, tmp_path: Path) -> None:
    bands = [Image.fromarray(np.full((16, 16), 51 * k, np.uint8)) for k in range(5)]
    (tmp_path / "a").mkdir()
    bands[0].save(tmp_path / "a" / "bands.tiff", save_all=True, append_images=bands[1:])
    batch = next(read_batches(open_dataset(tmp_path), five, [[0]], rotate=False, workers=0))
    assert (batch.statuses, batch.reasons) == (["ok"], [""])
    expected = [(51 * k / 255 - 0.5) / 0.25 for k in range(5)]
    np.testing.assert_allclose(batch.images[0].numpy().mean((1, 2)), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_whole_way_of_five_bands(five: Network, tmp_path: Path) -> None:
    model, root = f"{five_bands.__file__}:make", make_arrays(tmp_path / "arrays")
    np.save(root / "crop" / "wrong.npy", np.zeros((3, 16, 16)))
    captured = run("capture", model, f"arrays:{root}", "-o", tmp_path / "run", "--compile", "off", "--workers", 0)
    assert captured.exit_code == 0, captured.output
    assert captured.stderr.count("arrays are taken as they are, in the network's dtype") == 1
    opened = seviz.open_run(tmp_path / "run")
    assert opened.manifest.model.preprocessing == {"none": "arrays are taken as they are"}
    assert opened.manifest.data.selection == {"preprocess": "none"}
    assert opened.samples["reason"].tolist() == ["", "", "", "3 channels, the network takes 5", "", ""]
    values = torch.stack(
        [torch.from_numpy(np.load(root / path)) for path in opened.samples["path"] if "w" not in path[5:6]]
    )
    with torch.no_grad(), seviz.capture_gates(five.model, five.blocks) as gates:
        five.model(values)
    (block,) = five.blocks
    kept = [row for row, reason in enumerate(opened.samples["reason"]) if not reason]
    np.testing.assert_allclose(opened.gates(block)[kept], gates[block].numpy(), atol=2e-5)

    (tmp_path / "one.txt").write_text("water\n")
    chosen = ("--only", "excitation", "--format", "svg", "--classes", "crop", "--classes", f"@{tmp_path / 'one.txt'}")
    for command in (
        ("figures", tmp_path / "run", "-o", tmp_path / "figures", *chosen),
        ("report", tmp_path / "run", "-o", tmp_path / "report.html"),
    ):
        result = run(*command)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "figures" / "excitation.svg").exists()
    assert "--preprocess none" in (tmp_path / "report.html").read_text()
    data = reopen_data(opened)
    assert (data.arrays, data.preprocess) == (True, "none")
    assert evaluate(five, data, workers=0).failed == 1


def test_wrong_use_is_one_line_and_writes_nothing(
    five: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    model, out = f"{five_bands.__file__}:make", tmp_path / "run"
    said = error_of("capture", model, make_folder({"a": 1}), "-o", out)
    assert "takes 5 channels, but data" in said
    said = error_of("capture", model, make_folder({"b": 1}, "other"), "-o", out, "--preprocess", "none")
    assert "preprocess is 'none', but data" in said
    assert not out.exists()
