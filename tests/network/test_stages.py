from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn

from seviz.network.blocks import find_se_blocks
from seviz.network.insertion import insert_se
from seviz.network.stages import dilations, is_exact, stage_numbers, stride


def test_strides_are_of_sides_and_of_positions_in_a_row() -> None:
    assert stride((224, 224), (2, 64, 56, 56)) == 4
    assert stride((64, 32), (2, 8, 8, 8)) == pytest.approx(32**0.5)
    assert stride((32, 32), (2, 8, 64)) == 4
    assert stride((200,), (2, 64, 50)) == 4
    assert stride((16, 32, 32), (2, 64, 4, 8, 8)) == pytest.approx(4)


@pytest.mark.parametrize(
    ("side", "reduced", "exact"), [(224, 7, True), (40, 2, False), (32, 2, True), (33, 2, False), (299, 8, True)]
)
def test_a_stride_is_exact_where_the_size_tells_it(side: int, reduced: int, exact: bool) -> None:
    assert is_exact((side, side), (2, 8, reduced, reduced)) == exact


def test_stages_start_at_2_and_dilation_counts_as_stride() -> None:
    assert stage_numbers([4, 8, 16, 32]) == [2, 3, 4, 5]
    assert stage_numbers([1, 2, 4]) == [2, 3, 4]
    assert stage_numbers([4, 8, 8, 8], [1, 1, 2, 4]) == [2, 3, 4, 5]
    assert stage_numbers([]) == []


class Unit(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(8, 8, 3, padding=dilation, dilation=dilation), nn.Conv2d(8, 8, 1, dilation=9)
        self.se = nn.Conv2d(8, 8, 1)


def test_the_first_block_of_a_dilated_stage_counts_as_the_others_do() -> None:
    model = nn.ModuleDict({"early": nn.ModuleList([Unit(1)]), "late": nn.ModuleList([Unit(1), Unit(2)])})
    strides = {"early.0.se": 8.0, "late.0.se": 16.0, "late.1.se": 16.0}
    assert dilations(model, strides) == {"early.0.se": 1, "late.0.se": 2, "late.1.se": 2}
    # Where a container has blocks of several strides, each counts by itself.
    assert dilations(model, {**strides, "late.0.se": 8.0}) == {"early.0.se": 1, "late.0.se": 1, "late.1.se": 2}
    # A block in no module of its own has none.
    assert dilations(nn.Sequential(nn.Conv2d(3, 3, 3, dilation=4)), {"": 1.0}) == {"": 1}


def timm_network(name: str, stride: int) -> nn.Module:
    return timm.create_model(name, output_stride=stride).eval()


def encoder(name: str, stride: int) -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.encoders.get_encoder(name, weights=None, output_stride=stride)


DILATED: dict[str, Callable[[int], nn.Module]] = {
    **{name: partial(timm_network, name) for name in ("seresnext26d_32x4d", "efficientnet_b0", "regnety_002")},
    "smp se_resnet50": partial(encoder, "se_resnet50"),
    "smp timm-mobilenetv3_small": partial(encoder, "tu-mobilenetv3_small_100"),
}


@pytest.mark.parametrize("name", DILATED)
def test_dilated_networks_have_the_names_of_the_plain_ones(name: str) -> None:
    plain, *dilated = (
        [(block.name, block.path) for block in find_se_blocks(DILATED[name](stride), (3, 64, 64)).values()]
        for stride in (32, 16, 8)
    )
    assert len(plain) > 4
    assert dilated == [plain, plain]


@pytest.mark.parametrize("flags", [[False, False, True], [False, True, True]])
def test_torchvisions_strides_replaced_by_dilation_change_no_name(flags: list[bool]) -> None:
    plain, dilated = (
        [(block.name, block.path) for block in find_se_blocks(insert_se(model), (3, 64, 64)).values()]
        for model in (
            torchvision.models.resnet50(),
            torchvision.models.resnet50(replace_stride_with_dilation=flags),
        )
    )
    assert len(plain) == 16
    assert dilated == plain


@pytest.mark.parametrize("side", [32, 40, 64, 100])
def test_small_images_change_no_name(side: int) -> None:
    with torch.random.fork_rng(devices=[]):
        model = timm.create_model("legacy_seresnet18").eval()
    assert list(find_se_blocks(model, (3, side, side))) == [f"SE_{stage}_{n}" for stage in (2, 3, 4, 5) for n in (1, 2)]
