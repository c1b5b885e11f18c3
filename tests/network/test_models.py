from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image

import seviz
from seviz.errors import SevizWarning, UnknownModelError, WeightsError
from seviz.network.imagenet import imagenet_classes, imagenet_names


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet50", r"model 'resnet50' is not understood; expected one of timm/NAME, torchvision/NAME, seviz/NAME"),
        ("timm/", "model 'timm/' is not understood"),
        ("keras/resnet50", "model 'keras/resnet50' is not understood"),
        ("timm/seresnet5O", r"'timm/seresnet5O' not found among the \d+ of timm; did you mean timm/seresnet50"),
        ("timm/seresnet50.none_such", r"'timm/seresnet50.none_such' not found .* did you mean timm/seresnet50\."),
        ("torchvision/efficientnet_b9", "not found among the .* of torchvision; did you mean torchvision/efficientnet"),
        (
            "torchvision/fasterrcnn_mobilenet_v3",
            "not found among .* did you mean .*torchvision/fasterrcnn_mobilenet_v3_l",
        ),
        ("torchvision/lraspp_mobilenet_v3", "not found among .* did you mean torchvision/lraspp_mobilenet_v3_large"),
        ("torchvision/r3d_18", "'torchvision/r3d_18' is not supported: it takes videos; expected .* single images"),
        ("torchvision/raft_small", "is not supported: it takes pairs of images; expected .* single images"),
        (
            "torchvision/quantized_mobilenet_v3_large",
            "is not supported: it computes in whole numbers; .* such as torchvision/mobilenet_v3_large",
        ),
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


def test_weights_that_are_not_there() -> None:
    with pytest.raises(WeightsError, match=r"weights 'nowhere.pt' not found; expected pretrained, none, or the path"):
        seviz.load("timm/mobilenetv3_small_050", weights="nowhere.pt")


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("timm/seresnet50", "https://huggingface.co/timm/seresnet50.a1_in1k/resolve/main/model.safetensors"),
        ("timm/legacy_seresnet50", "https://github.com/.*/se_resnet50-ce0d4300.pth"),
        ("torchvision/mobilenet_v3_small", "https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth"),
        (
            "torchvision/ssdlite320_mobilenet_v3_large",
            "https://.*/models/ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
        ),
        ("torchvision/lraspp_mobilenet_v3_large", "https://.*/models/lraspp_mobilenet_v3_large-d234d4ea.pth"),
        ("hf-hub:someone/senet", r"https://huggingface.co/someone/senet/resolve/main/ \(config.json, model.safetens"),
    ],
)
def test_pretrained_weights_that_cannot_be_had(spec: str, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("timm.create_model", no_network)
    monkeypatch.setattr("torchvision.models.get_model", no_network)
    with pytest.raises(WeightsError, match=rf"{wanted}.* is neither in the cache .* give the file's path as weights"):
        seviz.load(spec)


def test_networks_without_pretrained_weights_say_so() -> None:
    with pytest.raises(WeightsError, match="timm/darknet17 has no pretrained weights; give the path"):
        seviz.load("timm/darknet17")


FACTORY = """
import torch
from torch import nn
from torchvision.ops import SqueezeExcitation

class TinyNet(nn.Sequential):
    def __init__(self):
        torch.manual_seed(3)
        stages = ((3, 8, 1), (8, 12, 2), (12, 16, 2))
        super().__init__(
            *(nn.Sequential(nn.Conv2d(i, o, 3, s, 1), nn.ReLU(), SqueezeExcitation(o, 4)) for i, o, s in stages),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)),
        )

def tiny():
    model = TinyNet()
    model.pretrained_cfg = {"input_size": (3, 16, 16), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}
    model.class_names = ("blue", "green", "red")
    return model

def plain():
    return TinyNet()

def number():
    return 7
"""


def test_a_factory_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "my networks.py"
    path.write_text(FACTORY)
    network = seviz.load(f"{path}:tiny")
    assert list(network.blocks) == ["SE_2_1", "SE_3_1", "SE_4_1"]
    assert (network.input_size, network.class_names, network.trained) == (
        (3, 16, 16),
        ("blue", "green", "red"),
        True,
    )
    assert network.preprocess(Image.new("RGB", (40, 30), (255, 255, 255))).unique().tolist() == [1.0]
    with pytest.warns(SevizWarning, match="preprocessing: ImageNet's, since the factory gives none"):
        assert seviz.load(f"{path}:plain").input_size == (3, 224, 224)
    assert seviz.load(f"{path}:tiny").weights_sha256 == network.weights_sha256
    for spec, message in (
        (f"{tmp_path}/none.py:tiny", "not found: there is no file"),
        (f"{path}:tony", "has no function 'tony'; it has .*tiny, plain, number"),
        (f"{path}:number", r"number\(\) gave a int, expected a torch.nn.Module"),
    ):
        with pytest.raises(UnknownModelError, match=message):
            seviz.load(spec)


def test_inserted_blocks_are_untrained_until_weights_come(tmp_path: Path) -> None:
    network = seviz.load("torchvision/resnet18+se", weights="none")
    assert (len(network.blocks), network.trained, network.spec) == (8, False, "torchvision/resnet18+se")
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(network.model.state_dict(), path)
    loaded = seviz.load("torchvision/resnet18+se", weights=path)
    assert (loaded.trained, loaded.weights_sha256) == (True, network.weights_sha256)


def test_pretrained_weights_of_the_base_leave_inserted_blocks_untrained(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("import torchvision\n\ndef base():\n    return torchvision.models.resnet18()\n")
    with pytest.warns(SevizWarning, match="since the factory gives none"):
        network = seviz.load(f"{tmp_path}/base.py:base+se", weights="pretrained")
    assert (network.weights, network.trained) == ("pretrained", False)
