import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seviz.compression.tuning import Epoch, fine_tune
from seviz.errors import EmptyDataError, OptionError, WeightsError
from seviz.experiments.evaluation import evaluate, labelled_batches
from seviz.network.naming import names_of
from seviz.network.networks import Network
from seviz.options import Reading

Batches = list[tuple[torch.Tensor, torch.Tensor]]
LEARN: dict[str, Any] = {"epochs": 20, "learning_rate": 0.1, "batch_size": 10, "device": "cpu"}
PLAIN: dict[str, Any] = {"padding": 0, "flip": False, "device": "cpu"}


@pytest.fixture
def data() -> Batches:
    """Images whose colour is their class, in two batches of unequal size."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(20) % 3
    images = torch.rand(20, 3, 16, 16, generator=generator)
    images[torch.arange(20), labels] += 1.0
    return list(zip(images.split(12), labels.split(12), strict=True))


@pytest.fixture
def network(tiny_network: Network) -> Network:
    """The tiny network with BatchNorm and dropout before the head, so that both have a part in what is learned."""
    model = tiny_network.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.head = nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 3))
    return replace(tiny_network, model=model.eval())


def state(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_network_learns_and_the_given_one_stays(network: Network, data: Batches) -> None:
    before, random_state = state(network), torch.get_rng_state()
    seen: list[Epoch] = []
    tuned = fine_tune(network, data, progress=seen.append, **LEARN)
    assert same(before, state(network))
    assert torch.equal(random_state, torch.get_rng_state())
    assert not any(module.training for module in tuned.model.modules())
    assert evaluate(tuned, data=data, device="cpu").accuracy == 1.0
    assert (tuned.names, tuned.trained) == (names_of(network.blocks), True)
    assert [epoch.number for epoch in seen] == list(range(1, 21))
    assert seen[-1].loss < seen[0].loss
    assert seen[-1].learning_rate == pytest.approx(0, abs=1e-3)


def test_one_step_is_that_of_plain_torch(network: Network, data: Batches) -> None:
    """SGD with Nesterov momentum, decay on matrices outside the SE layers only, at the full learning rate."""
    network.model.head[1].p = 0.0
    tuned = fine_tune(
        network, data, epochs=1, learning_rate=0.1, weight_decay=0.3, batch_size=20, label_smoothing=0.1, **PLAIN
    )
    images, labels = (torch.cat(parts) for parts in zip(*data, strict=True))
    model = network.model.train()
    F.cross_entropy(model(images), labels, label_smoothing=0.1).backward()
    for (name, old), (_, new) in zip(model.named_parameters(), tuned.model.named_parameters(), strict=True):
        gate = ".reduce." in name or ".expand." in name
        slope = old.grad + (0.3 * old if old.ndim > 1 and not gate else 0)
        np.testing.assert_allclose(new.detach(), (old - 0.1 * 1.9 * slope).detach(), atol=1e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_interrupted_training_ends_with_the_same_bits(
    network: Network, data: Batches, tmp_path: Path, optimizer: Any
) -> None:
    options: dict[str, Any] = {
        "epochs": 4,
        "warmup_epochs": 1,
        "batch_size": 6,
        "optimizer": optimizer,
        "device": "cpu",
    }
    whole = fine_tune(network, data, **options)

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(network, data, checkpoint=tmp_path / "tuning.pt", progress=stop, **options)
    seen: list[int] = []
    torch.rand(7)
    again = fine_tune(
        network, data, checkpoint=tmp_path / "tuning.pt", progress=lambda e: seen.append(e.number), **options
    )
    assert seen == [3, 4]
    assert same(state(whole), state(again))
    assert same(state(whole), state(fine_tune(network, data, checkpoint=tmp_path / "tuning.pt", **options)))
    assert [path.name for path in tmp_path.iterdir()] == ["tuning.pt"]


def test_a_data_set_trains_as_its_images_in_memory_do(network: Network, make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"blue": 4, "green": 4, "red": 5})
    options: dict[str, Any] = {"epochs": 3, "batch_size": 6, "device": "cpu"}
    images = [
        (batch.images, torch.from_numpy(batch.labels))
        for batch in labelled_batches(network, folder, Reading(workers=0))
    ]
    tuned = fine_tune(network, folder, workers=0, **options)
    assert same(state(tuned), state(fine_tune(network, images, **options)))
    assert not same(state(tuned), state(network))


def test_a_teacher_that_agrees_teaches_nothing(network: Network, data: Batches) -> None:
    network.model.head = network.model.head[2]  # without BatchNorm and dropout it gives the same in training
    tuned = fine_tune(network, data, epochs=1, weight_decay=0, teacher=network, distillation=1.0, **PLAIN)
    for old, new in zip(network.model.parameters(), tuned.model.parameters(), strict=True):
        np.testing.assert_allclose(new.detach(), old.detach(), atol=1e-6)


def test_a_teacher_is_followed(network: Network, data: Batches) -> None:
    teacher = fine_tune(network, data, **LEARN)
    wrong = [(images, (labels + 1) % 3) for images, labels in data]
    pupil = fine_tune(network, wrong, teacher=teacher, distillation=1.0, **LEARN)
    assert evaluate(pupil, data=data, device="cpu").accuracy > 0.9


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("epochs", 0, "epochs is 0, expected at least 1"),
        ("learning_rate", 0.0, "learning_rate is 0.0, expected a number above 0"),
        ("weight_decay", -1.0, "weight_decay is -1.0, expected at least 0"),
        ("batch_size", 1, "batch_size is 1, expected at least 2"),
        ("optimizer", "lion", "optimizer is 'lion', expected one of sgd, adamw"),
        ("warmup_epochs", 10, "warmup_epochs is 10, expected from 0 to below the 10 epochs"),
        ("label_smoothing", 1.0, "label_smoothing is 1.0, expected a share from 0 to below 1"),
        ("padding", -1, "padding is -1, expected at least 0"),
        ("temperature", 0.0, "temperature is 0.0, expected a number above 0"),
    ],
)
def test_options_out_of_range_are_refused(
    network: Network, data: Batches, option: str, value: Any, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        fine_tune(network, data, **{option: value})


def test_distillation_out_of_range_is_refused(network: Network, data: Batches) -> None:
    with pytest.raises(OptionError, match="distillation is 2, expected a share from 0 to 1"):
        fine_tune(network, data, teacher=network, distillation=2)


def test_a_teacher_of_other_classes_is_refused(network: Network, data: Batches) -> None:
    teacher = replace(network, model=nn.Sequential(nn.Flatten(), nn.Linear(768, 5)).eval())
    with pytest.raises(OptionError, match="the teacher gives logits of 5 classes, the network of 3"):
        fine_tune(network, data, teacher=teacher, device="cpu")


def test_a_loss_that_is_no_number_is_told(network: Network, data: Batches) -> None:
    broken = [(images * float("nan"), labels) for images, labels in data]
    with pytest.raises(OptionError, match=r"the loss is nan in step 1 of epoch 1: learning_rate is 0\.01"):
        fine_tune(network, broken, device="cpu")


def test_a_checkpoint_of_another_training_is_refused(network: Network, data: Batches, tmp_path: Path) -> None:
    fine_tune(network, data, epochs=1, checkpoint=tmp_path / "c.pt", device="cpu")
    with pytest.raises(OptionError, match=r"is of another training: epochs is 1 there and 2 here"):
        fine_tune(network, data, epochs=2, checkpoint=tmp_path / "c.pt", device="cpu")
    (tmp_path / "c.pt").write_bytes(b"broken")
    with pytest.raises(WeightsError, match=r"c\.pt is no checkpoint that can be read"):
        fine_tune(network, data, epochs=1, checkpoint=tmp_path / "c.pt", device="cpu")


def test_too_few_images_and_images_of_several_sizes_are_refused(network: Network, data: Batches) -> None:
    images, labels = data[0]
    with pytest.raises(EmptyDataError, match="there is 1 image to train on, expected two at least"):
        fine_tune(network, [(images[:1], labels[:1])], device="cpu")
    with pytest.raises(OptionError, match=r"the batches hold images of .* expected one size"):
        fine_tune(network, [(images, labels), (images[..., :8], labels)], device="cpu")


def test_a_network_without_gradients_is_refused(network: Network, data: Batches) -> None:
    network.model.requires_grad_(False)
    with pytest.raises(OptionError, match="no parameter of tests/tiny takes a gradient"):
        fine_tune(network, data, device="cpu")


def test_a_teacher_in_float64_gets_images_in_float64(network: Network, data: Batches) -> None:
    network.model.head = network.model.head[2]  # without BatchNorm and dropout it gives the same in training
    teacher = replace(network, model=copy.deepcopy(network.model).double())
    tuned = fine_tune(network, data, epochs=1, weight_decay=0, teacher=teacher, distillation=1.0, **PLAIN)
    for old, new in zip(network.model.parameters(), tuned.model.parameters(), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-4)
