"""`seviz.plot`: a function a figure."""

import inspect
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import seviz.plot
from seviz.errors import OptionError
from seviz.figures.album import figures
from tests.figures.test_album import made


def test_every_figure_has_a_function_with_its_options() -> None:
    assert dir(seviz.plot) == sorted(figures())
    for name, declared in figures().items():
        function = getattr(seviz.plot, name)
        assert (function.__name__, list(inspect.signature(function).parameters)) == (
            name,
            ["run", *declared.takes, "width"],
        )


def test_a_figure_shows_the_data_and_honours_own_settings(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    with mpl.rc_context({"font.size": 14, "lines.linewidth": 3}):
        figure = seviz.plot.excitation(
            run, classes=["0"] if "0" in run.classes.ids else list(run.classes.ids[:1]), blocks=["SE_3_1"]
        )
        assert mpl.rcParams["font.size"] == 14
    line = figure.axes[0].get_lines()[1]
    np.testing.assert_allclose(line.get_ydata(), run["SE_3_1"]["mean"].to_numpy()[0])
    assert figure.axes[0].title.get_fontsize() > 14
    plain = seviz.plot.excitation(run, blocks=["SE_3_1"])
    assert plain.axes[0].title.get_fontsize() == 7.5


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    with pytest.raises(OptionError, match="the figure specificity has no option 'classes'; expected some of width"):
        seviz.plot.specificity(run, classes=["0"])
    with pytest.raises(OptionError, match="heatmap is a figure of one block; blocks has 2, expected one"):
        seviz.plot.heatmap(run, blocks=["SE_2_1", "SE_3_1"])
    with pytest.raises(OptionError, match="the figure comparison cannot be drawn: it takes a second run"):
        seviz.plot.comparison(run)
    with pytest.raises(AttributeError, match="no figure 'pie'; expected one of excitation, spread"):
        seviz.plot.pie(run)
