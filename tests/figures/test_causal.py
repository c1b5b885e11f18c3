from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from seviz.figures.causal import attribution_by_depth, intervention_by_depth, swap_matrix
from seviz.figures.style import WIDTHS, save

BLOCKS = {"SE_2_1": 2, "SE_2_2": 2, "SE_3_1": 3, "SE_4_1": 4}


def interventions() -> pd.DataFrame:
    rows = [("", pd.NA, "none", 0.9, 0.0, 0.0, 0.0, 0.0)]
    for k, (block, stage) in enumerate(BLOCKS.items()):
        for j, name in enumerate(("identity", "constant", "within", "across")):
            drop = 0.1 * k * (j + 1) / 2
            rows.append((block, stage, name, 0.9 - drop, drop, drop - 0.02, drop + 0.03, 2 * drop))
    names = ["block", "stage", "intervention", "accuracy", "drop", "drop_low", "drop_high", "loss_change"]
    return pd.DataFrame(rows, columns=names).astype({"stage": "Int64"})


def swaps(names: tuple[str, ...] = ("goldfish", "pug", "plane")) -> pd.DataFrame:
    number = len(names)
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "donor": np.repeat([f"n_{name}" for name in names], number),
            "donor_name": np.repeat(names, number),
            "target": np.tile([f"n_{name}" for name in names], number),
            "target_name": np.tile(names, number),
            "logit_donor": random.normal(size=number**2),
            "predicted_donor": random.random(number**2),
            "predicted_donor_before": random.random(number**2),
        }
    )


def attributions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "block": list(BLOCKS),
            "stage": list(BLOCKS.values()),
            "channels": [8, 8, 16, 32],
            "attribution": [0.5, -0.2, 1.0, 2.0],
            "absolute": [1.0, 1.0, 2.0, 4.0],
            "share": [1 / 8, 1 / 8, 2 / 8, 4 / 8],
            "half": [2, 1, 4, 8],
        }
    )


FIGURES: dict[str, Callable[..., Figure]] = {
    "intervention": lambda **options: intervention_by_depth(interventions(), **options),
    "swap": lambda **options: swap_matrix(swaps(), block="SE_4_1", **options),
    "attribution": lambda **options: attribution_by_depth(attributions(), **options),
}


def test_interventions_are_drawn_with_the_interval_of_the_difference() -> None:
    table = interventions()
    accuracy, loss = intervention_by_depth(table).axes
    plain, *dots = accuracy.get_lines()
    assert set(plain.get_ydata()) == {0.9}
    assert [line.get_label() for line in dots] == [
        "gates 1 (block off)",
        "mean gates of all images",
        "gates of another image of the class",
        "gates of an image of another class",
    ]
    whiskers = [c for c in accuracy.collections if len(c.get_segments()) == 4]
    for name, line, other, ends in zip(
        ("identity", "constant", "within", "across"), dots, loss.get_lines()[1:], whiskers, strict=True
    ):
        own = table[table["intervention"] == name]
        np.testing.assert_array_equal(line.get_ydata(), own["accuracy"])
        np.testing.assert_array_equal(other.get_ydata(), own["loss_change"])
        np.testing.assert_array_equal(np.round(line.get_xdata()), range(4))
        drawn = np.array([segment[:, 1] for segment in ends.get_segments()])
        np.testing.assert_allclose(0.9 - drawn, own[["drop_high", "drop_low"]])
        np.testing.assert_array_equal([segment[0, 0] for segment in ends.get_segments()], line.get_xdata())
    assert [label.get_text() for label in loss.get_xticklabels()] == list(BLOCKS)


def test_matrices_have_donors_as_rows() -> None:
    table = swaps()
    figure = swap_matrix(table, block="SE_4_1")
    panels = [axes for axes in figure.axes if axes.images]
    rise = table["predicted_donor"] - table["predicted_donor_before"]
    for axes, values in zip(panels, (table["logit_donor"], rise), strict=True):
        image = axes.images[0]
        for j, donor in enumerate(table["donor"].unique()):
            np.testing.assert_allclose(image.get_array()[j], values[table["donor"] == donor])
        low, high = image.get_clim()
        assert -low == high == np.abs(values).max()
        assert [label.get_text() for label in axes.get_xticklabels()] == ["goldfish", "pug", "plane"]
        assert len(axes.texts) == 9
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["goldfish", "pug", "plane"]
    assert figure.get_supylabel() == "class of the gates (excitation) at SE_4_1"
    assert [text.get_text() for text in panels[0].texts][:2] == [
        f"{value:.2f}".replace("-", "−").replace("0.", ".", 1) for value in table["logit_donor"][:2]
    ]


def test_many_classes_are_no_crowd() -> None:
    table = swaps(tuple(f"class {k}" for k in range(60)))
    table.loc[:59, "logit_donor"] = np.nan
    figure = swap_matrix(table)
    axes = figure.axes[0]
    assert not axes.texts
    assert len(axes.get_xticklabels()) <= 30
    assert figure.get_supylabel() == "class of the gates (excitation)"


def test_attributions_are_the_columns() -> None:
    table = attributions()
    share, size, half = attribution_by_depth(table).axes
    np.testing.assert_array_equal([bar.get_height() for bar in share.containers[0]], table["share"])
    lines = {line.get_label(): line.get_ydata() for line in size.get_lines()}
    np.testing.assert_array_equal(lines["with sign"], table["attribution"])
    np.testing.assert_array_equal(lines["of absolute values"], table["absolute"])
    np.testing.assert_array_equal([bar.get_height() for bar in half.containers[0]], table["half"] / table["channels"])


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
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
    texts = [figure._supxlabel, *([figure._supylabel] if name == "swap" else [])]
    for axes in figure.axes:
        texts += [axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]:
        texts += legend.get_texts()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    for k, (text, box) in enumerate(boxes):
        assert figure.bbox.padded(1).fully_containsx(box.x0), text
        assert figure.bbox.padded(1).fully_containsx(box.x1), text
        for other, another in boxes[k + 1 :]:
            assert not box.padded(-0.5).overlaps(another.padded(-0.5)), (text, other)
