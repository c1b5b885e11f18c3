from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from seviz.capture.datasets import Dataset
from seviz.capture.keeping import bytes_per_image, check_keep_gates, kept
from seviz.classes import Classes
from seviz.errors import OptionError
from seviz.run.places import size


def data(labels: np.ndarray, classes: int = 3) -> Dataset:
    names = tuple("abc"[:classes])
    paths = tuple(f"{k}.png" for k in range(len(labels)))
    return Dataset("made", Path("/nowhere"), Classes(names, names), paths, labels)


def test_all_or_none() -> None:
    some = data(np.repeat([0, 2], 5))
    assert kept(some, "all").all()
    assert not kept(some, "none").any()


def test_some_of_each_class() -> None:
    some = data(np.repeat([0, 1, 2], [40, 2, 10]))
    chosen = kept(some, "per-class:5")
    assert np.bincount(some.labels[chosen], minlength=3).tolist() == [5, 2, 5]
    assert chosen[5:40].any()  # drawn, and not the first ones
    np.testing.assert_array_equal(chosen, kept(some, "per-class:5"))


def test_some_of_each_class_where_images_have_several() -> None:
    labels = np.random.default_rng(0).random((200, 3)) < [0.5, 0.02, 0]
    some = data(labels)
    chosen = kept(some, "per-class:7")
    assert chosen[labels[:, 1]].sum() == min(7, labels[:, 1].sum())
    assert 7 <= chosen[labels[:, 0]].sum() <= 14
    assert not chosen[~labels.any(1)].any()


def test_bytes_of_an_image() -> None:
    blocks = [SimpleNamespace(channels=100, bounds=(0, 1)), SimpleNamespace(channels=10, bounds=(0, 2))]
    assert bytes_per_image(blocks, ["excitation"]) == 2 * 100 + 4 * 10
    assert bytes_per_image(blocks, ["excitation", "squeeze", "response"]) == 2 * 100 + 4 * 10 + 2 * 4 * 110


def test_the_sizes_of_imagenet() -> None:
    resnet = [SimpleNamespace(channels=15104, bounds=(0, 1))]
    assert size(50_000 * bytes_per_image(resnet, ["excitation"])) == "1.51 GB"
    assert size(1_281_167 * bytes_per_image(resnet, ["excitation"])) == "38.7 GB"


@pytest.mark.parametrize("wrong", ["some", "per-class:0", "per-class:", "per-class:5x", ""])
def test_what_cannot_be_asked_for(wrong: str) -> None:
    with pytest.raises(
        OptionError, match=f"keep_gates is '{wrong}', expected auto, all, none or per-class:N, such as per"
    ):
        check_keep_gates(wrong)
    for right in ("auto", "all", "none", "per-class:50"):
        check_keep_gates(right)
