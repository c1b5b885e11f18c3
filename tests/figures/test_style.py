from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

import tests.figures.made_tables as made
from seviz.figures.comparison import shift_by_depth
from seviz.figures.convergence import convergence_curves
from seviz.figures.depth import depth_profile, profile
from seviz.figures.distribution import gate_by_class
from seviz.figures.embedding import gates_on_a_plane
from seviz.figures.excitation import excitation_by_depth
from seviz.figures.gallery import exciting_images
from seviz.figures.heatmap import class_by_channel
from seviz.figures.saturation import saturation_by_block
from seviz.figures.similarity import classes_across_depth
from seviz.figures.specificity import specificity_by_depth
from seviz.figures.spread import spread_by_depth
from seviz.figures.style import COLOURS, LINES, WIDTHS, save

FIGURES: dict[str, Callable[..., Figure]] = {
    "excitation": lambda **options: excitation_by_depth(made.gates(), **options),
    "spread": lambda **options: spread_by_depth(made.gates(), **options),
    "specificity": lambda **options: specificity_by_depth(made.depth(), **options),
    "depth": lambda **options: depth_profile(
        profile(made.depth(), decoding=made.decoding(), saturation=made.saturation()), **options
    ),
    "depth of two": lambda **options: depth_profile(
        pd.concat([profile(made.depth(), saturation=made.saturation(), run=run) for run in ("one", "two")]), **options
    ),
    "saturation": lambda **options: saturation_by_block(made.saturation(), made.saturation_by_channel(), **options),
    "heatmap": lambda **options: class_by_channel(made.means(), "SE_4_1", names=made.NAMES, **options),
    "distribution": lambda **options: gate_by_class(made.one_channel(), "SE_4_1", 7, **options),
    "similarity": lambda **options: classes_across_depth(made.distances(), names=made.NAMES, **options),
    "embedding": lambda **options: gates_on_a_plane(made.components(), names=made.NAMES, **options),
    "gallery": lambda **options: exciting_images(made.channels(), None, **options),
    "convergence": lambda **options: convergence_curves(made.convergence(), **options),
    "comparison": lambda **options: shift_by_depth(made.comparison(), **options),
}
SHOWN = {"similarity": "distance between classes", "embedding": "of variance", "convergence": "rank correlation"}
"""What the axes of a figure name, where it is not the excitation."""


SAVED = [
    *((name, "svg") for name in FIGURES),
    *((name, suffix) for name in ("depth", "heatmap", "embedding", "gallery") for suffix in ("png", "pdf")),
]
"""How a file is written is the same for all figures: the other formats are tried with all kinds of marks among four."""


@cache
def drawn(name: str, width: str) -> Figure:
    return FIGURES[name](width=width, remark="untrained weights")


@pytest.mark.parametrize(("name", "suffix"), SAVED)
def test_same_table_same_bytes_no_style_leaks_and_none_leaks_in(name: str, suffix: str, tmp_path: Path) -> None:
    before = {key: value for key, value in mpl.rcParams.items() if key != "backend"}
    save(FIGURES[name](), tmp_path / f"plain.{suffix}")
    assert {key: mpl.rcParams[key] for key in before} == before
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9, "savefig.dpi": 30}):
        save(FIGURES[name](), tmp_path / f"within.{suffix}")
    content = (tmp_path / f"plain.{suffix}").read_bytes()
    assert content == (tmp_path / f"within.{suffix}").read_bytes()
    assert len(content) > 5000


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_has_a_papers_width_and_names_its_axes(name: str, width: str) -> None:
    figure = drawn(name, width)
    assert figure.get_size_inches()[0] == WIDTHS[width]
    texts = [figure.get_supxlabel(), figure.get_supylabel()]
    texts += [text.replace("\n", " ") for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())]
    assert any("untrained weights" in text for text in texts)
    assert any(SHOWN.get(name, "excitation") in text for text in texts)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_text_overlaps_another_or_leaves_the_figure(name: str, width: str) -> None:
    figure = drawn(name, width)
    figure.draw_without_rendering()
    texts = [
        text
        for axes in figure.axes
        for text in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
        if text.get_text()
    ]
    for axes in figure.axes:
        for labels, ends, which in (
            (axes.get_xticklabels(), axes.get_xlim(), 0),
            (axes.get_yticklabels(), axes.get_ylim(), 1),
        ):
            upright = [label for label in labels if label.get_text() and label.get_rotation() in (0, 90)]
            texts += [label for label in upright if min(ends) <= label.get_position()[which] <= max(ends)]
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]:
        texts += legend.get_texts()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for k, (text, box) in enumerate(boxes):
        assert figure.bbox.padded(1).fully_containsx(box.x0), text
        assert figure.bbox.padded(1).fully_containsx(box.x1), text
        for other, another in boxes[k + 1 :]:
            assert not box.padded(-0.5).overlaps(another.padded(-0.5)), (text, other)


def luminance(colour: str) -> float:
    r, g, b = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_neighbouring_lines_differ_without_colour() -> None:
    assert len(set(LINES)) == len(LINES) >= 4
    assert len(set(COLOURS)) == len(COLOURS)
    assert all(luminance(colour) < 0.72 for colour in COLOURS)  # against white
