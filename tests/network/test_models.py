import pickle
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from PIL import Image

import seviz
from seviz.errors import UnknownModelError, WeightsError
from seviz.network.models import imagenet_classes, imagenet_names


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet50", r"model 'resnet50' is not understood; expected one of timm/NAME, torchvision/NAME, seviz/NAME"),
        ("timm/", "model 'timm/' is not understood"),
        ("keras/resnet50", "model 'keras/resnet50' is not understood"),
        ("timm/seresnet5O", r"'timm/seresnet5O' not found among the \d+ of timm; did you mean timm/seresnet50"),
        ("timm/seresnet50.none_such", r"'timm/seresnet50.none_such' not found .* did you mean timm/seresnet50\."),
        ("torchvision/efficientnet_b9", "not found among the .* of torchvision; did you mean torchvision/efficientnet"),
        ("seviz/seresnet50", "not found among the 2 of seviz; did you mean seviz/seresnet50-cifar10"),
    ],
)
def test_unknown_models(spec: str, message: str) -> None:
    with pytest.raises(UnknownModelError, match=message):
        seviz.load(spec, weights="none")


def test_fresh_weights_are_the_same_each_time_and_leave_the_random_state() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (seviz.load("timm/mobilenetv3_small_050", weights="none") for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert first.weights_sha256 == second.weights_sha256
    assert not first.model.training
    assert not first.trained


def test_fingerprint_sees_every_tensor() -> None:
    network = seviz.load("timm/mobilenetv3_small_050", weights="none")
    other = seviz.load("timm/mobilenetv3_small_050", weights="none")
    name, buffer = list(other.model.named_buffers())[1]
    buffer += 1
    assert "running" in name
    assert network.weights_sha256 != other.weights_sha256


@pytest.mark.parametrize("spec", ["timm/seresnet50", "torchvision/mobilenet_v3_small"])
def test_imagenet_networks_know_their_classes(spec: str) -> None:
    network = seviz.load(spec, weights="none")
    assert network.classes is not None
    assert (network.classes.ids[1], network.class_names[1]) == ("n01443537", "goldfish")
    assert len(network.class_names) == 1000


def test_english_names_of_synsets() -> None:
    assert imagenet_names(["n02110958", "n02690373", "n09246464", "n99999999"]) == (
        "pug",
        "airliner",
        "cliff",
        "n99999999",
    )
    assert len(imagenet_classes("imagenet-12k").ids) == 11821


@pytest.mark.parametrize(
    "spec", ["timm/legacy_seresnet50", "torchvision/mobilenet_v3_small", "seviz/seresnet50-cifar10"]
)
def test_preprocessing_gives_what_the_model_takes(spec: str) -> None:
    network = seviz.load(spec, weights="none")
    image = network.preprocess(Image.new("RGB", (300, 260), (124, 116, 104)))
    assert image.shape == network.input_size
    assert image.dtype == torch.float32
    mean, std = network.preprocessing["mean"], network.preprocessing["std"]
    expected = [(value / 255 - m) / s for value, m, s in zip((124, 116, 104), mean, std, strict=True)]
    torch.testing.assert_close(image.mean((1, 2)), torch.tensor(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_from_a_file(suffix: str, tmp_path: Path) -> None:
    model = timm.create_model("mobilenetv3_small_050")
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save(model.state_dict(), path)
    else:
        safetensors.torch.save_file(model.state_dict(), path)
    network = seviz.load("timm/mobilenetv3_small_050", weights=path)
    assert torch.equal(network.model.conv_stem.weight, model.conv_stem.weight)
    assert (network.weights, network.trained) == (str(path), True)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    path = tmp_path / "weights.safetensors"
    missing, unexpected = dict(state), dict(state)
    del missing["classifier.bias"]
    unexpected["more"] = torch.zeros(1)
    for wrong, message in (
        (missing, r"are not of this network: 1 missing, such as 'classifier.bias'"),
        (unexpected, "are not of this network: 1 unexpected, such as 'more'"),
        ({**state, "classifier.bias": torch.zeros(7)}, "1 of another shape, such as 'classifier.bias'"),
    ):
        safetensors.torch.save_file(wrong, path)
        with pytest.raises(WeightsError, match=message):
            seviz.load("timm/mobilenetv3_small_050", weights=path)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, sign = tmp_path / "weights.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Bomb(sign)))
    torch.save({"x": Bomb(sign)}, tmp_path / "zipped.pt")
    for file in (path, tmp_path / "zipped.pt"):
        with pytest.raises(WeightsError, match=r"cannot be read .*a torch file that holds tensors only"):
            seviz.load("timm/mobilenetv3_small_050", weights=file)
    assert not sign.exists()


def test_weights_that_are_not_there() -> None:
    with pytest.raises(WeightsError, match=r"weights 'nowhere.pt' not found; expected pretrained, none, or the path"):
        seviz.load("timm/mobilenetv3_small_050", weights="nowhere.pt")


@pytest.mark.parametrize("spec", ["timm/seresnet50", "torchvision/mobilenet_v3_small"])
def test_pretrained_weights_that_cannot_be_had(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("timm.create_model", no_network)
    monkeypatch.setattr("torchvision.models.get_model", no_network)
    with pytest.raises(WeightsError, match=f"{spec} could not be loaded .*download the file elsewhere and give its"):
        seviz.load(spec)
