import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import seviz
from seviz.experiments.causal import intervene, swap
from seviz.run.store import Run
from tests.cli.commands import error_of, run


@pytest.fixture(scope="module")
def cats_and_ships(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of five images, beside them."""
    folder, random = tmp_path_factory.mktemp("cats and ships"), np.random.default_rng(0)
    for name, count in (("cat", 3), ("ship", 2)):
        (folder / "data" / name).mkdir(parents=True)
        for k in range(count):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "data" / name / f"{k}.png")
    options = ("-o", folder / "run", "--compile", "off", "--workers", 0)
    done = run("capture", "seviz/seresnet50-cifar10", folder / "data", *options)
    assert done.exit_code == 0, done.output
    return seviz.open_run(folder / "run")


def test_intervene(cats_and_ships: Run, tmp_path: Path) -> None:
    options = ("--blocks", "SE_5_2,SE_4_6", "--interventions", "within,identity", "--workers", 0)
    figure = tmp_path / "new" / "f.png"
    result = run("intervene", cats_and_ships.path, *options, "--csv", "--figure", figure)
    assert result.exit_code == 0, result.output
    network = seviz.load("seviz/seresnet50-cifar10")
    expected = intervene(
        network,
        cats_and_ships,
        data=cats_and_ships.path.parent / "data",
        blocks=["SE_4_6", "SE_5_2"],
        interventions=["within", "identity"],
        workers=0,
    )
    table = pd.read_csv(io.StringIO(result.stdout), keep_default_na=False, na_values={"stage": ""})
    pd.testing.assert_frame_equal(table, expected.by_block(), check_dtype=False)
    with Image.open(figure) as image:
        assert image.size[0] == 1400
    by_class = json.loads(run("intervene", cats_and_ships.path, *options, "--by", "class", "--json").stdout)
    assert [row["class"] for row in by_class[:2]] == ["cat", "ship"]
    assert len(by_class) == 2 * 5


def test_swap(cats_and_ships: Run, tmp_path: Path) -> None:
    options = ("--swap", "SE_5_1", "--classes", "ship,cat", "--workers", 0, "--figure", tmp_path / "f.svg")
    result = run("intervene", cats_and_ships.path, *options, "--csv")
    assert result.exit_code == 0, result.output
    network = seviz.load("seviz/seresnet50-cifar10")
    expected = swap(
        network, cats_and_ships, "SE_5_1", data=cats_and_ships.path.parent / "data", classes=["ship", "cat"], workers=0
    )
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(result.stdout)), expected, check_dtype=False)
    assert "at SE_5_1" in (tmp_path / "f.svg").read_text()


def test_attribute(cats_and_ships: Run, tmp_path: Path) -> None:
    command = ("attribute", cats_and_ships.path, "--workers", 0)
    rows = json.loads(run(*command, "--json", "--figure", tmp_path / "f.pdf").stdout)
    assert [row["block"] for row in rows] == list(cats_and_ships.blocks)
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert (tmp_path / "f.pdf").stat().st_size > 5000
    some = (*command, "--blocks", "SE_5_3", "--per-class", 1)
    by_image = json.loads(run(*some, "--by", "image", "--target", "cat", "--baseline", "mean", "--json").stdout)
    assert [(row["class"], row["target"]) for row in by_image] == [("cat", "cat"), ("ship", "cat")]
    lengthy = ("--method", "integrated_gradients", "--baseline", "identity", "--steps", 3, "--by", "channel", "--csv")
    assert len(run(*some, *lengthy).stdout.splitlines()) == 1 + cats_and_ships.block("SE_5_3").channels


def test_other_images(cats_and_ships: Run, make_folder: Callable[..., Path]) -> None:
    other = make_folder({"dog": 1, "cat": 1}, "other")
    options = ("--data", other, "--blocks", "SE_5_3", "--interventions", "across", "--by", "class", "--workers", 0)
    rows = json.loads(run("intervene", cats_and_ships.path, *options, "--json").stdout)
    assert [row["class"] for row in rows] == ["cat", "dog", "cat", "dog"]


def test_wrong_use(cats_and_ships: Run, tmp_path: Path) -> None:
    path = cats_and_ships.path
    for options, message in (
        (("--by", "stage"), "by is 'stage', expected block or class"),
        (("--swap", "SE_5_1", "--blocks", "SE_5_1"), "--swap is of one block and all its classes"),
        (("--swap", "SE_5_1", "--by", "class"), "--swap is of one block and all its classes"),
        (("--classes", "cat"), "--classes is for --swap"),
        (("--figure", "x.png", "--by", "class"), "--figure is for --by block and --swap"),
        (("--figure", "x.gif"), "figure is 'x.gif', expected a file that ends in .png, .pdf or .svg"),
        (("--interventions", "noise"), "interventions has 'noise'"),
        (("--weights", "none"), "is not the network of the run"),
        (("--root", tmp_path / "nowhere"), "which is no directory"),
    ):
        assert message in error_of("intervene", path, *options)
    for options, message in (
        (("--by", "stage"), "by is 'stage', expected block, channel or image"),
        (("--baseline", "none"), "baseline is 'none', expected zero, identity or mean"),
        (("--figure", "x.png", "--by", "image"), "--figure is for --by block"),
        (("--method", "shap"), "method is 'shap'"),
    ):
        assert message in error_of("attribute", path, *options)
    assert "no run in" in error_of("intervene", tmp_path / "nowhere")


@pytest.mark.parametrize("command", ["intervene", "attribute"])
def test_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
