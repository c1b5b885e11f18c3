"""Figures and report of runs of which little is known: drawn without a warning, on finite axes, claiming nothing."""

import re
from pathlib import Path

import numpy as np
import pytest

from seviz.figures.album import Album, LeftOut, figures
from seviz.report.contents import gather
from seviz.report.listing import tables
from seviz.report.page import page
from tests.degenerate_runs import degenerate_run

DRAWN = [name for name in figures() if name != "comparison"]


@pytest.mark.parametrize("case", ["near-constant", "one image a class", "huge", "failures only"])
def test_no_number_of_the_report_is_long(tmp_path: Path, case: str) -> None:
    run = degenerate_run(tmp_path / "run", case)
    contents = gather(run)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", "".join(tables(run, contents)))
    assert cells
    assert max(map(len, cells)) <= 24
    words = " ".join(headline.sentence for headline in contents.headlines)
    assert not re.search(r"[\d,.]{10,}|\bnan\b|\binf\b", words)


@pytest.mark.parametrize("case", ["near-constant", "huge", "failures only"])
def test_figures_have_finite_axes_that_are_not_next_to_nothing(tmp_path: Path, case: str) -> None:
    drawn = 0
    for drawing in Album(run=degenerate_run(tmp_path / "run", case)).draw(DRAWN):
        if isinstance(drawing, LeftOut):
            assert case == "failures only", drawing
            continue
        drawn += 1
        for axes in drawing.figure.axes:
            for low, high in (axes.get_xlim(), axes.get_ylim()):
                assert np.isfinite([low, high]).all()
                assert 1e-6 < abs(high - low) < 1e31, drawing.name
        drawing.figure.draw_without_rendering()
    assert drawn == (0 if case == "failures only" else len(DRAWN))


def test_a_report_of_failures_only_is_made(tmp_path: Path) -> None:
    assert "no image is left" in page(degenerate_run(tmp_path / "run", "failures only"))


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            "near-constant",
            (
                "How class-specific gates are cannot be told: no gate varies",
                "is not read off better than by a guess",
                "Both blocks are near constant",
                "No gate varies, so that none moves with another.",
                "How many images are needed cannot be told: gates do not vary.",
            ),
        ),
        (
            "failures only",
            (
                "no image is left",
                "cannot be told",
                "no image is left",
                "cannot be told",
                "cannot be told, with 0 images",
            ),
        ),
        (
            "one image a class",
            ("no class has two images", "fewer than two classes", "", "", "cannot be told, with 1 image of a class"),
        ),
        (
            "identical classes",
            (
                "In no block more of the gates' variance lies between classes than chance makes",
                "by a guess",
                "",
                "",
                "",
            ),
        ),
    ],
)
def test_headlines_claim_nothing_that_is_not_known(tmp_path: Path, case: str, said: tuple[str, ...]) -> None:
    headlines = gather(degenerate_run(tmp_path / "run", case)).headlines
    assert len(headlines) == len(said)
    for headline, part in zip(headlines, said, strict=True):
        assert part in headline.sentence
        assert not re.search(r"\bnan\b", headline.sentence)
