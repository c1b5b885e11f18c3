from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from seviz.errors import OptionError
from seviz.figures.masking import damage_by_class, masking_curves
from seviz.figures.style import WIDTHS, save

GATES = ("gate_mean", "gate_effective", "gate_variance", "gate_class:cat,dog", "gate_between")
OTHERS = ("l1", "l2", "bn_gamma", "taylor", "activation_mean", "apoz", "conductance", "integrated_gradients")
FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)


def curves(criteria: tuple[str, ...] = (*GATES, "random", *OTHERS), scope: str = "global") -> pd.DataFrame:
    rows = []
    for k, criterion in enumerate(criteria):
        for fraction in FRACTIONS:
            accuracy = 0.1 + 0.8 * np.exp(-fraction * (1 + k))
            seeds = 3 if criterion == "random" else 1
            rows.append((criterion, scope, fraction, seeds, accuracy, accuracy - 0.05, min(accuracy + 0.05, 1)))
    return pd.DataFrame(rows, columns=["criterion", "scope", "fraction", "seeds", "accuracy", "low", "high"])


def by_class(
    criteria: tuple[str, ...] = ("gate_mean", "l1", "random"),
    names: tuple[str, ...] = ("airplane", "cat", "dog", "frog"),
    seeds: int = 2,
) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = []
    for criterion in criteria:
        for seed in range(seeds):
            for fraction in FRACTIONS:
                for k, name in enumerate(names):
                    accuracy = 0.9 - k / 100 - fraction * random.random()
                    rows.append((criterion, seed, "global", fraction, f"n{k:04d}", name, 50, accuracy))
    columns = ["criterion", "seed", "scope", "fraction", "class", "class_name", "images", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


FIGURES: dict[str, Callable[..., Figure]] = {
    "curves": lambda **options: masking_curves(curves(), chance=0.1, **options),
    "one family": lambda **options: masking_curves(curves(("l1", "random")), **options),
    "classes": lambda **options: damage_by_class(by_class(), **options),
    "many": lambda **options: damage_by_class(by_class((*GATES, "random", *OTHERS), seeds=1), **options),
}


def labelled(axes: mpl.axes.Axes) -> dict[str, mpl.lines.Line2D]:
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


def test_each_criterion_is_a_line_in_the_panel_of_its_family() -> None:
    table = curves()
    gates, others = masking_curves(table, chance=0.1).axes
    for axes, own in ((gates, GATES), (others, OTHERS)):
        lines = labelled(axes)
        assert set(lines) == {*own, "random", "those of the other panel", "by chance"}
        for name in (*own, "random"):
            rows = table[table["criterion"] == name]
            np.testing.assert_array_equal(lines[name].get_xdata(), rows["fraction"])
            np.testing.assert_array_equal(lines[name].get_ydata(), rows["accuracy"])
        assert set(lines["by chance"].get_ydata()) == {0.1}
        assert len(axes.collections) == len(own) + 1  # the intervals
        behind = [line for line in axes.get_lines() if line.get_label() == "_"]
        assert len(behind) == len(GATES) + len(OTHERS) - len(own)
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        means = table.groupby("criterion")["accuracy"].mean()
        drawn = [means[label] for label in labels[:-2]]
        assert drawn == sorted(drawn, reverse=True)
    assert [axes._left_title.get_text() for axes in (gates, others)] == ["made of gates", "compared with"]


def test_intervals_are_the_columns() -> None:
    table = curves(("taylor",))
    (axes,) = masking_curves(table).axes
    (band,) = axes.collections
    corners = {tuple(point) for point in np.round(band.get_paths()[0].vertices, 9)}
    for row in table.itertuples():
        assert {(row.fraction, round(row.low, 9)), (row.fraction, round(row.high, 9))} <= corners


def test_lines_can_be_told_apart_and_families_too() -> None:
    figure = masking_curves(curves())
    looks = [
        (to_hex(line.get_color()), line.get_linestyle(), line.get_marker())
        for axes in figure.axes
        for name, line in labelled(axes).items()
        if name in GATES + OTHERS
    ]
    assert len(set(looks)) == len(looks) == 13
    gates, others = (
        {to_hex(line.get_color()) for name, line in labelled(axes).items() if name in GATES + OTHERS}
        for axes in figure.axes
    )
    assert not gates & others
    for axes in figure.axes:
        assert labelled(axes)["random"].get_linestyle() == "--"
    few = masking_curves(curves(("gate_mean", "l1")).iloc[::-1])
    assert labelled(few.axes[0])["gate_mean"].get_ydata()[0] == pytest.approx(0.9)  # sorted by fraction


@pytest.mark.parametrize("criteria", [("l1", "random:3"), ("gate_mean",), ("random",), ("random:1", "gate_mean", "l1")])
def test_families_that_are_not_there_have_no_panel(criteria: tuple[str, ...]) -> None:
    figure = masking_curves(curves(criteria))
    assert len(figure.axes) == (2 if len(criteria) == 3 else 1)
    drawn = {name for axes in figure.axes for name in labelled(axes)}
    assert drawn - {"those of the other panel"} == set(criteria)


@pytest.mark.parametrize(
    ("scope", "label"), [("global", "all gated"), ("stage", "each stage"), ("block", "each block")]
)
def test_the_share_is_named(scope: str, label: str) -> None:
    assert label in masking_curves(curves(scope=scope)).get_supxlabel()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (curves().head(0), "table has no rows, expected a criterion"),
        (
            pd.concat([curves(), curves()]),
            r"several rows for a criterion and fraction; expected a table from Curves\.mean",
        ),
        (pd.concat([curves(("l1",)), curves(("l2",), "block")]), "table has the scopes global, block, expected one"),
    ],
)
def test_tables_of_curves_are_checked(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        masking_curves(table)


def test_damage_is_before_and_after() -> None:
    table = by_class()
    figure = damage_by_class(table, fraction=0.5)
    axes = figure.axes[0]
    matrix = np.asarray(axes.images[0].get_array())
    means = table.groupby(["fraction", "class_name", "criterion"])["accuracy"].mean()
    columns = [label.get_text() for label in axes.get_xticklabels()]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert columns[0] == "nothing masked"
    for i, name in enumerate(rows):
        assert matrix[i, 0] == pytest.approx(means[0.0, name].mean())
        for j, criterion in enumerate(columns[1:], 1):
            assert matrix[i, j] == pytest.approx(means[0.5, name, criterion])
    lost = matrix[:, 0] - matrix[:, 1:].mean(1)
    assert list(lost) == sorted(lost, reverse=True)
    assert list(matrix.mean(0)[1:]) == sorted(matrix.mean(0)[1:], reverse=True)
    assert [text.get_text() for text in axes.texts][:2] == [f"{100 * value:.0f}" for value in matrix[0, :2]]
    assert axes._left_title.get_text() == "50 % of the channels masked"


def test_by_default_a_quarter_of_the_accuracy_is_lost() -> None:
    table = by_class()
    table["accuracy"] = 0.8 * (1 - table["fraction"])
    assert "30 % of" in damage_by_class(table).axes[0]._left_title.get_text()
    table["accuracy"] = 0.8
    assert "70 % of" in damage_by_class(table).axes[0]._left_title.get_text()


def test_of_many_classes_those_that_lose_most_are_drawn() -> None:
    table = by_class(names=tuple(f"class {k}" for k in range(100)), seeds=1)
    axes = damage_by_class(table, most=12).axes[0]
    assert len(axes.get_yticklabels()) == 12
    assert axes._left_title.get_text().endswith("(12 of 100 classes, those that lose most)")


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (by_class().head(0), {}, r"table has the fractions \[\], expected 0 and another"),
        (by_class().query("fraction == 0"), {}, r"table has the fractions \[0\.0\], expected 0 and another"),
        (by_class().query("fraction > 0"), {}, "expected 0 and another"),
        (by_class(), {"fraction": 0.4}, "fraction is 0.4, expected one of those in the table above 0"),
        (by_class(), {"fraction": 0.0}, "fraction is 0.0, expected one of those"),
        (by_class(), {"most": 0}, "most is 0, expected at least 1"),
    ],
)
def test_tables_by_class_are_checked(table: pd.DataFrame, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        damage_by_class(table, **options)


SAVED = [
    *((name, "svg") for name in FIGURES),
    *((name, suffix) for name in ("curves", "classes") for suffix in ("png", "pdf")),
]
"""How a file is written is the same for all figures: the other formats are tried with one of each kind."""


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
def test_a_papers_width_and_no_overlap(name: str, width: str) -> None:
    figure = FIGURES[name](width=width, remark="untrained weights")
    assert figure.get_size_inches()[0] == WIDTHS[width]
    assert "untrained weights" in figure.get_supxlabel()
    figure.draw_without_rendering()
    texts = [figure._supxlabel]
    for axes in figure.axes:
        texts += [axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts, *axes.get_yticklabels()]
        if axes.get_legend():
            texts += axes.get_legend().get_texts()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    for k, (text, box) in enumerate(boxes):
        assert figure.bbox.padded(1).fully_containsx(box.x0), text
        assert figure.bbox.padded(1).fully_containsx(box.x1), text
        assert figure.bbox.padded(1).fully_containsy(box.y0), text
        for other, another in boxes[k + 1 :]:
            assert not box.padded(-0.5).overlaps(another.padded(-0.5)), (text, other)
