import itertools

import numpy as np
import pandas as pd
import pytest

from seviz.errors import OptionError
from seviz.figures.heatmap import class_by_channel
from tests.figures.made_tables import CLASSES, NAMES, means


def test_cells_are_the_means_and_the_differences_from_them() -> None:
    table = means()
    strip, _, main, bar = class_by_channel(table, "SE_4_1", names=NAMES).axes
    np.testing.assert_allclose(strip.collections[0].get_array(), table.mean(axis=0).to_numpy()[None])
    apart = table - table.mean(axis=0)
    np.testing.assert_allclose(main.collections[0].get_array(), apart)
    assert main.collections[0].get_clim() == (-apart.abs().max(axis=None), apart.abs().max(axis=None))
    assert strip.collections[0].get_clim() == (0, 1)
    assert [label.get_text() for label in main.get_yticklabels()] == list(CLASSES)
    assert main.get_ylim() == (4, 0)  # the first class is above
    assert bar.get_ylabel() == "difference of\nthe excitation"
    assert "SE_4_1" in strip.get_title(loc="left")


def test_cells_are_rasterised() -> None:
    figure = class_by_channel(means(), "SE_4_1")
    assert all(axes.collections[0].get_rasterized() for axes in (figure.axes[0], figure.axes[2]))


def test_the_label_tells_whether_channels_are_clustered() -> None:
    assert class_by_channel(means(), "SE_4_1").axes[2].get_xlabel() == "40 channels"
    clustered = class_by_channel(means(), "SE_4_1", clustered=True)
    assert clustered.axes[2].get_xlabel() == "40 channels, like ones beside each other"


def test_classes_without_images_are_left_out_and_missing_cells_are_empty() -> None:
    table = means()
    table.iloc[1] = np.nan
    table.iloc[2, 3] = np.nan
    main = class_by_channel(table, "SE_4_1", names=NAMES).axes[2]
    assert [label.get_text() for label in main.get_yticklabels()] == ["goldfish", "plane", "cliff"]
    assert np.ma.getmaskarray(main.collections[0].get_array()).sum() == 1


def test_one_class_and_one_channel_are_drawn() -> None:
    main = class_by_channel(means(1, 1), "SE_4_1").axes[2]
    assert main.collections[0].get_array().tolist() == [[0]]
    assert main.collections[0].get_clim() == (-1e-3, 1e-3)


def test_gates_beyond_0_and_1_widen_the_scale() -> None:
    strip = class_by_channel(3 * means() - 1, "SE_4_1").axes[0]
    low, high = strip.collections[0].get_clim()
    assert low <= (3 * means() - 1).mean(axis=0).min()
    assert high >= (3 * means() - 1).mean(axis=0).max()


def test_a_thousand_classes_of_long_names_stay_legible() -> None:
    table = means(1000, 30)
    names = {name: f"{name}, of a very long name that goes on and on" for name in table.index}
    figure = class_by_channel(table, "SE_4_1", names=names)
    figure.draw_without_rendering()
    assert figure.get_size_inches()[1] < 7
    labels = figure.axes[2].get_yticklabels()
    assert 20 < len(labels) < 60
    assert all(len(label.get_text()) <= 24 for label in labels)
    boxes = [label.get_window_extent() for label in labels]
    assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(boxes))


def test_no_class_at_all_is_an_error() -> None:
    with pytest.raises(OptionError, match="table of SE_4_1 has 2 classes and none with images, expected one or more"):
        class_by_channel(pd.DataFrame(np.nan, index=["a", "b"], columns=[0]), "SE_4_1")
