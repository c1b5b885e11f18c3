"""Your image: an image of the run or one's own, its prediction, its gates beside classes, and what they add."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

import seviz
from seviz.capture.datasets import open_dataset
from seviz.dashboard.tables.one_image import KINDS, another
from seviz.errors import SevizWarning
from seviz.experiments.attribution import attribute
from seviz.experiments.reopening import reopen_network
from seviz.run.store import Run
from tests.dashboard.drawing import Open
from tests.experiments.made_network import FACTORY
from tests.made_runs import make_run


def tables(test: Any, number: int) -> list[pd.DataFrame]:
    """The data of a chart of the page, as the browser gets them."""
    chart = test.get("vega_lite_chart")[number].proto
    return [pa.ipc.open_stream(each.data.data).read_pandas() for each in chart.datasets]


def having(test: Any, number: int, column: str) -> pd.DataFrame:
    """The one of them that has a column."""
    return next(table for table in tables(test, number) if column in table)


def said(test: Any) -> str:
    """All that the page says beside its widgets."""
    texts = [*test.markdown, *test.info, *test.warning, *test.error, *test.caption]
    return "\n".join(text.value for text in texts)


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder_run(make_folder: Callable[..., Path], tmp_path: Path) -> Run:
    """A run of a network that a Python file makes, which counts how often it is executed."""
    count = tmp_path / "executed"
    (tmp_path / "made.py").write_text(f"with open({str(count)!r}, 'a') as file:\n    file.write('x')\n{FACTORY}")
    network = seviz.load(f"{tmp_path / 'made.py'}:make")
    folder = make_folder({"blue": 2, "green": 2, "red": 2})
    return seviz.collect(network, folder, tmp_path / "kept", workers=0, compile="off")


def test_an_image_of_the_run_through_its_network(open_page: Open, bundled_run: Run) -> None:
    row, block = 37, "SE_5_1"
    test = open_page("image", bundled_run, image=str(row), block=block)
    best = tables(test, 0)[0]
    assert best["class"][0] == bundled_run.samples["predicted"][row]
    assert best["probability"].is_monotonic_decreasing
    gates = bundled_run.gates(block)
    means = bundled_run[block]["mean"].to_numpy()
    middle = means.mean(0)
    expected = {
        name: np.corrcoef(gates[row] - middle, means[k] - middle)[0, 1]
        for k, name in enumerate(bundled_run.classes.names)
    }
    lines = having(test, 1, "likeness")
    of_block = lines[lines["block"] == block].set_index("label")["likeness"]
    assert bundled_run.samples["predicted"][row] in of_block.index
    for label, value in of_block.items():
        assert value == pytest.approx(expected[str(label)], abs=1e-4)
    nearest = tables(test, 2)[0]
    assert nearest["label"].tolist() == sorted(expected, key=lambda name: -expected[name])
    np.testing.assert_allclose(nearest["distance"], [1 - expected[label] for label in nearest["label"]], atol=1e-4)


def test_gates_channel_by_channel(open_page: Open, bundled_run: Run) -> None:
    row, block = 37, "SE_4_3"
    gates, data = bundled_run.gates(block)[row], bundled_run[block]
    for beside, expected in (
        ("class dog", data["mean"].sel({"class": "dog"})),
        ("all", bundled_run.total(block).mean[0]),
        ("predicted", data["mean"].sel({"class": bundled_run.samples["predicted"][row]})),
    ):
        test = open_page("image", bundled_run, image=str(row), block=block, beside=beside)
        table = having(test, 3, "gate").set_index("channel").sort_index()
        np.testing.assert_allclose(table["gate"], gates, atol=1e-4)
        np.testing.assert_allclose(table["mean"], expected, atol=1e-6)
        assert test.query_params["beside"] == beside
    listed = test.dataframe[0].value
    deviations = ((gates - data["mean"]) / data["std"]).sel({"class": bundled_run.samples["predicted"][row]})
    assert listed["channel"].iloc[0] == int(np.abs(deviations.to_numpy()).argmax())


def test_what_the_gates_add(open_page: Open, bundled_run: Run) -> None:
    row, block = 12, "SE_5_2"
    network = reopen_network(bundled_run)
    pixels = network.preprocess(open_dataset("bundled", per_class=10).read(row).image)
    target = network.classes.ids.index(bundled_run.samples["predicted"][row])
    mean = {name: bundled_run.total(name).mean[0] for name in bundled_run.blocks}
    for base, baseline in (("shut", 0.0), ("mean", mean)):
        found = attribute(
            network,
            data=[(pixels[None], torch.zeros(1, dtype=torch.int64))],
            target=target,
            baseline=baseline,
            device="cpu",
        )
        test = open_page("image", bundled_run, image=str(row), block=block, base=base)
        by_block = tables(test, 4)[0]
        np.testing.assert_allclose(by_block["share"], found.by_block()["share"], rtol=1e-3)
        channels = tables(test, 5)[0]
        expected = found.values[block][0]  # noqa: PD011 - no table of pandas
        assert channels["channel"].iloc[0] == int(np.abs(expected).argmax())
        np.testing.assert_allclose(channels["attribution"], expected[channels["channel"]], rtol=1e-3, atol=1e-6)


def test_integrated_gradients_are_computed_when_asked_for(open_page: Open, folder_run: Run) -> None:
    test = open_page("image", folder_run, trust_code=True, image="3", adds="integrated")
    charts = len(test.get("vega_lite_chart"))
    assert "Integrated gradients run the network and back 64 times" in said(test)
    test.button(key="image_integrate").click().run()
    assert not test.exception
    assert len(test.get("vega_lite_chart")) == charts + 2
    assert tables(test, charts)[0]["block"].tolist() == list(folder_run.blocks)
    test.run()  # still there
    assert len(test.get("vega_lite_chart")) == charts + 2


def test_the_code_of_a_run_is_executed_only_where_the_dashboard_was_told_so(
    open_page: Open, folder_run: Run, tmp_path: Path
) -> None:
    def executed() -> int:
        return len((tmp_path / "executed").read_text())

    before = executed()
    test = open_page("image", folder_run, image="5")
    test.run()
    assert executed() == before
    told = said(test).replace("\\", "")
    assert f"executes the Python file '{tmp_path / 'made.py'}' on the machine of this server" in told
    assert f"seviz dashboard --trust-code {folder_run.path}" in told
    assert not [button for button in test.button if button.label != "Another"]
    assert "the gates that the run keeps of this image. Taken for **red**" in said(test)
    test = open_page("image", folder_run, image="5", origin="upload")
    assert "executes the Python file" in said(test)
    assert executed() == before
    test = open_page("image", folder_run, trust_code=True, image="5")
    assert executed() == before + 1
    assert "Taken for **red** with a probability of" in said(test)
    test.number_input(key="widget_image").set_value(0).run()
    assert executed() == before + 1
    assert "Taken for **blue**" in said(test)


def test_a_file_that_was_changed_is_said(open_page: Open, folder_run: Run, tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(f"{FACTORY}# another\n")
    with pytest.warns(SevizWarning, match="was changed since"):
        test = open_page("image", folder_run, trust_code=True)
    assert "was changed since" in said(test)
    assert "Taken for **blue** with a probability of" in said(test)


def test_a_network_whose_file_raises(open_page: Open, folder_run: Run, tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text("raise RuntimeError('not *today*')")
    with pytest.warns(SevizWarning, match="was changed since"):
        test = open_page("image", folder_run, trust_code=True)
    assert not test.exception
    assert "raised RuntimeError: not \\*today\\*" in said(test).replace("\\:", ":")


def test_a_network_with_other_weights(open_page: Open, folder_run: Run, tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(FACTORY.replace("return", "model.stem.bias.data += 1; return"))
    with pytest.warns(SevizWarning, match="was changed since"):
        test = open_page("image", folder_run, trust_code=True)
    assert "is not the network of the run" in said(test)
    assert "Shown are the gates that the run keeps" in said(test)


def test_images_that_were_moved(open_page: Open, folder_run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    test = open_page("image", folder_run, trust_code=True)
    assert "which is no directory" in said(test)
    assert "Shown are the gates that the run keeps" in said(test)


def test_a_path_that_leads_out_of_the_data(open_page: Open, folder_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(run: Run) -> Any:
        folder = Path(str(run.manifest.data.root))
        return replace(open_dataset(folder), paths=tuple(str(folder / "red" / "000.png") for _ in range(6)))

    monkeypatch.setattr("seviz.dashboard.one_image.running.reopen_data", elsewhere)
    test = open_page("image", folder_run, trust_code=True)
    assert "path outside the data" in said(test)


def test_an_image_of_ones_own(open_page: Open, bundled_run: Run) -> None:
    data = open_dataset("bundled", per_class=10)
    picture = data.read(25).image
    assert picture is not None
    test = open_page("image", bundled_run, origin="upload", block="SE_5_3")
    assert "Choose a file" in said(test)
    test.file_uploader[0].set_value(("mine.png", png(picture), "image/png")).run()
    assert not test.exception
    assert tables(test, 0)[0]["class"][0] == bundled_run.samples["predicted"][25]
    table = having(test, 3, "gate").set_index("channel").sort_index()
    np.testing.assert_allclose(table["gate"], bundled_run.gates("SE_5_3")[25], atol=1e-4)
    assert KINDS[1] not in set(tables(test, 2)[0]["what"])


ODD = {
    "text": (b"I am a text", "no image of a format"),
    "empty": (b"", "the file is empty"),
    "truncated": (png(Image.new("RGB", (64, 64), (9, 9, 9)))[:90], "cannot be read"),
    # made where they are used: all test processes read this module
    "bomb": (lambda: png(Image.new("1", (20_000, 20_000))), "larger than"),
    "narrow": (lambda: png(Image.new("L", (1, 400_000))), "cannot be read"),
    "large": (lambda: b"\x89PNG" + bytes(22_000_000), "22 MB, expected at most 20"),
}


@pytest.mark.parametrize("name", ODD)
def test_files_that_are_no_images_leave_the_page_alive(name: str, open_page: Open, bundled_run: Run) -> None:
    content, reason = ODD[name]
    content = content() if callable(content) else content
    test = open_page("image", bundled_run, origin="upload")
    test.file_uploader[0].set_value((f"*{name}*.png", content, "image/png")).run()
    assert not test.exception
    assert len(test.error) == 1
    assert reason in test.error[0].value.replace("\\", "")
    assert f"\\*{name}\\*\\.png" in test.error[0].value
    test.file_uploader[0].set_value(("good.png", png(Image.new("RGB", (40, 30), (90, 10, 10))), "image/png")).run()
    assert not test.error
    assert "Taken for" in said(test)


def test_the_address_brings_the_view_back(open_page: Open, bundled_run: Run) -> None:
    address = {"image": "9", "alike": "all", "beside": "class cat", "adds": "integrated", "base": "mean"}
    test = open_page("image", bundled_run, **address)
    assert {key: test.query_params[key] for key in address} == address
    assert test.number_input(key="widget_image").value == 9
    assert test.selectbox(key="widget_beside").value == "class cat"
    test.number_input(key="widget_image").set_value(11).run()
    assert test.query_params["image"] == "11"


def test_another_image(open_page: Open, bundled_run: Run) -> None:
    test = open_page("image", bundled_run, image="4")
    next(button for button in test.button if button.label == "Another").click().run()
    assert test.query_params["image"] == str(another(4, len(bundled_run.samples)))
    assert test.number_input(key="widget_image").value == another(4, len(bundled_run.samples))


@pytest.mark.parametrize("value", ["-1", "100000", "x", "<b>", "9" * 400])
def test_odd_addresses(value: str, open_page: Open, bundled_run: Run) -> None:
    test = open_page("image", bundled_run, image=value, beside=value, alike=value, adds=value, base=value, origin=value)
    assert test.number_input(key="widget_image").value == 0
    assert "Taken for" in said(test)


def test_only_kept_gates_where_the_network_is_gone(open_page: Open, planted_run: Run) -> None:
    test = open_page("image", planted_run, image="6", block="SE_4_1")
    told = said(test).replace("\\", "")
    assert "The network cannot be run" in told
    assert "takes more than a name of timm, torchvision or seviz" in told
    table = having(test, 2, "gate").set_index("channel").sort_index()
    np.testing.assert_array_equal(table["gate"].astype(np.float32), planted_run.gates("SE_4_1")[6])
    assert tables(test, 1)[0]["label"][0] == "ship"


def test_a_run_that_keeps_no_gates(open_page: Open, tmp_path: Path) -> None:
    labels = np.arange(12) % 3
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((12, 8), 0.5)}, labels, kept=np.zeros(12, bool))
    test = open_page("image", run)
    assert "does not keep the gates of this image" in said(test)
    assert not test.get("vega_lite_chart")


def test_an_image_that_failed(open_page: Open, tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((12, 8))
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, np.arange(12) % 3, failed=[2])
    test = open_page("image", run, image="2")
    assert "This image failed in the capture: made to fail" in said(test)


def test_several_labels_and_a_class_without_images(open_page: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.zeros((20, 4), bool)
    labels[:, 0], labels[::2, 1], labels[::3, 2] = True, True, True
    run = make_run(tmp_path / "run", {"SE_2_1": random.random((20, 8)), "SE_3_1": random.random((20, 6))}, labels)
    test = open_page("image", run, image="6", beside="class class3", block="SE_3_1")
    assert "class: class0, class1, class2" in said(test)
    assert "no gates of class3 to set the image beside" in said(test)
    kinds = tables(test, 1)[0].set_index("label")["what"]
    assert kinds["class0"] == KINDS[0]
    assert kinds["class1"] == kinds["class2"] == KINDS[1]
    assert "class3" not in kinds


def test_an_untrained_network_of_one_class(open_page: Open, tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((8, 8))
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, np.zeros(8, np.int64), trained=False)
    test = open_page("image", run)
    assert "untrained" in test.warning[0].value
    assert "There is nothing to compare with" in said(test)
    test = open_page("image", run, alike="all")
    assert "Of 1 classes, class0 is number 1" in said(test)
