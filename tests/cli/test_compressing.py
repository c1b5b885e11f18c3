"""The commands that make networks smaller, on a few bundled images."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import Result

import seviz
from seviz.capture.datasets import open_dataset
from tests.cli import commands

QUICK = ("--workers", "0", "--device", "cpu", "--no-latency", "--no-program")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of five images of each class: two for scores, one to choose with, two to judge by."""
    network = seviz.load("seviz/seresnet50-cifar10")
    data = open_dataset("bundled", per_class=5)
    out = tmp_path_factory.mktemp("runs") / "run"
    seviz.collect(network, data, out=out, compile="off", workers=0)
    return out


def good(*arguments: object) -> Result:
    result = commands.run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refused(message: str, *arguments: object) -> None:
    result = commands.run(*arguments)
    assert result.exit_code == 2, result.output
    assert re.search(message, result.stderr), result.stderr


def test_fold_some_blocks_and_capture_what_is_left(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "folded"
    printed = good("fold", run, "-o", out, "--blocks", "SE_2_2,SE_5_3", "--recalibrate", "--json", *QUICK)
    table = pd.DataFrame(json.loads(printed.stdout))
    assert table["network"].tolist() == ["original", "folded", "folded, recalibrated"]
    assert table["blocks"].tolist() == [16, 14, 14]
    assert table["images"].tolist() == [20, 20, 20]
    blocks = pd.read_csv(out / "blocks.csv")
    assert blocks.loc[blocks["folded"], "block"].tolist() == ["SE_2_2", "SE_5_3"]
    assert "with 2 of 16 SE blocks folded" in (out / "README.md").read_text()
    again = good("capture", out, "bundled", "-o", tmp_path / "again", "--per-class", 2, "--compile", "off", *QUICK[:4])
    assert "14 SE blocks" in again.stdout
    opened = seviz.open_run(tmp_path / "again")
    assert opened.manifest.model.spec == str(out)


def test_fold_by_a_budget(run: Path, tmp_path: Path) -> None:
    printed = good("fold", run, "-o", tmp_path / "three", "--count", 3, "--order", "variance", "--json", *QUICK)
    assert json.loads(printed.stdout)[1]["blocks"] == 13
    front = pd.read_csv(tmp_path / "three" / "front.csv")
    assert front["folded"].tolist() == list(range(17))
    assert (tmp_path / "three" / "figures" / "front.png").is_file()
    # any drop is allowed: all go
    printed = good("fold", run, "-o", tmp_path / "all", "--max-drop", 1, "--order", "variance", "--json", *QUICK)
    assert json.loads(printed.stdout)[1]["blocks"] == 0


def test_take_blocks_out_for_some_classes(run: Path, tmp_path: Path) -> None:
    options = ("--blocks", "SE_5_2", "--remove", "--classes", "cat,dog", "--json", *QUICK)
    table = pd.DataFrame(json.loads(good("fold", run, "-o", tmp_path / "out", *options).stdout))
    assert table["images"].tolist() == [4, 4]
    assert (table["accuracy_within"] >= table["accuracy"]).all()


def test_prune_to_a_budget(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pruned"
    result = good("prune", run, "-o", out, "--flops", 0.8, "--json", *QUICK)
    assert "note: not of kind 'gated'" in result.stderr
    table = pd.DataFrame(json.loads(result.stdout)).set_index("network")
    share = table["multiply_adds"] / table.loc["original", "multiply_adds"]
    assert 0.78 < share["pruned"] <= 0.8
    assert share["pruned, recalibrated"] == share["pruned"]
    removed = pd.read_csv(out / "removed.csv")
    assert (removed["inner_after"] < removed["inner_before"]).any()
    assert seviz.load(str(out)).blocks.keys() == seviz.load("seviz/seresnet50-cifar10").blocks.keys()


def test_prune_a_branch_and_tune_it(run: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    for name in seviz.open_run(run).classes.names:
        (images / name).mkdir(parents=True)
        read = open_dataset("bundled").read(0).image
        assert read is not None
        read.save(images / name / "0.png")
    options = (
        "--kind",
        "branch",
        "--keep-channels",
        0.8,
        "--criterion",
        "l2",
        "--epochs",
        1,
        "--train",
        images,
        "--json",
    )
    result = good("prune", run, "-o", tmp_path / "out", *options, *QUICK)
    assert "fine-tuning, epoch 1 of 1" in result.stderr
    names = [row["network"] for row in json.loads(result.stdout)]
    assert names == ["original", "pruned", "pruned, recalibrated", "pruned, fine-tuned"]


def test_curve(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "curve"
    options = ("--criteria", "gate_mean; random; gate_class:cat,dog", "--fractions", "0.3", "--seeds", 2, "--json")
    table = pd.DataFrame(json.loads(good("curve", run, "-o", out, *options, *QUICK[:4]).stdout))
    assert table["criterion"].unique().tolist() == ["gate_mean", "random", "gate_class:cat,dog"]
    assert table["fraction"].unique().tolist() == [0, 0.3]
    assert set(pd.read_csv(out / "curves.csv")["seed"]) == {0, 1}
    assert {path.name for path in (out / "figures").iterdir()} == {"mean.png", "by_class.png"}


def test_wrong_use_is_told_before_the_work_and_leaves_nothing(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused("of --blocks, --count and --max-drop more than one", "fold", run, "-o", out, "--count", 1, "--max-drop", 1)
    refused("blocks has 'SE_9_9', expected some of SE_2_1", "fold", run, "-o", out, "--blocks", "SE_9_9")
    refused("count is 17, expected at most 16", "fold", run, "-o", out, "--count", 17, "--order", "variance")
    refused("order is 'alphabet'", "fold", run, "-o", out, "--order", "alphabet")
    refused("no class 'unicorn' in the run", "fold", run, "-o", out, "--classes", "unicorn")
    refused("exactly one is to be given", "prune", run, "-o", out)
    refused("exactly one is to be given", "prune", run, "-o", out, "--flops", 0.5, "--keep-channels", 0.5)
    refused(
        "--channels 0.3, the share to remove, is --keep-channels 0.7 now", "prune", run, "-o", out, "--channels", 0.3
    )
    refused("--epochs and --train go together", "prune", run, "-o", out, "--flops", 0.5, "--epochs", 1)
    refused("kind is 'twigs', expected auto or one of", "prune", run, "-o", out, "--flops", 0.5, "--kind", "twigs")
    refused(
        r"flops cannot come down to 1.0% .*: with all removed that can be, 41.6% remain",
        "prune",
        run,
        "-o",
        out,
        "--flops",
        0.01,
        "--kind",
        "inner",
    )
    refused("no criterion 'beauty'; expected one of activation_mean", "curve", run, "-o", out, "--criteria", "beauty")
    refused("fractions is 'half', expected numbers", "curve", run, "-o", out, "--fractions", "half")
    refused(
        "50 images, such as .* are both among those that the scores are made from",
        "fold",
        run,
        "-o",
        out,
        "--data",
        "bundled",
    )
    assert not out.exists()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    refused("where there is something already", "fold", run, "-o", tmp_path / "there")
