import dataclasses
import multiprocessing
import os
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
from torchvision.transforms import v2

import seviz
from seviz.capture.datasets import open_dataset
from seviz.classes import Classes
from seviz.errors import (
    DamagedRunError,
    EmptyDataError,
    MissingSignalError,
    NoSEBlocksError,
    OptionError,
    RunExistsError,
    TooManyFailuresError,
)
from seviz.network.gates import capture_gates
from seviz.network.networks import Network
from seviz.run import merging
from seviz.run.files import read_arrays
from seviz.run.store import Run

pytestmark = pytest.mark.filterwarnings("ignore:Top-1 accuracy is:UserWarning")

COUNTS = {"blue": 9, "green": 8, "red": 13}


def collect(network: Network, data: object, out: Path, **options: object) -> Run:
    return seviz.collect(network, data, out, **{"batch_size": 4, "chunk_size": 11, **options})


def contents(run: Path) -> dict[str, bytes]:
    """All of a run but its manifest, which tells when it was created, and its locks."""
    files = [path for folder in ("chunks", "moments") for path in (run / folder).rglob("*")]
    files += [path for path in run.iterdir() if path.is_file() and path.name != "manifest.json"]
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
    assert (manifest.engine.name, manifest.engine.device, manifest.engine.batch_size) == ("folded", "cpu", 4)
    assert (manifest.engine.precision, manifest.keep_gates, manifest.chunks) == ("float32", "all", 3)
    assert (manifest.signals, manifest.data.selection) == (("excitation",), {})
    for record, stage in zip(manifest.blocks, tiny_network.model.stages, strict=True):
        product = (stage[2].expand.weight @ stage[2].reduce.weight).detach().double().numpy()
        expected = np.linalg.svd(product, compute_uv=False)[:4]
        np.testing.assert_allclose(record.singular_values, expected, rtol=1e-5)


def test_the_manifest_says_which_images_were_chosen(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    chosen = {"classes": ["red", "blue"], "per_class": 2, "seed": 5}
    run = collect(tiny_network, make_folder(COUNTS), tmp_path / "run", **chosen)
    assert run.manifest.data.selection == chosen
    assert Run(run.path).manifest.data.selection == chosen
    whole = collect(tiny_network, make_folder(COUNTS, "again"), tmp_path / "whole", seed=7, root=None)
    assert whole.manifest.data.selection == {}  # nothing is drawn: the seed says nothing


@pytest.mark.parametrize("images", [4, 11, 15, 30, 31])
def test_a_killed_capture_continues_to_the_same_bits(
    images: int, tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root, killed = make_folder(COUNTS), tmp_path / "killed"

    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def capture() -> None:
        if images > 30:
            merging.write_atomically = kill
        collect(tiny_network, root, killed, progress=lambda done, _: kill() if done >= images else None)

    process = multiprocessing.get_context("fork").Process(target=capture)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
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
        ((x[0], torch.tensor([0])), r"batch 0 is \(3, 16, 16\), expected inputs \(batch, channels, height, width\)"),
        ((x, torch.tensor([0])), "batch 0 has 2 images and 1 labels, expected as many"),
        ((x, torch.tensor([0.0, 1.0])), "of torch.float32"),
        ((x, torch.tensor([0, 3])), "batch 0 has labels 0 to 3, expected 0 to 2"),
    ):
        with pytest.raises(OptionError, match=message):
            collect(tiny_network, [batch], tmp_path / "run")
    with pytest.raises(EmptyDataError, match="the batches held no image"):
        collect(tiny_network, [], tmp_path / "run")
    with pytest.raises(OptionError, match=r"classes, per_class, split, .* class_names choose from a data set"):
        collect(tiny_network, [], tmp_path / "run", per_class=3)
    assert not (tmp_path / "run").exists()


def test_options_outside_their_range(tiny_network: Network, tmp_path: Path) -> None:
    for options, message in (
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"chunk_size": -1}, "chunk_size is -1, expected at least 1"),
        ({"chunk_size": 65537}, "chunk_size is 65537, expected at most 65536"),
        ({"max_failures": 2}, r"max_failures is 2, expected a share in \[0, 1\]"),
        ({"signals": ["gates"]}, "signals has 'gates', expected some of excitation, squeeze, response"),
        ({"device": "warp"}, r"device 'warp' cannot be used \(.*\); give cpu, or auto"),
    ):
        with pytest.raises(OptionError, match=message):
            collect(tiny_network, "bundled", tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_of_few_images_may_fail_but_not_the_only_one(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder({"blue": 2, "green": 1})
    options = {"workers": 0, "compile": "off"}
    (root / "blue" / "000.png").write_bytes(b"")
    assert collect(tiny_network, root, tmp_path / "one", **options).complete
    alone = {"classes": ["blue"], "per_class": 1, "seed": 1}
    assert open_dataset(root, **alone).paths == ("blue/000.png",)
    with pytest.raises(TooManyFailuresError, match=r"1 of 1 images failed, more than the 1.0% allowed"):
        collect(tiny_network, root, tmp_path / "only", **alone, **options)
    (root / "blue" / "001.png").write_bytes(b"")
    with pytest.raises(TooManyFailuresError, match=r"2 of 3 images failed, more than the 1.0% allowed"):
        collect(tiny_network, root, tmp_path / "two", **options)


def test_failed_images_are_counted_and_never_replaced(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder(COUNTS)
    (root / "green" / "003.png").write_bytes((root / "green" / "003.png").read_bytes()[:300])
    Image.new("L", (20, 20)).save(root / "red" / "000.png")
    with pytest.raises(
        TooManyFailuresError, match=r"1 of 30 images failed, more than the 0.0% allowed; the first: gre"
    ):
        collect(tiny_network, root, tmp_path / "run", max_failures=0)
    with pytest.warns(UserWarning, match="1 of 30 images failed; `samples` says which and why"):
        run = collect(tiny_network, root, tmp_path / "run")  # by default 1 %, but one of few may fail
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


def test_workers_change_no_bit(tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = make_folder(COUNTS)
    (root / "green" / "003.png").write_bytes(b"")
    for workers in (0, 1, 3):
        with pytest.warns(UserWarning, match="1 of 30 images failed"):
            collect(tiny_network, root, tmp_path / str(workers), workers=workers, max_failures=0.5)
    random = torch.get_rng_state()
    assert contents(tmp_path / "0") == contents(tmp_path / "1") == contents(tmp_path / "3")
    assert torch.equal(torch.get_rng_state(), random)
    with pytest.raises(OptionError, match="workers is -1, expected 0 or more"):
        collect(tiny_network, root, tmp_path / "wrong", workers=-1)


def test_an_image_that_kills_its_worker_has_failed_and_no_other_is_lost(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root, parent = make_folder(COUNTS), os.getpid()
    preprocess = tiny_network.preprocess
    with Image.open(root / "green" / "003.png") as image:
        deadly = image.convert("RGB").tobytes()

    def kill(image: Image.Image) -> Tensor:
        if os.getpid() != parent and image.tobytes() == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return preprocess(image)

    dying = dataclasses.replace(tiny_network, preprocess=kill)
    with pytest.warns(UserWarning, match="1 of 30 images failed"):
        run = collect(dying, root, tmp_path / "run", workers=2, max_failures=0.1)
    failed = run.samples[run.samples["status"] == "failed"]
    assert list(failed["path"]) == ["green/003.png"]
    assert failed["reason"].item() == "the process that decoded it was killed, perhaps for want of memory"
    whole = collect(tiny_network, root, tmp_path / "whole", workers=0)
    others = run.samples["status"] == "ok"
    np.testing.assert_allclose(run.gates("SE_3_1")[others], whole.gates("SE_3_1")[others], atol=2e-5)


def test_gates_of_some_images(tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = make_folder(COUNTS)
    whole = collect(tiny_network, root, tmp_path / "whole")
    some = collect(tiny_network, root, tmp_path / "some", keep_gates="per-class:3")
    none = collect(tiny_network, root, tmp_path / "none", keep_gates="none")
    kept = some.samples["kept"].to_numpy()
    assert some.samples[kept].groupby("class").size().to_dict() == {"blue": 3, "green": 3, "red": 3}
    for name in whole.blocks:
        np.testing.assert_array_equal(some.gates(name), whole.gates(name)[kept])
        for run in (some, none):
            np.testing.assert_array_equal(run.moments(name).mean, whole.moments(name).mean)
    with pytest.raises(MissingSignalError, match="keeps the gates of no image, only moments of classes; capture again"):
        none.gates("SE_2_1")
    with pytest.raises(RunExistsError, match="kept gates: none there, all now"):
        collect(tiny_network, root, tmp_path / "none", keep_gates="all")
    with pytest.raises(OptionError, match="keep_gates is 'per-class:2'; of batches in memory expected all or none"):
        collect(tiny_network, [], tmp_path / "memory", keep_gates="per-class:2")


def test_what_is_told_before_the_work(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    collect(tiny_network, make_folder(COUNTS), tmp_path / "run", tell=told.append)
    assert told[0] == "gates of 30 of 30 images: 2.16 kB"  # 36 channels of 2 bytes
    assert told[1].startswith("engine: folded (")
    monkeypatch.setattr("seviz.capture.collect.LIMIT", 1000)
    run = collect(tiny_network, make_folder({"blue": 60, "red": 5}, name="more"), tmp_path / "some")
    assert (run.manifest.keep_gates, int(run.samples["kept"].sum())) == ("per-class:50", 55)


def test_images_of_several_classes(tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = make_folder(COUNTS)
    lines = ["path,label", "blue/000.png,blue|red", "blue/001.png,blue", "red/000.png,red|green", "green/000.png,green"]
    (root / "labels.csv").write_text("\n".join(lines))
    run = collect(tiny_network, f"csv:{root / 'labels.csv'}", tmp_path / "run")
    assert (run.manifest.data.labels, run.manifest.data.model_classes) == ("multi", (0, 1, 2))
    assert run["SE_2_1"]["count"].values.tolist() == [2, 2, 2]
    np.testing.assert_array_equal(run.total("SE_2_1").count, [4])  # and not the sum
    paths = list(run.samples["path"])
    expected = {"blue/000.png": {0, 2}, "blue/001.png": {0}, "red/000.png": {1, 2}, "green/000.png": {1}}
    assert [set(np.flatnonzero(row)) for row in run.labels] == [expected[path] for path in paths]
    gates = run.gates("SE_3_1").astype(np.float64)
    red = [path in ("blue/000.png", "red/000.png") for path in paths]
    np.testing.assert_allclose(run["SE_3_1"]["mean"][2], gates[red].mean(0), atol=1e-5)
    sample = run.samples.set_index("path").loc["blue/000.png"]
    assert sample["class"] == "blue|red"
    assert sample["correct"] == (sample["predicted"] in ("blue", "red"))


def test_classes_in_another_order_are_mapped_and_it_is_said(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder(COUNTS)
    names = ("red", "blue", "green")
    other = dataclasses.replace(tiny_network, classes=Classes(names, names))
    with pytest.warns(UserWarning, match="stand in another order than the network's; they were matched by id and name"):
        run = collect(other, root, tmp_path / "run")
    assert run.manifest.data.model_classes == (1, 2, 0)
    right = (run.samples["predicted"] == run.samples["class"]).mean()
    assert run.accuracy.top1 == pytest.approx(right)


def test_a_backbone_gives_gates_and_no_predictions(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    class Backbone(nn.Module):
        def __init__(self, stages: nn.Module) -> None:
            super().__init__()
            self.stages = stages

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"0": self.stages(images)}

    backbone = dataclasses.replace(
        tiny_network, model=Backbone(tiny_network.model.stages), task="detection", classes=None, fixed_size=False
    )
    root = make_folder(COUNTS)
    whole = collect(tiny_network, root, tmp_path / "whole")
    with pytest.warns(UserWarning, match="is the backbone of one for detection: it gives no predictions"):
        run = collect(backbone, root, tmp_path / "run")
    for name in whole.blocks:
        np.testing.assert_allclose(run.gates(name), whole.gates(name), atol=2e-5)
    assert run.accuracy is None
    assert run.samples[["predicted", "correct", "in_top5"]].isna().all().all()


def test_images_of_many_sizes(tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = make_folder(COUNTS)
    for k, path in enumerate(sorted(root.rglob("*.png"))):
        with Image.open(path) as image:
            image.resize((16 + 2 * (k % 3), 16)).save(path)
    to_tensor = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    free = dataclasses.replace(tiny_network, preprocess=to_tensor, fixed_size=False)
    run = collect(free, root, tmp_path / "run")
    for path, gate in zip(run.samples["path"], run.gates("SE_3_1"), strict=True):
        with capture_gates(free.model, free.blocks) as gates, torch.no_grad():
            free.model(to_tensor(Image.open(root / path))[None])
        np.testing.assert_allclose(gate, gates["SE_3_1"][0], atol=2e-5)


def test_an_image_that_cannot_be_preprocessed_has_failed(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder(COUNTS)
    Image.new("RGB", (1, 400_000)).save(root / "red" / "000.png")

    def refuse(image: Image.Image) -> Tensor:
        raise ValueError("output sizes should be greater than 0")

    with pytest.warns(UserWarning, match="1 of 30 images failed"):
        run = collect(tiny_network, root, tmp_path / "run", max_failures=0.1)
    assert run.samples.set_index("path").loc["red/000.png", "status"] == "failed"
    unwilling = dataclasses.replace(tiny_network, preprocess=refuse)
    with pytest.raises(TooManyFailuresError, match="cannot be preprocessed: output sizes should be greater than 0"):
        collect(unwilling, root, tmp_path / "none", workers=0)


@pytest.mark.filterwarnings("ignore:The classes of the data are not:UserWarning")
def test_torchrun_gives_the_same_bits(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    root, spec = make_folder(COUNTS), f"{Path(__file__).parent / 'own_network.py'}:make"
    options = ["--compile", "off", "--workers", "0", "-o", str(tmp_path / "two")]
    process = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "seviz", "capture", spec, str(root), *options),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("images: 30 (30 ok) of 3 classes") >= 1
    options = {"compile": "off", "workers": 0}
    seviz.collect(seviz.load(spec), root, tmp_path / "one", **options)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    seviz.collect(seviz.load(spec), root, tmp_path / "two", **options)  # to another process it is the same run


def test_fewer_chunks_than_processes(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(COUNTS)
    collect(tiny_network, root, tmp_path / "whole")
    monkeypatch.setenv("WORLD_SIZE", "8")
    for rank in (5, 2, 1, 0, 7):
        monkeypatch.setenv("RANK", str(rank))
        run = collect(tiny_network, root, tmp_path / "run")
        assert run.complete == (rank in (0, 7))  # the third of the three that have work to do merges
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")
    with pytest.raises(OptionError, match="batches in memory are collected by one process; give files to several"):
        collect(tiny_network, [], tmp_path / "memory")


class Linear(nn.Module):
    """An SE block without a sigmoid; where gates lie in [0, 1], they are those of a hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, u: Tensor) -> Tensor:
        return u * (self.expand(torch.relu(self.reduce(u.mean((2, 3), keepdim=True)))) / 6 + 0.5)


@pytest.fixture
def linear_network(tiny_network: Network) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(), Linear(16)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)),
        )
    return dataclasses.replace(tiny_network, model=model.eval())


def test_gates_of_a_function_that_was_taken_for_a_bounded_one_are_not_clipped(
    linear_network: Network, tmp_path: Path
) -> None:
    """Whatever the search calls its gates, they are those of the network, in each chunk and however many are kept."""
    block = dataclasses.replace(linear_network.blocks["SE_2_1"], gate="hard_sigmoid", bounds=(0.0, 1.0))
    vars(linear_network)["blocks"] = {"SE_2_1": block}
    x = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x[4:8] *= 3000  # the second of three chunks
    y = torch.arange(12) % 3
    gates = []
    handle = linear_network.model[4].expand.register_forward_hook(lambda *call: gates.append(call[2] / 6 + 0.5))
    with torch.no_grad():
        linear_network.model(x)
    handle.remove()
    expected = gates[0].flatten(1).numpy()
    assert expected.min() < -1
    assert expected.max() > 2
    assert (expected[:4].min(), expected[:4].max()) > (0, 0)
    with pytest.warns(UserWarning, match="Gates of SE_2_1 lie outside of the bounds of their function"):
        run = collect(linear_network, [(x, y)], tmp_path / "run", chunk_size=4)
    np.testing.assert_allclose(run.gates("SE_2_1"), expected, rtol=1e-5, atol=1e-5)
    assert list(run.samples["status"]) == ["ok"] * 12
    assert run.bounds("SE_2_1") == (-np.inf, np.inf)
    dtypes = [read_arrays(path)[0]["gates/excitation/SE_2_1"].dtype for path in run.chunk_paths()]
    assert dtypes == [np.uint16, np.float32, np.uint16]
    whole = contents(run.path)
    run.chunk_path(1).unlink()
    run.samples_path.unlink()
    with pytest.warns(UserWarning, match="Gates of SE_2_1 lie outside"):
        collect(linear_network, [(x, y)], run.path, chunk_size=4)
    assert contents(run.path) == whole
    with pytest.warns(UserWarning, match="Gates of SE_2_1 lie outside"):
        bare = collect(linear_network, [(x, y)], tmp_path / "bare", chunk_size=4, keep_gates="none")
    assert bare.bounds("SE_2_1") == (-np.inf, np.inf)
    assert bare["SE_2_1"]["max"].max() == pytest.approx(expected.max(), rel=1e-5)
