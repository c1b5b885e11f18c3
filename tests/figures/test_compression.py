from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from seviz.figures.compression import folding_front, pareto, removed_by_block
from seviz.figures.style import WIDTHS, save

BLOCKS = ["SE_2_1", "SE_2_2", "SE_3_1", "SE_4_1"]


def networks() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "network": ["original", "a", "b", "c", "d"],
            "series": ["original", "folded", "folded", "pruned", "pruned"],
            "accuracy": [0.9, 0.8, 0.88, 0.7, 0.85],
            "low": [0.87, 0.77, 0.85, 0.66, 0.82],
            "high": [0.92, 0.83, 0.9, 0.74, 0.88],
            "multiply_adds": [100_000, 60_000, 90_000, 50_000, 95_000],
            "blocks": [4, 0, 2, 4, 4],
            "latency_ms": [10.0, 7.0, 9.0, 6.0, 9.5],
            "latency_low": [9.0, 6.0, 8.0, 5.0, 9.0],
            "latency_high": [11.0, 8.0, 10.0, 7.0, 10.0],
        }
    )


def front(orders: tuple[str, ...] = ("variance", "measured", "by hand")) -> pd.DataFrame:
    rows = []
    for k, order in enumerate(orders):
        for folded, block in enumerate(["", *BLOCKS]):
            value = 0.9 - 0.02 * folded * (k + 1)
            rows.append((order, folded, block, value, value - 0.03, value + 0.02, 0.3 + folded, 9000 - folded * 1000))
    names = ["order", "folded", "block", "accuracy", "low", "high", "loss", "parameters"]
    return pd.DataFrame(rows, columns=names)


def removed(number: int = len(BLOCKS)) -> pd.DataFrame:
    table = pd.DataFrame({"block": BLOCKS, "stage": [2, 2, 3, 4], "channels_before": [256, 256, 512, 1024]})
    table = table.assign(channels_after=[64, 256, 128, 0], inner_before=[64, 64, 128, 0], inner_after=[32, 64, 64, 0])
    return pd.concat([table] * (number // 4), ignore_index=True)


FIGURES: dict[str, Callable[..., Figure]] = {
    "pareto": lambda **options: pareto(networks(), **options),
    "latency": lambda **options: pareto(networks().drop(columns="series"), cost="latency_ms", **options),
    "front": lambda **options: folding_front(front(), **options),
    "one order": lambda **options: folding_front(front(("greedy",)), **options),
    "removed": lambda **options: removed_by_block(removed(), **options),
    "removed, many": lambda **options: removed_by_block(removed(48), **options),
}


def test_networks_stand_at_their_cost() -> None:
    table = networks()
    (axes,) = pareto(table).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert set(lines["original"].get_xdata()) == {100_000}
    assert set(lines["original"].get_ydata()) == {0.9}
    for name, own in table.iloc[1:].groupby("series"):
        ordered = own.sort_values("multiply_adds")
        np.testing.assert_array_equal(lines[name].get_xdata(), ordered["multiply_adds"])
        np.testing.assert_array_equal(lines[name].get_ydata(), ordered["accuracy"])
    drawn = {tuple(map(tuple, segment)) for whiskers in axes.collections for segment in whiskers.get_segments()}
    assert drawn == {((row.multiply_adds, row.low), (row.multiply_adds, row.high)) for row in table.itertuples()}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("multiply-adds of an image", "accuracy")
    # d costs more than b and is worse
    np.testing.assert_array_equal(lines["best at its cost"].get_xdata(), [50_000, 60_000, 90_000, 100_000])
    np.testing.assert_array_equal(lines["best at its cost"].get_ydata(), [0.7, 0.8, 0.88, 0.9])


def test_latency_has_an_interval_too_and_networks_alone_have_their_names() -> None:
    table = networks().drop(columns="series")
    (axes,) = pareto(table, cost="latency_ms").axes
    drawn = {tuple(map(tuple, segment)) for whiskers in axes.collections for segment in whiskers.get_segments()}
    for row in table.itertuples():
        assert ((row.latency_low, row.accuracy), (row.latency_high, row.accuracy)) in drawn
    labels = [line.get_label() for line in axes.get_lines()]
    assert [label for label in labels if label in "abcd"] == ["a", "b", "c", "d"]
    (plain,) = pareto(table.drop(columns=["latency_low"]), cost="latency_ms").axes
    assert sum(len(whiskers.get_segments()) for whiskers in plain.collections) == 5
    figure = pareto(table, cost="blocks")
    figure.draw_without_rendering()
    assert all(float(tick.get_text().replace("−", "-")).is_integer() for tick in figure.axes[0].get_xticklabels())


def test_the_front_is_the_columns() -> None:
    table = front()
    accuracy, loss, left = folding_front(table).axes
    plain, *lines = accuracy.get_lines()
    assert set(plain.get_ydata()) == {0.9}
    assert [line.get_label() for line in lines] == [
        "least variance of the gate first",
        "least measured damage first",
        "by hand",
    ]
    for k, order in enumerate(table["order"].unique()):
        own = table[table["order"] == order]
        for drawn, column in (
            (lines[k], "accuracy"),
            (loss.get_lines()[k + 1], "loss"),
            (left.get_lines()[k], "parameters"),
        ):
            np.testing.assert_array_equal(drawn.get_xdata(), own["folded"])
            np.testing.assert_array_equal(drawn.get_ydata(), own[column])
        corners = accuracy.collections[k].get_paths()[0].vertices
        for row in own.itertuples():
            at = corners[corners[:, 0] == row.folded, 1]
            assert (at.min(), at.max()) == (row.low, row.high)
    assert left.get_xlabel() == "SE blocks folded"


def test_of_one_order_the_steps_are_named() -> None:
    figure = folding_front(front(("greedy",)))
    *_, left = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["none", *BLOCKS]
    np.testing.assert_array_equal(left.get_xticks(), range(5))


def test_bars_are_channels_before_and_after() -> None:
    table = removed()
    panels = removed_by_block(table).axes
    for axes, kind, shares in (
        (panels[0], "channels", ["25 %", "100 %", "25 %", "0 %"]),
        (panels[1], "inner", ["50 %", "100 %", "50 %", ""]),
    ):
        for bars, when, side in zip(axes.containers, ("before", "after"), (-0.2, 0.2), strict=True):
            np.testing.assert_array_equal([bar.get_height() for bar in bars], table[f"{kind}_{when}"])
            middles = [bar.get_x() + bar.get_width() / 2 for bar in bars]
            np.testing.assert_allclose(middles, np.arange(4) + side)
        written = [text.get_text().replace("\N{THIN SPACE}", " ") for text in axes.texts]
        assert [text for text in written if not text.startswith("stage") and not text.isdigit()] == shares
    assert [label.get_text() for label in panels[1].get_xticklabels()] == BLOCKS
    assert len(removed_by_block(table.drop(columns="inner_after")).axes) == 1
    assert not any("%" in text.get_text() for text in removed_by_block(removed(120)).axes[0].texts)


SAVED = [
    *((name, "svg") for name in FIGURES),
    *((name, suffix) for name in ("front", "removed") for suffix in ("png", "pdf")),
]
"""How a file is written is the same for all figures: the other formats are tried with lines, areas and bars."""


@pytest.mark.parametrize(("name", "suffix"), SAVED)
def test_same_table_same_bytes_and_no_style_leaks(name: str, suffix: str, tmp_path: Path) -> None:
    save(FIGURES[name](), tmp_path / f"1.{suffix}")
    before = {key: value for key, value in mpl.rcParams.items() if key != "backend"}
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9, "savefig.dpi": 30}):
        save(FIGURES[name](), tmp_path / f"2.{suffix}")
    assert {key: mpl.rcParams[key] for key in before} == before
    assert (tmp_path / f"1.{suffix}").read_bytes() == (tmp_path / f"2.{suffix}").read_bytes()


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_papers_width_named_axes_and_no_overlap(name: str, width: str) -> None:
    figure = FIGURES[name](width=width, remark="untrained weights")
    assert figure.get_size_inches()[0] == WIDTHS[width]
    assert "untrained weights" in figure.get_supxlabel()
    figure.draw_without_rendering()
    texts = [figure._supxlabel]
    for axes in figure.axes:
        assert axes.get_ylabel()
        texts += [axes.xaxis.label, axes.yaxis.label, *axes.texts]
        low, high = axes.get_xlim()
        ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=False)  # of shared axes there are no labels
        texts += [label for at, label in ticks if low <= at <= high and label.get_rotation() == 0]
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]:
        texts += legend.get_texts()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    for k, (text, box) in enumerate(boxes):
        assert figure.bbox.padded(1).fully_containsx(box.x0), text
        assert figure.bbox.padded(1).fully_containsx(box.x1), text
        for other, another in boxes[k + 1 :]:
            assert not box.padded(-0.5).overlaps(another.padded(-0.5)), (text, other)
