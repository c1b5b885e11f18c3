"""Whatever loaders and data sets give is collected as the gates of a hand-written loop are."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import seviz
from seviz.errors import EmptyDataError, EngineError, OptionError, UnknownClassError
from seviz.network.gates import capture_gates
from seviz.run.store import Run
from tests.network.own_modules import EXAMPLE, own

X = torch.randn(10, 1, 12, 12, generator=torch.Generator().manual_seed(3))
Y = torch.arange(10) % 3
NAMES = ["cat", "dog", "owl"]


def collected(model: Any, data: Any, tmp_path: Path, **options: Any) -> Run:
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Top-1 accuracy is|The network gives no logits|The classes of the data"
        )
        return seviz.collect(model, data, tmp_path / "run", device="cpu", batch_size=4, chunk_size=6, **options)


def by_hand(module: nn.Module, *inputs: Any) -> np.ndarray:
    module.eval()
    example = inputs if len(inputs) > 1 else inputs[0]
    with torch.no_grad(), capture_gates(module, seviz.find_se_blocks(module, example)) as gates:
        module(*inputs)
    return gates["SE_2_1"].numpy()


class Items(Dataset):
    """A map-style data set, which has no end of its own."""

    def __init__(self, give: Callable[[int], Any]) -> None:
        self.give = give

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        return self.give(index % len(X))


def once() -> Iterator[Any]:
    yield X[:3], Y[:3]
    yield X[3:], Y[3:]


@pytest.mark.parametrize(
    "data",
    [
        lambda: DataLoader(TensorDataset(X, Y), batch_size=3),
        lambda: TensorDataset(X, Y),
        lambda: Items(lambda k: (X[k], int(Y[k]))),
        lambda: Items(lambda k: (X[k].numpy(), NAMES[int(Y[k])])),
        lambda: DataLoader(Items(lambda k: {"pixel_values": X[k], "labels": int(Y[k])}), batch_size=4),
        lambda: [{"x": X, "label": [NAMES[k] for k in Y]}],
        once,
        lambda: iter([[X, Y.numpy()]]),
    ],
    ids=["DataLoader", "TensorDataset", "items", "arrays and names", "dicts", "one dict", "once", "lists"],
)
def test_forms_of_data(data: Callable[[], Any], tmp_path: Path) -> None:
    module = own().train()
    run = collected(module, data(), tmp_path, class_names=NAMES)
    assert module.training
    assert run.labels.tolist() == Y.tolist()
    assert run.classes.names == tuple(NAMES)
    assert np.abs(run.gates("SE_2_1") - by_hand(module, X)).max() < 1e-5
    with torch.no_grad():
        predicted = module(X).argmax(1)
    assert [NAMES.index(name) for name in run.samples["predicted"]] == predicted.tolist()


def test_pictures_go_through_preprocess_and_tensors_do_not(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((20, 20), 20 * k, np.uint8)) for k in range(10)]
    network = seviz.wrap(own(), EXAMPLE, mean=[0.1], std=[0.5])
    tensors = torch.stack([torch.full((1, 12, 12), (20 * k / 255 - 0.1) / 0.5) for k in range(10)])
    runs = [
        collected(network, data, tmp_path / str(number))
        for number, data in enumerate(
            (
                [(pictures, Y)],
                Items(lambda k: {"image": pictures[k], "label": int(Y[k])}),
                [(picture.convert("RGB"), int(label)) for picture, label in zip(pictures, Y, strict=True)],
                [(tensors, Y)],
            )
        )
    ]
    for run in runs[1:]:
        assert np.abs(run.gates("SE_2_1") - runs[0].gates("SE_2_1")).max() < 2e-5
    with pytest.raises(
        OptionError, match=r"data holds PIL images.* hand over seviz\.wrap\(module, example, preprocess"
    ):
        collected(own(), [(pictures, Y)], tmp_path / "none")


class Two(nn.Module):
    """An image and a number for each."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = own()

    def forward(self, image: Tensor, scale: Tensor) -> Tensor:
        return self.inner(image * scale[:, None, None, None])


class Embedded(nn.Module):
    """An image and the index of what is added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.table = own(), nn.Embedding(5, 1)

    def forward(self, image: Tensor, where: Tensor) -> Tensor:
        return self.inner(image + self.table(where)[:, :, None, None])


def test_several_inputs(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        two, embedded = Two(), Embedded()
    scale, where = torch.linspace(0.5, 2, 10), torch.arange(10) % 5
    for number, (module, inputs, data) in enumerate(
        (
            (two, (X, scale), [((X, scale), Y)]),
            (two, (X, scale), DataLoader(Items(lambda k: ((X[k], scale[k]), int(Y[k]))), batch_size=4)),
            (two, (X, scale), [{"scale": scale, "image": X, "labels": Y}]),
            (embedded, (X, where), [{"where": where, "image": X, "labels": Y}]),
        )
    ):
        run = collected(module, data, tmp_path / str(number))
        assert run.manifest.engine.name == "eager"
        assert np.abs(run.gates("SE_2_1") - by_hand(module, *inputs)).max() < 1e-5
        assert run.accuracy is not None
    with pytest.raises(EngineError, match="memory:Two takes several inputs, and cannot be compiled; leave compile out"):
        collected(two, [((X, scale), Y)], tmp_path / "compiled", compile="on")


def test_what_cannot_be_predicted_is_not_wrong(tmp_path: Path) -> None:
    features = seviz.wrap(own(give=lambda x: {"features": x}), EXAMPLE, class_names=NAMES)
    run = collected(features, [(X, Y)], tmp_path)
    assert run.accuracy is None
    assert run.samples["correct"].isna().all()
    assert "The network gives no logits (batch, classes) that were found: accuracy was left out." in run.remarks
    with pytest.raises(OptionError, match="what the labels mean is not known: memory:Own gives no logits, and has no"):
        collected(own(give=lambda x: {"features": x}), [(X, Y)], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_logits_of_a_model_output_are_read(tmp_path: Path) -> None:
    module = own(give=lambda x: (x, x * 0))
    with torch.no_grad():
        labels = module(X)[0].argmax(1)
    run = collected(module, [(X, labels)], tmp_path)
    assert run.accuracy is not None
    assert (run.accuracy.top1, run.accuracy.top5) == (1.0, None)
    assert run.classes.names == ("0", "1", "2")


def test_one_logit_tells_two_classes(tmp_path: Path) -> None:
    module = own(classes=1)
    with torch.no_grad():
        module.head.bias -= module(X).median()
        labels = (module(X)[:, 0] > 0).long()
    assert 0 < int(labels.sum()) < 10
    run = collected(module, [(X, labels)], tmp_path, class_names=["sick", "well"])
    assert run.accuracy is not None
    assert (run.accuracy.top1, run.accuracy.top5, str(run.accuracy)) == (1.0, None, "top-1 100.0% of 10 images")


def test_of_several_classes_some_are_among_the_first_five(tmp_path: Path) -> None:
    module = own(classes=8)
    labels = torch.arange(10) % 8
    run = collected(module, [(X, labels)], tmp_path)
    with torch.no_grad():
        expected = (module(X).topk(5).indices == labels[:, None]).any(1).double().mean()
    assert run.accuracy is not None
    assert run.accuracy.top5 == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([(X, Y, Y)], OptionError, r"item 0 of data is a tuple of 3; expected \(inputs, labels\), or a dict"),
        ([X], OptionError, "item 0 of data is a Tensor; expected"),
        ([{"image": X}], OptionError, "item 0 of data is a dict of image; expected"),
        (5, OptionError, "data is a int, expected a data set, or batches"),
        ([(X, Y.double())], OptionError, r"batch 0 has labels \(10,\) of torch.float64, expected whole numbers"),
        ([(X, torch.zeros(10, 3))], OptionError, r"batch 0 has labels \(10, 3\) of torch.float32"),
        ([(X, Y + 1)], OptionError, "batch 0 has labels 1 to 3, expected 0 to 2"),
        ([(X, ["cat"] * 9 + ["cow"])], UnknownClassError, "no class 'cow' in the network; it has cat, dog, owl"),
        ([(X, Y[:4])], OptionError, "batch 0 has 10 images and 4 labels, expected as many"),
        ([(X[:, 0], Y)], OptionError, r"batch 0 is \(10, 12, 12\), expected inputs \(batch, channels, height, width\)"),
        ([("a.png", "cat")], OptionError, "batch 0 holds no tensor; expected"),
        ([], EmptyDataError, "the batches held no image"),
    ],
)
def test_other_forms_are_told_and_nothing_is_written(
    data: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        collected(seviz.wrap(own(), EXAMPLE, class_names=NAMES), data, tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_module_and_a_data_set_of_files(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    tiny_folder = make_folder({"red": 3, "green": 3})
    with pytest.raises(OptionError, match=r"how images become tensors is not known of a Own; hand over seviz\.wrap"):
        collected(own(), tiny_folder, tmp_path)
    with pytest.raises(OptionError, match="memory:Own was wrapped without preprocessing; give"):
        collected(seviz.wrap(own(channels=3), (1, 3, 12, 12)), tiny_folder, tmp_path)
    network = seviz.wrap(own(channels=3), (1, 3, 12, 12), mean=[0.5] * 3, std=[0.5] * 3)
    assert len(collected(network, tiny_folder, tmp_path).samples) > 0


def test_a_batch_on_another_device_is_brought_to_the_networks(tmp_path: Path) -> None:
    """Without a GPU: tensors that are on no CPU are not staged in its memory."""
    from seviz.capture.engines import _to_device

    batch = _to_device([torch.ones(3, device="meta")] * 2, 2, torch.device("meta"), torch.float64)
    assert (batch.shape, batch.dtype, batch.device.type) == ((2, 3), torch.float64, "meta")
