import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

import seviz
from seviz.errors import CompiledModelError, ExampleError, OptionError, UnknownModelError
from seviz.network.networks import Network
from seviz.network.wrapping import wrap
from tests.network.own_modules import EXAMPLE, own


def test_a_module_is_a_network_and_stays_as_it_was() -> None:
    module = own().train()
    network = wrap(module, EXAMPLE, class_names=["a", "b", "c"])
    assert network.model is module
    assert module.training
    assert (network.spec, network.class_names, network.input_size) == ("memory:Own", ("a", "b", "c"), (1, 12, 12))
    assert [block.path for block in network.blocks.values()] == ["block"]
    assert (network.trained, network.task, network.in_memory, network.takes_images) == (
        True,
        "classification",
        True,
        True,
    )
    assert wrap(module, (1, 1, 12, 12), name="mine", trained=False).spec == "memory:mine"


def test_wrappers_are_taken_off() -> None:
    module = own()
    assert wrap(nn.DataParallel(module), EXAMPLE).model is module


@pytest.mark.parametrize(
    ("known", "options", "message"),
    [
        ({}, {"class_names": ["a"]}, "class_names has 1 names, and Own tells 3 classes; give 3"),
        ({"classes": 1}, {"class_names": ["a"]}, "class_names has 1 names, and Own tells 2 classes; give 2"),
        ({}, {"class_names": "abc"}, "class_names is 'abc', expected a list of names"),
        ({}, {"mean": [0.5]}, "mean is given and std is not; give both, or neither"),
        ({}, {"std": [0.5]}, "std is given and mean is not; give both, or neither"),
        ({}, {"mean": [0.5] * 3, "std": [0.5]}, "mean has 3 numbers, and the example 1 channels"),
        ({}, {"mean": [0.5], "std": []}, "std has 0 numbers, and the example 1 channels"),
        ({}, {"outputs": lambda x: x[:, :, None]}, r"outputs gave a tensor of shape \(2, 3, 1\), expected logits"),
    ],
)
def test_what_does_not_fit_is_told(known: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        wrap(own(**known), EXAMPLE, **options)


def test_no_module_and_no_example_of_it() -> None:
    with pytest.raises(OptionError, match=r"module is a str, expected a torch\.nn\.Module"):
        wrap("timm/resnet18", EXAMPLE)
    with pytest.raises(ExampleError, match=r"Own does not take shape \(2, 3, 12, 12\) as example"):
        wrap(own(), torch.zeros(2, 3, 12, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and in use
        traced = torch.jit.trace(own(), EXAMPLE)
    with pytest.raises(CompiledModelError, match="it is TorchScript"):
        wrap(traced, EXAMPLE)


def test_preprocessing_is_of_mean_and_std_of_the_module_or_the_persons_own() -> None:
    picture = Image.new("L", (24, 18), 51)  # 0.2
    by_numbers = wrap(own(), EXAMPLE, mean=[0.1], std=[0.5])
    assert torch.allclose(by_numbers.preprocess(picture), torch.full((1, 12, 12), 0.2))  # (0.2 - 0.1) / 0.5
    assert (by_numbers.preprocessing["mean"], by_numbers.preprocessing["std"]) == ([0.1], [0.5])
    known = timm.create_model("mobilenetv3_small_050", num_classes=2)
    assert wrap(known, (1, 3, 64, 64)).preprocess(picture.convert("RGB")).shape == (3, 64, 64)
    mine = wrap(own(), EXAMPLE, preprocess=lambda image: torch.full((1, 12, 12), float(np.asarray(image).mean())))
    assert mine.preprocess(picture).unique().tolist() == [51]
    none = wrap(own(), EXAMPLE)
    assert none.preprocessing == {"library": "none"}
    with pytest.raises(OptionError, match="Own has no preprocessing, so that image files and PIL"):
        none.preprocess(picture)


def test_what_runs_again_only_in_python_says_so(tmp_path: Path) -> None:
    network = wrap(own(), EXAMPLE)
    run = seviz.collect(network, [(torch.randn(6, 1, 12, 12), torch.tensor([0, 1, 2] * 2))], tmp_path / "run")
    assert any("was a module in memory (Own): to run it again takes seviz.wrap" in r for r in run.remarks)
    with pytest.raises(
        UnknownModelError, match=r"'memory:Own' was a module in memory, which no spec makes again; hand"
    ):
        seviz.load(run.manifest.model.spec)


def test_every_door_that_takes_a_network_reads_its_logits() -> None:
    """Evaluation, attribution and one block held constant, of a network that returns a dict."""
    plain, other = wrap(own(), EXAMPLE), wrap(own(give=lambda x: {"logits": x, "aux": x * 0}), EXAMPLE)
    images, labels = torch.randn(8, 1, 12, 12, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3
    from seviz.experiments.attribution import attribute
    from seviz.experiments.evaluation import evaluate

    def both(work: Callable[[Network], Any]) -> tuple[Any, Any]:
        return work(plain), work(other)

    one, two = both(lambda network: evaluate(network, data=[(images, labels)], device="cpu"))
    assert one.predicted.tolist() == two.predicted.tolist()
    assert one.loss.tolist() == two.loss.tolist()
    first, second = both(lambda network: attribute(network, data=[(images, labels)], device="cpu").values["SE_2_1"])
    assert np.array_equal(first, second)
    assert np.abs(first).max() > 0
