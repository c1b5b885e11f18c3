import copy
import functools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

import seviz
from seviz.errors import InsertionError, NoSEBlocksError, WeightsError
from seviz.network.blocks import find_se_blocks
from seviz.network.networks import Network

FASTER_RCNN = "fasterrcnn_mobilenet_v3_large_fpn"
SSDLITE = "ssdlite320_mobilenet_v3_large"
LRASPP = "lraspp_mobilenet_v3_large"
SE_FASTER_RCNN = "fasterrcnn_resnet50_fpn+se"


@functools.cache
def network(name: str) -> Network:
    return seviz.load(f"torchvision/{name}", weights="none")


def whole(name: str, **options: object) -> nn.Module:
    """A full network of torchvision, with weights of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return torchvision.models.get_model(name, weights=None, weights_backbone=None, **options).eval()


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


# Table 1 of arXiv:1905.02244: the expansion sizes of the rows with SE, at strides 8, 16 and 32. SSDlite halves the
# last two (its section 6.3); LR-ASPP dilates the last three instead of striding,
# which changes no stage.
MOBILENET = {
    "SE_3_1": 72,
    "SE_3_2": 120,
    "SE_3_3": 120,
    "SE_4_1": 480,
    "SE_4_2": 672,
    "SE_5_1": 672,
    "SE_5_2": 960,
    "SE_5_3": 960,
}
SE_RESNET_50 = {
    f"SE_{stage}_{block}": channels
    for stage, blocks, channels in ((2, 3, 256), (3, 4, 512), (4, 6, 1024), (5, 3, 2048))
    for block in range(1, blocks + 1)
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (FASTER_RCNN, MOBILENET),
        (SSDLITE, MOBILENET | {"SE_5_2": 480, "SE_5_3": 480}),
        (LRASPP, MOBILENET),
        (SE_FASTER_RCNN, SE_RESNET_50),
    ],
)
def test_blocks_of_the_backbone(name: str, expected: dict[str, int]) -> None:
    assert {block.name: block.channels for block in network(name).blocks.values()} == expected


@pytest.mark.parametrize("name", [FASTER_RCNN, SSDLITE])
def test_blocks_are_the_same_at_the_size_of_the_images(name: str) -> None:
    """Where sizes differ, the search is made on a smaller image."""
    assert find_se_blocks(network(name).model, network(name).input_size) == network(name).blocks


@pytest.mark.parametrize(("name", "alike"), [(FASTER_RCNN, 8), (SSDLITE, 6), (LRASPP, 8)])
def test_blocks_are_those_of_the_network_that_classifies(name: str, alike: int) -> None:
    ours, theirs = (
        [(block.channels, block.squeezed_channels, block.gate) for block in network(n).blocks.values()]
        for n in (name, "mobilenet_v3_large")
    )
    assert len(ours) == len(theirs)
    assert ours[:alike] == theirs[:alike]


@pytest.mark.parametrize(
    ("name", "task", "input_size", "fixed_size"),
    [
        (FASTER_RCNN, "detection", (3, 800, 800), False),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", "detection", (3, 320, 320), False),
        (SSDLITE, "detection", (3, 320, 320), True),
        (LRASPP, "segmentation", (3, 520, 520), False),
        (SE_FASTER_RCNN, "detection", (3, 800, 800), False),
        ("mobilenet_v3_large", "classification", (3, 224, 224), True),
    ],
)
def test_what_is_known_of_the_network(name: str, task: str, input_size: tuple[int, int, int], fixed_size: bool) -> None:
    loaded = network(name)
    assert (loaded.task, loaded.input_size, loaded.fixed_size) == (task, input_size, fixed_size)
    assert (loaded.spec, loaded.trained, loaded.model.training) == (f"torchvision/{name}", False, False)
    assert (loaded.classes is None) == (task != "classification")


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        (FASTER_RCNN, {"0": (256, 2), "1": (256, 2), "pool": (256, 1)}),
        (
            SSDLITE,
            {"0": (672, 4), "1": (480, 2), "2": (512, 1), "3": (256, 1), "4": (256, 1), "5": (128, 1)},
        ),
        (LRASPP, {"low": (40, 8), "high": (960, 4)}),
    ],
)
def test_the_model_gives_feature_maps(name: str, maps: dict[str, tuple[int, int]]) -> None:
    with torch.no_grad():
        output = network(name).model(torch.zeros(2, 3, 64, 64))
    assert {key: tuple(u.shape) for key, u in output.items()} == {
        key: (2, channels, side, side) for key, (channels, side) in maps.items()
    }


class _Seen(Exception):
    """Ends a forward pass at the door of the backbone."""


def as_seen_by_backbone(detector: nn.Module, image: Image.Image) -> Tensor:
    def stop(_: nn.Module, args: tuple[Tensor]) -> None:
        raise _Seen(args[0])

    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    detector.backbone.register_forward_pre_hook(stop)
    with pytest.raises(_Seen) as seen:
        detector([pixels])
    return seen.value.args[0]


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [  # shorter side to 800 unless the longer would pass 1333, then both up to a multiple of 32
        (FASTER_RCNN, (90, 60), (800, 1216)),
        (FASTER_RCNN, (20, 100), (1344, 288)),
        (SSDLITE, (90, 60), (320, 320)),
    ],
)
def test_images_are_what_the_whole_detector_gives_its_backbone(
    name: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    image = noise(*size)
    result = network(name).preprocess(image)
    assert (result.dtype, tuple(result.shape)) == (torch.float32, (3, *expected))
    assert torch.equal(result[None], as_seen_by_backbone(whole(name), image))


def test_the_pixels_of_a_detector_by_hand() -> None:
    result = network(FASTER_RCNN).preprocess(Image.new("RGB", (90, 60), (255, 0, 51)))
    colour = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    expected = torch.tensor(colour)[:, None, None].expand(3, 800, 1200)
    torch.testing.assert_close(result[:, :, :1200], expected, rtol=0, atol=1e-5)
    assert not result[:, :, 1200:].any()  # the padding


def test_images_of_a_segmentation_network() -> None:
    image = noise(60, 45)
    pixels = np.asarray(image.resize((693, 520), Image.Resampling.BILINEAR)) / 255  # 520 · 60 / 45 = 693.3
    expected = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    result = network(LRASPP).preprocess(image)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.permute(1, 2, 0), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [FASTER_RCNN, SSDLITE, LRASPP, "mobilenet_v3_large"])
def test_preprocessing_travels_to_other_processes(name: str) -> None:
    image, preprocess = noise(50, 40), network(name).preprocess
    pickled = pickle.dumps(preprocess)
    assert torch.equal(pickle.loads(pickled)(image), preprocess(image))
    assert len(pickled) < 10_000  # holds no weights


def test_preprocessing_in_words_and_numbers() -> None:
    shared = {"library": "torchvision", "interpolation": "bilinear"}
    imagenet = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    expected = {
        FASTER_RCNN: {"min_size": 800, "max_size": 1333, "size_divisible": 32, "antialias": False, **imagenet},
        SSDLITE: {
            "resize": [320, 320],
            "size_divisible": 1,
            "antialias": False,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
        LRASPP: {"resize": [520], "antialias": True, **imagenet},
    }
    for name, words in expected.items():
        assert json.loads(json.dumps(network(name).preprocessing)) == shared | words


def all_gates_one(model: nn.Module) -> nn.Module:
    model = copy.deepcopy(model)
    with torch.no_grad():
        for block in find_se_blocks(model, (3, 96, 96)).values():
            expand = model.get_submodule(block.path).fc2
            expand.weight.zero_()
            expand.bias.fill_(100)  # sigmoid(100) is 1 in float32
    return model


@pytest.mark.parametrize("frozen", [False, True])
def test_inserted_blocks_with_gates_of_one_change_nothing(frozen: bool) -> None:
    if frozen:
        plain = frozen_backbone()
        inserted = seviz.insert_se(plain)
    else:
        plain, inserted = network("fasterrcnn_resnet50_fpn").model, network(SE_FASTER_RCNN).model
    images = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, blocked, after = (model(images) for model in (plain, inserted, all_gates_one(inserted)))
    assert list(before) == list(after) == ["0", "1", "2", "3", "pool"]
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not torch.equal(before["3"], blocked["3"])


def frozen_backbone() -> nn.Module:
    """As that of `fasterrcnn_resnet50_fpn` with pretrained weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=5).eval()


def same_tensors(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize("part", ["", "backbone"])
def test_a_file_of_the_whole_network_or_of_its_backbone(part: str, tmp_path: Path) -> None:
    theirs = whole(SSDLITE)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(theirs.get_submodule(part).state_dict(), path)
    loaded = seviz.load(f"torchvision/{SSDLITE}", weights=path)
    assert (loaded.trained, loaded.weights, loaded.model.training) == (True, str(path), False)
    assert same_tensors(loaded.model.state_dict(), theirs.backbone.state_dict())
    assert loaded.weights_sha256 != network(SSDLITE).weights_sha256


@pytest.mark.parametrize("aux_loss", [True, False])
def test_a_file_with_or_without_the_auxiliary_head(aux_loss: bool, tmp_path: Path) -> None:
    theirs = whole("deeplabv3_mobilenet_v3_large", aux_loss=aux_loss)
    assert hasattr(theirs, "aux_classifier")
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    loaded = seviz.load("torchvision/deeplabv3_mobilenet_v3_large", weights=tmp_path / "weights.pth")
    assert same_tensors(loaded.model.state_dict(), theirs.backbone.state_dict())


def test_a_file_of_a_whole_network_with_inserted_blocks(tmp_path: Path) -> None:
    theirs = whole("fasterrcnn_resnet50_fpn")
    theirs.backbone = seviz.insert_se(theirs.backbone)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(theirs.state_dict(), path)
    loaded = seviz.load(f"torchvision/{SE_FASTER_RCNN}", weights=path)
    assert loaded.trained
    assert same_tensors(loaded.model.state_dict(), theirs.backbone.state_dict())


def test_a_file_of_a_network_for_other_classes(tmp_path: Path) -> None:
    theirs = whole(SSDLITE, num_classes=3)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(theirs.state_dict(), path)
    loaded = seviz.load(f"torchvision/{SSDLITE}", weights=path)
    assert same_tensors(loaded.model.state_dict(), theirs.backbone.state_dict())


def test_a_file_that_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(whole("lraspp_mobilenet_v3_large").state_dict(), path)
    with pytest.raises(WeightsError, match=r"do not fit this SSDLiteFeatureExtractorMobileNet: of its \d+ tensors"):
        seviz.load(f"torchvision/{SSDLITE}", weights=path)


def test_networks_that_have_blocks_already_and_that_have_none() -> None:
    with pytest.raises(InsertionError, match="BackboneWithFPN has 8 SE blocks already, the first at"):
        seviz.load(f"torchvision/{FASTER_RCNN}+se", weights="none")
    with pytest.raises(NoSEBlocksError, match="no SE block in BackboneWithFPN"):
        network("fasterrcnn_resnet50_fpn").require_blocks()
