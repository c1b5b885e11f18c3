import numpy as np

from seviz.figures.excitation import excitation_by_depth
from seviz.figures.spread import spread_by_depth
from tests.figures.made_tables import gates


def test_a_panel_per_block_a_line_per_class() -> None:
    table = gates()
    figure = excitation_by_depth(table)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["SE_2_1", "SE_3_1", "SE_4_1", "SE_4_2"]
    for axes in figure.axes:
        rows = table[table["block"] == axes.get_title(loc="left")]
        lines = {line.get_label(): line for line in axes.get_lines()}
        assert set(lines) == {"goldfish", "pug", "plane", "cliff", "mean of all classes"}
        for label, line in lines.items():
            own = rows[rows["class_name"] == label.replace("mean of ", "")]
            np.testing.assert_array_equal(line.get_ydata(), own["mean"])
            np.testing.assert_array_equal(line.get_xdata(), range(len(own)))
        assert axes.get_ylim() == (0, 1)
    assert [text.get_text() for text in figure.legends[0].get_texts()][1:] == ["goldfish", "pug", "plane", "cliff"]


def test_ticks_tell_the_index_of_the_channel() -> None:
    axes = excitation_by_depth(gates()).axes[1]
    ticks = {int(tick): label.get_text() for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
    assert ticks == {k: str(3 * k) for k in ticks}
    assert {0, 49} <= set(ticks)


def test_classes_of_one_name_stay_apart() -> None:
    table = gates()
    table.loc[table["class"] == "n_cliff", "class_name"] = "pug"
    for plot in (excitation_by_depth, spread_by_depth):
        pugs = [line for line in plot(table).axes[0].get_lines() if line.get_label().startswith("pug")]
        assert [len(line.get_ydata()) for line in pugs] == [8, 8]


def test_gates_beyond_0_and_1_are_not_cut_off() -> None:
    table = gates()
    table["mean"] = 3 * table["mean"] - 1
    low, high = excitation_by_depth(table).axes[0].get_ylim()
    assert low <= table["mean"].min()
    assert high >= table["mean"].max()


def test_the_band_is_one_standard_deviation() -> None:
    table = gates()
    table = table[table["class_name"].isin(["goldfish", "pug", "all classes"])]
    figure = spread_by_depth(table)
    for axes in figure.axes:
        rows = table[table["block"] == axes.get_title(loc="left")]
        assert len(axes.collections) == 2
        for band, name in zip(axes.collections, ("goldfish", "pug"), strict=True):
            own = rows[rows["class_name"] == name]
            edges = band.get_paths()[0].vertices[:, 1]
            for expected in (own["mean"] - own["std"], own["mean"] + own["std"]):
                assert all(np.isclose(edges, value).any() for value in expected)
