import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seviz.errors import MissingSignalError, OptionError, UnknownClassError
from seviz.figures.album import Album, Drawing, LeftOut, figures, run_names
from seviz.run.store import Run
from seviz.tables.channel_by_image import channel_by_image
from seviz.tables.compare import compare
from seviz.tables.kept import keep_table
from seviz.tables.saturation import saturation
from seviz.tables.similarity import order_of_channels, similarity
from seviz.tables.specificity import specificity
from seviz.tables.specificity_by_channel import specificity_by_channel
from tests.made_runs import make_run

BLOCKS = ("SE_2_1", "SE_3_1", "SE_3_2")


def made(path: Path, *, shift: float = 0.0, **options: object) -> Run:
    """Three blocks of 12 channels; classes differ most in the second."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    gates = {}
    for block, size in zip(BLOCKS, (0.5, 3, 1), strict=True):
        centre = size * random.standard_normal((3, 12)) + shift
        gates[block] = 1 / (1 + np.exp(-(centre[labels] + random.standard_normal((60, 12)))))
    return make_run(path, gates, labels, **options)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made(tmp_path / "run")


def drawn(album: Album, *only: str) -> dict[str, Drawing | LeftOut]:
    return {each.name: each for each in album.draw(only or None)}


def test_all_figures_of_a_run_are_drawn_with_their_data(run: Run) -> None:
    found = drawn(Album(run=run))
    assert list(found) == list(figures())
    assert found.pop("comparison") == LeftOut("comparison", "it takes a second run, --against RUN")
    for each in found.values():
        assert isinstance(each, Drawing)
        assert len(each.data)
        assert each.figure.axes
    pd.testing.assert_frame_equal(found["specificity"].data, specificity(run))
    pd.testing.assert_frame_equal(found["saturation"].data, saturation(run))


def test_figures_of_one_block_are_of_the_most_specific_one_and_its_most_specific_channels(run: Run) -> None:
    found = drawn(Album(run=run), "heatmap", "distribution", "gallery")
    block = specificity(run).set_index("block")["omega_squared"].idxmax()
    assert block == "SE_3_1"
    heatmap = found["heatmap"].data.set_index("class")
    assert list(heatmap.columns) == list(order_of_channels(run, block))
    assert list(heatmap.index) == list(similarity(run, block).index)
    means = run[block]["mean"].to_pandas()
    np.testing.assert_array_equal(heatmap, means.loc[heatmap.index, heatmap.columns])
    channels = list(specificity_by_channel(run, blocks=[block])["channel"][:3])
    pd.testing.assert_frame_equal(found["distribution"].data, channel_by_image(run, block, channels[0]))
    assert list(dict.fromkeys(found["gallery"].data["channel"])) == channels


def test_blocks_and_classes_can_be_chosen(run: Run) -> None:
    album = Album(run=run, blocks=["SE_2_1", "SE_3_2"], classes=["class2", "class0"])
    found = drawn(album, "excitation", "heatmap", "similarity", "embedding")
    assert list(found) == ["excitation", "heatmap_SE_2_1", "heatmap_SE_3_2", "similarity", "embedding"]
    for name in ("excitation", "similarity", "embedding"):
        assert list(dict.fromkeys(found[name].data["block"])) == ["SE_2_1", "SE_3_2"]
    labels = [text.get_text() for text in found["embedding"].figure.legends[0].get_texts()]
    assert labels == ["other classes", "class2", "class0"]


def test_data_of_several_blocks_are_one_table(run: Run) -> None:
    found = drawn(Album(run=run), "similarity", "embedding")
    long = found["similarity"].data.set_index(["block", "class", "other"])["distance"]
    apart = similarity(run, "SE_3_1")
    for one in apart.index:
        for other in apart.index:
            assert long["SE_3_1", one, other] == apart.loc[one, other]
    assert list(found["embedding"].data) == ["block", "image", "path", "class", "pc1", "pc2"]


def test_gates_of_one_channel_are_told_image_by_image(run: Run, tmp_path: Path) -> None:
    table = channel_by_image(run, "SE_3_1", 4)
    np.testing.assert_array_equal(table["excitation"], run.gates("SE_3_1")[:, 4])
    assert list(table["class"]) == list(run.samples["class"])
    labels = np.array([[True, True], [False, True], [False, False], [True, False]])
    several = make_run(tmp_path / "several", {"SE_2_1": np.arange(8).reshape(4, 2) / 10}, labels, failed=[3])
    table = channel_by_image(several, "SE_2_1", 1)
    assert list(table["class"]) == ["class0", "class1", "class1"]
    np.testing.assert_allclose(table["excitation"], [0.1, 0.1, 0.3], atol=1e-5)


def test_without_gates_what_needs_them_is_left_out_with_the_reason(tmp_path: Path) -> None:
    run = made(tmp_path / "run", kept=np.zeros(60, bool))
    found = drawn(Album(run=run))
    left_out = {name for name, each in found.items() if isinstance(each, LeftOut)}
    assert left_out == {"distribution", "embedding", "gallery", "convergence", "comparison"}
    for name in left_out - {"comparison"}:
        assert "keeps the gates of no image" in found[name].reason
    assert found["depth"].data["accuracy"].isna().all()
    interval = found["specificity"].figure.axes[0].collections[0]
    assert interval.get_label() == "interval over classes"


def test_images_that_all_failed_are_left_out_with_the_reason(tmp_path: Path) -> None:
    run = made(tmp_path / "run", failed=range(60), classes=["a", "b", "c"])
    found = drawn(Album(run=run), "distribution", "embedding", "gallery", "convergence")
    assert {name: each.reason for name, each in found.items() if isinstance(each, LeftOut)} == dict.fromkeys(
        ("distribution", "embedding", "gallery", "convergence"), "all images of the run failed"
    )


def test_one_class_and_one_block_are_drawn(tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((30, 6))
    found = drawn(Album(run=make_run(tmp_path / "run", {"SE_2_1": gates}, np.zeros(30, np.int64))))
    left_out = {name for name, each in found.items() if isinstance(each, LeftOut)}
    assert left_out == {"comparison"}


def test_several_classes_an_image_are_drawn(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    run = make_run(tmp_path / "run", {"SE_2_1": random.random((60, 6))}, random.random((60, 3)) < 0.5)
    left_out = {name for name, each in drawn(Album(run=run)).items() if isinstance(each, LeftOut)}
    assert left_out == {"comparison"}


def test_two_runs_are_drawn_side_by_side_and_compared(run: Run, tmp_path: Path) -> None:
    other = made(tmp_path / "other", shift=0.5, trained=False)
    found = drawn(Album(run=run, other=other), "depth", "comparison")
    assert list(dict.fromkeys(found["depth"].data["run"])) == ["run", "other (untrained)"]
    omega = found["depth"].data.set_index(["run", "block"])["omega_squared"]
    for name, of in (("run", run), ("other (untrained)", other)):
        np.testing.assert_array_equal(omega[name], specificity(of)["omega_squared"])
    pd.testing.assert_frame_equal(found["comparison"].data, compare(run, other))


def test_runs_whose_blocks_have_other_names_are_compared_by_position(run: Run, tmp_path: Path) -> None:
    gates = {f"SE_{stage}_9": run.gates(block) for stage, block in enumerate(BLOCKS, 5)}
    other = make_run(tmp_path / "run2" / "run", gates, run.labels)
    found = drawn(Album(run=run, other=other), "comparison")["comparison"]
    assert list(found.data["other_block"]) == list(gates)
    assert run_names(run, other) == (str(run.path), str(other.path))


def test_tables_that_were_kept_are_read(run: Run) -> None:
    kept = keep_table(run, "decoding")
    best = kept[(kept["decoder"] == "logistic") & (kept["width"] == "own")]
    np.testing.assert_array_equal(drawn(Album(run=run), "depth")["depth"].data["accuracy"], best["accuracy"])


def test_untrained_weights_are_said_in_every_figure(tmp_path: Path) -> None:
    album = Album(run=made(tmp_path / "run", trained=False), other=made(tmp_path / "other"))
    for each in drawn(album).values():
        assert isinstance(each, Drawing)
        texts = [each.figure.get_supxlabel(), *(axes.get_xlabel() for axes in each.figure.axes)]
        assert any("untrained SE weights" in text for text in texts), each.name


def test_what_is_not_there_is_refused_before_anything_is_drawn(run: Run) -> None:
    with pytest.raises(OptionError, match="no figure 'pie'; expected some of excitation, spread, specificity, depth"):
        next(Album(run=run).draw(["depth", "pie"]))
    with pytest.raises(MissingSignalError, match="no block 'SE_9_9'"):
        next(Album(run=run, blocks=["SE_9_9"]).draw())
    with pytest.raises(UnknownClassError, match="no class 'pug'"):
        next(Album(run=run, classes=["pug"]).draw())


def test_figures_load_no_torch() -> None:
    code = "import sys, seviz.figures.album; print(*{'torch', 'timm', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
