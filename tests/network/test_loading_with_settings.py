"""What is said of a network beside its spec reaches model, preprocessing and manifest, and makes it again."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import seviz
from seviz.errors import OptionError, SevizWarning, UnknownModelError, WeightsError
from seviz.experiments.reopening import reopen_network
from seviz.network.networks import Network

SMALL = "timm/mobilenetv3_small_050"
PICTURE = Image.fromarray(np.full((80, 90, 3), 51, np.uint8))  # 0.2


def test_arguments_reach_timms_model() -> None:
    network = seviz.load(
        SMALL,
        weights="none",
        num_classes=3,
        in_chans=1,
        class_names=["a", "b", "c"],
        model_kwargs={"drop_rate": 0.25},
        mean=[0.1],
        std=[0.5],
        img_size=48,
        crop_pct=1.0,
        interpolation="nearest",
    )
    assert network.model.num_classes == 3
    assert network.model.drop_rate == 0.25
    assert network.model.conv_stem.in_channels == 1
    assert (network.class_names, network.input_size) == (("a", "b", "c"), (1, 48, 48))
    assert len(network.blocks) == 9
    assert torch.allclose(network.preprocess(PICTURE.convert("L")), torch.full((1, 48, 48), 0.2))  # (0.2 - 0.1) / 0.5
    assert network.assumed == ()


def test_torchvisions_preprocessing_changes_by_what_is_said() -> None:
    known = seviz.load("torchvision/mobilenet_v3_small", weights="none")
    said = seviz.load("torchvision/mobilenet_v3_small", weights="none", img_size=64, mean=[0.1] * 3, std=[0.5] * 3)
    assert (known.input_size, said.input_size) == ((3, 224, 224), (3, 64, 64))
    assert torch.allclose(said.preprocess(PICTURE), torch.full((3, 64, 64), 0.2), atol=1e-3)
    assert said.preprocessing["resize"] == [round(64 * 256 / 224)]
    assert said.preprocessing["interpolation"] == known.preprocessing["interpolation"]


def test_nothing_said_changes_nothing() -> None:
    for spec in (SMALL, "torchvision/mobilenet_v3_small", "seviz/seresnet50-cifar10"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            network = seviz.load(spec, weights="none")
        assert network.settings.given() == {}
        assert network.assumed == ()


@pytest.mark.parametrize(
    ("spec", "said", "message"),
    [
        (SMALL, {"mean": [0.5] * 2}, "mean has 2 numbers, and the network takes 3 channels; give 3"),
        (SMALL, {"std": [0.5], "in_chans": 4}, "std has 1 number, and the network takes 4 channels; give 4"),
        (SMALL, {"class_names": ["a"]}, "class_names has 1 names, and .* tells 1000 classes; give 1000"),
        (SMALL, {"model_kwargs": {"bells": 3}}, "bells is given, and timm/mobilenetv3_small_050 does not take it"),
        (SMALL, {"ema": "no"}, "ema is no, and weights are none; it chooses among the weights in a file"),
        ("torchvision/resnet18", {"in_chans": 1}, "in_chans is 1, and torchvision's networks take 3; leave it out"),
        (
            "torchvision/resnet18",
            {"img_size": (32, 48)},
            r"img_size is \(32, 48\), and torchvision's preprocessing crops",
        ),
        ("torchvision/resnet18", {"model_kwargs": {"bells": 3}}, "bells is given, and torchvision/resnet18 does not"),
        (
            "torchvision/ssdlite320_mobilenet_v3_large",
            {"num_classes": 3},
            "num_classes is given, and of .* the backbone",
        ),
        (
            "torchvision/ssdlite320_mobilenet_v3_large",
            {"mean": [0.5] * 3},
            "mean is given, and the preprocessing is the",
        ),
        ("seviz/seresnet50-cifar10", {"num_classes": 3}, "num_classes is given, and seviz/.* is made in one way"),
    ],
)
def test_what_a_network_does_not_have_is_told(spec: str, said: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        seviz.load(spec, weights="none", **said)


def test_pretrained_weights_of_torchvision_have_their_classes() -> None:
    with pytest.raises(
        OptionError, match="num_classes is 5, and the pretrained weights of torchvision/resnet18 have 1000"
    ):
        seviz.load("torchvision/resnet18", num_classes=5)


@pytest.mark.parametrize("spec", [SMALL, "torchvision/mobilenet_v3_small"])
@pytest.mark.parametrize("classes", [1, 5])
def test_a_checkpoint_with_another_head_opens(spec: str, classes: int, tmp_path: Path) -> None:
    theirs = seviz.load(spec, weights="none", num_classes=classes)
    path = tmp_path / "last.pt"
    torch.save({"state_dict": theirs.model.state_dict(), "best": np.float64(0.9)}, path)
    with pytest.warns(SevizWarning, match=rf"classes: {classes}, as the weights in .* have \(num_classes\)"):
        network = seviz.load(spec, weights=path)
    assert network.weights_sha256 == theirs.weights_sha256
    assert (network.classes, network.settings.num_classes) == (None, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = [str(k) for k in range(max(classes, 2))]  # one logit tells two classes
        said = seviz.load(spec, weights=path, num_classes=classes, class_names=names)
    assert (said.assumed, said.class_names) == ((), tuple(names))


def test_a_head_of_a_factory_that_takes_no_number_of_classes(tmp_path: Path) -> None:
    (tmp_path / "fixed.py").write_text(
        "import timm\n\ndef make():\n    return timm.create_model('mobilenetv3_small_050')\n"
    )
    torch.save(timm.create_model("mobilenetv3_small_050", num_classes=5).state_dict(), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"2 of another shape \(classifier.bias, classifier.weight\)"):
        seviz.load(f"{tmp_path}/fixed.py:make", weights=tmp_path / "w.pt")


def test_the_moving_average_that_was_chosen_is_said_and_kept(tmp_path: Path) -> None:
    state = seviz.load(SMALL, weights="none").model.state_dict()
    average = {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}
    path = tmp_path / "w.pt"
    torch.save({"state_dict": state, "state_dict_ema": average}, path)
    with pytest.warns(SevizWarning, match=rf"weights: state_dict_ema of {path} \(ema no for state_dict\)"):
        network = seviz.load(SMALL, weights=path)
    assert torch.equal(network.model.conv_stem.weight, average["conv_stem.weight"])
    plain = seviz.load(SMALL, weights=path, ema="no")
    assert torch.equal(plain.model.conv_stem.weight, state["conv_stem.weight"])
    assert plain.settings.given() == {"ema": "no"}


GREY = """
import timm

def grey(num_classes=3):
    model = timm.create_model("mobilenetv3_small_050", in_chans=1, num_classes=num_classes)
    del model.pretrained_cfg
    return model
"""


def test_a_grey_network_of_a_factory(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(GREY)
    with pytest.warns(SevizWarning) as said:
        network = seviz.load(f"{tmp_path}/own.py:grey", img_size=64)
    assert [str(each.message) for each in said] == [
        "input: 1 channel, as the first convolution takes (in_chans)",
        "preprocessing: ImageNet's, since the factory gives none (mean, std)",
        "preprocessing: grey images by the average of RGB's mean 0.449 and std 0.226 (mean, std)",
    ]
    assert network.input_size == (1, 64, 64)
    assert network.preprocess(PICTURE.convert("L")).shape == (1, 64, 64)
    assert len(network.blocks) == 9


def test_five_channels_are_taken_as_they_are() -> None:
    with pytest.warns(
        SevizWarning, match="preprocessing: 5 channels as they are, since their mean and std are not known"
    ):
        network = seviz.load(SMALL, weights="none", in_chans=5)
    assert (network.input_size, len(network.blocks)) == ((5, 224, 224), 9)
    assert (network.preprocessing["mean"], network.preprocessing["std"]) == ([0.0] * 5, [1.0] * 5)


def test_a_directory_as_timm_writes_it(tmp_path: Path) -> None:
    model = timm.create_model("mobilenetv3_small_050", num_classes=4)
    from timm.models._hub import save_for_hf

    save_for_hf(model, tmp_path / "own", model_config={"num_classes": 4}, safe_serialization=True)
    network = seviz.load(f"timm/local-dir:{tmp_path}/own")
    assert torch.equal(network.model.classifier.weight, model.classifier.weight)
    with pytest.raises(UnknownModelError, match=r"has no config\.json, as timm writes it"):
        seviz.load(f"timm/local-dir:{tmp_path}/none")
    (tmp_path / "own" / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be made of"):
        seviz.load(f"timm/local-dir:{tmp_path}/own")


def test_settings_are_kept_by_runs_and_saved_networks(tmp_path: Path) -> None:
    said = {
        "num_classes": 3,
        "in_chans": 1,
        "mean": [0.1],
        "std": [0.5],
        "img_size": 32,
        "class_names": ["a", "b", "c"],
    }
    network = seviz.load(SMALL, weights="none", **said)
    data = [(torch.randn(6, 1, 32, 32), torch.arange(6) % 3)]
    with pytest.warns(UserWarning, match="untrained"):
        run = seviz.collect(network, data, tmp_path / "run", device="cpu")
    assert run.manifest.model.settings == {**said, "img_size": [32, 32]}

    def same(other: Network) -> None:
        assert (other.weights_sha256, other.class_names) == (network.weights_sha256, ("a", "b", "c"))
        assert (other.input_size, other.preprocessing) == (network.input_size, network.preprocessing)

    same(reopen_network(run))
    seviz.save(network, tmp_path / "saved")
    same(seviz.load(tmp_path / "saved"))
    bright = seviz.load(tmp_path / "saved", mean=[0.2])
    assert bright.preprocessing["mean"] == [0.2]
    with pytest.raises(
        OptionError, match=r"num_classes is given, and .* is a network that is made already; leave it out"
    ):
        seviz.load(tmp_path / "saved", num_classes=3)
