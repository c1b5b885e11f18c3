"""A run with the classes and channels of ImageNet and SE-ResNet-50: every page opens, and none is slow."""

import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page

import seviz
from seviz.analysis.tables import analyse
from seviz.dashboard.pages import PAGES
from tests.browser.conftest import Server, given_run
from tests.browser.test_pages import quickness, told

TABLES = ("specificity", "saturation", "specificity_by_channel")
PER_CLASS = 2
"""Images of each of the 1,000 classes, whose gates are not kept: tables of class means are as large with 50."""


@pytest.fixture(scope="module")
def large(runs: Path) -> dict[str, str]:
    """What to select to see a run of that size beside one as large.

    It is that which SEVIZ_LARGE_RUN names (`analyses/benchmarks/size.py --keep` makes one), else one of fewer images.
    """
    place = next(iter(given_run()), runs / "large")
    if place == runs / "large":
        made_network = Path(__file__).parents[2] / "analyses" / "benchmarks" / "made_network.py"
        network = seviz.load(f"{made_network}:wide", weights="none")
        sys.path.insert(0, str(made_network.parent))
        try:
            from made_network import CLASSES, batches
        finally:
            sys.path.remove(str(made_network.parent))
        images = batches(network.model, PER_CLASS * CLASSES)
        with pytest.warns(UserWarning, match="untrained"):
            seviz.collect(network, images, place, compile="off", keep_gates="none")
    list(analyse(seviz.open_run(place), only=TABLES))
    shutil.copytree(place, runs / "as_large")
    return {"run": place.name, "against": "as_large"}


def test_how_long_pages_take(
    large: dict[str, str], server: Server, page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = quickness(page, server, **large, block="SE_5_1")
    with capsys.disabled():
        sys.stdout.write(
            f"\nseconds until a page of 1,000 classes, opened first, answers and is drawn: {told(seconds)}\n"
        )
    assert set(seconds) == {each.path for each in PAGES}
