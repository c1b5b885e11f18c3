from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor, nn

from seviz.capture.datasets import open_dataset
from seviz.capture.indexed import Dataset
from seviz.classes import Classes
from seviz.errors import DataNotFoundError, EmptyDataError, OptionError
from seviz.experiments.attribution import attribute
from seviz.experiments.causal import intervene, swap
from seviz.experiments.evaluation import classes_of, evaluate, labelled_batches, on_device, outcome_of
from seviz.network.networks import Network
from seviz.options import Reading
from seviz.run.store import Run
from tests.experiments.made_network import NAMES

BATCHES = [
    (torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(k)), torch.tensor([0, 1, 2, k, 1]))
    for k in range(3)
]


def test_accuracy_and_loss_as_numpy_has_them(network: Network) -> None:
    found = evaluate(network, data=BATCHES)
    with torch.no_grad():
        logits = torch.cat([network.model(images) for images, _ in BATCHES]).double().numpy()
    labels = torch.cat([labels for _, labels in BATCHES]).numpy()
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.predicted, logits.argmax(1))
    np.testing.assert_allclose(
        found.loss, special.logsumexp(logits, 1) - logits[np.arange(15), labels], rtol=0, atol=1e-6
    )
    assert found.accuracy == np.mean(logits.argmax(1) == labels)
    assert np.isnan(found.top5)  # of three classes
    assert found.failed == 0
    table = found.by_class().set_index("class")
    assert list(table["images"]) == [4, 7, 4]
    for k, name in enumerate(NAMES):
        own = labels == k
        assert table.loc[name, "accuracy"] == np.mean(logits[own].argmax(1) == k)
        interval = stats.binomtest(int((logits[own].argmax(1) == k).sum()), int(own.sum())).proportion_ci(
            method="wilson"
        )
        np.testing.assert_allclose(table.loc[name, ["low", "high"]].astype(float), interval, atol=1e-9)
        assert table.loc[name, "loss"] == pytest.approx(found.loss[own].mean())
        assert table.loc[name, "class_name"] == name


def test_images_of_a_folder(network: Network, folder: Path) -> None:
    (folder / "red" / "002.png").write_bytes(b"")
    seen = []
    found = evaluate(network, data=folder, batch_size=5, workers=0, progress=lambda *done: seen.append(done))
    assert (found.accuracy, found.failed, len(found.labels)) == (1.0, 1, 11)
    assert seen == [(5, 12), (10, 12), (12, 12)]
    by_worker = evaluate(network, data=open_dataset(folder), batch_size=5, workers=1)
    np.testing.assert_array_equal(by_worker.labels, found.labels)
    np.testing.assert_array_equal(by_worker.loss, found.loss)
    assert list(evaluate(network, data=folder, per_class=2, workers=0).by_class()["images"].iloc[:2]) == [2, 2]


def test_labels_are_those_of_the_network(network: Network, folder: Path) -> None:
    (folder / "green").rename(folder / "aaa")
    renamed = replace(network, classes=Classes(("blue", "aaa", "red"), ("blue", "aaa", "red")))
    batches = list(labelled_batches(renamed, folder, Reading(workers=0)))
    assert batches[0].labels.tolist() == [1] * 3 + [0] * 4 + [2] * 5
    assert batches[0].paths[0] == "aaa/000.png"
    assert evaluate(renamed, data=folder, workers=0).accuracy == 1


def test_the_five_best(tiny_net: nn.Module, network: Network) -> None:
    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.arange(8.0).expand(len(images), 8)

    eight = Classes(tuple("abcdefgh"), tuple("abcdefgh"))
    images = torch.zeros(8, 3, 4, 4)
    found = evaluate(replace(network, model=Fixed(), classes=eight), data=[(images, torch.arange(8))])
    assert found.in_top5.tolist() == [False] * 3 + [True] * 5
    assert (found.accuracy, found.top5) == (1 / 8, 5 / 8)
    assert (
        evaluate(replace(network, model=Fixed(), classes=None), data=[(images, torch.arange(8))]).classes.ids[7] == "7"
    )


def test_no_image_that_can_be_read_is_no_accuracy(network: Network, make_folder: Callable[..., Path]) -> None:
    data = make_folder({"blue": 1, "green": 1}, "broken")
    for path in data.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(
        EmptyDataError, match=r"none of the 2 images of data '.*broken' can be read; `seviz scan` says why"
    ):
        evaluate(network, data=data, workers=0)


def test_the_model_comes_back_as_it_was(network: Network) -> None:
    network.model.train()
    network.model.first.eval()
    evaluate(network, data=BATCHES)
    assert network.model.training
    assert not network.model.first.training
    with on_device(network.model) as place:
        assert place == next(network.model.parameters()).device
        assert not network.model.training
        assert not torch.is_grad_enabled()
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        evaluate(network, data=[(torch.zeros(1, 2, 4, 4), torch.zeros(1).long())])
    assert network.model.training


def test_wrong_use(network: Network, folder: Path) -> None:
    images = torch.zeros(2, 3, 16, 16)
    for data, message in (
        ([(images[0], torch.zeros(2).long())], r"batch 0 is \(3, 16, 16\) with labels \(2,\) of torch.int64, expected"),
        ([(images, torch.zeros(3).long())], r"labels \(3,\)"),
        ([(images, torch.zeros(2))], "of torch.float32, expected"),
        ([(images, torch.tensor([0, -1]))], "batch 0 has the label -1, expected 0 or more"),
        ([(images, torch.tensor([0, 3]))], r"gives \(2, 3\) for 2 images with labels up to 3, expected logits"),
    ):
        with pytest.raises(OptionError, match=message):
            evaluate(network, data=data)
    with pytest.raises(EmptyDataError, match="there is no image"):
        evaluate(network, data=[])
    with pytest.raises(OptionError, match="per_class chooses from a data set; batches in memory were given"):
        evaluate(network, data=BATCHES, per_class=1)
    for name in ("per_class", "batch_size"):
        with pytest.raises(OptionError, match=f"{name} is 0, expected at least 1"):
            evaluate(network, data=folder, **{name: 0})
    with pytest.raises(OptionError, match="is the backbone of one for detection: it predicts no class"):
        evaluate(replace(network, task="detection"), data=folder)
    others = Classes(("a", "b", "c"), ("a", "b", "c"))
    for classes in (others, None):
        with pytest.raises(OptionError, match=r"\(blue, green, red, \.\.\.\) are not those of tests/read_from_gates"):
            evaluate(replace(network, classes=classes), data=folder)
    several = Dataset("made", folder, Classes(NAMES, NAMES), ("x.png",), np.ones((1, 3), bool))
    with pytest.raises(OptionError, match="images of data 'made' have several classes, expected one of each"):
        evaluate(network, data=several, per_class=1)
    with pytest.raises(OptionError, match=r"ReLU gives \(2, 3, 16, 16\) for 2 images"):
        evaluate(replace(network, model=nn.ReLU()), data=[(images, torch.zeros(2).long())])
    with pytest.raises(OptionError, match="device 'cuda:99' cannot be used"):
        evaluate(network, data=BATCHES, device="cuda:99")


def test_classes_that_are_not_known_are_numbers(network: Network) -> None:
    assert classes_of(network, 3).ids == NAMES
    assert classes_of(replace(network, classes=None), 3).names == ("0", "1", "2")


def test_images_whose_logits_are_not_finite_are_left_out_and_said(network: Network) -> None:
    images, labels = torch.cat([x for x, _ in BATCHES]), torch.cat([y for _, y in BATCHES])
    images[[2, 7]] = torch.tensor([torch.nan, torch.inf])[:, None, None, None]
    with torch.no_grad():
        logits = network.model(images)
    assert (~logits.isfinite()).any(1).nonzero()[:, 0].tolist() == [2, 7]
    with pytest.warns(UserWarning, match="logits of tests/read_from_gates are not finite for 2 images, which are left"):
        found = evaluate(network, data=[(images[:6], labels[:6]), (images[6:], labels[6:])])
    good = np.delete(np.arange(15), [2, 7])
    assert found.failed == 2
    np.testing.assert_array_equal(found.labels, labels[good])
    np.testing.assert_array_equal(found.predicted, logits[good].argmax(1))
    assert np.isfinite(found.loss).all()
    predicted, in_top5, loss = outcome_of(logits, labels.numpy())
    assert (predicted[[2, 7]].tolist(), in_top5[[2, 7]].tolist()) == ([-1, -1], [False, False])
    assert np.isnan(loss).nonzero()[0].tolist() == [2, 7]


def test_the_images_of_a_run_are_opened_again(tiny_network: Network, tiny_run: Run, tmp_path: Path) -> None:
    options = {"workers": 0, "device": "cpu"}
    found = evaluate(tiny_network, tiny_run, **options)
    predicted = [tiny_network.classes.ids[k] for k in found.predicted] if tiny_network.classes else []
    assert predicted == list(tiny_run.samples["predicted"])
    moved = tmp_path / "data"
    moved.rename(tmp_path / "moved")
    with pytest.raises(DataNotFoundError, match=r"are to be in .*data', which is no directory"):
        evaluate(tiny_network, tiny_run, **options)
    again = evaluate(tiny_network, tiny_run, root=tmp_path / "moved", **options)
    assert again.predicted.tolist() == found.predicted.tolist()
    others = evaluate(tiny_network, tiny_run, data=[(torch.zeros(2, 3, 16, 16), torch.tensor([0, 1]))], **options)
    assert others.labels.tolist() == [0, 1]


def test_what_is_no_run_is_told(tiny_network: Network) -> None:
    for function in (evaluate, attribute, intervene, partial(swap, block="SE_2_1")):
        message = r"run is a list, expected a run, as seviz\.open_run gives it; give images as data=\.\.\."
        with pytest.raises(OptionError, match=message):
            function(tiny_network, [])
    for function in (evaluate, attribute):
        with pytest.raises(OptionError, match=r"neither run nor data was given, expected a run, or images as data="):
            function(tiny_network)
