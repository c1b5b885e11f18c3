"""One image through a network, computed a second way: plain forward passes, numpy, captum's completeness."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import seviz
from seviz.errors import DamagedRunError, ImageFormatError, OptionError
from seviz.experiments.attribution import attribute
from seviz.experiments.one_image import (
    as_seen,
    attribute_image,
    beside,
    distances_to,
    image_file,
    kept_gates_of,
    likeness,
    run_image,
    together,
)
from seviz.experiments.reopening import reopen_data
from seviz.network.gates import force_gates
from seviz.network.networks import Network
from seviz.run.joining import merge
from seviz.run.store import Run
from seviz.stats.distances import distances
from tests.capture import five_bands
from tests.made_runs import make_run


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


RED = Image.new("RGB", (24, 20), (200, 20, 10))


def test_gates_and_prediction_are_those_of_the_capture(network: Network, run: Run) -> None:
    data = reopen_data(run)
    for row in (0, 5, 11):
        one = run_image(network, data, row)
        assert set(one.gates) == set(run.blocks)
        for block in run.blocks:
            np.testing.assert_allclose(one.gates[block], run.gates(block)[row], rtol=0, atol=1e-5)
        assert one.classes.ids[one.predicted or 0] == run.samples["predicted"][row]
        assert one.size == (24, 20)


def test_the_best_classes_by_softmax(network: Network) -> None:
    with image_file(png(RED)) as data:
        one = run_image(network, data)
        folder = data.root
    assert folder is not None
    assert not folder.exists()
    with torch.no_grad():
        expected = network.model(network.preprocess(RED)[None])[0].double()
    best = one.best(2)
    assert best["class_name"].tolist() == [("blue", "green", "red")[k] for k in expected.topk(2).indices.tolist()]
    np.testing.assert_allclose(best["probability"], expected.softmax(0).topk(2).values, rtol=1e-5)
    np.testing.assert_allclose(best["logit"], expected.topk(2).values, rtol=1e-5)
    np.testing.assert_array_equal(one.pixels, network.preprocess(RED).numpy())
    assert one.picture.size == (24, 20)


def test_the_network_comes_back_as_it_was(network: Network) -> None:
    network.model.train()
    with image_file(png(RED)) as data:
        one = run_image(network, data)
    attribute_image(network, one.pixels, 2)
    assert network.model.training
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.model.modules())


def test_a_network_that_gives_no_logits(network: Network) -> None:
    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network.model

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"0": self.inner.second(self.inner.first(self.inner.stem(images)))}

    backbone = replace(network, model=Maps().eval(), task="detection", classes=None)
    with image_file(png(RED)) as data:
        one = run_image(backbone, data)
    assert one.logits is None
    assert one.predicted is None
    assert one.best().empty
    assert len(one.gates) == 2


def test_logits_that_are_no_numbers(network: Network) -> None:
    with image_file(png(RED)) as data:
        one = replace(run_image(network, data), logits=np.array([1.0, np.nan, 2.0]))
    assert one.predicted is None
    assert one.best().empty


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"not an image at all", "no image of a format"),
        (png(RED)[:60], "the image cannot be read"),
        (png(Image.new("1", (20_000, 20_000))), "larger than"),
        (png(Image.new("L", (1, 400_000))), "too long"),
    ],
    ids=["empty", "text", "truncated", "bomb", "long and narrow"],
)
def test_files_that_are_no_images(content: bytes, reason: str, network: Network) -> None:
    long = replace(network, input_size=(3, 256, 256))
    with image_file(content) as data, pytest.raises(ImageFormatError, match=reason):
        run_image(long, data)


def test_a_network_of_other_inputs(network: Network) -> None:
    with (
        image_file(png(RED)) as data,
        pytest.raises(OptionError, match="takes 32 channels, but data 'one image' holds images"),
    ):
        run_image(replace(network, input_size=(32, 16, 16)), data)


def test_an_image_in_grey_or_with_transparency(network: Network) -> None:
    """Files of an image, whatever they hold, in as many channels as the network takes."""
    for channels, mode in ((1, "L"), (4, "RGBA")):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Conv2d(channels, 3, 1), network.model)

        def preprocess(image: Image.Image) -> torch.Tensor:
            pixels = np.atleast_3d(np.asarray(image.resize((16, 16)), np.float32)) / 255
            return torch.from_numpy(pixels).movedim(-1, 0)

        other = replace(network, model=model, input_size=(channels, 16, 16), preprocess=preprocess, names=None)
        with image_file(png(RED)) as data:
            one = run_image(other, data)
        np.testing.assert_array_equal(one.pixels, preprocess(RED.convert(mode)).numpy())
        assert (one.picture.mode, one.described) == ("RGB", "24 × 20 pixels")
        shown = as_seen(one.pixels, {"mean": [0.0] * channels, "std": [1.0] * channels})
        expected = np.rint(one.pixels.mean(0) * 255)
        np.testing.assert_allclose(shown[..., 0], expected, atol=1)


def test_arrays_and_bands_of_a_tiff() -> None:
    five = seviz.load(f"{five_bands.__file__}:make")
    values = np.random.default_rng(0).integers(0, 256, (5, 16, 16), np.uint8)
    array, tiff = io.BytesIO(), io.BytesIO()
    np.save(array, values)
    pages = [Image.fromarray(band) for band in values]
    pages[0].save(tiff, "TIFF", save_all=True, append_images=pages[1:])
    taken = {"none": values.astype(np.float32), "model": ((values / 255 - 0.5) / 0.25).astype(np.float32)}
    for content, name, how, expected in (
        (array, "x.npy", "none", taken["none"]),
        (array, "X.NPY", "model", taken["model"]),
        (tiff, "x.tif", "none", taken["model"]),
    ):
        with image_file(content.getvalue(), name, how) as data:
            one = run_image(five, data)
        np.testing.assert_allclose(one.pixels, expected, atol=1e-5)
        assert one.described == "an array of shape (5, 16, 16)"
        np.testing.assert_array_equal(np.asarray(one.picture)[..., 0], np.rint(values.mean(0)).astype(np.uint8))
        with torch.no_grad():
            np.testing.assert_allclose(one.logits, five.model(torch.from_numpy(expected)[None])[0], rtol=1e-4)
    with image_file(png(RED), "x.png") as data, pytest.raises(OptionError, match="takes 5 channels, but data 'one im"):
        run_image(five, data)


def test_a_large_picture_is_kept_small(network: Network) -> None:
    with image_file(png(Image.new("RGB", (1500, 1000)))) as data:
        one = run_image(network, data)
    assert one.picture.size == (512, 341)
    assert one.size == (1500, 1000)


def test_what_the_network_sees() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.4])
    given = ((pixels / 255 - mean) / std).transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(as_seen(given, {"mean": mean.tolist(), "std": std.tolist()}), pixels)
    without = as_seen(given, {})
    assert (without.min(), without.max()) == (0, 255)
    assert not as_seen(np.zeros((3, 2, 2), np.float32), {}).any()


def test_attributions_are_those_of_a_data_set(network: Network, run: Run, folder: Path) -> None:
    one = run_image(network, reopen_data(run), 5)
    found = attribute_image(network, one.pixels, one.predicted or 0)
    expected = attribute(network, data=folder, target=one.predicted or 0, workers=0, device="cpu")
    for block, value in found.values.items():
        np.testing.assert_allclose(value[0], expected.values[block][5], rtol=1e-4, atol=1e-7)


def test_integrated_gradients_block_by_block_add_up(network: Network) -> None:
    with image_file(png(RED)) as data:
        one = run_image(network, data)
    parts = [
        attribute_image(network, one.pixels, 2, method="integrated_gradients", blocks=[block], steps=64)
        for block in network.blocks
    ]
    found = together(parts)
    assert list(found.by_block()["block"]) == list(network.blocks)
    np.testing.assert_allclose(found.by_block()["share"].sum(), 1)
    images = torch.as_tensor(one.pixels)[None]
    for block in network.blocks:
        with torch.no_grad(), force_gates(network.model, network.blocks, {block: 0.0}):
            without = float(network.model(images)[0, 2])
        assert one.logits is not None
        assert found.values[block].sum() == pytest.approx(one.logits[2] - without, abs=1e-3)


def test_kept_gates_are_those_of_the_run(tmp_path: Path) -> None:
    gates = {"SE_2_1": np.random.default_rng(0).random((30, 4)), "SE_3_1": np.random.default_rng(1).random((30, 6))}
    kept = np.arange(30) % 3 != 1
    run = make_run(tmp_path / "run", gates, np.arange(30) % 2, kept=kept, failed=[6], chunk_size=8)
    rows = np.flatnonzero(kept)
    for row in range(30):
        found = kept_gates_of(run, row)
        if not kept[row] or row == 6:
            assert found is None
            continue
        assert found is not None
        for block in run.blocks:
            np.testing.assert_array_equal(found[block], run.gates(block)[int(np.flatnonzero(rows == row)[0])])


def test_kept_gates_of_joined_runs_whose_chunks_are_of_other_sizes(
    network: Network, run: Run, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    more = make_folder({"blue": 2, "green": 2, "red": 2}, "more")
    seviz.collect(network, more, tmp_path / "other", workers=0, compile="off")
    joined = merge([run.path, tmp_path / "other"], tmp_path / "joined")
    for row in range(18):
        found = kept_gates_of(joined, row)
        assert found is not None
        for block in joined.blocks:
            np.testing.assert_array_equal(found[block], joined.gates(block)[row])


def test_kept_gates_are_read_however_their_chunk_is_stored(tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((6, 4)).astype(np.float32)
    gates[4, 2] = 31.5
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, np.zeros(6, np.int64), chunk_size=3)
    for row in range(6):
        found = kept_gates_of(run, row)
        assert found is not None
        assert found["SE_2_1"].dtype == np.float32
        np.testing.assert_allclose(found["SE_2_1"], gates[row], rtol=0, atol=8e-6 if row < 3 else 0)


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((4, 4), 0.5)}, np.zeros(4, np.int64))
    run.chunk_path(0).write_bytes(b"damaged")
    with pytest.raises(DamagedRunError, match=r"000000\.safetensors is damaged: it cannot be read"):
        kept_gates_of(run, 0)


@pytest.mark.parametrize("metric", ["correlation", "cosine"])
def test_distances_are_a_row_of_the_matrix(metric: str) -> None:
    vectors = np.random.default_rng(0).random((7, 20))
    vectors[3] = 0.5
    vectors[4] = 0
    vectors[5] = np.nan
    expected = distances(vectors, metric=metric)[0]
    found = distances_to(vectors[0], vectors, metric=metric)
    np.testing.assert_allclose(found[1:], expected[1:], atol=1e-12)
    assert found[0] == pytest.approx(0, abs=1e-12)


def test_likeness_by_numpy() -> None:
    random = np.random.default_rng(0)
    means = {"a": random.random((5, 12)).astype(np.float32), "b": random.random((5, 8)).astype(np.float32)}
    means["a"][2] = means["b"][2] = np.nan
    gates = {"a": random.random(12).astype(np.float32), "b": random.random(8).astype(np.float32)}
    for centred in (True, False):
        table = likeness(gates, means, centred=centred)
        assert table.index.tolist() == ["a", "b"]
        assert table[2].isna().all()
        for block in means:
            middle = np.nanmean(means[block].astype(float), axis=0) if centred else 0
            for k in (0, 1, 3, 4):
                expected = np.corrcoef(gates[block] - middle, means[block][k] - middle)[0, 1]
                assert table.loc[block, k] == pytest.approx(expected, abs=1e-6)


def test_likeness_where_there_is_none() -> None:
    gates = {"a": np.array([0.1, 0.2, 0.9], np.float32)}
    alike = np.tile(np.array([0.3, 0.1, 0.4], np.float32), (3, 1))
    assert likeness(gates, {"a": alike}).isna().all(axis=None)
    assert likeness(gates, {"a": alike}, centred=False).notna().all(axis=None)
    assert likeness(gates, {"a": alike[:1]}).isna().all(axis=None)
    assert likeness(gates, {"a": np.full((2, 3), np.nan, np.float32)}).isna().all(axis=None)


def test_beside_a_mean() -> None:
    table = beside(np.array([0.5, 0.9]), np.array([0.4, 0.9]), np.array([0.05, 0.0]))
    assert table["difference"].tolist() == pytest.approx([0.1, 0.0])
    assert table["deviations"][0] == pytest.approx(2.0)
    assert np.isnan(table["deviations"][1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_an_image_through_a_network_in_another_dtype(dtype: torch.dtype, network: Network) -> None:
    model = network.model.to(dtype)
    with image_file(png(RED)) as data:
        one = run_image(network, data)
    with torch.no_grad():
        u = model.stem(torch.from_numpy(one.pixels)[None].to(dtype))
        gates = torch.sigmoid(model.first.excite(u.mean((2, 3))))
        logits = model(torch.from_numpy(one.pixels)[None].to(dtype))
    np.testing.assert_array_equal(one.gates["SE_2_1"], gates[0].float())
    np.testing.assert_array_equal(one.logits, logits[0].double())
    found = attribute_image(network, one.pixels, 2)
    assert np.isfinite(found.values["SE_2_1"]).all()
