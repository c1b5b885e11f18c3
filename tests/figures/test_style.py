from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from seviz.figures.excitation import excitation_by_depth, spread_by_depth
from seviz.figures.specificity import specificity_by_depth
from seviz.figures.style import COLOURS, LINES, WIDTHS, save


def gates() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frames = []
    for block, channels in (("SE_2_1", 8), ("SE_3_1", 50), ("SE_4_1", 50), ("SE_4_2", 50)):
        for name in ("goldfish", "pug", "plane", "cliff", "all classes"):
            frames.append(
                pd.DataFrame(
                    {
                        "block": block,
                        "class": f"n_{name}" if name != "all classes" else name,
                        "class_name": name,
                        "channel": np.arange(channels) * 3,
                        "mean": random.random(channels),
                        "std": random.random(channels) / 5,
                        "count": 50,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def depth() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "block": ["SE_2_1", "SE_2_2", "SE_3_1", "SE_4_1", "SE_4_2"],
            "stage": [2, 2, 3, 4, 4],
            "omega_squared": [0.1, 0.2, 0.3, 0.6, -0.01],
            "null": [0.01] * 5,
            "std_between": [0.02, 0.03, 0.05, 0.2, 0.0],
            "std_total": [0.1, 0.1, 0.1, 0.3, 0.001],
        }
    )


FIGURES: dict[str, Callable[..., Figure]] = {
    "excitation": lambda **options: excitation_by_depth(gates(), **options),
    "spread": lambda **options: spread_by_depth(gates(), **options),
    "specificity": lambda **options: specificity_by_depth(depth(), **options),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_same_table_same_bytes(name: str, suffix: str, tmp_path: Path) -> None:
    for k in (1, 2):
        save(FIGURES[name](), tmp_path / f"{k}.{suffix}")
    content = (tmp_path / f"1.{suffix}").read_bytes()
    assert content == (tmp_path / f"2.{suffix}").read_bytes()
    assert len(content) > 5000


@pytest.mark.parametrize("name", FIGURES)
def test_no_style_leaks_and_none_leaks_in(name: str, tmp_path: Path) -> None:
    before = {key: value for key, value in mpl.rcParams.items() if key != "backend"}
    save(FIGURES[name](), tmp_path / "plain.png")
    assert {key: mpl.rcParams[key] for key in before} == before
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9, "savefig.dpi": 30}):
        save(FIGURES[name](), tmp_path / "within.png")
    assert (tmp_path / "within.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_has_a_papers_width_and_names_its_axes(name: str, width: str) -> None:
    figure = FIGURES[name](width=width, remark="untrained weights")
    assert figure.get_size_inches()[0] == WIDTHS[width]
    texts = {figure.get_supxlabel(), figure.get_supylabel(), *(axes.get_ylabel() for axes in figure.axes)}
    assert any("untrained weights" in text for text in texts)
    assert any("excitation" in text for text in texts)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_text_overlaps_another_or_leaves_the_figure(name: str, width: str) -> None:
    figure = FIGURES[name](width=width, remark="untrained weights")
    figure.draw_without_rendering()
    texts = [
        text
        for axes in figure.axes
        for text in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
        if text.get_text()
    ]
    for axes in figure.axes:
        low, high = axes.get_ylim()
        texts += [label for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high]
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
