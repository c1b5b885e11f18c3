import dataclasses
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import seviz
from seviz.classes import Classes
from seviz.errors import (
    DamagedRunError,
    EmptyDataError,
    NoSEBlocksError,
    OptionError,
    RunExistsError,
    TooManyFailuresError,
)
from seviz.network.models import Network
from seviz.run.store import Run
from tests.conftest import TinyNet

pytestmark = pytest.mark.filterwarnings("ignore:Top-1 accuracy is:UserWarning")

COUNTS = {"blue": 9, "green": 8, "red": 13}


def collect(network: Network, data: object, out: Path, **options: object) -> Run:
    return seviz.collect(network, data, out, **{"batch_size": 4, "chunk_size": 11, **options})


def contents(run: Path) -> dict[str, bytes]:
    """All of a run but its manifest, which tells when it was created, and its lock."""
    files = (path for path in run.rglob("*") if path.is_file() and path.name not in ("manifest.json", "lock"))
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def read(root: Path, network: Network, paths: list[str]) -> Tensor:
    return torch.stack([network.preprocess(Image.open(root / path)) for path in paths])


def test_stored_gates_are_those_of_the_formula(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder(COUNTS)
    run = collect(tiny_network, root, tmp_path / "run", signals=("squeeze", "response"))
    model = tiny_network.model
    x = read(root, tiny_network, list(run.samples["path"]))
    for name, stage in zip(run.blocks, model.stages, strict=True):
        with torch.no_grad():
            u = stage[1](stage[0](x))
            block = stage[2]
            z = u.mean((2, 3))
            s = torch.sigmoid(
                torch.relu(z @ block.reduce.weight.T + block.reduce.bias) @ block.expand.weight.T + block.expand.bias
            )
            x = u * s[:, :, None, None]
        assert s.std(0).mean() > 0.003  # or agreement would mean nothing
        np.testing.assert_allclose(run.gates(name), s, rtol=0, atol=1e-5)
        np.testing.assert_allclose(run.gates(name, "squeeze"), z, rtol=0, atol=1e-6)
        np.testing.assert_allclose(run.gates(name, "response"), x.abs().mean((2, 3)), rtol=0, atol=1e-6)
    predicted = model.head(x.mean((2, 3))).argmax(1)
    assert [tiny_network.class_names[k] for k in predicted] == list(run.samples["predicted"])


def test_the_manifest_says_what_was_run(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    run = collect(tiny_network, make_folder(COUNTS), tmp_path / "run")
    manifest = run.manifest
    assert (manifest.model.spec, manifest.model.weights_sha256) == ("tests/tiny", tiny_network.weights_sha256)
    assert (manifest.data.images, manifest.data.labels, manifest.data.model_classes) == (30, "single", (0, 1, 2))
    assert (manifest.engine.name, manifest.engine.device, manifest.engine.batch_size) == ("eager", "cpu", 4)
    assert manifest.signals == ("excitation",)
    for record, stage in zip(manifest.blocks, tiny_network.model.stages, strict=True):
        product = (stage[2].expand.weight @ stage[2].reduce.weight).detach().double().numpy()
        expected = np.linalg.svd(product, compute_uv=False)[:4]
        np.testing.assert_allclose(record.singular_values, expected, rtol=1e-5)


KILLED = """
import os, signal, sys, warnings
sys.path.insert(0, {here!r})
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from seviz.run.store import Run
from tests.conftest import TinyNet
import tests.capture.test_collect as tests

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def progress(done, total):
    if done >= {images}:
        kill()

if {images} > 30:
    import seviz.run.store as store
    write = store.write_atomically
    store.write_atomically = lambda path, content: kill() if path.name == "samples.parquet" else write(path, content)
tests.collect(tests.same_network(), {root!r}, {out!r}, progress=progress)
"""


def same_network() -> Network:
    """The tiny network, built the same way in another process."""
    from torchvision.transforms import v2

    torch.manual_seed(3)
    names = ("blue", "green", "red")
    return Network(
        spec="tests/tiny",
        weights="pretrained",
        trained=True,
        model=TinyNet().eval(),
        preprocess=v2.Compose([v2.Resize((16, 16)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]),
        preprocessing={"resize": [16, 16]},
        input_size=(3, 16, 16),
        classes=Classes(names, names),
    )


@pytest.mark.parametrize("images", [4, 11, 15, 30, 31])
def test_a_killed_capture_continues_to_the_same_bits(
    images: int, tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root, killed = make_folder(COUNTS), tmp_path / "killed"
    code = KILLED.format(here=str(Path(__file__).parents[2]), images=images, root=str(root), out=str(killed))
    process = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not Run(killed).complete
    chunks = {path: path.stat().st_mtime_ns for path in Run(killed).chunk_paths()}
    assert len(chunks) == {4: 0, 11: 0, 15: 1, 30: 2, 31: 3}[images]

    done = []
    again = collect(tiny_network, root, killed, batch_size=7, progress=lambda n, total: done.append((n, total)))
    assert again.manifest.engine.batch_size == 4  # the run keeps its own
    assert done[-1] == (30, 30)
    assert {path: path.stat().st_mtime_ns for path in chunks} == chunks  # nothing was done twice
    collect(tiny_network, root, tmp_path / "whole")
    assert contents(killed) == contents(tmp_path / "whole")


def test_a_finished_run_is_not_run_again(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder(COUNTS)
    collect(tiny_network, root, tmp_path / "run")
    before = contents(tmp_path / "run")
    collect(tiny_network, root, tmp_path / "run", progress=lambda *_: pytest.fail("worked again"))
    assert contents(tmp_path / "run") == before
    with pytest.raises(RunExistsError, match="holds a run and resume is off"):
        collect(tiny_network, root, tmp_path / "run", resume=False)


def test_another_run_in_the_way_is_left_untouched(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root, other = make_folder(COUNTS), make_folder({"blue": 2, "red": 2}, name="other")
    collect(tiny_network, root, tmp_path / "run")
    before = contents(tmp_path / "run"), (tmp_path / "run" / "manifest.json").read_bytes()
    with pytest.raises(RunExistsError, match=r"holds another run \(data: .*images: 30 there, 4 now.*left untouched"):
        collect(tiny_network, other, tmp_path / "run")
    with torch.no_grad():
        tiny_network.model.head.bias += 1
    changed = dataclasses.replace(tiny_network)  # forgets the fingerprint it had
    with pytest.raises(RunExistsError, match=r"holds another run \(weights: "):
        collect(changed, root, tmp_path / "run")
    with pytest.raises(RunExistsError, match="signals: "):
        collect(tiny_network, root, tmp_path / "run", signals=["squeeze"])
    assert (contents(tmp_path / "run"), (tmp_path / "run" / "manifest.json").read_bytes()) == before


def test_batches_in_memory_give_the_run_of_the_files(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder(COUNTS)
    files = collect(tiny_network, root, tmp_path / "files", signals=["squeeze"])
    x = read(root, tiny_network, list(files.samples["path"]))
    y = torch.tensor(files.samples["label"].to_numpy())
    batches = list(zip(x.split([1, 20, 0, 9]), y.split([1, 20, 0, 9]), strict=True))
    memory = collect(tiny_network, batches, tmp_path / "memory", signals=["squeeze"])
    for name in files.blocks:
        np.testing.assert_array_equal(memory.gates(name), files.gates(name))
        assert memory[name].equals(files[name])
    assert memory.accuracy == files.accuracy
    assert list(memory.samples["path"][:3]) == ["0", "1", "2"]
    assert (memory.manifest.data.spec, memory.manifest.data.images) == ("batches", None)


def test_batches_of_another_data_set_do_not_continue_a_run(tiny_network: Network, tmp_path: Path) -> None:
    x, y = torch.rand(20, 3, 16, 16), torch.arange(20) % 3
    with pytest.raises(ZeroDivisionError):
        collect(tiny_network, [(x, y)], tmp_path / "run", progress=lambda done, _: 1 / max(0, 15 - done))
    with pytest.raises(RunExistsError, match="holds other images: the labels in its chunk 0 are others"):
        collect(tiny_network, [(x, 2 - y)], tmp_path / "run")
    collect(tiny_network, [(x, y)], tmp_path / "run")
    with pytest.raises(RunExistsError, match="holds a finished run, and whether these batches are its images cannot"):
        collect(tiny_network, [(x, y)], tmp_path / "run")


def test_a_damaged_chunk_is_noticed_before_the_work_goes_on(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root, out = make_folder(COUNTS), tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        collect(tiny_network, root, out, progress=lambda done, _: 1 / max(0, 26 - done))
    first = Run(out).chunk_path(0)
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(DamagedRunError, match=r"000000.safetensors is damaged: .*Delete that file and run the same"):
        collect(tiny_network, root, out)
    first.unlink()
    collect(tiny_network, root, out)
    collect(tiny_network, root, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_batches_must_be_images_with_labels(tiny_network: Network, tmp_path: Path) -> None:
    x = torch.zeros(2, 3, 16, 16)
    for batch, message in (
        ((x[0], torch.tensor([0])), r"batch 0 is \(3, 16, 16\) with labels \(1,\) of torch.int64, expected images"),
        ((x, torch.tensor([0])), r"batch 0 is \(2, 3, 16, 16\) with labels \(1,\)"),
        ((x, torch.tensor([0.0, 1.0])), "of torch.float32"),
        ((x, torch.tensor([0, 3])), "batch 0 has labels 0 to 3, expected 0 to 2"),
    ):
        with pytest.raises(OptionError, match=message):
            collect(tiny_network, [batch], tmp_path / "run")
    with pytest.raises(EmptyDataError, match="the batches held no image"):
        collect(tiny_network, [], tmp_path / "run")
    with pytest.raises(OptionError, match="classes and per_class choose from a folder"):
        collect(tiny_network, [], tmp_path / "run", per_class=3)
    nameless = dataclasses.replace(tiny_network, classes=None)
    with pytest.raises(OptionError, match="labels of batches in memory are indices of the network's classes"):
        collect(nameless, [], tmp_path / "other")


def test_options_outside_their_range(tiny_network: Network, tmp_path: Path) -> None:
    for options, message in (
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"chunk_size": -1}, "chunk_size is -1, expected at least 1"),
        ({"max_failures": 2}, r"max_failures is 2, expected a share in \[0, 1\]"),
        ({"signals": ["gates"]}, "signals has 'gates', expected some of excitation, squeeze, response"),
        ({"device": "warp"}, r"device 'warp' cannot be used \(.*\); give cpu, or auto"),
    ):
        with pytest.raises(OptionError, match=message):
            collect(tiny_network, "bundled", tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_failed_images_are_counted_and_never_replaced(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder(COUNTS)
    (root / "green" / "003.png").write_bytes((root / "green" / "003.png").read_bytes()[:300])
    Image.new("L", (20, 20)).save(root / "red" / "000.png")
    with pytest.raises(
        TooManyFailuresError, match=r"1 of 30 images failed, more than the 1.0% allowed; the first: gre"
    ):
        collect(tiny_network, root, tmp_path / "run")
    with pytest.warns(UserWarning, match="1 of 30 images failed; `samples` says which and why"):
        run = collect(tiny_network, root, tmp_path / "run", max_failures=0.05)
    samples = run.samples.set_index("path")
    assert samples["status"].value_counts().to_dict() == {"ok": 28, "coerced": 1, "failed": 1}
    assert samples.loc["red/000.png", "reason"] == "L converted to RGB"
    failed = samples.index.get_loc("green/003.png")
    assert np.isnan(run.gates("SE_2_1")[failed]).all()
    assert np.isfinite(np.delete(run.gates("SE_2_1"), failed, axis=0)).all()
    assert run["SE_2_1"]["count"].values.tolist() == [9, 7, 13]
    assert samples.iloc[failed][["predicted", "correct", "in_top5"]].isna().all()
    assert run.accuracy.images == 29


def test_a_chunk_of_nothing_but_failures(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder({"blue": 5, "green": 5})
    for path in (root / "blue").iterdir():
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="5 of 10 images failed"):
        run = collect(tiny_network, root, tmp_path / "run", chunk_size=5, max_failures=0.5)
    assert run["SE_2_1"]["count"].values.tolist() == [0, 5]
    assert np.isnan(run["SE_2_1"]["mean"].values[0]).all()
    assert run.gates("SE_2_1").shape == (10, 8)


def test_gates_that_are_not_finite_are_failures(tiny_network: Network, tmp_path: Path) -> None:
    x = torch.rand(4, 3, 16, 16)
    x[2] = torch.nan
    with pytest.warns(UserWarning, match="1 of 4 images failed"):
        run = collect(tiny_network, [(x, torch.tensor([0, 1, 2, 0]))], tmp_path / "run", max_failures=0.5)
    assert run.samples["reason"][2] == "the network's gates are not finite"
    assert run["SE_2_1"]["count"].values.tolist() == [2, 1, 0]


def test_data_of_other_classes_leaves_accuracy_out(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match=r"classes of the data are not those of the network \(cat, dog against blue"):
        run = collect(tiny_network, make_folder({"cat": 3, "dog": 2}), tmp_path / "run")
    assert run.accuracy is None
    assert run.samples["correct"].isna().all()
    assert run["SE_3_1"]["count"].values.tolist() == [3, 2]


def test_untrained_and_near_chance_are_remarked(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder(COUNTS)
    untrained = dataclasses.replace(tiny_network, weights="none", trained=False)
    with pytest.warns(UserWarning, match="weights of the SE blocks are untrained"):
        run = collect(untrained, root, tmp_path / "untrained")
    assert len(run.remarks) == 1
    run = collect(tiny_network, root, tmp_path / "chance")
    assert any("near chance (33.3%), on trained weights" in remark for remark in run.remarks)
    y = torch.tensor(run.samples["predicted"].map({"blue": 0, "green": 1, "red": 2}).to_numpy())
    x = read(root, tiny_network, list(run.samples["path"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        perfect = collect(tiny_network, [(x, y)], tmp_path / "perfect")
    assert (perfect.accuracy.top1, perfect.remarks) == (1.0, ())


def test_the_network_comes_back_as_it_was(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    model = tiny_network.model.train()
    model.head.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes, threads = [module.training for module in model.modules()], torch.get_num_threads()

    def check() -> None:
        assert [module.training for module in model.modules()] == modes
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
        assert torch.get_num_threads() == threads
        assert not torch.is_inference_mode_enabled()

    root = make_folder(COUNTS)
    collect(tiny_network, root, tmp_path / "run")
    check()
    with pytest.raises(ZeroDivisionError):
        collect(tiny_network, root, tmp_path / "other", progress=lambda *_: 1 / 0)
    check()
    model(torch.rand(2, 3, 16, 16)).sum().backward()


def test_a_network_without_se_blocks_makes_no_run(tiny_network: Network, tmp_path: Path) -> None:
    plain = dataclasses.replace(tiny_network, model=nn.Sequential(nn.Conv2d(3, 3, 16), nn.Flatten()))
    with pytest.raises(NoSEBlocksError, match="no SE block"):
        collect(plain, "bundled", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_some_of_each_class(tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    run = collect(tiny_network, make_folder(COUNTS), tmp_path / "run", per_class=3, classes=["red", "green"])
    assert run["SE_2_1"]["count"].values.tolist() == [0, 3, 3]


def test_a_moved_run_and_moved_data_continue(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder(COUNTS)
    with pytest.raises(ZeroDivisionError):
        collect(tiny_network, root, tmp_path / "run", progress=lambda done, _: 1 / max(0, 20 - done))
    shutil.move(root, tmp_path / "moved")
    shutil.move(tmp_path / "run", tmp_path / "moved run")
    run = collect(tiny_network, tmp_path / "moved", tmp_path / "moved run")
    assert len(run.samples) == 30
