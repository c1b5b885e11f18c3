"""How signals and volumes are preprocessed, by numpy, and what is refused of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import seviz
from seviz.errors import OptionError
from seviz.network.preprocessing import of_arrays
from tests.dimensions import SIDES

FACTORY = """
from tests.dimensions import network

def make({arguments}):
    model = network({d})
    {known}
    return model
"""


def factory(folder: Path, d: int, known: str = "", arguments: str = "") -> str:
    (folder / "nets.py").write_text(FACTORY.format(d=d, known=known, arguments=arguments))
    return f"{folder}/nets.py:make"


def config(d: int, **others: Any) -> str:
    return f"model.pretrained_cfg = { ({'input_size': (3, *SIDES[d])} | others)!r}"


@pytest.mark.parametrize("size", [(2, 9), (2, 3, 4, 5)])
def test_each_channel_is_normalised(size: tuple[int, ...]) -> None:
    seen = of_arrays("mine", size, (1.0, -2.0), (0.5, 4.0))
    values = np.random.default_rng(0).normal(size=size)
    expected = np.stack([(values[0] - 1) / 0.5, (values[1] + 2) / 4])
    np.testing.assert_allclose(seen.preprocess(torch.from_numpy(values)).numpy(), expected)
    assert (seen.told, seen.input_size) == ({"library": "seviz", "mean": [1.0, -2.0], "std": [0.5, 4.0]}, size)


def test_what_cannot_be_normalised_is_refused() -> None:
    with pytest.raises(OptionError, match="mean is given and std is not; give both, or neither"):
        of_arrays("mine", (2, 9), (1.0, 1.0))
    with pytest.raises(OptionError, match="mean has 3 numbers, and the network takes 2 channels; give 2"):
        of_arrays("mine", (2, 9), (1.0,) * 3, (1.0,) * 3)
    with pytest.raises(OptionError, match="std has 1 number, and the network takes 2 channels; give 2"):
        of_arrays("mine", (2, 9), (1.0,) * 2, (1.0,))
    with pytest.raises(OptionError, match=r"std is \(1.0, 0.0\), expected numbers greater than 0"):
        of_arrays("mine", (2, 9), (1.0,) * 2, (1.0, 0.0))
    for odd in (0.5, "ab", ["a", "b"]):
        with pytest.raises(OptionError, match=r"mean is .*, expected a list of numbers, one for each channel"):
            of_arrays("mine", (2, 9), odd, odd)  # type: ignore[arg-type]
    plain = of_arrays("mine", (2, 9))
    with pytest.raises(OptionError, match=r"mine takes inputs of shape \(2, 9\), and a picture is none. Give tensors"):
        plain.preprocess(Image.new("RGB", (4, 4)))
    with pytest.raises(OptionError, match="mine has no preprocessing; give mean and std, or leave preprocess out"):
        plain.preprocess(torch.zeros(2, 9))


@pytest.mark.parametrize("d", [1, 3])
def test_a_factory_tells_the_size_of_its_input(d: int, tmp_path: Path) -> None:
    size = (3, *SIDES[d])
    network = seviz.load(factory(tmp_path, d, config(d)))
    assert (network.input_size, network.example_size, network.fixed_size) == (size, size, True)
    assert (network.preprocessing, network.assumed, network.of_images) == ({"library": "none"}, (), False)
    known = seviz.load(factory(tmp_path, d, config(d, mean=(0.5,) * 3, std=[2, 2, 2], fixed_input_size=False)))
    assert known.preprocessing == {"library": "seviz", "mean": [0.5] * 3, "std": [2.0] * 3}
    assert not known.fixed_size
    assert known.example_size == size
    said = seviz.load(known.spec, mean=[1, 2, 3])
    expected = (1 - np.array([1, 2, 3])) / 2
    np.testing.assert_allclose(said.preprocess(torch.ones(size)).flatten(1)[:, 0], expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"img_size": 64}, r"img_size is given, and .*nets.py:make takes inputs of shape \(3, 32\), which are not r"),
        ({"interpolation": "bicubic"}, "interpolation is given, and .* which are not resized; leave it out"),
        ({"crop_pct": 0.9}, "crop_pct is given, and .* which are not resized; leave it out"),
        ({"mean": [1, 2, 3]}, "mean is given and std is not; give both, or neither"),
        ({"mean": [1], "std": [1]}, "mean has 1 number, and the network takes 3 channels; give 3"),
    ],
)
def test_settings_of_images_are_refused_by_name(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=message):
        seviz.load(factory(tmp_path, 1, config(1)), **settings)


@pytest.mark.parametrize("size", [(3,), (3, 0), (1, 2, 3, 4, 5), "3x4", (3, 32.0), (3, True), [[3, 4]]])
def test_an_input_size_that_is_none_is_refused(size: Any, tmp_path: Path) -> None:
    spec = factory(tmp_path, 1, f"model.pretrained_cfg = {{'input_size': {size!r}}}")
    expected = r"one of (channels, length), (channels, height, width), (channels, depth, height, width)"
    with pytest.raises(
        OptionError, match=re.escape(f"pretrained_cfg has input_size {size!r}, expected whole numbers, ")
    ) as e:
        seviz.load(spec)
    assert expected in str(e.value)


@pytest.mark.parametrize(("d", "axes"), [(1, "(channels, length)"), (3, "(channels, depth, height, width)")])
def test_a_size_that_cannot_be_assumed_is_asked_for(d: int, axes: str, tmp_path: Path) -> None:
    message = (
        f"gives a network of Conv{d}d, and the size of its input is not known; in the factory give the module"
        f' pretrained_cfg = {{"input_size": {axes}}}'
    )
    for known in ("", "model.pretrained_cfg = {'mean': (0.5,) * 3}"):
        with pytest.raises(OptionError, match=re.escape(message)):
            seviz.load(factory(tmp_path, d, known))
