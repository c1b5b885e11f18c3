"""The whole way of inputs with one and three axes of positions, and of networks with channels last."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import seviz
from seviz.errors import OptionError
from seviz.experiments.evaluation import evaluate
from seviz.run.store import Run
from tests.arrays_of import NAMES, arrays, factory
from tests.cli.commands import error_of
from tests.cli.commands import run as run_command
from tests.dimensions import CASES, CLASSES, SIDES, Layout, inputs, network

pytestmark = pytest.mark.filterwarnings(
    "ignore:Top-1 accuracy is", "ignore:The classes of the data", r"ignore:\d+ of 12 images failed"
)


def done(*arguments: object) -> str:
    result = run_command(*arguments)
    assert result.exit_code == 0, (arguments, result.stderr, result.exception)
    return result.stdout


def gates_by_hooks(model: nn.Module, x: Tensor) -> dict[str, np.ndarray]:
    """What the modules that make the gates return."""
    found: dict[str, np.ndarray] = {}
    hooks = []
    for name, path in (("SE_2_1", "unit1.se"), ("SE_3_1", "unit2.se")):
        block = model.get_submodule(path)
        gate = block.fc if hasattr(block, "fc") else block.gate

        def note(_: nn.Module, __: Any, output: Tensor, name: str = name) -> None:
            found[name] = output.flatten(1).numpy()

        hooks.append(gate.register_forward_hook(note))
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return found


def read(root: Path, paths: pd.Series) -> Tensor:
    """The arrays of a run, by the packages that wrote them."""
    found = []
    for path in paths:
        kind = Path(path).suffix
        if kind == ".pt":
            found.append(torch.load(root / path))
        else:
            array = np.load(root / path)
            found.append(torch.from_numpy(array["x"] if kind == ".npz" else array))
    return torch.stack(found)


@pytest.mark.parametrize("d", [1, 3])
def test_the_whole_way_on_the_command_line(d: int, tmp_path: Path) -> None:
    spec, root, run = factory(tmp_path, d), arrays(tmp_path / "data", d), tmp_path / "run"
    checked = json.loads(done("check", spec, "--json"))
    assert checked["vouched"]
    assert checked["other"] == []
    blocks = json.loads(done("blocks", spec, "--json"))
    assert [each["name"] for each in blocks] == ["SE_2_1", "SE_3_1"]
    done("capture", spec, f"arrays:{root}", "-o", run, "--signals", "excitation,squeeze", "--workers", 0)
    opened = seviz.open_run(run)
    assert opened.manifest.model.input_size == (3, *SIDES[d])
    assert set(opened.samples["status"]) == {"ok"}
    expected = gates_by_hooks(network(d), read(root, opened.samples["path"]))
    for block in opened.blocks:
        np.testing.assert_allclose(opened.gates(block), expected[block], atol=2e-5)

    done("analyse", run)
    done("figures", run, "-o", run / "figures", "--only", "gallery", "--format", "png")
    assert (run / "figures" / "gallery.png").exists()
    done("report", run, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert " × ".join(map(str, (3, *SIDES[d]))) in page

    ablated = json.loads(done("intervene", run, "--trust-code", "--blocks", "SE_3_1", "--json"))
    assert ablated
    attributed = json.loads(done("attribute", run, "--trust-code", "--json"))
    assert {each["block"] for each in attributed} == {"SE_2_1", "SE_3_1"}


@pytest.mark.parametrize(("d", "layout"), CASES)
def test_batches_in_memory(d: int, layout: Layout, tmp_path: Path) -> None:
    module, x = network(d, layout), inputs(d, layout, rows=2 * CLASSES)
    with torch.no_grad():
        labels = module(x).argmax(1)
    batches = [(x[:3], labels[:3]), (x[3:].numpy(), labels[3:].tolist())]
    run = seviz.collect(module, batches, tmp_path / "run", batch_size=4, class_names=NAMES)
    assert run.accuracy is not None
    assert run.accuracy.top1 == 1
    expected = gates_by_hooks(module, x)
    for block in run.blocks:
        np.testing.assert_allclose(run.gates(block), expected[block], atol=2e-5)
    with pytest.raises(OptionError, match=r"batch 0 is .*, expected inputs \(batch, channels, .*\)"):
        seviz.collect(seviz.wrap(module, x), [(x[:, 0], labels)], tmp_path / "other")


@pytest.mark.filterwarnings("ignore:.*16 channels as they are")  # as of an image of so many
@pytest.mark.parametrize(("d", "layout"), [(1, "last"), (2, "last")])
def test_arrays_with_their_channels_last(d: int, layout: Layout, tmp_path: Path) -> None:
    spec, root = factory(tmp_path, d, layout), arrays(tmp_path / "data", d, layout)
    run = seviz.collect(seviz.load(spec), f"arrays:{root}", tmp_path / "run", workers=0)
    expected = gates_by_hooks(network(d, layout), read(root, run.samples["path"]))
    for block in run.blocks:
        np.testing.assert_allclose(run.gates(block), expected[block], atol=2e-5)


@pytest.mark.parametrize("d", [1, 3])
def test_a_module_that_was_wrapped_reads_arrays(d: int, tmp_path: Path) -> None:
    module, root = network(d), arrays(tmp_path / "data", d)
    plain = seviz.collect(seviz.wrap(module, inputs(d)), f"arrays:{root}", tmp_path / "plain", workers=0)
    x = read(root, plain.samples["path"])
    mean, std = [0.5, 0.0, -0.5], [1.0, 2.0, 4.0]
    network_ = seviz.wrap(module, inputs(d), mean=mean, std=std)
    run = seviz.collect(network_, f"arrays:{root}", tmp_path / "run", preprocess="model", workers=0)
    shape = (3, *(1,) * d)
    expected = gates_by_hooks(module, (x - torch.tensor(mean).reshape(shape)) / torch.tensor(std).reshape(shape))
    np.testing.assert_allclose(run.gates("SE_3_1"), expected["SE_3_1"], atol=2e-5)
    np.testing.assert_allclose(plain.gates("SE_3_1"), gates_by_hooks(module, x)["SE_3_1"], atol=2e-5)
    with pytest.raises(OptionError, match=r"was wrapped without preprocessing; give seviz\.wrap preprocess"):
        seviz.collect(seviz.wrap(module, inputs(d)), f"arrays:{root}", tmp_path / "no", preprocess="model", workers=0)


def test_a_module_that_tells_the_size_of_its_input(tmp_path: Path) -> None:
    module = network(1)
    module.pretrained_cfg = {"input_size": (3, *SIDES[1])}
    run = seviz.collect(module, f"arrays:{arrays(tmp_path / 'data', 1)}", tmp_path / "run", workers=0)
    assert run.manifest.model.input_size == (3, *SIDES[1])


def test_signals_of_any_length(tmp_path: Path) -> None:
    root = tmp_path / "data"
    generator = torch.Generator().manual_seed(5)
    lengths = {"a": 32, "b": 47, "c": 32}
    for name in NAMES:
        (root / name).mkdir(parents=True)
        for file, length in lengths.items():
            torch.save(torch.randn(3, length, generator=generator), root / name / f"{file}.pt")
    free = seviz.load(factory(tmp_path, 1, fixed_input_size=False))
    run: Run = seviz.collect(free, f"arrays:{root}", tmp_path / "run", workers=0)
    assert set(run.samples["status"]) == {"ok"}
    for row, path in enumerate(run.samples["path"]):
        expected = gates_by_hooks(network(1), torch.load(root / path)[None])
        np.testing.assert_allclose(run.gates("SE_2_1")[row], expected["SE_2_1"][0], atol=2e-5)
    message = r"'bell/a.pt' gives an input of shape \(3, 32\) and 'bell/b.pt' one of \(3, 47\), expected one shape"
    with pytest.raises(OptionError, match=message):
        evaluate(free, data=f"arrays:{root}", workers=0)
    assert len(evaluate(free, data=f"arrays:{root}", batch_size=1, workers=0).labels) == 3 * CLASSES

    fixed = seviz.load(factory(tmp_path, 1))
    run = seviz.collect(fixed, f"arrays:{root}", tmp_path / "fixed", max_failures=0.5, workers=0)
    failed = run.samples[run.samples["status"] == "failed"]
    assert set(failed["path"]) == {f"{name}/b.pt" for name in NAMES}
    assert set(failed["reason"]) == {"shape (3, 47), the network takes (3, 32)"}


@pytest.mark.parametrize("d", [1, 3])
def test_wrong_use_is_one_line_and_writes_nothing(d: int, tmp_path: Path) -> None:
    spec, root, out = factory(tmp_path, d), arrays(tmp_path / "data", d, each=1), tmp_path / "run"
    size = str((3, *SIDES[d]))
    assert f"takes inputs of shape {size}, but data 'bundled' holds images" in error_of(
        "capture", spec, "bundled", "-o", out
    )
    assert "img_size is given, and" in error_of("check", spec, "--img-size", 64)
    assert "has no preprocessing; give mean and std" in error_of(
        "capture", spec, f"arrays:{root}", "-o", out, "--preprocess", "model"
    )
    assert not out.exists()
    result = run_command("capture", factory(tmp_path, 4 - d), f"arrays:{root}", "-o", out, "--workers", 0)
    assert result.exit_code == 1
    assert f"{d + 1} axes, the network takes {5 - d}: (channels, " in result.stderr
