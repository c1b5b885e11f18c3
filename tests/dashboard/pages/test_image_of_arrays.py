"""Your image, where a network takes signals or volumes: an array of the run, or one's own."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import seviz
from seviz.capture.pictures import picture_of
from seviz.dashboard.thumbnails import SIDE, small, thumbnail
from seviz.run.store import Run, open_run
from tests.arrays_of import arrays, factory
from tests.dashboard.drawing import Open
from tests.dashboard.pages.test_image import having, said, tables
from tests.dimensions import SIDES, inputs, network

pytestmark = pytest.mark.filterwarnings("ignore:Top-1 accuracy is")


@pytest.fixture(scope="module", params=[1, 3])
def run(request: pytest.FixtureRequest, make_once: Callable[[str, Callable[[Path], object]], Path]) -> Run:
    d: int = request.param

    def made(place: Path) -> None:
        place.mkdir()
        network = seviz.load(factory(place, d))
        seviz.collect(network, f"arrays:{arrays(place / 'data', d)}", place / "run", workers=0)

    return open_run(make_once(f"arrays_{d}", made) / "run")


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def position_axes(run: Run) -> int:
    return len(run.manifest.model.input_size) - 1


def test_an_array_of_the_run(run: Run, open_page: Open) -> None:
    d, row = position_axes(run), 4
    test = open_page("image", run, trust_code=True, image=str(row), block="SE_3_1")
    with torch.no_grad():
        values = np.load(Path(run.manifest.data.root or "") / run.samples["path"][row])["x"]
        expected = network(d)(torch.from_numpy(values)[None])[0].softmax(0)
    best = tables(test, 0)[0]
    np.testing.assert_allclose(best["probability"], expected.sort(descending=True).values, rtol=1e-4)
    shown = {1: "signal of shape (3, 32), its channels as lines", 3: "volume of shape (3, 8, 8, 12), its middle slice"}
    captions = [each.caption for image in test.get("image") for each in image.proto.imgs]
    sizes = " × ".join(map(str, SIDES[d][::-1]))
    assert captions == [f"The image, a {shown[d]}", f"As the network sees it, {sizes} positions"]
    gates = having(test, 3, "gate").set_index("channel").sort_index()
    np.testing.assert_allclose(gates["gate"], run.gates("SE_3_1")[row], atol=1e-4)


def test_an_array_of_ones_own(run: Run, open_page: Open) -> None:
    d = position_axes(run)
    test = open_page("image", run, trust_code=True, origin="upload", block="SE_3_1")
    assert list(test.file_uploader[0].proto.type) == [".npy", ".npz", ".pt"]
    values = inputs(d, seed=3)[0]
    with torch.no_grad():
        expected = network(d)(values[None])[0].softmax(0).max()
    test.file_uploader[0].set_value(("mine.NPY", npy(values.numpy()), "application/octet-stream")).run()
    assert not test.exception
    assert tables(test, 0)[0]["probability"][0] == pytest.approx(float(expected), rel=1e-4)
    other = np.zeros((3, 5, 5), np.float32)
    test.file_uploader[0].set_value(("other.npy", npy(other), "application/octet-stream")).run()
    assert not test.exception
    assert f"3 axes, the network takes {d + 1}" in test.error[0].value.replace("\\", "")
    test.file_uploader[0].set_value(("broken.npz", b"PK", "application/octet-stream")).run()
    assert "the image cannot be read" in test.error[0].value
    assert "Taken for" not in said(test)


def test_tiles_show_the_array(run: Run, open_page: Open) -> None:
    for row in range(3):  # of each kind of file
        tile = thumbnail(run, row)
        assert tile.reason == ""
        assert tile.image.shape == (SIDE, SIDE, 4)
    values = np.load(Path(run.manifest.data.root or "") / run.samples["path"][0])
    np.testing.assert_array_equal(thumbnail(run, 0).image, small(picture_of(values)))
    for page in ("channel", "overview", "export"):
        open_page(page, run)
