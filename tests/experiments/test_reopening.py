import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import seviz
from seviz.compression.folding import remove
from seviz.errors import DataNotFoundError, OptionError, SevizWarning, WeightsError
from seviz.experiments import reopening
from seviz.experiments.reopening import reopen_data
from seviz.network.networks import Network
from seviz.run.joining import merge
from seviz.run.store import Run
from tests.experiments.made_network import FACTORY

reopen_network = partial(reopening.reopen_network, trust_code=True)  # what it asks for else: test_trust


@pytest.fixture
def kept_run(folder: Path, tmp_path: Path) -> Run:
    """A run of a network that can be loaded again."""
    (tmp_path / "made.py").write_text(FACTORY)
    network = seviz.load(f"{tmp_path / 'made.py'}:make")
    network = replace(network, model=network.model.eval())
    return seviz.collect(network, folder, tmp_path / "kept", workers=0, compile="off")


def test_the_network_of_a_run(kept_run: Run, tmp_path: Path) -> None:
    network = reopen_network(kept_run)
    assert network.weights_sha256 == kept_run.manifest.model.weights_sha256
    weights = tmp_path / "weights.pt"
    torch.save(network.model.state_dict(), weights)
    assert reopen_network(kept_run, weights=weights).weights == str(weights)
    (tmp_path / "made.py").write_text(FACTORY.replace("return", "model.stem.bias.data += 1; return"))
    with (
        pytest.warns(SevizWarning, match=r"made\.py' was changed since .*manifest\.json' was written"),
        pytest.raises(WeightsError, match=r"with weights 'pretrained' is not the network of the run .* SHA-256"),
    ):
        reopen_network(kept_run)


def test_a_network_that_was_changed_in_python_is_not_loaded_again(kept_run: Run, folder: Path, tmp_path: Path) -> None:
    folded = remove(reopen_network(kept_run), ["SE_2_2"])
    run = seviz.collect(folded, folder, tmp_path / "folded", workers=0, compile="off")
    with pytest.raises(
        WeightsError,
        match=r"cannot be loaded again: .* was changed in Python before its gates .* \(1 module taken out \(second\)",
    ):
        reopen_network(run)
    weights = tmp_path / "weights.pt"
    torch.save(folded.model.state_dict(), weights)
    with pytest.raises(WeightsError, match=r"Write the changed network down with seviz\.save"):
        reopen_network(run, weights=weights)  # there is a block more in what its spec gives
    seviz.save(folded, tmp_path / "saved")
    again = seviz.collect(
        seviz.load(str(tmp_path / "saved"), trust_code=True), folder, tmp_path / "again", workers=0, compile="off"
    )
    assert again.manifest.model.changed is None
    assert list(reopen_network(again).blocks) == ["SE_2_1"]


def test_other_weights_alone_can_be_given(kept_run: Run, folder: Path, tmp_path: Path) -> None:
    network = reopen_network(kept_run)
    with torch.no_grad():
        network.model.get_parameter("stem.bias").mul_(1.01)
    run = seviz.collect(network, folder, tmp_path / "other", workers=0, compile="off")
    assert run.manifest.model.changed is not None
    assert run.manifest.model.changed.what == "other weights"
    with pytest.raises(WeightsError, match=r"was changed in Python .* \(other weights\)"):
        reopen_network(run)
    weights = tmp_path / "weights.pt"
    torch.save(network.model.state_dict(), weights)
    assert reopen_network(run, weights=weights).weights == str(weights)
    smaller = replace(network, input_size=(3, 8, 8))
    with pytest.warns(UserWarning, match="near chance"):
        run = seviz.collect(smaller, [(torch.zeros(4, 3, 8, 8), torch.tensor([0, 1, 2, 0]))], tmp_path / "small")
    with pytest.raises(WeightsError, match=r"was changed in Python .* \(other weights, other input size\)"):
        reopen_network(run, weights=weights)


def test_the_images_of_a_run(run: Run, folder: Path, tmp_path: Path) -> None:
    data = reopen_data(run)
    assert data.paths == tuple(run.samples["path"])
    np.testing.assert_array_equal(data.labels, run.labels)
    assert data.read(0).image.size == (24, 20)
    shutil.move(folder, tmp_path / "moved")
    with pytest.raises(DataNotFoundError, match=r"are to be in .*data', which is no directory"):
        reopen_data(run)
    assert reopen_data(run, root=tmp_path / "moved").paths == data.paths
    (tmp_path / "moved" / "red" / "000.png").write_bytes(b"other")
    with pytest.raises(DataNotFoundError, match="some are missing, or have another size or class"):
        reopen_data(run, root=tmp_path / "moved")


def test_a_choice_of_images_is_the_same_choice(network: Network, folder: Path, tmp_path: Path) -> None:
    some = seviz.collect(network, folder, tmp_path / "some", per_class=2, seed=3, workers=0, compile="off")
    assert reopen_data(some).paths == tuple(some.samples["path"])
    assert len(reopen_data(some)) == 6


def test_bundled_images_and_cifar10(network: Network, tmp_path: Path) -> None:
    bundled = seviz.load("seviz/seresnet50-cifar10", weights="none")
    tiny = replace(network, classes=bundled.classes)
    package = tmp_path / "cifar10"
    package.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 1024, 3), np.uint8)).save(package / "test_batch.png")
    (package / "test_lables.json").write_text(str([k % 10 for k in range(20)]))
    for name, spec, options in (
        ("b", "bundled", {"classes": ["cat"], "per_class": 3}),
        ("c", f"cifar10:{package}", {"per_class": 1}),
    ):
        with pytest.warns(UserWarning, match="near chance"):
            run = seviz.collect(tiny, spec, tmp_path / name, workers=0, compile="off", **options)
        data = reopen_data(run)
        assert data.paths == tuple(run.samples["path"])
        assert data.fingerprint() == run.manifest.data.fingerprint
        with pytest.raises(OptionError, match=rf"but the images of {spec} cannot lie elsewhere"):
            reopen_data(run, root=tmp_path)


def test_joined_runs(network: Network, run: Run, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    more = make_folder({"blue": 2, "green": 2, "red": 2}, "more")
    seviz.collect(network, more, tmp_path / "other", workers=0, compile="off")
    joined = merge([run.path, tmp_path / "other"], tmp_path / "joined")
    assert len(reopen_data(joined)) == 18
    (more / "red" / "000.png").unlink()
    with pytest.raises(DataNotFoundError, match="some are missing"):
        reopen_data(joined)


def test_images_in_memory_are_gone(network: Network, tmp_path: Path) -> None:
    images = torch.rand(3, 3, 16, 16)
    batches = [(images, torch.arange(3))]
    with pytest.warns(UserWarning, match="near chance"):
        run = seviz.collect(network, batches, tmp_path / "memory", compile="off")
    with pytest.raises(OptionError, match="were handed over in memory, and cannot be opened again"):
        reopen_data(run)
