import numpy as np
import pytest

from seviz.figures.saturation import saturation_by_block
from tests.figures.made_tables import BLOCKS, saturation, saturation_by_channel


def test_bars_are_the_shares_and_add_to_one() -> None:
    table = saturation()
    _, shares, _ = saturation_by_block(table, saturation_by_channel()).axes
    bars = {
        container.get_label(): [(bar.get_y(), bar.get_height()) for bar in container] for container in shares.containers
    }
    near_zero, near_one = table["near_zero"], table["near_one"]
    np.testing.assert_allclose(bars["near 0 (below 0.05)"], np.stack([0 * near_zero, near_zero], 1))
    np.testing.assert_allclose(bars["between"], np.stack([near_zero, 1 - near_zero - near_one], 1))
    np.testing.assert_allclose(bars["near 1 (above 0.95)"], np.stack([1 - near_one, near_one], 1))
    assert {text.get_text(): text.get_position()[0] for text in shares.texts} == {"saturated": 3, "near identity": 4}


def test_lines_are_the_distances() -> None:
    table = saturation()
    *_, apart = saturation_by_block(table).axes
    lines = {line.get_label(): line.get_ydata() for line in apart.get_lines()}
    np.testing.assert_array_equal(lines["from 1, the identity"], table["distance_from_identity"])
    np.testing.assert_array_equal(lines["from the channel's mean"], table["distance_from_constant"])
    assert [label.get_text() for label in apart.get_xticklabels()] == list(BLOCKS)


def test_violins_are_the_means_of_the_channels() -> None:
    channels = saturation_by_channel()
    means = saturation_by_block(saturation(), channels).axes[0]
    violins = [layer for layer in means.collections if len(layer.get_facecolor())]
    for k, (block, violin) in enumerate(zip(BLOCKS, violins, strict=True)):
        own = channels.loc[channels["block"] == block, "mean"]
        x, y = violin.get_paths()[0].vertices.T
        assert (y.min(), y.max()) == pytest.approx((own.min(), own.max()))
        assert x.mean() == pytest.approx(k, abs=0.01)
    assert means.get_ylim() == (0, 1)


def test_shares_that_mean_nothing_are_left_out() -> None:
    table = saturation().assign(near_zero=np.nan, near_one=np.nan, flag="")
    shares = saturation_by_block(table).axes[0]
    assert {bar.get_height() for container in shares.containers for bar in container} == {0}
    half = saturation().assign(near_one=np.nan)
    shares = saturation_by_block(half).axes[0]
    np.testing.assert_allclose([bar.get_height() for bar in shares.containers[1]], 1 - half["near_zero"])


def test_one_block_and_constant_or_unknown_gates_are_drawn() -> None:
    channels = saturation_by_channel()
    one = channels["block"] == BLOCKS[0]
    assert len(saturation_by_block(saturation().head(1), channels[one]).axes) == 3
    assert saturation_by_block(saturation(), channels.assign(mean=0.5)).axes
    assert saturation_by_block(saturation(), channels.assign(mean=np.nan)).axes[0].get_ylim() == (0, 1)
    low, high = saturation_by_block(saturation(), channels.assign(mean=3 * channels["mean"] - 1)).axes[0].get_ylim()
    assert low < 0
    assert high > 1
